"""`/users/track`: limits, identifiers, answers (reference §1.2, §1.3, §1.4, §1.8)."""

from typing import Any

import pytest

from tests.functional.sandbox.caller import Caller, people, types_in

EVENT = {"name": "answered", "time": "2026-11-01T10:00:00Z"}
PURCHASE = {
    "product_id": "hat",
    "currency": "USD",
    "price": 12.5,
    "time": "2026-11-01T10:00:00Z",
}
BASE: dict[str, dict[str, Any]] = {"attributes": {}, "events": EVENT, "purchases": PURCHASE}
REQUIRED = "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required"
NO_VALID_DATA = "Valid data must be provided in the 'attributes', 'events', or 'purchases' fields."
ALIAS = {"alias_name": "ana", "alias_label": "email"}
MALFORMED: list[Any] = [
    None,
    5,
    "text",
    [],
    {},
    {"email": None},
    {"email": "no-address"},
    {"email": 5},
    {"phone": "123"},
    {"phone": 5},
    {"external_id": ""},
    {"external_id": None},
    {"external_id": 5.5},
    {"external_id": True},
    {"external_id": "x" * 988},
    {"external_id": "é" * 494},
    {"braze_id": ""},
    {"user_alias": "ana"},
    {"user_alias": {"alias_name": "ana"}},
    {"user_alias": {"alias_name": "", "alias_label": "email"}},
    {"user_alias": {"alias_name": "x" * 237, "alias_label": "email"}},
    {"user_alias": {"alias_name": "é" * 119, "alias_label": "email"}},
]


# -- limits --------------------------------------------------------------------------------------


def test_75_objects_combined(braze: Caller) -> None:
    """75 objects over all three arrays pass; 76 are refused whole, and none is applied."""
    events = [{"external_id": "e", **EVENT}] * 20
    purchases = [{"external_id": "p", **PURCHASE}] * 5

    fits = braze.track(attributes=people(50), events=events, purchases=purchases)
    braze.control("reset", {})
    too_many = braze.track(attributes=people(51), events=events, purchases=purchases)

    assert fits.status_code == 201
    assert too_many.status_code == 400
    assert too_many.json()["message"] == "Max Input Length Exceeded"
    assert braze.profiles() == []


def test_75_per_array_for_legacy_contracts(braze: Caller) -> None:
    """Under the legacy limit each array holds 75, so 225 pass and 76 in one array do not."""
    braze.settings(track_limit="per_array")
    events = [{"external_id": "e", **EVENT}] * 75
    purchases = [{"external_id": "p", **PURCHASE}] * 75

    fits = braze.track(attributes=people(75), events=events, purchases=purchases)
    too_many = braze.track(attributes=people(76))

    assert (fits.status_code, too_many.status_code) == (201, 400)


def test_attributes_then_events(braze: Caller) -> None:
    """Within a request attributes come first: an event finds the alias made in the same call."""
    answer = braze.track(
        events=[{"user_alias": ALIAS, **EVENT}],
        attributes=[{"user_alias": ALIAS, "_update_existing_only": False}],
    )

    assert answer.status_code == 201
    (profile,) = braze.profiles()
    assert [event["name"] for event in profile["events"]] == ["answered"]


# -- answers -------------------------------------------------------------------------------------


def test_201_counts_what_was_queued(braze: Caller) -> None:
    """A good call is a 201 with a count per array that was sent, and the message `success`."""
    answer = braze.track(
        attributes=people(2),
        events=[{"external_id": "u", **EVENT}],
        purchases=[{"external_id": "u", **PURCHASE}],
    )

    assert answer.status_code == 201
    assert answer.json() == {
        "attributes_processed": 2,
        "events_processed": 1,
        "purchases_processed": 1,
        "message": "success",
    }


def test_count_only_of_arrays_sent(braze: Caller) -> None:
    """A call with only attributes has no count of events or purchases, even if sent empty."""
    answer = braze.track(attributes=people(1), events=[], purchases=[])

    assert answer.json() == {"attributes_processed": 1, "message": "success"}


def test_partial_failure_is_201_with_errors(braze: Caller) -> None:
    """Bad objects are named by array and index in a 201, and the good ones are applied."""
    answer = braze.track(
        attributes=[{"external_id": "good", "score": 1}],
        events=[{"external_id": "good", **EVENT}, {**EVENT}],
        purchases=[{"external_id": "good", **PURCHASE, "quantity": 0}],
    )

    assert answer.status_code == 201
    assert answer.json() == {
        "attributes_processed": 1,
        "events_processed": 1,
        "message": "success",
        "errors": [
            {"type": REQUIRED, "input_array": "events", "index": 1},
            {"type": "'quantity' is not valid", "input_array": "purchases", "index": 0},
        ],
    }
    assert braze.custom("good") == {"score": 1}
    assert len(braze.profile("good")["events"]) == 1


