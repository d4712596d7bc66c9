"""Decide what Braze's answer to one request means for each object in it. Pure.

If Braze names an object by array and index, that object is rejected. If it names none, each object
is sent again alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from braze_bridge.braze.errors import (
    AuthenticationError,
    BadRequestError,
    BrazeError,
    ConnectFailedError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnknownOutcomeError,
)
from braze_bridge.braze.models import TrackResponse
from braze_bridge.reasons import Reason
from braze_delivery.packing import ARRAYS, RequestPlan, TrackObject, apart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from braze_bridge.braze.errors import ObjectError

MAX_DETAIL: Final = 300
"""Characters of Braze's text kept as a reason."""

KEY_RETRY_SECONDS: Final = 60.0
"""How long jobs wait after Braze refused the key, the permission or the address."""


class NotBrazeError(UnknownOutcomeError):
    """A success that is not Braze's JSON."""


@dataclass(frozen=True, slots=True)
class Closing:
    """A reason to stop calling Braze.

    Attributes:
        scope: ``family`` for `/users/track` only, ``all`` for every endpoint.
        seconds: How long, if Braze or a rule gives a time.
        reason: ``rate_limited``, ``key_refused``, ``permission_missing`` or ``requests_refused``.
    """

    scope: Literal["family", "all"]
    seconds: float | None
    reason: str


@dataclass(slots=True)
class Settlement:
    """The outcome of each object of one request. Every object is in exactly one of the lists.

    Attributes:
        delivered: Braze took them.
        rejected: Braze refused them by name, or alone with a certain reason.
        unconfirmed: Refused alone without a name. They are rejected if other requests succeed.
        split: Merged objects that Braze refused: their jobs' own objects must be sent.
        behind: Attributes that Braze took, of people with a refused merge. They are newer, so they
            must be sent once more behind the split ones.
        resend: Smaller requests to send at once.
        retry: To send later.
        unknown: They may or may not be at Braze.
        closing: Why no further request may start.
        unclear: Braze's success does not say that it took them: its counts are too small, or an
            error names no object.
        texts: What Braze said of unclear objects, cleaned.
    """

    delivered: list[TrackObject] = field(default_factory=list)
    rejected: list[tuple[TrackObject, Reason]] = field(default_factory=list)
    unconfirmed: list[tuple[TrackObject, Reason]] = field(default_factory=list)
    split: list[TrackObject] = field(default_factory=list)
    behind: list[TrackObject] = field(default_factory=list)
    resend: list[RequestPlan] = field(default_factory=list)
    retry: Sequence[TrackObject] = ()
    unknown: Sequence[TrackObject] = ()
    closing: Closing | None = None
    unclear: list[TrackObject] = field(default_factory=list)
    texts: tuple[str, ...] = ()


def settle(sent: RequestPlan, outcome: TrackResponse | BrazeError) -> Settlement:
    """Settle every object of a request by Braze's answer, or by the client's error."""
    match outcome:
        case TrackResponse():
            return _settle_success(sent, outcome)
        case BadRequestError():
            return _settle_bad_request(sent, outcome)
        case PayloadTooLargeError():
            return _isolate(sent, _reason("too_large", outcome.message), is_certain=True)
        case ServerError() | ConnectFailedError() | UnknownOutcomeError():
            if outcome.outcome_unknown:
                return Settlement(unknown=sent.objects)
            return Settlement(retry=sent.objects)
        case _:
            return Settlement(retry=sent.objects, closing=_closing(outcome))


def _closing(error: BrazeError) -> Closing:
    seconds = error.retry_after or KEY_RETRY_SECONDS
    match error:
        case RateLimitedError():
            return Closing("family", error.retry_after, "rate_limited")
        case AuthenticationError():
            return Closing("all", seconds, "key_refused")
        case PermissionDeniedError():
            return Closing("family", seconds, "permission_missing")
        case _:
            # A wrong address, a redirect, a refused content type: no person's data causes these.
            return Closing("family", seconds, "requests_refused")


def understood(answer: TrackResponse) -> TrackResponse | BrazeError:
    """Return the answer, or an error if it is not Braze's JSON: a proxy may have answered."""
    if (
        answer.message
        or answer.errors
        or any(answer.processed(each) is not None for each in ARRAYS)
    ):
        return answer
    return NotBrazeError(
        "a success that is not Braze's", status=answer.status, rate_limit=answer.rate_limit
    )


