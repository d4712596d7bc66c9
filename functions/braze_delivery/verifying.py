"""Decide from an export whether events whose answer was lost are at Braze. Pure.

`/users/export/ids` shows for each event name of a profile when it came first and last, to the
millisecond, for the last 90 days (docs/api/endpoints/export/user_data/post_users_identifier).
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from braze_bridge.braze.models import ExportedUser

LAG: Final = timedelta(minutes=5)
"""After so long an export surely shows what Braze took. Braze says that 10 to 100 ms are normal,
and recommends 5 minutes between dependent calls (docs/api/api_limits)."""

HISTORY: Final = timedelta(days=89)
"""Braze shows 90 days. A day less, since it does not say how it rounds them."""

NEAR: Final = timedelta(seconds=1)
"""Braze shows a later time than this before the event: it may be the event's own, if it was cut to
whole seconds, or set by a clock that is behind ours."""


class Verdict(StrEnum):
    """What an export shows about an event."""

    ARRIVED = "arrived"
    NOT_ARRIVED = "not arrived"
    UNKNOWN = "unknown"


class DoubtfulEvent(NamedTuple):
    """An event that may or may not be at Braze.

    Attributes:
        id: Its own, as in ``DeliveryJob.once_ids``.
        received_at: When its job came. Braze replaces a time that is in the future by its own.
    """

    id: str
    name: str
    time: datetime
    received_at: datetime


class ShownEvent(NamedTuple):
    """What an export shows of one event name; a time that cannot be read is ``None``."""

    name: str
    first: datetime | None
    last: datetime | None


Profile: TypeAlias = "Sequence[ShownEvent] | None"
"""The event names of a profile; ``None`` if they cannot be read."""


def judge(
    doubtful: Sequence[DoubtfulEvent],
    others: Iterable[tuple[str, datetime]],
    profiles: Sequence[Profile],
    now: datetime,
    waited: timedelta,
    lag: timedelta = LAG,
) -> Mapping[str, Verdict]:
    """Judge the events of one person.

    An event arrived if Braze shows its time. It did not if, after the lag, Braze shows no event of
    that name, or only times before every doubtful event of that name. Anything else is unknown.

    Args:
        doubtful: All of the person's doubtful events, also of other jobs.
        others: Name and time of further events of the person that may be at Braze.
        profiles: Of the person: several may share an e-mail address; none if there is none yet.
        now: The time of the export.
        waited: Since the last moment in which they could be sent.
        lag: After which the export is complete.
    """
    times = Counter([(_name(each.name), _millis(each.time)) for each in doubtful])
    times.update({(_name(name), _millis(time)) for name, time in others})
    earliest: dict[str, datetime] = {}
    for each in doubtful:
        name, at = _name(each.name), max(min(each.time, each.received_at), now - HISTORY)
        earliest[name] = min(earliest.get(name, at), at)

    def verdict(event: DoubtfulEvent) -> Verdict:
        name, at = _name(event.name), _millis(event.time)
        shown = [each for profile in profiles for each in profile or () if each.name == name]
        if None in profiles or now - event.time > HISTORY:
            return Verdict.UNKNOWN
        if any(at in {each.first, each.last} for each in shown):
            return Verdict.ARRIVED if times[name, at] == 1 else Verdict.UNKNOWN
        limit = earliest[name] - NEAR
        is_absent = all(each.last is not None and each.last < limit for each in shown)
        return Verdict.NOT_ARRIVED if is_absent and waited >= lag else Verdict.UNKNOWN

    return {each.id: verdict(each) for each in doubtful}


def profile_of(user: ExportedUser) -> Profile:
    """Read the event names of an exported profile."""
    events = user.other.get("custom_events") or []
    if not isinstance(events, list):
        return None
    shown = []
    for each in events:
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            return None
        first, last = _read_time(each.get("first")), _read_time(each.get("last"))
        shown.append(ShownEvent(_name(each["name"]), first, last))
    return shown


def _read_time(text: object) -> datetime | None:
    """Read Braze's `2020-06-17T20:01:33.385Z` or `2020-07-10 15:00:00.000 UTC`."""
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text.replace(" UTC", "+00:00"))
    except ValueError:
        return None
    return _millis(time if time.tzinfo else time.replace(tzinfo=UTC))


def _name(name: str) -> str:
    return name.strip()


def _millis(time: datetime) -> datetime:
    """Cut to milliseconds, as the encoding of an event does."""
    cut = time.replace(microsecond=time.microsecond // 1000 * 1000)
    try:
        return cut.astimezone(UTC)
    except OverflowError:  # in year 1 or 9999: such an event is never sent
        return cut
