"""`POST /email/status` and `GET /email/unsubscribes`: the global e-mail subscription state.

https://www.braze.com/docs/api/endpoints/email/post_email_subscription_status and
https://www.braze.com/docs/api/endpoints/email/get_query_unsubscribed_email_addresses. The answers
are those of recorded exchanges (`spec/fixtures/responses/email_status` and `email_sync` of
github.com/jonallured/braze_ruby).
"""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sandbox.braze.dates import from_epoch
from sandbox.braze.exchange import Answer, Call, JsonObject, refusal
from sandbox.braze.identity import BAD_EMAIL, is_email
from sandbox.braze.profiles import Origin
from sandbox.braze.workspace import Workspace

if TYPE_CHECKING:
    from pydantic import JsonValue

MAX_EMAILS = 50
MAX_ROWS = 500
STATES = ("subscribed", "unsubscribed", "opted_in")
DIRECTIONS = ("asc", "desc")
_DEFAULT_ROWS = 100
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# We chose the texts: the pages have the rules, not the words.
TOO_MANY_EMAILS = "'email' must have from 1 to 50 addresses"
BAD_STATE = "'subscription_state' must be 'subscribed', 'unsubscribed' or 'opted_in'"
BAD_RANGE = "'end_date' is required, and 'email' or an earlier 'start_date', as YYYY-MM-DD"
BAD_LIMIT = "'limit' must be from 1 to 500"
BAD_OFFSET = "'offset' must be a number"
BAD_DIRECTION = "'sort_direction' must be 'asc' or 'desc'"


def set_email_status(workspace: Workspace, call: Call, body: JsonObject) -> Answer:
    """Set the state of one address or of up to 50.

    Returns:
        201, also for an address without a profile: recorded. 400 for a bad body.
    """
    given, state = body.get("email"), body.get("subscription_state")
    emails = given if isinstance(given, list) else [given]
    if not 1 <= len(emails) <= MAX_EMAILS:
        return refusal(TOO_MANY_EMAILS)
    if not all(is_email(email) for email in emails):
        return refusal(BAD_EMAIL)
    if not isinstance(state, str) or state not in STATES:
        return refusal(BAD_STATE)
    origin = Origin(call.n, call.at)

    def apply(now: float) -> None:
        store = workspace.profiles
        for email in map(str, emails):
            sharing = store.sharing("email", email)
            for profile in sharing:
                store.set_email_state(profile, state, origin)
                store.touch(profile, now)
            if not sharing:
                store.keep_email_state(email, state, origin)

    workspace.write(apply)
    return Answer(201, {"message": "success"})


def _midnight(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


def unsubscribes(workspace: Workspace, call: Call, _: JsonObject) -> Answer:
    """List the addresses that unsubscribed from midnight of one day to midnight of another.

    Args:
        call: The query has `end_date`, and `start_date` or `email`.

    Returns:
        200 with the addresses of profiles, newest first unless `sort_direction` says otherwise;
        400 for a bad query. The time is written as recorded, which is not ISO 8601.
    """
    query = dict(call.query)
    email = query.get("email")
    start, end = _midnight(query.get("start_date", "")), _midnight(query.get("end_date", ""))
    if start is None and email is not None and "start_date" not in query:
        start = datetime.min.replace(tzinfo=UTC)
    if start is None or end is None or start >= end:
        return refusal(BAD_RANGE)
    limit, offset = query.get("limit", str(_DEFAULT_ROWS)), query.get("offset", "0")
    if not _NUMBER.fullmatch(limit) or not 1 <= int(limit) <= MAX_ROWS:
        return refusal(BAD_LIMIT)
    if not _NUMBER.fullmatch(offset):
        return refusal(BAD_OFFSET)
    direction = query.get("sort_direction", "desc")
    if direction not in DIRECTIONS:
        return refusal(BAD_DIRECTION)
    found = {
        profile.email: from_epoch(profile.origins["email_subscribe"].at)
        for profile in workspace.profiles
        if profile.email is not None and profile.standard.get("email_subscribe") == "unsubscribed"
    }
    rows = sorted(
        (at, address)
        for address, at in found.items()
        if start <= at < end and email in {None, address}
    )
    if direction == "desc":
        rows.reverse()
    first = int(offset)
    emails: list[JsonValue] = [
        {"email": address, "unsubscribed_at": at.strftime("%Y-%m-%d %H:%M:%S +0000")}
        for at, address in rows[first : first + int(limit)]
    ]
    return Answer(200, {"emails": emails, "message": "success"})
