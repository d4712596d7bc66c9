"""What Braze's answer to one request means for each object in it.

Pure: an answer and a pack go in, verdicts come out. Braze's errors are believed where they name an
object by array and index; where they name none, the pack is halved until the guilty object is
alone; where different requests fail alike and none succeeds, it is us and nobody is blamed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from braze_bridge.braze.errors import (
    AuthenticationError,
    BadRequestError,
    BrazeError,
    ConnectFailedError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnknownOutcomeError,
)
from braze_bridge.braze.models import TrackResponse
from braze_bridge.reasons import Reason
from braze_delivery.packing import Pack, WorkObject, halves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from braze_bridge.braze.errors import ObjectError

MAX_DETAIL: Final = 300
"""Characters of Braze's own text kept as a reason."""

KEY_RETRY_SECONDS: Final = 60.0
"""How long jobs rest after Braze refused our key, until a gate that probes takes this over."""


@dataclass(frozen=True, slots=True)
class Closing:
    """A reason to stop calling Braze.

    Attributes:
        scope: ``family`` for `/users/track` alone, ``all`` for every endpoint.
        seconds: For how long, if Braze or a rule said so.
        reason: ``rate_limited``, ``key_refused``, ``permission_missing`` or ``requests_refused``.
    """

    scope: Literal["family", "all"]
    seconds: float | None
    reason: str


@dataclass(slots=True)
class Settlement:
    """Verdicts on the objects of one request. Every object is in exactly one of the lists.

    Attributes:
        delivered: Braze took them.
        rejected: Braze refused them by name, or alone.
        suspect: Refused alone with no reason given: guilty if other requests succeed, else
            perhaps not.
        apart: Merged objects that Braze refused: each job's part must be tried alone.
        again: Smaller packs to send at once.
        retry: To be sent later, nothing known against them.
        unknown: Perhaps at Braze, perhaps not.
        closing: Why no further request should start.
        unattributed: Errors of a success that named no object.
    """

    delivered: Sequence[WorkObject] = ()
    rejected: list[tuple[WorkObject, Reason]] = field(default_factory=list)
    suspect: list[tuple[WorkObject, Reason]] = field(default_factory=list)
    apart: list[WorkObject] = field(default_factory=list)
    again: list[Pack] = field(default_factory=list)
    retry: Sequence[WorkObject] = ()
    unknown: Sequence[WorkObject] = ()
    closing: Closing | None = None
    unattributed: int = 0


def settle(  # noqa: PLR0911 - one return a kind of answer reads best
    pack: Pack, outcome: TrackResponse | BrazeError
) -> Settlement:
    """Judge every object of a request by Braze's answer.

    Args:
        pack: What was sent.
        outcome: The answer, or the error the client made of it.
    """
    if isinstance(outcome, TrackResponse):
        return _settle_success(pack, outcome)
    match outcome:
        case BadRequestError():
            return _settle_bad_request(pack, outcome)
        case PayloadTooLargeError():
            return _corner(pack, _reason("too_large", outcome.message), proven=True)
        case RateLimitedError():
            closing = Closing("family", outcome.retry_after, "rate_limited")
            return Settlement(retry=pack.objects, closing=closing)
        case AuthenticationError():
            closing = Closing("all", outcome.retry_after or KEY_RETRY_SECONDS, "key_refused")
            return Settlement(retry=pack.objects, closing=closing)
        case PermissionDeniedError():
            closing = Closing(
                "family", outcome.retry_after or KEY_RETRY_SECONDS, "permission_missing"
            )
            return Settlement(retry=pack.objects, closing=closing)
        case ServerError() | ConnectFailedError() | UnknownOutcomeError():
            if outcome.outcome_unknown:
                return Settlement(unknown=pack.objects)
            return Settlement(retry=pack.objects)
        case NotFoundError() | _:
            # A wrong address, a redirect, a content type refused: nothing a person's data causes.
            closing = Closing(
                "family", outcome.retry_after or KEY_RETRY_SECONDS, "requests_refused"
            )
            return Settlement(retry=pack.objects, closing=closing)


def _settle_success(pack: Pack, answer: TrackResponse) -> Settlement:
    if not answer.errors:
        return Settlement(delivered=pack.objects)
    named, unattributed = _named(pack, answer.errors)
    settlement = _blame(named)
    settlement.delivered = [item for item in pack.objects if id(item) not in named]
    settlement.unattributed = unattributed
    return settlement


def _settle_bad_request(pack: Pack, error: BadRequestError) -> Settlement:
    named, _ = _named(pack, error.errors)
    if not named:
        return _corner(pack, _reason("braze_refused", error.message), proven=False)
    settlement = _blame(named)
    rest = [item for item in pack.objects if id(item) not in named]
    if rest:
        settlement.again.append(Pack.of(rest))
    return settlement


def _named(
    pack: Pack, errors: Sequence[ObjectError]
) -> tuple[dict[int, tuple[WorkObject, Reason]], int]:
    named: dict[int, tuple[WorkObject, Reason]] = {}
    unattributed = 0
    for error in errors:
        item = pack.named(error.input_array, error.index)
        if item is None:
            unattributed += 1
        else:
            named.setdefault(id(item), (item, _reason("braze_refused", error.type)))
    return named, unattributed


def _blame(named: dict[int, tuple[WorkObject, Reason]]) -> Settlement:
    settlement = Settlement()
    for item, reason in named.values():
        if len(item.slots) > 1:
            settlement.apart.append(item)
        else:
            settlement.rejected.append((item, reason))
    return settlement


def _corner(pack: Pack, reason: Reason, *, proven: bool) -> Settlement:
    """Halve; an object that is alone is guilty where the refusal can only mean it, else suspect."""
    objects = pack.objects
    if len(objects) > 1:
        return Settlement(again=halves(pack))
    (item,) = objects
    if len(item.slots) > 1:
        return Settlement(apart=[item])
    return Settlement(rejected=[(item, reason)]) if proven else Settlement(suspect=[(item, reason)])


def _reason(code: str, text: str) -> Reason:
    return Reason(code=code, detail=text[:MAX_DETAIL] or None)
