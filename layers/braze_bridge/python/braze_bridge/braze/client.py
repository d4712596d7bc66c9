"""The Braze client: one method per endpoint, named after it.

What only some methods need is imported by them: delivery starts without subscriptions and KPIs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from braze_bridge.braze import limits
from braze_bridge.braze.answers import error_of, export_ids_response, read_answer, track_response
from braze_bridge.braze.errors import (
    AuthenticationError,
)
from braze_bridge.braze.transport import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.braze.answers import Answer
    from braze_bridge.braze.kpi import MauDataSeriesRequest, MauDataSeriesResponse
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
        SubscriptionStatusSetV2Request,
    )
    from braze_bridge.braze.transport import Transport

_USER_AGENT: Final = re.compile(r"partner-[A-Za-z0-9]+-[A-Za-z0-9]+/[A-Za-z0-9][A-Za-z0-9._+-]*")
_KEY: Final = re.compile(r"[!-~]+")  # visible ASCII: what a header can carry as one word


def partner_user_agent(organization: str, product: str, version: str) -> str:
    """The `User-Agent` that Braze requires of partners.

    `partner-OrganizationName-ProductName/ProductVersion`: docs/partners/isv_partners/api_partner.

    Args:
        organization: letters and digits only, as the hyphen separates.
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
    """Calls Braze's REST API. Threads may share it.

    Every method raises a `BrazeError` for whatever is not a success, and neither waits nor tries
    again unless it was given `retrying`.

    Args:
        api_key: gives the current REST API key; asked at each call, so that a new key is used at
            once. What it raises is not caught.
        transport: the network.
        user_agent: see `partner_user_agent`.
        now: epoch seconds, to read the rate-limit headers by.
        timeout: seconds to connect and to wait for the answer, where a call gives none.

    Raises:
        ValueError: the User-Agent or the timeout is not as described.
    """

    def __init__(
        self,
        api_key: Callable[[], str],
        transport: Transport,
        user_agent: str,
        now: Callable[[], float],
        timeout: tuple[float, float],
    ) -> None:
        _check_user_agent(user_agent)
        _check_timeout(timeout)
        self._api_key = api_key
        self._transport = transport
        self._user_agent = user_agent
        self._now = now
        self._timeout = timeout

    def track(
        self, request: TrackRequest, *, timeout: tuple[float, float] | None = None
    ) -> TrackResponse:
        """`POST /users/track` (permission `users.track`).

        Args:
            request: up to 75 objects.
            timeout: seconds to connect and to wait for the answer.

        Returns:
            What Braze accepted, and in `errors` what it did not: the rest is queued.

        Raises:
            BadRequestError: nothing was taken; `errors` names the objects if Braze does.
            BrazeError: anything else.
        """
        answer = self._answer(
            self._request("POST", limits.USERS_TRACK, timeout, body=request.body())
        )
        return track_response(answer)

    def export_ids(
        self, request: ExportIdsRequest, *, timeout: tuple[float, float] | None = None
    ) -> ExportIdsResponse:
        """`POST /users/export/ids` (permission `users.export.ids`).

        Raises:
            UnexpectedResponseError: among others for a success without a readable list of users.
            BrazeError: anything else.
        """
        answer = self._answer(
            self._request("POST", limits.USERS_EXPORT_IDS, timeout, body=request.body())
        )
        return export_ids_response(answer)

    def subscription_status_get(
        self,
        request: SubscriptionStatusGetRequest,
        *,
        timeout: tuple[float, float] | None = None,
    ) -> SubscriptionStatusGetResponse:
        """`GET /subscription/status/get` (permission `subscription.status.get`).

        Raises:
            BadRequestError: among others for an unknown group.
            BrazeError: anything else.
        """
        from braze_bridge.braze.subscriptions import SubscriptionStatusGetResponse

        answer = self._answer(
            self._request("GET", limits.SUBSCRIPTION_STATUS_GET, timeout, params=request.params())
        )
        return SubscriptionStatusGetResponse.of(answer)

    def subscription_status_set(
        self,
        request: SubscriptionStatusSetRequest,
        *,
        timeout: tuple[float, float] | None = None,
    ) -> SubscriptionStatusSetResponse:
        """`POST /subscription/status/set` (permission `subscription.status.set`).

        Raises:
            BadRequestError: among others for an unknown group.
            BrazeError: anything else.
        """
        from braze_bridge.braze.subscriptions import SubscriptionStatusSetResponse

        answer = self._answer(
            self._request("POST", limits.SUBSCRIPTION_STATUS_SET, timeout, body=request.body())
        )
        return SubscriptionStatusSetResponse.of(answer)

    def subscription_status_set_v2(
        self,
        request: SubscriptionStatusSetV2Request,
        *,
        timeout: tuple[float, float] | None = None,
    ) -> SubscriptionStatusSetResponse:
        """`POST /v2/subscription/status/set` (permission `subscription.status.set`).

        Raises:
            BadRequestError: among others for an unknown group. Whether one bad phone refuses the
                whole call is not documented.
            BrazeError: anything else.
        """
        from braze_bridge.braze.subscriptions import SubscriptionStatusSetResponse

        answer = self._answer(
            self._request("POST", limits.SUBSCRIPTION_STATUS_SET_V2, timeout, body=request.body())
        )
        return SubscriptionStatusSetResponse.of(answer)

    def mau_data_series(
        self, request: MauDataSeriesRequest, *, timeout: tuple[float, float] | None = None
    ) -> MauDataSeriesResponse:
        """`GET /kpi/mau/data_series` (permission `kpi.mau.data_series`).

        Raises:
            BrazeError: anything but a success.
        """
        from braze_bridge.braze.kpi import MauDataSeriesResponse

        answer = self._answer(
            self._request("GET", limits.KPI_MAU_DATA_SERIES, timeout, params=request.params())
        )
        return MauDataSeriesResponse.of(answer)

    def _request(
        self,
        method: str,
        path: str,
        timeout: tuple[float, float] | None,
        *,
        body: bytes | None = None,
        params: tuple[tuple[str, str], ...] = (),
    ) -> HttpRequest:
        """Built in a call of its own, so that no frame of a failing call holds key or body."""
        headers = self._headers()
        if body is not None:
            headers["Content-Type"] = "application/json"
        return HttpRequest(method, path, headers, body, params, self._checked(timeout))

    def _headers(self) -> dict[str, str]:
        key = self._api_key()
        if not _KEY.fullmatch(key):
            key = ""  # whatever it was, it stays out of tracebacks that print variables
            raise AuthenticationError("there is no API key that could be sent")
        return {
            "Authorization": f"Bearer {key}",
            "User-Agent": self._user_agent,
            "Accept": "application/json",
        }

    def _checked(self, timeout: tuple[float, float] | None) -> tuple[float, float]:
        if timeout is None:
            return self._timeout
        _check_timeout(timeout)
        return timeout

    def _answer(self, request: HttpRequest) -> Answer:
        response = self._transport.send(request)
        answer = read_answer(
            response, request.headers["Authorization"].removeprefix("Bearer "), self._now()
        )
        if not answer.accepted:
            raise error_of(answer)
        return answer


def _check_timeout(timeout: tuple[float, float]) -> None:
    connect, read = timeout
    if not (connect > 0 and read > 0):
        raise ValueError("a timeout is two positive numbers of seconds: connect, read")
