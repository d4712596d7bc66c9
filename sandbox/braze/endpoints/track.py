"""`POST /users/track` (reference §1)."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Literal, NamedTuple

from pydantic import JsonValue

from sandbox.braze.custom_attributes import read_name
from sandbox.braze.dates import from_epoch
from sandbox.braze.events import (
    MAX_EVENT_PROPERTY_BYTES,
    MAX_PURCHASE_PROPERTY_BYTES,
    check_event,
    check_payload,
    check_purchase,
    read_property,
)
from sandbox.braze.exchange import Answer, Call, JsonObject, refusal
from sandbox.braze.identity import (
    IDENTIFIER_REQUIRED,
    ObjectRejectedError,
    may_create,
    read_identifier,
)
from sandbox.braze.nested import MAX_TEXT, DroppedError
from sandbox.braze.profiles import Event, Identifier, Origin, Profile, Tally
from sandbox.braze.push_tokens import add_tokens, has_token, is_anonymous_import, tokens_in
from sandbox.braze.standard_fields import (
    CONTROL_KEYS,
    EXPORT_NAMES,
    IDENTIFIER_KEYS,
    RESERVED_KEYS,
    STANDARD_FIELDS,
    SUBSCRIPTION_STATES,
    check_standard_fields,
)
from sandbox.braze.workspace import Workspace

MAX_OBJECTS = 75
ARRAYS = ("attributes", "events", "purchases")
"""The arrays, in the order in which Braze applies them."""
NO_VALID_DATA = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
BLOCKED = "provided external_id is blacklisted and disallowed"
TOO_MANY = "Max Input Length Exceeded"

_NO_PROFILE = "no such profile, and it may not be made"
_SKIPPED = CONTROL_KEYS | IDENTIFIER_KEYS | {"subscription_groups"}


class TrackObject(NamedTuple):
    """One valid object: its place, its identifier, and the time of an event or purchase.

    Attributes:
        identifier: None for an anonymous import of push tokens.
    """

    place: tuple[str, int]
    item: JsonObject
    identifier: Identifier | None
    time: datetime | None


def _check(workspace: Workspace, place: tuple[str, int], item: JsonValue) -> TrackObject:
    if not isinstance(item, dict):
        raise ObjectRejectedError(IDENTIFIER_REQUIRED)
    is_import = place[0] == "attributes" and is_anonymous_import(item)
    identifier = None if is_import else read_identifier(item)
    if identifier is not None and identifier.kind == "external_id":
        profile = workspace.profiles.find(identifier)
        if profile is not None and profile.is_blocked:
            raise ObjectRejectedError(BLOCKED)
    time = None
    if place[0] == "attributes":
        check_standard_fields(item, workspace.settings.subscription_groups)
    else:
        time = check_event(item) if place[0] == "events" else check_purchase(item)
    return TrackObject(place, item, identifier, time)


def _is_too_long(arrays: dict[str, list[JsonValue]], rule: str) -> bool:
    lengths = [len(items) for items in arrays.values()]
    return (sum(lengths) if rule == "combined" else max(lengths, default=0)) > MAX_OBJECTS


def track(workspace: Workspace, call: Call, body: JsonObject) -> Answer:
    """Check every object, queue the valid ones, and report the others.

    Args:
        call: The request; its forced errors make further objects invalid.

    Returns:
        201 with the counts and, on partial failure, `errors`; 400 when nothing valid was sent or
        there are more than 75 objects.
    """
    arrays: dict[str, list[JsonValue]] = {}
    for name in ARRAYS:
        items = body.get(name, [])
        if not isinstance(items, list):
            return refusal(NO_VALID_DATA)
        arrays[name] = items
    if _is_too_long(arrays, workspace.settings.track_limit):
        return refusal(TOO_MANY)

    valid, errors = _sort_out(workspace, call, arrays)
    details: JsonObject = {"errors": errors} if errors else {}
    if not valid:
        return Answer(400, {"message": NO_VALID_DATA, **details})
    objects = _without_races(workspace, call, valid)
    workspace.write(lambda now: _apply_all(workspace, call, objects, now))
    counts = Counter(thing.place[0] for thing in valid)
    processed: JsonObject = {f"{name}_processed": count for name, count in counts.items()}
    return Answer(201, {**processed, "message": "success", **details})


def _sort_out(
    workspace: Workspace,
    call: Call,
    arrays: dict[str, list[JsonValue]],
) -> tuple[list[TrackObject], list[JsonValue]]:
    forced = {(str(each.input_array), each.index): each.type for each in call.forced_errors}
    valid: list[TrackObject] = []
    errors: list[JsonValue] = []
    for name, items in arrays.items():
        for index, item in enumerate(items):
            reason = forced.get((name, index))
            if reason is None:
                try:
                    valid.append(_check(workspace, (name, index), item))
                except ObjectRejectedError as error:
                    reason = str(error)
            if reason is not None:
                errors.append({"type": reason, "input_array": name, "index": index})
    return valid, errors


def _without_races(
    workspace: Workspace,
    call: Call,
    objects: Sequence[TrackObject],
) -> list[TrackObject]:
    """Drop updates by an alias that is not visible yet and that the call does not make.

    The alias page warns of this race and says to use a single call (reference §4.2).
    """
    aliases = [
        (thing, thing.identifier)
        for thing in objects
        if thing.identifier is not None and thing.identifier.kind == "user_alias"
    ]
    made = {alias for thing, alias in aliases if may_create(alias, thing.item, thing.place[0])}
    lost = {
        thing.place
        for thing, alias in aliases
        if alias not in made and workspace.profiles.find(alias) is None
    }
    for place in sorted(lost):
        workspace.drop(call, place, None, _NO_PROFILE)
    return [thing for thing in objects if thing.place not in lost]


def _apply_all(
    workspace: Workspace,
    call: Call,
    objects: Sequence[TrackObject],
    now: float,
) -> None:
    for thing in objects:
        identifier = thing.identifier
        if identifier is None:
            _import_tokens(workspace, call, thing, now)
            continue
        profile = workspace.profiles.find(identifier)
        is_new = profile is None
        if profile is None:
            if not may_create(identifier, thing.item, thing.place[0]):
                workspace.drop(call, thing.place, None, _NO_PROFILE)
                continue
            profile = workspace.create(identifier, now)
            if identifier.kind in {"email", "phone"}:
                profile.origins[identifier.kind] = Origin(call.n, call.at)
        else:
            workspace.profiles.touch(profile, now)
        _apply_to(workspace, call, thing, profile, now, is_new=is_new)


def _import_tokens(workspace: Workspace, call: Call, thing: TrackObject, now: float) -> None:
    """Make an anonymous user of each token; Braze ignores a token that it has already."""
    for token in tokens_in(thing.item["push_tokens"]):
        if any(has_token(profile, token) for profile in workspace.profiles):
            workspace.drop(call, thing.place, "push_tokens", "the token exists already")
        else:
            one = thing._replace(item={**thing.item, "push_tokens": [token]})
            profile = workspace.profiles.create(now)
            _apply_to(workspace, call, one, profile, now, is_new=True)


def _apply_to(
    workspace: Workspace,
    call: Call,
    thing: TrackObject,
    profile: Profile,
    now: float,
    *,
    is_new: bool,
) -> None:
    workspace.requests[call.n - 1].applied.append(profile)
    _APPLY[thing.place[0]](workspace, call, thing, profile, now)
    workspace.subscriptions.adopt(profile, now, is_new=is_new)
    if thing.place[0] == "attributes" and "subscription_groups" in thing.item:
        _subscribe(workspace, call, thing, profile, now)


def _apply_attributes(
    workspace: Workspace,
    call: Call,
    thing: TrackObject,
    profile: Profile,
    _: float,
) -> None:
    merge = thing.item.get("_merge_objects") is True
    custom, blocklist = workspace.custom_attributes, workspace.settings.blocklisted_attributes
    origin = Origin(call.n, call.at)
    for key, value in thing.item.items():
        if key in _SKIPPED:
            continue
        try:
            if key in STANDARD_FIELDS:
                name = EXPORT_NAMES.get(key, key)
                # The address that found the profile is not new.
                is_news = profile.standard.get(name) != value
                _set_standard(workspace, profile, key, value)
            else:
                name, is_news = _custom_name(key), True
                if name in blocklist:
                    workspace.drop(call, thing.place, key, "blocklisted", profile)
                    continue
                custom.apply(profile.custom, name, value, merge=merge)
        except DroppedError as error:
            workspace.drop(call, thing.place, key, str(error), profile)
            continue
        if is_news:
            profile.origins[name] = origin


@lru_cache(maxsize=4096)
def _custom_name(key: str) -> str:
    name = read_name(key)
    if name in RESERVED_KEYS:
        raise DroppedError("a reserved name once its spaces are stripped")
    return name


def _set_standard(workspace: Workspace, profile: Profile, key: str, value: JsonValue) -> None:
    if key in {"email", "phone"}:
        kind: Literal["email", "phone"] = "email" if key == "email" else "phone"
        if value is None:
            workspace.profiles.remove_address(profile, kind)
        else:
            workspace.profiles.set_address(profile, kind, str(STANDARD_FIELDS[key](value)))
        return
    if key == "push_tokens":
        add_tokens(profile, value, workspace.random)
        return
    name = EXPORT_NAMES.get(key, key)
    if value is None:
        profile.standard.pop(name, None)
        return
    try:
        profile.standard[name] = STANDARD_FIELDS[key](value)
    except DroppedError:
        if key == "country":  # "ISO-3166-1 alpha-2, else NULL"
            profile.standard.pop(name, None)
        raise


def _subscribe(
    workspace: Workspace,
    call: Call,
    thing: TrackObject,
    profile: Profile,
    now: float,
) -> None:
    wanted = thing.item["subscription_groups"]
    for entry in wanted if isinstance(wanted, list) else []:
        if not isinstance(entry, dict):
            continue
        group = workspace.settings.group(entry.get("subscription_group_id"))
        if group is None:  # removed from the settings since the call was checked
            workspace.drop(call, thing.place, "subscription_groups", "no such group", profile)
            continue
        state = SUBSCRIPTION_STATES[str(entry["subscription_state"])]
        waits = entry.get("use_double_opt_in_logic") is True and group.channel == "sms"
        if waits and group.double_opt_in and state == "Subscribed":
            if profile.phone is None:
                workspace.drop(
                    call, thing.place, "subscription_groups", "double opt-in, no phone", profile
                )
            workspace.subscriptions.begin_double_opt_in(profile, group, now)
            continue
        sharing = workspace.profiles.sharing("email", profile.email) if profile.email else []
        for other in {profile.braze_id: profile, **{p.braze_id: p for p in sharing}}.values():
            workspace.subscriptions.set_state(other, group, state)


def _read_properties(
    workspace: Workspace,
    call: Call,
    thing: TrackObject,
    profile: Profile,
) -> JsonObject:
    sent = thing.item.get("properties")
    if not isinstance(sent, dict):
        return {}
    kept: JsonObject = {}
    for name, value in sent.items():
        try:
            kept[name] = read_property(value)
        except DroppedError as error:
            workspace.drop(call, thing.place, f"properties.{name}", str(error), profile)
    return kept


def _moment(thing: TrackObject, now: float) -> datetime:
    latest = from_epoch(now)
    return latest if thing.time is None else min(thing.time, latest)


def _check_event_name(name: str, blocklist: Collection[str]) -> None:
    if len(name) > MAX_TEXT:
        raise DroppedError("an event name over 255 characters")
    if name in blocklist:
        raise DroppedError("blocklisted")


def _apply_event(
    workspace: Workspace,
    call: Call,
    thing: TrackObject,
    profile: Profile,
    now: float,
) -> None:
    name = str(thing.item["name"])
    try:
        _check_event_name(name, workspace.settings.blocklisted_events)
        check_payload(thing.item.get("properties"), MAX_EVENT_PROPERTY_BYTES)
    except DroppedError as error:
        workspace.drop(call, thing.place, name[:MAX_TEXT], str(error), profile)
        return
    properties = _read_properties(workspace, call, thing, profile)
    event = Event(name, _moment(thing, now), properties, Origin(call.n, call.at))
    workspace.record(profile, event, now)
    _tally(profile.tallies, name, event.time, 1)


def _apply_purchase(
    workspace: Workspace,
    call: Call,
    thing: TrackObject,
    profile: Profile,
    now: float,
) -> None:
    product = str(thing.item["product_id"])
    try:
        check_payload(thing.item.get("properties"), MAX_PURCHASE_PROPERTY_BYTES)
    except DroppedError as error:
        workspace.drop(call, thing.place, product, str(error), profile)
        return
    _read_properties(workspace, call, thing, profile)
    price, quantity = thing.item["price"], thing.item.get("quantity", 1)
    if isinstance(price, (int, float)) and isinstance(quantity, int):
        profile.total_revenue += price * quantity
        # "Braze treats a quantity X as X separate purchases with quantity 1" (the purchase page)
        _tally(profile.purchases, product, _moment(thing, now), quantity)


def _tally(tallies: dict[str, Tally], name: str, time: datetime, count: int) -> None:
    known = tallies.get(name)
    if known is None:
        tallies[name] = Tally(time, time, count)
    else:
        known.add(time, count)


_Apply = Callable[[Workspace, Call, TrackObject, Profile, float], None]
_APPLY: dict[str, _Apply] = {
    "attributes": _apply_attributes,
    "events": _apply_event,
    "purchases": _apply_purchase,
}