def test_nothing_valid_is_400(braze: Caller) -> None:
    """When every object is bad the call is a 400 that still names each."""
    answer = braze.attributes({"email": "no-address"})

    assert answer.status_code == 400
    assert answer.json() == {
        "message": NO_VALID_DATA,
        "errors": [
            {
                "type": "The value provided for the 'email' field is not a valid email.",
                "input_array": "attributes",
                "index": 0,
            },
        ],
    }


@pytest.mark.parametrize(
    "body",
    [{}, {"attributes": []}, {"attributes": {}}, {"attributes": None}, {"events": "x"}, {"x": [1]}],
)
def test_no_objects_at_all_is_400(braze: Caller, body: dict[str, Any]) -> None:
    """A body without a single object, or with something else than arrays, is a 400."""
    answer = braze.post("/users/track", body)

    assert answer.status_code == 400
    assert answer.json() == {"message": NO_VALID_DATA}


# -- identifiers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", MALFORMED, ids=lambda bad: str(bad)[:40])
@pytest.mark.parametrize("array", ["attributes", "events", "purchases"])
def test_malformed_identifier_is_an_error(braze: Caller, array: str, bad: Any) -> None:
    """An object without one valid identifier is named in `errors`, in each array."""
    base = BASE[array]
    item = {**base, **bad} if isinstance(bad, dict) else bad

    answer = braze.track(**{array: [{"external_id": "good", **base}, item]})

    assert answer.status_code == 201
    assert list(types_in(answer)) == [(array, 1)]


@pytest.mark.parametrize(
    "primaries",
    [
        {"external_id": "u", "user_alias": ALIAS},
        {"external_id": "u", "braze_id": "5eea769d45bb2e1467418f92"},
        {"user_alias": ALIAS, "braze_id": "5eea769d45bb2e1467418f92"},
    ],
    ids="+".join,
)
def test_two_primary_identifiers_are_an_error(braze: Caller, primaries: dict[str, Any]) -> None:
    """More than one primary identifier makes the object be rejected."""
    answer = braze.attributes({"external_id": "good"}, primaries)

    assert list(types_in(answer)) == [("attributes", 1)]


def test_external_id_of_987_bytes(braze: Caller) -> None:
    """987 bytes of external id fit; 988 do not, in Braze's words, whatever the characters."""
    assert braze.attributes({"external_id": "x" * 987}).status_code == 201
    assert braze.attributes({"external_id": "é" * 493}).status_code == 201

    answer = braze.attributes({"external_id": "é" * 494})

    assert answer.json()["errors"][0]["type"] == "'external_id' must be fewer than 988 bytes"


def test_alias_parts_of_236_bytes(braze: Caller) -> None:
    """236 bytes of alias name and of label fit."""
    alias = {"alias_name": "é" * 118, "alias_label": "x" * 236}

    braze.attributes({"user_alias": alias, "_update_existing_only": False})

    assert [profile["user_aliases"] for profile in braze.profiles()] == [[alias]]


def test_alias_name_is_case_sensitive(braze: Caller) -> None:
    """Aliases that differ in case are two users."""
    for name in ("Ana", "ana"):
        alias = {"alias_name": name, "alias_label": "email"}
        braze.attributes({"user_alias": alias, "_update_existing_only": False})

    assert len(braze.profiles()) == 2


def test_email_with_a_primary_is_an_attribute(braze: Caller) -> None:
    """With a primary identifier e-mail and phone are plain attributes, without a look-up."""
    braze.attributes({"email": "a@example.com", "score": 1})

    braze.attributes({"external_id": "u", "email": "a@example.com", "phone": "+15555550123"})

    assert len(braze.export(email_address="a@example.com")) == 2
    assert braze.user("u")["phone"] == "+15555550123"


def test_email_precedes_phone(braze: Caller) -> None:
    """Without a primary identifier the e-mail identifies, and the phone is an attribute."""
    braze.attributes({"external_id": "by-email", "email": "a@example.com"})
    braze.attributes({"external_id": "by-phone", "phone": "+15555550123"})

    braze.attributes({"email": "a@example.com", "phone": "+15555550123", "score": 7})

    assert braze.custom("by-email") == {"score": 7}
    assert braze.custom("by-phone") == {}
    assert braze.user("by-email")["phone"] == "+15555550123"


def test_email_without_a_profile_creates_one(braze: Caller) -> None:
    """An unknown e-mail makes an e-mail-only profile, without an alias."""
    braze.attributes({"email": "a@example.com", "score": 1})

    (profile,) = braze.export(email_address="a@example.com")
    assert profile["user_aliases"] == []
    assert "external_id" not in profile


def test_phone_without_a_profile_creates_one(braze: Caller) -> None:
    """An unknown phone makes a phone-only profile, with the number in E.164."""
    braze.attributes({"phone": "+1 (724) 123-4567", "score": 1})

    (profile,) = braze.export(phone="+17241234567")
    assert profile["phone"] == "+17241234567"


