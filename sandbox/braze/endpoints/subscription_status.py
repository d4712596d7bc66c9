"""The subscription group endpoints (reference §3)."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from sandbox.braze.exchange import Answer, Call, JsonObject, refusal
from sandbox.braze.identity import is_e164, is_email, normalise_phone
from sandbox.braze.profiles import Identifier, Profile, SubscriptionState
from sandbox.braze.standard_fields import SUBSCRIPTION_STATES
from sandbox.braze.subscriptions import ADDRESS_OF, AddressKind, Group
from sandbox.braze.workspace import Workspace

if TYPE_CHECKING:
    from pydantic import JsonValue

MAX_USERS = 50
MAX_PAGE = 100
UNKNOWN = "unknown"
"""In lower case, as recorded; the page says "Unknown"."""

BAD_GROUP = "Invalid subscription group ID"
NOT_BOTH = "Either an email address or a phone number should be provided, but not both."
# We chose the texts below: the documentation has the rules, not the words.
BAD_STATE = "'subscription_state' must be 'subscribed' or 'unsubscribed'"
NO_USERS = "'external_id', 'email' or 'phone' is required"
TOO_MANY_USERS = "The max number of ids per request was exceeded"
BAD_USERS = "identifiers must be strings"
BAD_EMAILS = "email addresses must be valid"
BAD_PHONES = "phone numbers must be in E.164 format"
WRONG_CHANNEL = "The identifiers do not fit the channel of the subscription group."
BAD_DOUBLE_OPT_IN = "'use_double_opt_in_logic' must be a boolean"
BAD_PAGE = "'limit' must be from 1 to 100 and 'offset' not negative"
NO_GROUPS = "'subscription_groups' must be an array of objects"

Identification = Literal["external_id", "email", "phone"]


class _BadRequestError(Exception):
    """A body or query that is answered 400; the text is the message."""


# -- reading -------------------------------------------------------------------------------------


class _Query(NamedTuple):
    kind: Identification
    values: list[str]


def _parameters(call: Call, name: str) -> list[str]:
    return [value for key, value in call.query if key in {name, f"{name}[]"}]


def _read_query(call: Call) -> _Query:
    """Read the identifiers of a look-up; with an external id, e-mail and phone are ignored."""
    externals, emails, phones = (
        _parameters(call, "external_id"),
        _parameters(call, "email"),
        _parameters(call, "phone"),
    )
    if externals:
        query = _Query("external_id", externals)
    elif emails and phones:
        raise _BadRequestError(NOT_BOTH)
    elif emails:
        query = _Query("email", emails)
    elif phones:
        query = _Query("phone", [normalise_phone(phone) or phone for phone in phones])
    else:
        raise _BadRequestError(NO_USERS)
    if len(query.values) > MAX_USERS:
        raise _BadRequestError(TOO_MANY_USERS)
    return query


def _state_of(profiles: Sequence[Profile], group_id: str) -> str:
    """Return the state of an address: subscribed only if every profile that shares it is."""
    states = {
        profile.memberships[group_id].state
        for profile in profiles
        if group_id in profile.memberships
    }
    if not states:
        return UNKNOWN
    return "Unsubscribed" if "Unsubscribed" in states else "Subscribed"


def _status_key(query: _Query, value: str, profiles: Sequence[Profile]) -> str:
    """Return the key in `status`: undocumented for addresses, so one that no caller can guess."""
    if query.kind == "external_id" or not profiles:
        return value
    return profiles[0].external_id or profiles[0].braze_id


def get_status(workspace: Workspace, call: Call, _: JsonObject) -> Answer:
    """`GET /subscription/status/get`.

    Returns:
        200 with a state for each identifier; 400 for a bad query.
    """
    group_ids = _parameters(call, "subscription_group_id")
    group = workspace.settings.group(group_ids[0] if group_ids else None)
    if group is None:
        return refusal(BAD_GROUP)
    try:
        query = _read_query(call)
    except _BadRequestError as error:
        return refusal(str(error))
    if query.kind not in {"external_id", ADDRESS_OF[group.channel]}:
        return refusal(WRONG_CHANNEL)
    status: JsonObject = {}
    for value in query.values:
        profiles = workspace.profiles.sharing(query.kind, value)
        status[_status_key(query, value, profiles)] = _state_of(profiles, group.group_id)
    return Answer(200, {"status": status, "message": "success"})


def _page(call: Call) -> tuple[int, int]:
    numbers: list[int] = []
    for name, default in (("limit", MAX_PAGE), ("offset", 0)):
        given = _parameters(call, name)
        text = given[-1] if given else str(default)
        if not (text.isascii() and text.isdigit() and len(text) < len("1000000000")):
            raise _BadRequestError(BAD_PAGE)
        numbers.append(int(text))
    limit, offset = numbers
    if not 1 <= limit <= MAX_PAGE:
        raise _BadRequestError(BAD_PAGE)
    return limit, offset


def _show_user(workspace: Workspace, profile: Profile) -> JsonObject:
    groups: list[JsonValue] = []
    for group_id, membership in profile.memberships.items():
        group = workspace.settings.group(group_id)
        if group is not None:
            groups.append(
                {
                    "id": group_id,
                    "name": group_id,
                    "channel": group.channel,
                    "status": membership.state,
                },
            )
    return {
        "email": profile.email,
        "phone": profile.phone,
        "external_id": profile.external_id,
        "subscription_groups": groups,
    }


def user_status(workspace: Workspace, call: Call, _: JsonObject) -> Answer:
    """`GET /subscription/user/status`.

    Returns:
        200 with one entry per profile, groups never touched left out; 400 for a bad query.
    """
    try:
        query = _read_query(call)
        limit, offset = _page(call)
    except _BadRequestError as error:
        return refusal(str(error))
    found = {
        profile.braze_id: profile
        for value in query.values
        for profile in workspace.profiles.sharing(query.kind, value)
    }
    users: list[JsonValue] = [
        _show_user(workspace, profile) for profile in list(found.values())[offset : offset + limit]
    ]
    return Answer(200, {"users": users, "total_count": len(found), "message": "success"})


# -- writing -------------------------------------------------------------------------------------


class _Change(NamedTuple):
    """One group's new state, and the people it is for."""

    group: Group
    state: SubscriptionState
    waits: bool
    external_ids: list[str]
    addresses: list[tuple[AddressKind, str]]


