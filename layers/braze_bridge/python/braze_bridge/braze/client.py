"""The Braze client: one method per endpoint, named after it.

A method imports what only it needs: delivery starts without the subscriptions module.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from braze_bridge.braze import limits
from braze_bridge.braze.answers import (
    error_of,
    export_ids_response,
    member_list,
    read_answer,
    track_response,
)
from braze_bridge.braze.errors import AuthenticationError
from braze_bridge.braze.transport import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.braze.answers import Answer
    from braze_bridge.braze.models import (
        ExportIdsRequest,
        ExportIdsResponse,
        TrackRequest,
        TrackResponse,
    )
    from braze_bridge.braze.subscriptions import (
        SubscriptionStatusGetRequest,
        SubscriptionStatusGetResponse,
        SubscriptionStatusSetRequest,
        SubscriptionStatusSetResponse,
    )
    from braze_bridge.braze.transport import Transport

Timeout: TypeAlias = tuple[float, float]
"""Seconds to connect, and seconds of silence allowed while reading."""

_USER_AGENT: Final = re.compile(r"partner-[A-Za-z0-9]+-[A-Za-z0-9]+/[A-Za-z0-9][A-Za-z0-9._+-]*")
_KEY: Final = re.compile(r"[!-~]+")  # visible ASCII: what a header can carry as one word


def partner_user_agent(organization: str, product: str, version: str) -> str:
    """Build the `User-Agent` that Braze requires of partners.

    `partner-OrganizationName-ProductName/ProductVersion`: docs/partners/isv_partners/api_partner.

    Args:
        organization: letters and digits only, since the hyphen separates.
        product: likewise.
        version: begins with a letter or digit, then also `. _ + -`.

    Raises:
        ValueError: the parts do not make such a name.
    """
    built = f"partner-{organization}-{product}/{version}"
    _check_user_agent(built)
    return built


def _check_user_agent(candidate: str) -> None:
    if not _USER_AGENT.fullmatch(candidate):
        raise ValueError("a User-Agent is partner-<Organization>-<Product>/<version>")


class BrazeClient:
    """Calls Braze's REST API. Thread-safe.

    Every method raises a `BrazeError` for anything but a success. None waits or tries again. Every
    method takes `timeout` (see `Timeout`) and `deadline` (see `HttpRequest`).

    Args:
        api_key: gives the current REST API key. It is called for each request, so that a new key is
            used at once. Its errors are not caught.
        transport: the network.
        user_agent: see `partner_user_agent`.
        now: epoch seconds, to read the rate-limit headers.
        timeout: for calls that give none.

    Raises:
        ValueError: the User-Agent or the timeout is not as described.
    """

    def __init__(
        self,
        api_key: Callable[[], str],
        transport: Transport,
        user_agent: str,
        now: Callable[[], float],
        timeout: Timeout,
    ) -> None:
        _check_user_agent(user_agent)
        _check_timeout(timeout)
        self._api_key = api_key
        self._transport = transport
        self._user_agent = user_agent
        self._now = now
        self._timeout = timeout

    def track(
        self,
        request: TrackRequest,
        *,
        timeout: Timeout | None = None,
        deadline: float | None = None,
    ) -> TrackResponse:
        """`POST /users/track` (permission `users.track`).

        Returns:
            What Braze queued, and in `errors` the objects that it did not queue.

        Raises:
            BadRequestError: Braze queued nothing; `errors` names the objects if Braze does.
            BrazeError: anything else.
        """
        return track_response(self._post(limits.USERS_TRACK, request, timeout, deadline))

    def export_ids(
        self,
        request: ExportIdsRequest,
        *,
        timeout: Timeout | None = None,
        deadline: float | None = None,
    ) -> ExportIdsResponse:
        """`POST /users/export/ids` (permission `users.export.ids`).

        Raises:
            UnexpectedResponseError: also a success without a readable list of users.
            BrazeError: anything else.
        """
        return export_ids_response(self._post(limits.USERS_EXPORT_IDS, request, timeout, deadline))

    def subscription_status_get(
        self,
        request: SubscriptionStatusGetRequest,
        *,
        timeout: Timeout | None = None,
        deadline: float | None = None,
    ) -> SubscriptionStatusGetResponse:
        """`GET /subscription/status/get` (permission `subscription.status.get`).

        Raises:
            BadRequestError: also for an unknown group.
            BrazeError: anything else.
        """
        from braze_bridge.braze.subscriptions import SubscriptionStatusGetResponse

        return SubscriptionStatusGetResponse.of(
            self._answer(
                self._request(
                    "GET",
                    limits.SUBSCRIPTION_STATUS_GET,
                    timeout,
                    deadline,
                    params=request.params(),
                )
            )
        )

    def subscription_status_set(
        self,
        request: SubscriptionStatusSetRequest,
        *,
        timeout: Timeout | None = None,
        deadline: float | None = None,
    ) -> SubscriptionStatusSetResponse:
        """`POST /subscription/status/set` (permission `subscription.status.set`).

        Raises:
            BadRequestError: also for an unknown group.
            BrazeError: anything else.
        """
        from braze_bridge.braze.subscriptions import SubscriptionStatusSetResponse

        return SubscriptionStatusSetResponse.of(
            self._post(limits.SUBSCRIPTION_STATUS_SET, request, timeout, deadline)
        )

    def mau_data_series(
        self, length: int, *, timeout: Timeout | None = None, deadline: float | None = None
    ) -> list[dict[str, object]]:
        """`GET /kpi/mau/data_series` (permission `kpi.mau.data_series`).

        docs/api/endpoints/export/kpi/get_kpi_mau_30_days

        Args:
            length: days in the series, 1 to 100.
            timeout: see `Timeout`.
            deadline: see `HttpRequest`.

        Returns:
            `{"time": day, "mau": unique users of the 30 days before}` for each day, as Braze sends
            it.

        Raises:
            BrazeError: anything but a readable series.
        """
        params = (("length", str(length)),)
        answer = self._answer(
            self._request("GET", limits.KPI_MAU_DATA_SERIES, timeout, deadline, params=params)
        )
        return member_list(answer, "data")

    def _post(
        self,
        path: str,
        request: TrackRequest | ExportIdsRequest | SubscriptionStatusSetRequest,
        timeout: Timeout | None,
        deadline: float | None,
    ) -> Answer:
        return self._answer(self._request("POST", path, timeout, deadline, body=request.body()))

    def _request(
        self,
        method: str,
        path: str,
        timeout: Timeout | None,
        deadline: float | None,
        *,
        body: bytes | None = None,
        params: tuple[tuple[str, str], ...] = (),
    ) -> HttpRequest:
        """Build a request apart from its sending: no frame of a failing call holds key or body."""
        if timeout is not None:
            _check_timeout(timeout)
        headers = self._headers()
        if body is not None:
            headers["Content-Type"] = "application/json"
        return HttpRequest(method, path, headers, body, params, timeout or self._timeout, deadline)

    def _headers(self) -> dict[str, str]:
        key = self._api_key()
        if not _KEY.fullmatch(key):
            key = ""  # keep it out of tracebacks that print variables
            raise AuthenticationError("there is no API key that could be sent")
        return {
            "Authorization": f"Bearer {key}",
            "User-Agent": self._user_agent,
            "Accept": "application/json",
        }

    def _answer(self, request: HttpRequest) -> Answer:
        response = self._transport.send(request)
        answer = read_answer(
            response, request.headers["Authorization"].removeprefix("Bearer "), self._now()
        )
        if not answer.accepted:
            raise error_of(answer)
        return answer


def _check_timeout(timeout: Timeout) -> None:
    connect, read = timeout
    if not (connect > 0 and read > 0):
        raise ValueError("a timeout is two positive numbers of seconds: connect, read")
