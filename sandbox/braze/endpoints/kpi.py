"""`GET /kpi/mau/data_series` (reference §5)."""

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
            {"time": moment.date().isoformat(), "mau": _active(workspace, moment)}
            for moment in moments
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
