"""Aliases, identification, merging, deletion (reference §4)."""

from typing import Any

import pytest

from tests.functional.sandbox.caller import Caller

ALIAS = {"alias_name": "ana", "alias_label": "email"}
OTHER = {"alias_name": "bea", "alias_label": "email"}
FIFTY_ONE = range(51)
EMAILS = ["a@example.com", "b@example.com"]
PHONES = ["+15555550123", "+15555550124"]


def alias_only(braze: Caller, alias: dict[str, str] = ALIAS, **more: Any) -> None:
    braze.attributes({"user_alias": alias, "_update_existing_only": False, **more})


# -- /users/alias/new ----------------------------------------------------------------------------


def test_new_alias_for_a_user(braze: Caller) -> None:
    """A new alias is a 201 with the count, and finds its user."""
    braze.attributes({"external_id": "u"})

    answer = braze.post("/users/alias/new", {"user_aliases": [{"external_id": "u", **ALIAS}]})

    assert (answer.status_code, answer.json()) == (
        201,
        {"aliases_processed": 1, "message": "success"},
    )
    assert braze.user("u")["user_aliases"] == [ALIAS]


def test_new_alias_only_user(braze: Caller) -> None:
    """Without an external id an alias-only user is made."""
    braze.post("/users/alias/new", {"user_aliases": [ALIAS]})

    (user,) = braze.export(user_aliases=[ALIAS])
    assert "external_id" not in user


@pytest.mark.parametrize(
    "taken",
    [
        pytest.param({"external_id": "v", **ALIAS}, id="the pair exists"),
        pytest.param({"external_id": "u", **OTHER}, id="the user has the label"),
        pytest.param({"external_id": "nobody", **OTHER}, id="no such user"),
    ],
)
def test_alias_that_cannot_be_is_201_and_nothing(braze: Caller, taken: dict[str, str]) -> None:
    """An alias that exists, or whose label or user does not allow it, is a 201 without effect."""
    braze.attributes({"external_id": "u"}, {"external_id": "v"})
    braze.post("/users/alias/new", {"user_aliases": [{"external_id": "u", **ALIAS}]})

    answer = braze.post("/users/alias/new", {"user_aliases": [taken]})

    assert answer.json() == {"aliases_processed": 1, "message": "success"}
    assert braze.user("u")["user_aliases"] == [ALIAS]
    assert braze.user("v")["user_aliases"] == []
    assert len(braze.profiles()) == 2


@pytest.mark.parametrize(
    "aliases",
    [
        None,
        [],
        "x",
        ["x"],
        [{"alias_name": "a"}],
        [{"alias_name": "", "alias_label": "l"}],
        [{"external_id": 5, **ALIAS}],
        [{"alias_name": str(n), "alias_label": "l"} for n in FIFTY_ONE],
    ],
    ids=lambda aliases: str(aliases)[:40],
)
def test_bad_new_aliases_are_400(braze: Caller, aliases: Any) -> None:
    """Malformed aliases and more than 50 of them are 400."""
    answer = braze.post("/users/alias/new", {"user_aliases": aliases})

    assert answer.status_code == 400
    assert braze.profiles() == []


def test_track_by_a_fresh_alias_races(braze: Caller) -> None:
    """A separate track call by an alias whose making does not show yet is lost."""
    braze.settings(read_delay_ms=1_000)
    braze.post("/users/alias/new", {"user_aliases": [ALIAS]})
    braze.clock.advance(0.5)
    braze.attributes({"user_alias": ALIAS, "score": 1})
    braze.clock.advance(5)

    (user,) = braze.export(user_aliases=[ALIAS])
    assert "custom_attributes" not in user
    assert braze.dropped() == [("attributes", 0, None)]


def test_alias_and_its_event_in_one_call(braze: Caller) -> None:
    """In a single track call the event of an alias made there is kept, whatever the delay."""
    braze.settings(read_delay_ms=1_000)
    braze.track(
        attributes=[{"user_alias": ALIAS, "_update_existing_only": False}],
        events=[{"user_alias": ALIAS, "name": "seen", "time": "2026-11-01T00:00:00Z"}],
    )
    braze.clock.advance(1)

    assert [event["name"] for event in braze.profiles()[0]["events"]] == ["seen"]


# -- /users/identify -----------------------------------------------------------------------------


