"""Find a Braze key's permissions by requests that can change nothing.

Braze checks the key, then the permission, then the body. The status of an invalid request, or of a
read of an unknown id, shows the first two (docs/api/basics, docs/api/errors).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.braze.client import BrazeClient, partner_user_agent
from braze_bridge.braze.errors import (
    AuthenticationError,
    BadRequestError,
    BrazeError,
    ConnectFailedError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnknownOutcomeError,
)
from braze_bridge.braze.models import ExportIdsRequest, TrackRequest
from braze_bridge.braze.subscriptions import (
    SubscriptionStatus,
    SubscriptionStatusGetRequest,
    SubscriptionStatusSetRequest,
    SubscriptionUsers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from braze_bridge.braze.transport import Transport
    from braze_bridge.clock import Clock

VERSION: Final = "0.1.0"
TIMEOUT: Final = (3.05, 10.0)
"""Seconds to connect, and to wait for an answer."""

UNKNOWN_ID: Final = "bridge-doctor"
"""An external id that no brand uses."""

NO_GROUP: Final = "00000000-0000-0000-0000-000000000000"
"""The nil UUID is no subscription group's id."""

_NO_OBJECT: Final = b'{"_update_existing_only":true}'
"""An attributes object without an identifier: Braze refuses it. It also forbids new profiles."""


INTEGRATIONS: Final = (
    "outgrow",
    "iterate",
    "quikly-acquisition",
    "quikly-webhook",
    "quikly-events",
)

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "quikly": tuple(name for name in INTEGRATIONS if name.startswith("quikly-"))
}
"""Names of several integrations together."""


class Need(NamedTuple):
    """Who needs a permission.

    Attributes:
        integrations: They do not work without it.
        optional: They lose a part without it: the part by integration.
    """

    integrations: tuple[str, ...]
    optional: Mapping[str, str] = {}


_LOST_ANSWERS: Final = "events whose answer was lost are not looked up"
"""What `OnUnknownOutcome=verify` needs `users.export.ids` for."""

NEEDS: Final[Mapping[str, Need]] = {
    "users.track": Need(INTEGRATIONS),
    "users.export.ids": Need(
        ("quikly-acquisition",),
        {
            **dict.fromkeys(
                ("outgrow", "iterate", "quikly-events"), f"`bridge verify`; {_LOST_ANSWERS}"
            ),
            "quikly-webhook": _LOST_ANSWERS,
        },
    ),
    "subscription.status.get": Need(("quikly-acquisition",)),
    "subscription.status.set": Need(("quikly-acquisition",)),
    "kpi.mau.data_series": Need((), {"iterate": "surveys in Braze's in-app messages"}),
}
"""By permission, as the partners' own pages say."""

PROBES: Final[Mapping[str, Callable[[BrazeClient], object]]] = {
    "users.track": lambda client: client.track(TrackRequest(attributes=[_NO_OBJECT])),
    "users.export.ids": lambda client: client.export_ids(
        ExportIdsRequest(fields_to_export=["external_id"], external_ids=[UNKNOWN_ID])
    ),
    "subscription.status.get": lambda client: client.subscription_status_get(
        SubscriptionStatusGetRequest(NO_GROUP, SubscriptionUsers(external_ids=[UNKNOWN_ID]))
    ),
    "subscription.status.set": lambda client: client.subscription_status_set(
        SubscriptionStatusSetRequest(
            NO_GROUP, SubscriptionStatus.UNSUBSCRIBED, SubscriptionUsers(external_ids=[UNKNOWN_ID])
        )
    ),
    "kpi.mau.data_series": lambda client: client.mau_data_series(1),
}


class Verdict(StrEnum):
    """What an answer shows about a permission."""

    GRANTED = "granted"
    MISSING = "missing"
    KEY_REFUSED = "key refused"
    LIMITED = "rate limited"
    UNREACHABLE = "unreachable"
    STRANGE = "strange"


class Probed(NamedTuple):
    """One answer.

    Attributes:
        detail: Status and Braze's words without keys; empty if the permission is granted.
    """

    permission: str
    verdict: Verdict
    detail: str = ""


def client_for(key: str, transport: Transport, clock: Clock, product: str) -> BrazeClient:
    """Make a client for a command.

    Args:
        key: The REST API key.
        transport: To the endpoint.
        clock: For the rate-limit headers.
        product: For the User-Agent: ``Doctor``, ``Verify``.
    """
    return BrazeClient(
        api_key=lambda: key,
        transport=transport,
        user_agent=partner_user_agent("BrazePartnerBridge", product, VERSION),
        now=lambda: clock.now().timestamp(),
        timeout=TIMEOUT,
    )


def probe(client: BrazeClient, permission: str) -> Probed:
    """Check one permission."""
    try:
        PROBES[permission](client)
    except BrazeError as error:
        verdict = verdict_of(error)
        return Probed(permission, verdict, "" if verdict is Verdict.GRANTED else str(error))
    return Probed(permission, Verdict.GRANTED)


def probe_all(client: BrazeClient, permissions: Iterable[str]) -> list[Probed]:
    """Check permissions, one after the other.

    If one answer proves the key, a 401 of another means a missing permission: Braze's errors page
    lists "insufficient permissions" under both 401 and 403.
    """
    found = [probe(client, permission) for permission in permissions]
    if any(each.verdict in {Verdict.GRANTED, Verdict.MISSING} for each in found):
        return [
            each._replace(verdict=Verdict.MISSING) if each.verdict is Verdict.KEY_REFUSED else each
            for each in found
        ]
    return found


def verdict_of(error: BrazeError) -> Verdict:
    """Decide what a failure shows about the key and its permission."""
    match error:
        case BadRequestError():
            return Verdict.GRANTED
        case AuthenticationError():
            return Verdict.KEY_REFUSED
        case PermissionDeniedError():
            return Verdict.MISSING
        case RateLimitedError():
            return Verdict.LIMITED
        case ServerError() | ConnectFailedError() | UnknownOutcomeError():
            return Verdict.UNREACHABLE
        case _:
            return Verdict.STRANGE