def _texts(body: JsonObject, name: str, is_good: Callable[[object], bool], bad: str) -> list[str]:
    value = body.get(name)
    if value is None:
        return []
    values = value if isinstance(value, list) else [value]
    texts = [item for item in values if isinstance(item, str) and is_good(item)]
    if len(texts) != len(values):
        raise _BadRequestError(bad)
    return texts


def _read_change(workspace: Workspace, body: JsonObject, suffix: str) -> _Change:
    """Read a change; one bad identifier fails the whole call (undocumented; we are strict)."""
    group = workspace.settings.group(body.get("subscription_group_id"))
    if group is None:
        raise _BadRequestError(BAD_GROUP)
    state = body.get("subscription_state")
    if not isinstance(state, str) or state not in SUBSCRIPTION_STATES:
        raise _BadRequestError(BAD_STATE)
    externals = _texts(body, f"external_id{suffix}", bool, BAD_USERS)
    emails = _texts(body, f"email{suffix}", is_email, BAD_EMAILS)
    phones = _texts(body, f"phone{suffix}", is_e164, BAD_PHONES)
    if emails and phones:
        raise _BadRequestError(NOT_BOTH)
    if (phones and group.channel == "email") or (emails and group.channel == "sms"):
        raise _BadRequestError(WRONG_CHANNEL)
    if not externals and not emails and not phones:
        raise _BadRequestError(NO_USERS)
    waits = body.get("use_double_opt_in_logic", False)
    if not isinstance(waits, bool):
        raise _BadRequestError(BAD_DOUBLE_OPT_IN)
    return _Change(
        group,
        SUBSCRIPTION_STATES[state],
        waits and group.channel == "sms" and group.double_opt_in and state == "subscribed",
        externals,
        [("email", email) for email in emails] + [("phone", phone) for phone in phones],
    )


def _check_changes(changes: Sequence[_Change]) -> None:
    users = sum(len(change.external_ids) + len(change.addresses) for change in changes)
    if users > MAX_USERS:
        raise _BadRequestError(TOO_MANY_USERS)
    if len({kind for change in changes for kind, _ in change.addresses}) > 1:
        raise _BadRequestError(NOT_BOTH)


def set_status(workspace: Workspace, call: Call, body: JsonObject) -> Answer:
    """`POST /subscription/status/set`.

    Args:
        body: One group, one state, up to 50 users.

    Returns:
        201, also without a matching user; 400 for a bad body.
    """
    try:
        changes = [_read_change(workspace, body, "")]
        _check_changes(changes)
    except _BadRequestError as error:
        return refusal(str(error))
    return _queue(workspace, call, changes)


def set_status_v2(workspace: Workspace, call: Call, body: JsonObject) -> Answer:
    """`POST /v2/subscription/status/set`.

    Args:
        body: `subscription_groups`, up to 50 users in all; the identifiers' keys are plural.

    Returns:
        201, also without a matching user; 400 for a bad body.
    """
    entries = body.get("subscription_groups")
    if not isinstance(entries, list) or not entries:
        return refusal(NO_GROUPS)
    try:
        changes: list[_Change] = []
        for entry in entries:
            if not isinstance(entry, dict):
                return refusal(NO_GROUPS)
            changes.append(_read_change(workspace, entry, "s"))
        _check_changes(changes)
    except _BadRequestError as error:
        return refusal(str(error))
    return _queue(workspace, call, changes)


def _queue(workspace: Workspace, call: Call, changes: Sequence[_Change]) -> Answer:
    # A double opt-in needs its profile when the call comes, not when the write is applied: the
    # pages ask to wait between creating and subscribing.
    known = {
        value
        for change in changes
        if change.waits
        for kind, value in _targets(change)
        if workspace.profiles.sharing(kind, value)
    }
    workspace.write(lambda now: _apply(workspace, call, changes, known, now))
    return Answer(201, {"message": "success"})


def _targets(change: _Change) -> list[tuple[Identification, str]]:
    externals: list[tuple[Identification, str]] = [("external_id", x) for x in change.external_ids]
    return [*externals, *change.addresses]


def _apply(
    workspace: Workspace,
    call: Call,
    changes: Sequence[_Change],
    known: set[str],
    now: float,
) -> None:
    for position, change in enumerate(changes):
        place = ("subscription_groups", position)
        for kind, value in _targets(change):
            if change.waits:
                profiles = workspace.profiles.sharing(kind, value) if value in known else []
                for profile in profiles:
                    workspace.subscriptions.begin_double_opt_in(profile, change.group, now)
                if not any(profile.phone for profile in profiles):
                    workspace.drop(call, place, None, "double opt-in, and no profile with a phone")
            elif kind == "external_id":
                found = workspace.profiles.find(Identifier("external_id", value))
                if found is None:
                    workspace.drop(call, place, None, "no such profile")
                else:
                    workspace.subscriptions.set_state(found, change.group, change.state)
            else:
                workspace.subscriptions.set_by_address(
                    workspace.profiles,
                    change.group,
                    (kind, value),
                    change.state,
                    now,
                )
