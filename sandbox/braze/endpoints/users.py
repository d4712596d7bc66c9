"""`/users/alias/new`, `/users/identify`, `/users/merge`, `/users/delete` (reference §4)."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from pydantic import JsonValue

from sandbox.braze.endpoints.export import TOO_MANY_IDS
from sandbox.braze.exchange import Answer, Call, JsonObject, refusal
from sandbox.braze.identity import (
    BAD_EMAIL,
    BAD_EXTERNAL_ID,
    BAD_PHONE,
    ObjectRejectedError,
    is_email,
    normalise_phone,
    read_alias,
    read_external_id,
)
from sandbox.braze.merging import (
    DELETE_PRIORITIES,
    PRIORITIES,
    choose,
    merge_profiles,
    read_prioritization,
)
from sandbox.braze.profiles import Identifier, Profile, ProfileStore
from sandbox.braze.workspace import Workspace

MAX_ENTRIES = 50
TOO_MANY_MERGES = "a single request may not contain more than 50 merge updates"
MERGE_KEYS = "'merge_updates' must only have 'identifier_to_merge' and 'identifier_to_keep'"
MERGE_IDENTIFIERS = (
    "identifiers must be objects with an 'external_id' property that is a string, 'user_alias' "
    "property that is an object, 'email' property that is a string, or 'phone' property that is a "
    "string"
)
# We chose the texts below: the documentation has the rules, not the words.
TOO_MANY_ENTRIES = "The max number of ids per request was exceeded"
BAD_PRIORITIZATION = "'prioritization' is not valid"
ONE_KIND_ONLY = (
    "exactly one of 'external_ids', 'user_aliases', 'braze_ids', 'email_addresses' and "
    "'phone_numbers' is required"
)


class Target(NamedTuple):
    """An identifier, and how to choose among several profiles that share an address."""

    identifier: Identifier
    priorities: Sequence[str] = ()

    def find(self, store: ProfileStore) -> Profile | None:
        """Return the profile, if there is one."""
        kind, value, _ = self.identifier
        if kind in {"email", "phone"}:
            return choose(store.sharing(kind, value), self.priorities)
        return store.find(self.identifier)


def _objects(value: JsonValue, name: str) -> list[JsonObject]:
    if not isinstance(value, list):
        raise ObjectRejectedError(f"'{name}' must be an array of objects")
    entries = [entry for entry in value if isinstance(entry, dict)]
    if len(entries) != len(value):
        raise ObjectRejectedError(f"'{name}' must be an array of objects")
    return entries


def _text_id(value: JsonValue) -> Identifier:
    """Read an external id where no recording shows that Braze takes a number."""
    if not isinstance(value, str):
        raise ObjectRejectedError(BAD_EXTERNAL_ID)
    return read_external_id(value)


def _priorities(entry: JsonObject, allowed: Collection[str]) -> Sequence[str]:
    priorities = read_prioritization(entry.get("prioritization"), allowed)
    if priorities is None:
        raise ObjectRejectedError(BAD_PRIORITIZATION)
    return priorities


def _email(entry: JsonObject, allowed: Collection[str] = PRIORITIES) -> Target:
    if not is_email(entry.get("email")):
        raise ObjectRejectedError(BAD_EMAIL)
    return Target(Identifier("email", str(entry["email"])), _priorities(entry, allowed))


def _phone(entry: JsonObject, allowed: Collection[str] = PRIORITIES) -> Target:
    number = normalise_phone(entry.get("phone"))
    if number is None:
        raise ObjectRejectedError(BAD_PHONE)
    return Target(Identifier("phone", number), _priorities(entry, allowed))


# -- /users/alias/new ----------------------------------------------------------------------------


class _NewAlias(NamedTuple):
    external_id: str | None
    label: str
    name: str


def _read_new_alias(entry: JsonObject) -> _NewAlias:
    alias = read_alias(entry)
    if "external_id" not in entry:
        return _NewAlias(None, alias.label, alias.value)
    return _NewAlias(_text_id(entry["external_id"]).value, alias.label, alias.value)


def new_aliases(workspace: Workspace, call: Call, body: JsonObject) -> Answer:
    """Give users aliases, or make alias-only users.

    Args:
        body: `user_aliases`, at most 50.

    Returns:
        201 with the count, also if nothing changed; 400 for a bad body.
    """
    try:
        entries = _objects(body.get("user_aliases"), "user_aliases")
        if not 1 <= len(entries) <= MAX_ENTRIES:
            return refusal(TOO_MANY_IDS if entries else "'user_aliases' must not be empty")
        aliases = [_read_new_alias(entry) for entry in entries]
    except ObjectRejectedError as error:
        return refusal(str(error))
    workspace.write(lambda now: _apply_new_aliases(workspace, call, aliases, now))
    return Answer(201, {"aliases_processed": len(aliases), "message": "success"})


def _apply_new_aliases(
    workspace: Workspace,
    call: Call,
    aliases: Sequence[_NewAlias],
    now: float,
) -> None:
    store = workspace.profiles
    for index, (external_id, label, name) in enumerate(aliases):
        place = ("user_aliases", index)
        if store.has_alias(label, name):
            workspace.drop(call, place, None, "the alias exists already")
        elif external_id is None:
            workspace.create(Identifier("user_alias", name, label), now)
        else:
            profile = store.find(Identifier("external_id", external_id))
            if profile is None:
                workspace.drop(call, place, None, "no such profile")
            elif label in profile.aliases:
                workspace.drop(call, place, None, "the user has an alias of that label", profile)
            else:
                store.add_alias(profile, label, name)
                store.touch(profile, now)


# -- /users/identify -----------------------------------------------------------------------------


class _Identification(NamedTuple):
    place: tuple[str, int]
    target: Target
    external_id: str


_IDENTIFY: dict[str, Callable[[JsonObject], Target]] = {
    "aliases_to_identify": lambda entry: Target(read_alias(entry.get("user_alias"))),
    "emails_to_identify": _email,
    "phone_numbers_to_identify": _phone,
}


def identify(workspace: Workspace, call: Call, body: JsonObject) -> Answer:
    """Give alias-only, e-mail-only and phone-only users an external id.

    Args:
        body: One or more of the three arrays, at most 50 entries in each.

    Returns:
        201 with the count of entries, even when nothing matched; 400 for a bad body.
    """
    wanted: list[_Identification] = []
    try:
        for name, read in _IDENTIFY.items():
            entries = _objects(body.get(name, []), name)
            if len(entries) > MAX_ENTRIES:
                return refusal(TOO_MANY_IDS)
            wanted.extend(
                _Identification(
                    (name, index),
                    read(entry),
                    read_external_id(entry.get("external_id")).value,
                )
                for index, entry in enumerate(entries)
            )
    except ObjectRejectedError as error:
        return refusal(str(error))
    if not wanted:
        return refusal(f"one of {', '.join(_IDENTIFY)} is required")
    workspace.write(lambda now: _apply_identify(workspace, call, wanted, now))
    return Answer(201, {"aliases_processed": len(wanted), "message": "success"})


def _apply_identify(
    workspace: Workspace,
    call: Call,
    wanted: Sequence[_Identification],
    now: float,
) -> None:
    store = workspace.profiles
    for place, target, external_id in wanted:
        profile = target.find(store)
        known = store.find(Identifier("external_id", external_id))
        if profile is None or profile is known:
            workspace.drop(call, place, None, "nobody to identify")
        elif profile.external_id is not None:
            workspace.drop(call, place, None, "the user has an external id already", profile)
        elif known is None:
            store.set_external_id(profile, external_id)
            store.touch(profile, now)
        elif target.identifier.kind == "user_alias" and target.identifier.label in known.aliases:
            workspace.drop(call, place, None, "the user has an alias of that label", known)
        elif known.standard.get(target.identifier.kind) == target.identifier.value:
            workspace.drop(call, place, None, "the address is the identified user's as well", known)
        else:
            merge_profiles(store, known, profile, now)


# -- /users/merge --------------------------------------------------------------------------------


def _read_merge_identifier(value: JsonValue) -> Target:
    if isinstance(value, dict):
        try:
            if "external_id" in value:
                return Target(_text_id(value["external_id"]))
            if "user_alias" in value:
                return Target(read_alias(value["user_alias"]))
            if "email" in value:
                return _email(value)
            if "phone" in value:
                return _phone(value)
        except ObjectRejectedError:
            raise ObjectRejectedError(MERGE_IDENTIFIERS) from None
    raise ObjectRejectedError(MERGE_IDENTIFIERS)


def _read_merge(entry: JsonObject) -> tuple[Target, Target]:
    if entry.keys() != {"identifier_to_merge", "identifier_to_keep"}:
        raise ObjectRejectedError(MERGE_KEYS)
    return (
        _read_merge_identifier(entry["identifier_to_merge"]),
        _read_merge_identifier(entry["identifier_to_keep"]),
    )


def merge(workspace: Workspace, call: Call, body: JsonObject) -> Answer:
    """Merge pairs of profiles, later.

    Args:
        body: `merge_updates`, at most 50.

    Returns:
        202, also if nothing is found; 400 for a bad body.
    """
    try:
        entries = _objects(body.get("merge_updates"), "merge_updates")
        if len(entries) > MAX_ENTRIES:
            return refusal(TOO_MANY_MERGES)
        pairs = [_read_merge(entry) for entry in entries]
    except ObjectRejectedError as error:
        return refusal(str(error))
    workspace.write(lambda now: _apply_merges(workspace, call, pairs, now))
    return Answer(202, {"message": "success"})


def _apply_merges(
    workspace: Workspace,
    call: Call,
    pairs: Sequence[tuple[Target, Target]],
    now: float,
) -> None:
    store = workspace.profiles
    for index, (gone, keep) in enumerate(pairs):
        source, destination = gone.find(store), keep.find(store)
        if source is None or destination is None or source is destination:
            workspace.drop(call, ("merge_updates", index), None, "no two profiles to merge")
        else:
            merge_profiles(store, destination, source, now)


# -- /users/delete -------------------------------------------------------------------------------


def _delete_text(entry: JsonValue) -> str:
    if not isinstance(entry, str) or not entry:
        raise ObjectRejectedError("ids must be strings")
    return entry


def _delete_object(entry: JsonValue) -> JsonObject:
    if not isinstance(entry, dict):
        raise ObjectRejectedError("addresses must be objects")
    return entry


_DELETE: dict[str, Callable[[JsonValue], Target]] = {
    "external_ids": lambda entry: Target(read_external_id(entry)),
    "braze_ids": lambda entry: Target(Identifier("braze_id", _delete_text(entry))),
    "user_aliases": lambda entry: Target(read_alias(entry)),
    "email_addresses": lambda entry: _email(_delete_object(entry), DELETE_PRIORITIES),
    "phone_numbers": lambda entry: _phone(_delete_object(entry), DELETE_PRIORITIES),
}


def delete(workspace: Workspace, call: Call, body: JsonObject) -> Answer:
    """Delete profiles.

    Args:
        body: Exactly one kind of identifier, at most 50. Empty arrays beside it are no error: a
            recorded exchange has them.

    Returns:
        201 with how many identifiers are queued, found or not; 400 for a bad body.
    """
    kinds = [kind for kind in _DELETE if body.get(kind, []) != []]
    if len(kinds) != 1:
        return refusal(ONE_KIND_ONLY)
    entries = body[kinds[0]]
    if not isinstance(entries, list):
        return refusal(f"'{kinds[0]}' must be an array")
    if len(entries) > MAX_ENTRIES:
        return refusal(TOO_MANY_ENTRIES)
    try:
        targets = [_DELETE[kinds[0]](entry) for entry in entries]
    except ObjectRejectedError as error:
        return refusal(str(error))
    workspace.write(lambda _: _apply_delete(workspace, call, kinds[0], targets))
    return Answer(201, {"deleted": len(targets), "message": "success"})


def _apply_delete(workspace: Workspace, call: Call, kind: str, targets: Sequence[Target]) -> None:
    for index, target in enumerate(targets):
        profile = target.find(workspace.profiles)
        if profile is None:
            workspace.drop(call, (kind, index), None, "no one profile to delete")
        else:
            workspace.profiles.remove(profile)