def test_identify_gives_an_external_id(braze: Caller) -> None:
    """An alias-only user gets the external id if no other profile has it, and keeps everything."""
    alias_only(braze, score=1)

    answer = braze.post(
        "/users/identify",
        {"aliases_to_identify": [{"external_id": "u", "user_alias": ALIAS}]},
    )

    assert (answer.status_code, answer.json()) == (
        201,
        {"aliases_processed": 1, "message": "success"},
    )
    assert braze.custom("u") == {"score": 1}
    assert len(braze.profiles()) == 1


def test_identify_combines_with_a_known_user(braze: Caller) -> None:
    """When the external id is known the two profiles become one."""
    braze.attributes({"external_id": "u", "score": 1})
    alias_only(braze, score=2, other=3)

    braze.post(
        "/users/identify",
        {"aliases_to_identify": [{"external_id": "u", "user_alias": ALIAS}]},
    )

    (profile,) = braze.profiles()
    assert profile["custom_attributes"] == {"score": 1, "other": 3}
    assert profile["user_aliases"] == [ALIAS]


def test_identify_with_a_taken_label_does_nothing(braze: Caller) -> None:
    """If the external id has an alias of that label already the profiles stay apart."""
    braze.attributes({"external_id": "u"})
    braze.post("/users/alias/new", {"user_aliases": [{"external_id": "u", **OTHER}]})
    alias_only(braze)

    braze.post(
        "/users/identify",
        {"aliases_to_identify": [{"external_id": "u", "user_alias": ALIAS}]},
    )

    assert len(braze.profiles()) == 2


def test_identify_without_a_match_is_201(braze: Caller) -> None:
    """An alias in another case matches no profile, and the answer is the same 201."""
    alias_only(braze)

    answer = braze.post(
        "/users/identify",
        {
            "aliases_to_identify": [
                {"external_id": "u", "user_alias": {**ALIAS, "alias_name": "ANA"}},
            ],
        },
    )

    assert (answer.status_code, answer.json()["aliases_processed"]) == (201, 1)
    assert braze.export(external_ids=["u"]) == []


@pytest.mark.parametrize(
    ("priorities", "identified"),
    [
        (["unidentified", "most_recently_updated"], "two"),
        (["unidentified", "least_recently_updated"], "one"),
        (["identified"], None),
    ],
)
def test_identify_by_email_follows_the_prioritization(
    braze: Caller,
    priorities: list[str],
    identified: str | None,
) -> None:
    """Among sharers of an e-mail the prioritization chooses, and an identified one stays."""
    for name in ("one", "two"):
        alias_only(
            braze,
            {"alias_name": name, "alias_label": "l"},
            email="a@example.com",
            called=name,
        )
    braze.attributes({"external_id": "known", "email": "a@example.com"})

    braze.post(
        "/users/identify",
        {
            "emails_to_identify": [
                {"external_id": "u", "email": "a@example.com", "prioritization": priorities},
            ],
        },
    )

    found = braze.export(external_ids=["u"])
    assert [user["custom_attributes"]["called"] for user in found] == (
        [] if identified is None else [identified]
    )


def test_identify_by_phone(braze: Caller) -> None:
    """A phone-only user gets an external id as well."""
    braze.attributes({"phone": "+15555550123", "score": 1})

    braze.post(
        "/users/identify",
        {
            "phone_numbers_to_identify": [
                {"external_id": "u", "phone": "+15555550123", "prioritization": ["unidentified"]},
            ],
        },
    )

    assert braze.custom("u") == {"score": 1}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"aliases_to_identify": []},
        {"aliases_to_identify": "x"},
        {"aliases_to_identify": [{"user_alias": ALIAS}]},
        {"aliases_to_identify": [{"external_id": "u"}]},
        {"aliases_to_identify": [{"external_id": "u", "user_alias": ALIAS}] * 51},
        {"emails_to_identify": [{"external_id": "u", "email": "no"}]},
        {"phone_numbers_to_identify": [{"external_id": "u", "phone": "1"}]},
    ],
    ids=lambda body: str(body)[:60],
)
def test_bad_identifications_are_400(braze: Caller, body: dict[str, Any]) -> None:
    """Nothing to identify, malformed entries, and over 50 are 400."""
    assert braze.post("/users/identify", body).status_code == 400


# -- /users/merge --------------------------------------------------------------------------------


IDENTIFIERS = (
    "identifiers must be objects with an 'external_id' property that is a string, 'user_alias' "
    "property that is an object, 'email' property that is a string, or 'phone' property that is a "
    "string"
)


def merged(gone: Any, keep: Any) -> dict[str, Any]:
    return {"merge_updates": [{"identifier_to_merge": gone, "identifier_to_keep": keep}]}