def _settle_success(sent: RequestPlan, answer: TrackResponse) -> Settlement:
    named, texts = _named(sent, answer.errors)
    settlement = _reject_named(named)
    settlement.texts = texts
    has_counts = any(answer.processed(array) is not None for array in ARRAYS)
    for array, objects in sent.arrays.items():
        rest = [item for item in objects if id(item) not in named] if named else objects
        if not has_counts:
            is_clear = not texts  # an error that names no object may be about any
        else:
            # Braze gives the count of each array that was sent
            # (https://www.braze.com/docs/api/endpoints/user_data/post_user_track).
            processed = answer.processed(array) or 0
            enough = processed >= len(rest)
            is_clear = enough or (not texts and processed >= _fewest(rest))
        (settlement.delivered if is_clear else settlement.unclear).extend(rest)
    if settlement.unclear:
        _doubt_what_needs_them(settlement)
    split = {item.group for item in settlement.split if item.group is not None}
    if split:
        delivered, settlement.delivered = settlement.delivered, []
        for item in delivered:
            is_behind = item.group in split and item.array == "attributes" and item.part is None
            (settlement.behind if is_behind else settlement.delivered).append(item)
    if settlement.unclear and not texts:
        settlement.texts = ("fewer processed than sent",)
    if settlement.unclear and sent.lone is not None:
        # Whatever Braze says of a lone object is about this object.
        return _isolate(sent, _reason("braze_refused", settlement.texts[0]), is_certain=True)
    return settlement


def _doubt_what_needs_them(settlement: Settlement) -> None:
    """Make unclear what needs an unclear object: Braze drops an event if it made no alias for it.

    The object that only creates a person travels again with what needs it.
    """
    creating = {id(item) for item in settlement.unclear if not item.entries}
    if not creating:
        return
    unclear = [item for item in settlement.unclear if item.entries]
    unclear += [item for item in settlement.delivered if id(item.needs) in creating]
    settlement.delivered = [item for item in settlement.delivered if id(item.needs) not in creating]
    settlement.unclear = unclear


def _fewest(objects: Sequence[TrackObject]) -> int:
    """Count what Braze must have processed at least, if it tells of no error.

    It may count two attributes objects as one: its page says "the number of external IDs with
    attributes". An object that only creates a person has no attributes.
    """
    if not objects or objects[0].array != "attributes":
        return len(objects)
    return len({item.entries[0].key for item in objects if item.entries})


def _settle_bad_request(sent: RequestPlan, error: BadRequestError) -> Settlement:
    named, _ = _named(sent, error.errors)
    if not named:
        return _isolate(sent, _reason("braze_refused", error.message), is_certain=False)
    for item in sent.objects:
        if item.needs is not None and id(item.needs) in named:
            named.setdefault(id(item), (item, named[id(item.needs)][1]))
    settlement = _reject_named(named)
    rest = [item for item in sent.objects if id(item) not in named]
    if any(item.entries for item in rest):
        settlement.resend.append(RequestPlan.of(rest))
    return settlement


def _named(
    sent: RequestPlan, errors: Sequence[ObjectError]
) -> tuple[dict[int, tuple[TrackObject, Reason]], tuple[str, ...]]:
    """Find the objects that the errors name, and the texts of the errors that name none."""
    named: dict[int, tuple[TrackObject, Reason]] = {}
    texts: list[str] = []
    for error in errors:
        item = sent.find(error.input_array, error.index)
        if item is None:
            texts.append(error.type[:MAX_DETAIL] or "an error without a text")
        else:
            named.setdefault(id(item), (item, _reason("braze_refused", error.type)))
    return named, tuple(texts)


def _reject_named(named: dict[int, tuple[TrackObject, Reason]]) -> Settlement:
    settlement = Settlement()
    for item, reason in named.values():
        if len(item.entries) > 1:
            settlement.split.append(item)
        else:
            settlement.rejected.append((item, reason))
    return settlement


def _isolate(sent: RequestPlan, reason: Reason, *, is_certain: bool) -> Settlement:
    """Send each object alone. A lone object is rejected if the reason is certain."""
    item = sent.lone
    if item is None:
        return Settlement(resend=apart(sent.objects))
    if len(item.entries) > 1:
        return Settlement(split=[item])
    if is_certain:
        return Settlement(rejected=[(item, reason)])
    return Settlement(unconfirmed=[(item, reason)])


def _reason(code: str, text: str) -> Reason:
    return Reason(code=code, detail=text[:MAX_DETAIL] or None)