@pytest.mark.parametrize("kind", ["email", "phone"])
def test_shared_address_means_latest_with_external_id(braze: Caller, kind: str) -> None:
    """Among sharers the most recently updated one with an external id is meant."""
    address = {"email": "a@example.com", "phone": "+15555550123"}[kind]
    braze.attributes({"external_id": "old", kind: address})
    braze.attributes({"external_id": "new", kind: address})
    braze.attributes({"user_alias": ALIAS, kind: address, "_update_existing_only": False})

    braze.attributes({kind: address, "score": 1})
    braze.attributes({"external_id": "old", "touched": True})
    braze.attributes({kind: address, "score": 2})

    assert braze.custom("new") == {"score": 1}
    assert braze.custom("old") == {"touched": True, "score": 2}


def test_shared_address_without_external_ids_means_latest(braze: Caller) -> None:
    """Among sharers without an external id the most recently updated one is meant."""
    for name in ("one", "two"):
        alias = {"alias_name": name, "alias_label": "l"}
        braze.attributes(
            {"user_alias": alias, "email": "a@example.com", "_update_existing_only": False},
        )

    braze.attributes({"email": "a@example.com", "score": 1})

    (two,) = braze.export(user_aliases=[{"alias_name": "two", "alias_label": "l"}])
    assert two["custom_attributes"] == {"score": 1}


def test_primary_that_matches_no_profile_duplicates(braze: Caller) -> None:
    """A new external id makes a new profile even where the e-mail is known."""
    braze.attributes({"email": "a@example.com"})
    braze.attributes({"external_id": "u", "email": "a@example.com"})

    assert len(braze.profiles()) == 2


def test_email_case_is_kept(braze: Caller) -> None:
    """Addresses that differ in case are different addresses."""
    braze.attributes({"email": "Ana@example.com"})

    assert braze.export(email_address="ana@example.com") == []


def test_unknown_braze_id_creates_nothing(braze: Caller) -> None:
    """A `braze_id` finds a profile but never makes one: the object is dropped behind a 201."""
    answer = braze.attributes({"braze_id": "5eea769d45bb2e1467418f92", "score": 1})

    assert answer.json() == {"attributes_processed": 1, "message": "success"}
    assert braze.profiles() == []
    assert braze.dropped() == [("attributes", 0, None)]


def test_braze_id_finds_its_profile(braze: Caller) -> None:
    """The `braze_id` that an export shows identifies the same profile."""
    braze.attributes({"external_id": "u"})

    braze.attributes({"braze_id": braze.user("u")["braze_id"], "score": 3})

    assert braze.custom("u") == {"score": 3}


# -- _update_existing_only -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "who",
    [{"external_id": "u"}, {"email": "a@example.com"}, {"phone": "+15555550123"}],
    ids=lambda who: next(iter(who)),
)
@pytest.mark.parametrize("array", ["attributes", "events", "purchases"])
def test_update_only_creates_no_profile(braze: Caller, array: str, who: dict[str, str]) -> None:
    """`_update_existing_only: true` on an unknown user is dropped; left out, the user is made."""
    base = BASE[array]

    braze.track(**{array: [{**base, **who, "_update_existing_only": True}]})
    profiles = braze.profiles()
    braze.track(**{array: [{**base, **who}]})

    assert profiles == []
    assert braze.dropped() == [(array, 0, None)]
    assert len(braze.profiles()) == 1


@pytest.mark.parametrize(("flag", "made"), [(None, 0), (True, 0), ("false", 0), (False, 1)])
def test_alias_needs_an_explicit_false(braze: Caller, flag: Any, made: int) -> None:
    """An alias-only profile is made from attributes only with an explicit false."""
    item = {"user_alias": ALIAS, "email": "a@example.com"}

    braze.attributes(item if flag is None else {**item, "_update_existing_only": flag})

    assert len(braze.profiles()) == made


@pytest.mark.parametrize("array", ["events", "purchases"])
def test_alias_in_events_is_always_update_only(braze: Caller, array: str) -> None:
    """An event or purchase never makes an alias-only profile, even with an explicit false."""
    base = BASE[array]

    braze.track(**{array: [{**base, "user_alias": ALIAS, "_update_existing_only": False}]})

    assert braze.profiles() == []


def test_alias_is_not_added_by_track(braze: Caller) -> None:
    """An alias object with the e-mail of a known user makes a second profile, not an alias."""
    braze.attributes({"external_id": "u", "email": "a@example.com"})

    braze.attributes(
        {"user_alias": ALIAS, "email": "a@example.com", "_update_existing_only": False},
    )

    assert braze.user("u")["user_aliases"] == []
    assert len(braze.profiles()) == 2
