"""Which permissions a Braze key has, asked by requests that can change nothing.

Braze checks the key, then the permission, then the body: a request that is surely invalid, or reads
nobody, tells the first two by its status (docs/api/basics, docs/api/errors).
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

NOBODY: Final = "bridge-doctor"
"""An external id that no brand uses."""

NO_GROUP: Final = "00000000-0000-0000-0000-000000000000"
"""The nil UUID is no subscription group's id."""

_NO_OBJECT: Final = b'{"_update_existing_only":true}'
"""An attributes object without an identifier, which Braze refuses; and it forbids creating."""


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
"""Names that stand for several integrations."""


class Need(NamedTuple):
    """What a permission is for.

    Attributes:
        integrations: Those that do not work without it.
        optional: Those that lose a part without it, and which.
    """

    integrations: tuple[str, ...]
    optional: Mapping[str, str] = {}


NEEDS: Final[Mapping[str, Need]] = {
    "users.track": Need(INTEGRATIONS),
    "users.export.ids": Need(
        ("quikly-acquisition",),
        dict.fromkeys(("outgrow", "iterate", "quikly-events"), "`bridge verify`"),
    ),
    "subscription.status.get": Need(("quikly-acquisition",)),
    "subscription.status.set": Need(("quikly-acquisition",)),
    "kpi.mau.data_series": Need((), {"iterate": "surveys in Braze's in-app messages"}),
}
"""By permission, after the partners' own pages."""

PROBES: Final[Mapping[str, Callable[[BrazeClient], object]]] = {
    "users.track": lambda client: client.track(TrackRequest(attributes=[_NO_OBJECT])),
    "users.export.ids": lambda client: client.export_ids(
        ExportIdsRequest(fields_to_export=["external_id"], external_ids=[NOBODY])
    ),
    "subscription.status.get": lambda client: client.subscription_status_get(
        SubscriptionStatusGetRequest(NO_GROUP, SubscriptionUsers(external_ids=[NOBODY]))
    ),
    "subscription.status.set": lambda client: client.subscription_status_set(
        SubscriptionStatusSetRequest(
            NO_GROUP, SubscriptionStatus.UNSUBSCRIBED, SubscriptionUsers(external_ids=[NOBODY])
        )
    ),
    "kpi.mau.data_series": lambda client: client.mau_data_series(1),
}


class Verdict(StrEnum):
    """What an answer says about a permission."""

    GRANTED = "granted"
    MISSING = "missing"
    KEY_REFUSED = "key refused"
    LIMITED = "rate limited"
    UNREACHABLE = "unreachable"
    STRANGE = "strange"


class Probed(NamedTuple):
    """One answer.

    Attributes:
        detail: Status and Braze's words, cleaned of keys; empty where all is well.
    """

    permission: str
    verdict: Verdict
    detail: str = ""


def client_for(key: str, transport: Transport, clock: Clock, product: str) -> BrazeClient:
    """A client for a command.

    Args:
        key: The REST API key.
        transport: The way to the endpoint.
        clock: Reads the rate-limit headers.
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
    """Ask about one permission."""
    try:
        PROBES[permission](client)
    except BrazeError as error:
        verdict = verdict_of(error)
        return Probed(permission, verdict, "" if verdict is Verdict.GRANTED else str(error))
    return Probed(permission, Verdict.GRANTED)


def probe_all(client: BrazeClient, permissions: Iterable[str]) -> list[Probed]:
    """Ask about permissions, one after the other.

    A 401 beside an answer that proves the key is about the permission: Braze's errors page lists
    "insufficient permissions" under both 401 and 403.
    """
    found = [probe(client, permission) for permission in permissions]
    if any(each.verdict in {Verdict.GRANTED, Verdict.MISSING} for each in found):
        return [
            each._replace(verdict=Verdict.MISSING) if each.verdict is Verdict.KEY_REFUSED else each
            for each in found
        ]
    return found


def verdict_of(error: BrazeError) -> Verdict:
    """What a failure says about the key and its permission."""
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
