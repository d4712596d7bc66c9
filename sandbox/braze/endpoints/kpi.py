"""`GET /kpi/mau/data_series`, `/kpi/dau/data_series`, `/kpi/new_users/data_series` (reference §5).

The pages of the two daily series have the same parameters:
https://www.braze.com/docs/api/endpoints/export/kpi/get_kpi_dau_date and
https://www.braze.com/docs/api/endpoints/export/kpi/get_kpi_daily_new_users_date.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sandbox.braze.dates import from_epoch
from sandbox.braze.exchange import Answer, Call, JsonObject, refusal
from sandbox.braze.workspace import Workspace

if TYPE_CHECKING:
    from pydantic import JsonValue

MAX_DAYS = 100
_WINDOW = timedelta(days=30)
# We chose the texts: the documentation has the rules, not the words.
BAD_LENGTH = "'length' must be from 1 to 100"
BAD_ENDING_AT = "'ending_at' must be a date in ISO 8601"


def monthly_active_users(workspace: Workspace, call: Call, _: JsonObject) -> Answer:
    """Count users active in the 30 days up to each day.

    Args:
        workspace: Where the users are. A user counts as active when made, or last updated, in the
            window: the stand-in sees no app sessions. `app_id` is taken and makes no difference.
        call: The request; the query has `length` and perhaps `ending_at`.

    Returns:
        200 with one entry a day, oldest first; 400 for a bad query. The days are those of the
        zone in `ending_at`: the page's example ends at 23:59:59-05:00.
    """
    return _series(call, "mau", lambda days: [_active(workspace, day) for day in days])


def daily_active_users(workspace: Workspace, call: Call, _: JsonObject) -> Answer:
    """Count the users active on each day.

    As for months, a write counts as activity. A user counts on the days on which it was made and
    last updated, and on which each event and value came that it holds.
    """
    return _series(
        call,
        "dau",
        lambda days: _by_day(
            days,
            (
                {
                    profile.created_at,
                    profile.updated_at,
                    *(event.origin.at for event in profile.events),
                    *(origin.at for origin in profile.origins.values()),
                }
                for profile in workspace.profiles
            ),
        ),
    )


def new_users(workspace: Workspace, call: Call, _: JsonObject) -> Answer:
    """Count the users that were made on each day."""
    return _series(
        call,
        "new_users",
        lambda days: _by_day(days, ({profile.created_at} for profile in workspace.profiles)),
    )


def _by_day(days: Sequence[datetime], users: Iterable[Iterable[float]]) -> list[int]:
    """Count the users on each day, in the zone of the days, from the times of each user."""
    counts = Counter(
        day
        for times in users
        for day in {from_epoch(at).astimezone(days[0].tzinfo).date() for at in times}
    )
    return [counts[day.date()] for day in days]


def _series(call: Call, name: str, count: Callable[[Sequence[datetime]], Sequence[int]]) -> Answer:
    query = dict(call.query)
    length = query.get("length", "")
    if not (length.isascii() and length.isdigit() and 1 <= int(length[:4]) <= MAX_DAYS):
        return refusal(BAD_LENGTH)
    ending: datetime | None = from_epoch(call.at)
    if "ending_at" in query:
        ending = _read_ending(query["ending_at"])
    if ending is None:
        return refusal(BAD_ENDING_AT)
    days = int(length)
    try:
        moments = [ending - timedelta(days=back) for back in range(days - 1, -1, -1)]
        data: list[JsonValue] = [
            {"time": moment.date().isoformat(), name: users}
            for moment, users in zip(moments, count(moments), strict=True)
        ]
    except OverflowError:  # an ending in the year 1
        return refusal(BAD_ENDING_AT)
    return Answer(200, {"message": "success", "data": data})


def _read_ending(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _active(workspace: Workspace, moment: datetime) -> int:
    beginning = moment - _WINDOW
    return sum(
        any(beginning < from_epoch(at) <= moment for at in (profile.created_at, profile.updated_at))
        for profile in workspace.profiles
    )
