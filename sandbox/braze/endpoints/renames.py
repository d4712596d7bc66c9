"""`/users/external_ids/rename`, `/users/external_ids/remove`, `/users/alias/update`.

https://www.braze.com/docs/api/endpoints/user_data/external_id_migration/post_external_ids_rename,
https://www.braze.com/docs/api/endpoints/user_data/external_id_migration/post_external_ids_remove,
https://www.braze.com/docs/api/endpoints/user_data/post_users_alias_update. The answers about
external ids are those of recorded exchanges (`rename_external_ids` and `remove_external_ids` in
`spec/fixtures/responses` of github.com/jonallured/braze_ruby).
"""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import JsonValue

from sandbox.braze.exchange import Answer, Call, JsonObject, refusal
from sandbox.braze.identity import ObjectRejectedError, read_alias, read_external_id
from sandbox.braze.profiles import Identifier, ProfileStore
from sandbox.braze.workspace import Workspace

MAX_RENAMES = 50
IN_USE = "new_external_id is already in use"
# We chose the texts below: the pages have the rules, not the words.
NOT_PRIMARY = "current_external_id is not a primary external id"
NOT_DEPRECATED = "only a deprecated external id can be removed"
NO_RENAME = "current_external_id and new_external_id must be two different external ids"
BAD_ALIAS_UPDATE = "'alias_label', 'old_alias_name' and 'new_alias_name' are required"


def _entries(body: JsonObject, name: str) -> list[JsonValue]:
    entries = body.get(name)
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_RENAMES:
        raise ObjectRejectedError(f"'{name}' must be an array of 1 to {MAX_RENAMES}")
    return entries


def rename_external_ids(workspace: Workspace, call: Call, body: JsonObject) -> Answer:
    """Give users other external ids. The old ones find them until they are removed.

    The answer says what was renamed, so this write shows at once. The page calls `external_ids` an
    array of strings; the recording has the pairs.

    Returns:
        201 with the renames and an error `[index, text]` for each one that failed; 400 for a bad
        array. The page says "array of arrays" that "reference the index"; none was recorded.
    """
    try:
        entries = _entries(body, "external_id_renames")
    except ObjectRejectedError as error:
        return refusal(str(error))
    renamed: list[JsonValue] = []
    errors: list[JsonValue] = []
    for index, entry in enumerate(entries):
        try:
            old, new = _read_rename(entry)
            _rename(workspace, call, old, new)
        except ObjectRejectedError as error:
            errors.append([index, str(error)])
        else:
            renamed.append({"current_external_id": old, "new_external_id": new})
    return Answer(201, {"rename_errors": errors, "external_ids": renamed, "message": "success"})


def _read_rename(entry: JsonValue) -> tuple[str, str]:
    given = entry if isinstance(entry, dict) else {}
    old, new = given.get("current_external_id"), given.get("new_external_id")
    if not isinstance(old, str) or not isinstance(new, str) or old == new:
        raise ObjectRejectedError(NO_RENAME)
    return old, read_external_id(new).value


def _rename(workspace: Workspace, call: Call, old: str, new: str) -> None:
    store = workspace.profiles
    profile = store.find(Identifier("external_id", old))
    if profile is None or profile.external_id != old:
        raise ObjectRejectedError(NOT_PRIMARY)
    if store.find(Identifier("external_id", new)) is not None:
        raise ObjectRejectedError(IN_USE)
    store.rename_external_id(profile, new)
    store.touch(profile, call.at)


def remove_external_ids(workspace: Workspace, _: Call, body: JsonObject) -> Answer:
    """Remove deprecated external ids. The answer says which, so this write shows at once.

    Returns:
        201 with the removed ids and an error `[index, text]` for each of the others; 400 for a bad
        array.
    """
    try:
        entries = _entries(body, "external_ids")
    except ObjectRejectedError as error:
        return refusal(str(error))
    removed: list[JsonValue] = []
    errors: list[JsonValue] = []
    for index, entry in enumerate(entries):
        if isinstance(entry, str) and _remove(workspace.profiles, entry):
            removed.append(entry)
        else:
            errors.append([index, NOT_DEPRECATED])
    return Answer(201, {"removed_ids": removed, "removal_errors": errors, "message": "success"})


def _remove(store: ProfileStore, external_id: str) -> bool:
    profile = store.find(Identifier("external_id", external_id))
    if profile is None or profile.external_id == external_id:
        return False
    store.forget_external_id(profile, external_id)
    return True


class _AliasUpdate(NamedTuple):
    old: Identifier
    new: Identifier


def _read_alias_update(entry: JsonValue) -> _AliasUpdate:
    if not isinstance(entry, dict):
        raise ObjectRejectedError(BAD_ALIAS_UPDATE)
    label = entry.get("alias_label")
    try:
        old, new = (
            read_alias({"alias_label": label, "alias_name": entry.get(name)})
            for name in ("old_alias_name", "new_alias_name")
        )
    except ObjectRejectedError:
        raise ObjectRejectedError(BAD_ALIAS_UPDATE) from None
    return _AliasUpdate(old, new)


def update_aliases(workspace: Workspace, call: Call, body: JsonObject) -> Answer:
    """Give aliases other names.

    Returns:
        201 with the count, also if nothing changed; 400 for a bad body. The page shows no answer:
        it is that of `/users/alias/new`.
    """
    try:
        updates = [_read_alias_update(entry) for entry in _entries(body, "alias_updates")]
    except ObjectRejectedError as error:
        return refusal(str(error))
    workspace.write(lambda now: _apply_alias_updates(workspace, call, updates, now))
    return Answer(201, {"aliases_processed": len(updates), "message": "success"})


def _apply_alias_updates(
    workspace: Workspace, call: Call, updates: Sequence[_AliasUpdate], now: float
) -> None:
    store = workspace.profiles
    for index, (old, new) in enumerate(updates):
        profile, place = store.find(old), ("alias_updates", index)
        if profile is None:
            workspace.drop(call, place, None, "no such alias")
        elif store.has_alias(new.label, new.value):
            workspace.drop(call, place, None, "the alias exists already", profile)
        else:
            store.rename_alias(profile, new.label, new.value)
            store.touch(profile, now)