def test_merge_is_202_and_one_profile_is_left(braze: Caller) -> None:
    """Two profiles become one, the kept one's values win, and events add up."""
    braze.attributes({"external_id": "keep", "score": 1})
    braze.event(external_id="keep")
    alias_only(braze, email="a@example.com", score=2, other=3)
    braze.event(user_alias=ALIAS)

    answer = braze.post(
        "/users/merge",
        merged(
            {"email": "a@example.com", "prioritization": ["unidentified"]},
            {"external_id": "keep"},
        ),
    )

    assert (answer.status_code, answer.json()) == (202, {"message": "success"})
    (profile,) = braze.profiles()
    assert profile["email"] == "a@example.com"
    assert profile["custom_attributes"] == {"score": 1, "other": 3}
    assert [event["count"] for event in profile["custom_events"]] == [2]
    assert braze.export(user_aliases=[ALIAS])[0]["external_id"] == "keep"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "'merge_updates' must be an array of objects"),
        ({"merge_updates": ["x"]}, "'merge_updates' must be an array of objects"),
        (
            {"merge_updates": [{"identifier_to_merge": {}}]},
            "'merge_updates' must only have 'identifier_to_merge' and 'identifier_to_keep'",
        ),
        (
            {
                "merge_updates": merged({"external_id": "a"}, {"external_id": "b"})["merge_updates"]
                * 51
            },
            "a single request may not contain more than 50 merge updates",
        ),
        (merged({"external_id": 5}, {"external_id": "b"}), IDENTIFIERS),
        (merged({"braze_id": "a"}, {"external_id": "b"}), IDENTIFIERS),
        (merged("a", "b"), IDENTIFIERS),
    ],
    ids=lambda value: str(value)[:60],
)
def test_bad_merges_are_400(braze: Caller, body: dict[str, Any], message: str) -> None:
    """Each documented mistake is a 400 in Braze's words."""
    answer = braze.post("/users/merge", body)

    assert (answer.status_code, answer.json()) == (400, {"message": message})


def test_merge_without_a_match_is_202(braze: Caller) -> None:
    """A merge that finds no profile, or the same profile twice, is a 202 without effect."""
    braze.attributes({"external_id": "u"})

    same = braze.post("/users/merge", merged({"external_id": "u"}, {"external_id": "u"}))
    unmatched = braze.post("/users/merge", merged({"external_id": "x"}, {"external_id": "u"}))

    assert (same.status_code, unmatched.status_code) == (202, 202)
    assert len(braze.profiles()) == 1


# -- /users/delete -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"external_ids": ["u", "nobody"]},
        {"user_aliases": [ALIAS, OTHER]},
        {"email_addresses": [{"email": e, "prioritization": ["identified"]} for e in EMAILS]},
        {"phone_numbers": [{"phone": p, "prioritization": ["identified"]} for p in PHONES]},
    ],
    ids=lambda body: next(iter(body)),
)
def test_delete_counts_what_was_queued(braze: Caller, body: dict[str, Any]) -> None:
    """Every kind of identifier deletes, and the answer counts all, found or not."""
    braze.attributes({"external_id": "u", "email": "a@example.com", "phone": "+15555550123"})
    braze.post("/users/alias/new", {"user_aliases": [{"external_id": "u", **ALIAS}]})

    answer = braze.post("/users/delete", body)

    assert (answer.status_code, answer.json()) == (201, {"deleted": 2, "message": "success"})
    assert braze.profiles() == []
    assert braze.dropped() == [(next(iter(body)), 1, None)]


def test_delete_by_braze_id(braze: Caller) -> None:
    """A profile is deleted by its `braze_id`, and its external id is free again."""
    braze.attributes({"external_id": "u", "score": 1})

    braze.post("/users/delete", {"braze_ids": [braze.user("u")["braze_id"]]})
    braze.attributes({"external_id": "u"})

    assert braze.custom("u") == {}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"external_ids": ["u"], "braze_ids": ["b"]},
        {"external_ids": []},
        {"external_ids": "u"},
        {"external_ids": [5.5]},
        {"user_aliases": ["x"]},
        {"email_addresses": ["a@example.com"]},
        {"phone_numbers": [{"phone": "1"}]},
        {"external_ids": [str(n) for n in FIFTY_ONE]},
    ],
    ids=lambda body: str(body)[:60],
)
def test_bad_deletions_are_400(braze: Caller, body: dict[str, Any]) -> None:
    """Not exactly one kind of identifier, malformed ones, and over 50 are 400."""
    assert braze.post("/users/delete", body).status_code == 400
