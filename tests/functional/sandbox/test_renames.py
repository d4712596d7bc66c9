"""`/users/external_ids/rename`, `/users/external_ids/remove` and `/users/alias/update`."""

from typing import Any

import pytest
import requests

from tests.functional.sandbox.caller import Caller

LABEL = "crm"


def rename(braze: Caller, *pairs: tuple[Any, Any]) -> requests.Response:
    entries = [{"current_external_id": old, "new_external_id": new} for old, new in pairs]
    return braze.post("/users/external_ids/rename", {"external_id_renames": entries})


def remove(braze: Caller, *ids: Any) -> requests.Response:
    return braze.post("/users/external_ids/remove", {"external_ids": list(ids)})


def update_alias(braze: Caller, old: str, new: str) -> requests.Response:
    entry = {"alias_label": LABEL, "old_alias_name": old, "new_alias_name": new}
    return braze.post("/users/alias/update", {"alias_updates": [entry]})


def test_renamed_user_is_found_by_both_ids(braze: Caller) -> None:
    """The answer is the recorded one. Export and track find the user by the old id as well."""
    braze.attributes({"external_id": "abc", "score": 1})

    answer = rename(braze, ("abc", "foo"))
    braze.attributes({"external_id": "abc", "colour": "red"})

    assert (answer.status_code, answer.json()) == (
        201,
        {
            "rename_errors": [],
            "external_ids": [{"current_external_id": "abc", "new_external_id": "foo"}],
            "message": "success",
        },
    )
    (user,) = braze.export(external_ids=["abc", "foo"])
    assert user["external_id"] == "foo"
    assert user["custom_attributes"] == {"score": 1, "colour": "red"}


def test_rename_fails_one_by_one(braze: Caller) -> None:
    """A failed rename is named by its index; the others are done."""
    braze.attributes({"external_id": "a"}, {"external_id": "b"})
    rename(braze, ("a", "a2"))

    answer = rename(
        braze, ("a", "x"), ("nobody", "x"), ("a2", "b"), ("a2", "a"), ("b", "b"), ("b", "b2")
    ).json()

    in_use = "new_external_id is already in use"
    assert [index for index, _ in answer["rename_errors"]] == [0, 1, 2, 3, 4]
    assert [text for _, text in answer["rename_errors"][2:4]] == [in_use, in_use]
    assert answer["external_ids"] == [{"current_external_id": "b", "new_external_id": "b2"}]


def test_removed_id_is_free_again(braze: Caller) -> None:
    """Only a deprecated id can be removed. It finds no user then, and another user may have it."""
    braze.attributes({"external_id": "abc"})
    rename(braze, ("abc", "foo"))

    answer = remove(braze, "abc", "foo", "nobody", 5).json()
    braze.attributes({"external_id": "abc"})

    assert answer["removed_ids"] == ["abc"]
    assert [index for index, _ in answer["removal_errors"]] == [1, 2, 3]
    assert answer["message"] == "success"
    assert {profile["external_id"] for profile in braze.profiles()} == {"abc", "foo"}


def test_delete_by_a_deprecated_id_deletes_the_user(braze: Caller) -> None:
    """The page warns of it. All ids of the user are free afterwards."""
    braze.attributes({"external_id": "a"}, {"external_id": "other"})
    rename(braze, ("a", "b"))
    rename(braze, ("b", "c"))

    braze.post("/users/delete", {"external_ids": ["b"]})

    assert [profile["external_id"] for profile in braze.profiles()] == ["other"]
    assert len(rename(braze, ("other", "a"), ("a", "b"), ("b", "c")).json()["external_ids"]) == 3


@pytest.mark.parametrize("entries", [None, [], "abc", [{}] * 51])
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/users/external_ids/rename", "external_id_renames"),
        ("/users/external_ids/remove", "external_ids"),
        ("/users/alias/update", "alias_updates"),
    ],
)
def test_arrays_have_from_1_to_50_entries(
    braze: Caller, path: str, name: str, entries: Any
) -> None:
    """An array that is missing, empty or over 50 is a 400 with a message."""
    answer = braze.post(path, {name: entries})

    assert answer.status_code == 400
    assert answer.json()["message"]


def test_updated_alias_finds_the_user(braze: Caller) -> None:
    """The new name finds the user, and the old one does not."""
    braze.post("/users/alias/new", {"user_aliases": [{"alias_label": LABEL, "alias_name": "old"}]})

    answer = update_alias(braze, "old", "new")

    found = braze.export(user_aliases=[{"alias_label": LABEL, "alias_name": "new"}])
    assert (answer.status_code, answer.json()["message"]) == (201, "success")
    assert found[0]["user_aliases"] == [{"alias_label": LABEL, "alias_name": "new"}]
    assert braze.export(user_aliases=[{"alias_label": LABEL, "alias_name": "old"}]) == []


def test_alias_update_without_a_match_changes_nothing(braze: Caller) -> None:
    """An unknown old name and a new name that is taken are 201, and nothing changes."""
    aliases = [{"alias_label": LABEL, "alias_name": name} for name in ("a", "b")]
    braze.post("/users/alias/new", {"user_aliases": aliases})

    assert update_alias(braze, "nobody", "c").status_code == 201
    assert update_alias(braze, "a", "b").status_code == 201
    assert [profile["user_aliases"] for profile in braze.profiles()] == [[each] for each in aliases]
    assert braze.dropped() == [("alias_updates", 0, None)] * 2


@pytest.mark.parametrize("missing", ["alias_label", "old_alias_name", "new_alias_name"])
def test_alias_update_needs_its_three_keys(braze: Caller, missing: str) -> None:
    """A missing key is a 400."""
    entry = {"alias_label": LABEL, "old_alias_name": "a", "new_alias_name": "b", missing: ""}

    assert braze.post("/users/alias/update", {"alias_updates": [entry]}).status_code == 400
