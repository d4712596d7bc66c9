"""Attributes objects: standard fields, custom types, silent drops (reference §1.5)."""

from typing import Any

import pytest

from tests.functional.sandbox.caller import Caller, types_in

U = {"external_id": "u"}


# -- standard fields -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({"first_name": "Ana"}, {"first_name": "Ana"}),
        ({"last_name": ""}, {"last_name": ""}),
        ({"email": "a@example.com"}, {"email": "a@example.com"}),
        ({"phone": "+1 (724) 123-4567"}, {"phone": "+17241234567"}),
        ({"phone": "7241234567"}, {"phone": "+17241234567"}),
        ({"country": "PT"}, {"country": "PT"}),
        ({"language": "pt"}, {"language": "pt"}),
        ({"gender": "P"}, {"gender": "P"}),
        ({"dob": "1980-12-21"}, {"dob": "1980-12-21"}),
        ({"home_city": "Porto"}, {"home_city": "Porto"}),
        ({"time_zone": "Europe/Lisbon"}, {"time_zone": "Europe/Lisbon"}),
        (
            {"time_zone": "Eastern Time (US & Canada)"},
            {"time_zone": "Eastern Time (US & Canada)"},
        ),
        ({"email_subscribe": "opted_in"}, {"email_subscribe": "opted_in"}),
        ({"push_subscribe": "unsubscribed"}, {"push_subscribe": "unsubscribed"}),
        (
            {"current_location": {"longitude": -73.99, "latitude": 40.75}},
            {"last_coordinates": [-73.99, 40.75]},
        ),
    ],
    ids=str,
)
def test_standard_fields_are_not_custom(
    braze: Caller,
    sent: dict[str, Any],
    shown: dict[str, Any],
) -> None:
    """Standard fields land on the profile itself and never among the custom attributes."""
    braze.attributes({**U, **sent})

    user = braze.user("u")
    assert shown.items() <= user.items()
    assert "custom_attributes" not in user


@pytest.mark.parametrize(
    "name",
    ["first_name", "email", "phone", "country", "gender", "dob", "time_zone", "home_city"],
)
def test_null_removes_standard_fields(braze: Caller, name: str) -> None:
    """Null takes a standard field off the profile."""
    value = {
        "email": "a@example.com",
        "phone": "+15555550123",
        "country": "PT",
        "gender": "F",
        "dob": "1980-12-21",
        "time_zone": "Europe/Lisbon",
    }.get(name, "x")
    braze.attributes({**U, name: value})

    braze.attributes({**U, name: None})

    assert name not in braze.user("u")


def test_removed_email_finds_no_profile(braze: Caller) -> None:
    """A profile is not found by an e-mail that was changed or removed."""
    braze.attributes({**U, "email": "old@example.com"})
    braze.attributes({**U, "email": "new@example.com"})

    assert braze.export(email_address="old@example.com") == []
    assert len(braze.export(email_address="new@example.com")) == 1


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (
            {"email": "no-address"},
            "The value provided for the 'email' field is not a valid email.",
        ),
        ({"email_subscribe": "yes"}, "BAD_EMAIL_SUBSCRIPTION_STATE"),
        ({"email_subscribe": ["x"]}, "BAD_EMAIL_SUBSCRIPTION_STATE"),
        ({"push_subscribe": None}, "BAD_PUSH_SUBSCRIPTION_STATE"),
        ({"current_location": {"longitude": 500, "latitude": 0}}, "BAD_LOCATION_UPDATE"),
        ({"current_location": "here"}, "BAD_LOCATION_UPDATE"),
        ({"push_token_import": "yes"}, "BAD_PUSH_TOKEN_IMPORT"),
        ({"push_tokens": "x"}, "BAD_PUSH_TOKEN_VALUE"),
        ({"push_tokens": [{"token": "t"}]}, "BAD_PUSH_TOKEN_APP_ID"),
        ({"push_tokens": [{"app_id": "a"}]}, "BAD_PUSH_TOKEN_STRING"),
        ({"push_tokens": [{"app_id": "a", "token": "t", "device_id": 1}]}, "BAD_DEVICE_ID"),
        ({"subscription_groups": {}}, "BAD_SUBSCRIPTION_GROUP_ARRAY"),
        ({"subscription_groups": ["x"]}, "BAD_SUBSCRIPTION_GROUP_HASH"),
        ({"subscription_groups": [{}]}, "BAD_SUBSCRIPTION_GROUP_ID"),
        (
            {"subscription_groups": [{"subscription_group_id": "demo-sms-group"}]},
            "BAD_SUBSCRIPTION_GROUP_STATE",
        ),
        ({"email_subscription_info": {}}, "INVALID_ATTRIBUTE_EMAIL_SUBSCRIPTION_INFO"),
    ],
    ids=str,
)
def test_documented_errors_reject_the_object(
    braze: Caller,
    bad: dict[str, Any],
    error: str,
) -> None:
    """Each documented error names the object, and nothing of that object is applied."""
    answer = braze.attributes({"external_id": "good"}, {**U, "score": 1, **bad})

    assert answer.json()["errors"] == [{"type": error, "input_array": "attributes", "index": 1}]
    assert braze.export(external_ids=["u"]) == []


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("first_name", 5),
        ("first_name", "x" * 256),
        ("gender", "female"),
        ("dob", "21/12/1980"),
        ("dob", "1980-02-30"),
        ("language", "english"),
        ("time_zone", "Mars/Olympus"),
        ("phone", "123"),
        ("image_url", "x" * 1025),
        ("email_open_tracking_disabled", "yes"),
        ("date_of_first_session", "yesterday"),
        ("facebook", "x"),
    ],
)
def test_bad_standard_values_are_lost_in_silence(braze: Caller, name: str, bad: Any) -> None:
    """A standard field's bad value is lost behind a 201 without errors, and noted as dropped."""
    answer = braze.attributes({**U, "score": 1, name: bad})

    assert answer.json() == {"attributes_processed": 1, "message": "success"}
    assert braze.dropped() == [("attributes", 0, name)]
    assert braze.custom("u") == {"score": 1}
    assert name not in braze.user("u")


def test_bad_country_becomes_null(braze: Caller) -> None:
    """A country that is no ISO 3166-1 alpha-2 code sets the field to null."""
    braze.attributes({**U, "country": "PT"})

    braze.attributes({**U, "country": "Portugal"})

    assert "country" not in braze.user("u")


def test_blocked_as_spam(braze: Caller) -> None:
    """Past 20,000 event names an external id is refused, in Braze's own words."""
    time = "2026-11-01T10:00:00Z"
    for start in range(0, 20_025, 75):
        braze.track(
            events=[{**U, "name": f"event-{n}", "time": time} for n in range(start, start + 75)],
        )

    answer = braze.attributes(U)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["type"] == (
        "provided external_id is blacklisted and disallowed"
    )


# -- custom attributes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (True, True),
        (False, False),
        (0, 0),
        (80, 80),
        (-1.5, -1.5),
        (2**63 - 1, 2**63 - 1),
        ("", ""),
        ("007", "007"),
        ("80", "80"),
        ("true", "true"),
        ("x" * 255, "x" * 255),
        ("😀" * 255, "😀" * 255),
        ("2021-05-01", "2021-05-01T00:00:00.000Z"),
        ("2021-05-01T10:00:00+02:00", "2021-05-01T08:00:00.000Z"),
        ("2021-05-01 10:00:00", "2021-05-01T10:00:00.000Z"),
        ("2021-05-01T10:00:00:123Z", "2021-05-01T10:00:00.123Z"),
        ("12-1-2021", "2021-12-01T00:00:00.000Z"),
        ("12/1/2021", "2021-12-01T00:00:00.000Z"),
        ("3001-01-01", "3001-01-01"),
        ("2021-02-30", "2021-02-30"),
        ("13/1/2021", "13/1/2021"),
        (["a", "b"], ["a", "b"]),
        ([], []),
        ([1, 2.5, True, "a"], [1, 2.5, True, "a"]),
        ({"a": {"b": [1, {"c": "d"}]}}, {"a": {"b": [1, {"c": "d"}]}}),
        ({"born": {"$time": "1980-01-01"}}, {"born": {"$time": "1980-01-01"}}),
        ([{"id": 1}, {"id": 2}], [{"id": 1}, {"id": 2}]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_values_are_kept_with_their_type(braze: Caller, sent: Any, shown: Any) -> None:
    """Each type is kept as it is, except strings that look like dates: those become dates."""
    braze.attributes({**U, "value": sent})

    kept = braze.custom("u")["value"]
    assert (kept, type(kept)) == (shown, type(shown))
    assert braze.dropped() == []


@pytest.mark.parametrize(
    "bad",
    [
        "x" * 256,
        2**63,
        ["x" * 256],
        ["a", None],
        ["a", ["b"]],
        ["a", {"b": 1}],
        {"a b": 1},
        {"a.b": 1},
        {"$a": 1},
        {"": 1},
        {"x" * 256: 1},
        {"a": None},
        {"a": "x" * 256},
        {"a": {"b": [None]}},
        {"a": {"$time": None}},
        {"a": {"$time": "soon"}},
        {f"key{n}": "x" * 255 for n in range(400)},
        [{"id": 1}, {"bad key": 2}],
        {"inc": "1"},
        {"inc": 1.5},
        {"inc": -1},
        {"add": "a"},
        {"add": [{"a": 1}]},
        {"$add": ["a"]},
        {"$update": [{"$identifier_key": "id"}]},
        {"$remove": [{"id": 1}]},
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_values_are_lost_in_silence(braze: Caller, bad: Any) -> None:
    """A bad custom value is lost behind a clean 201; the rest of the object is applied."""
    answer = braze.attributes({**U, "good": 1, "value": bad})

    assert answer.json() == {"attributes_processed": 1, "message": "success"}
    assert braze.custom("u") == {"good": 1}
    assert braze.dropped() == [("attributes", 0, "value")]


@pytest.mark.parametrize("value", ["1e400", "-1e400"])
def test_infinite_numbers_are_lost(braze: Caller, value: str) -> None:
    """A number that JSON allows and no float holds is lost."""
    braze.post(
        "/users/track",
        data=f'{{"attributes":[{{"external_id":"u","value":{value},"nested":{{"a":{value}}}}}]}}',
        headers={"Content-Type": "application/json"},
    )

    assert braze.custom("u") == {}


@pytest.mark.parametrize("name", ["", "  ", "x" * 256, "$price"])
def test_bad_names_are_lost_in_silence(braze: Caller, name: str) -> None:
    """A custom attribute with an impossible name is lost behind a clean 201."""
    answer = braze.attributes({**U, "good": 1, name: 2})

    assert answer.json() == {"attributes_processed": 1, "message": "success"}
    assert braze.custom("u") == {"good": 1}


def test_names_are_stripped_and_case_sensitive(braze: Caller) -> None:
    """Names lose leading and trailing spaces, keep inner ones, `?`, dots and their case."""
    braze.attributes(
        {**U, "  Do you enjoy our products? ": "Yes", "Score": 1, "score": 2, "a.b": 3}
    )

    assert braze.custom("u") == {
        "Do you enjoy our products?": "Yes",
        "Score": 1,
        "score": 2,
        "a.b": 3,
    }


def test_stripped_name_is_not_a_standard_field(braze: Caller) -> None:
    """A reserved name in spaces sets neither the standard field nor a custom attribute."""
    braze.attributes({**U, " email ": "a@example.com", " external_id": "x"})

    user = braze.user("u")
    assert "email" not in user
    assert "custom_attributes" not in user


def test_null_removes_an_attribute(braze: Caller) -> None:
    """Null removes a custom attribute, an empty string stays, and an absent one changes nothing."""
    braze.attributes({**U, "gone": 1, "empty": "x"})

    braze.attributes({**U, "gone": None, "empty": "", "never": None})

    assert braze.custom("u") == {"empty": ""}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (80, "80"),
        ("eighty", 80),
        (True, "true"),
        (True, 1),
        (1, True),
        ("text", ["text"]),
        (["a"], "a"),
        ({"a": 1}, [{"a": 1}]),
        (["a"], [{"a": 1}]),
        ("2021-05-01", "soon"),
        ("text", {"inc": 1}),
        (5, {"add": ["a"]}),
        (["a"], {"$add": [{"a": 1}]}),
        (["a"], {"remove": "a"}),
        (1.5, {"inc": 1}),
    ],
    ids=str,
)
def test_first_value_fixes_the_type(braze: Caller, first: Any, second: Any) -> None:
    """A value of another type than the first ever received is lost, on every profile."""
    braze.attributes({**U, "value": first})
    kept = braze.custom("u")

    braze.attributes({**U, "value": second}, {"external_id": "other", "value": second})

    assert braze.custom("u") == kept
    if not isinstance(second, dict) or second != {"inc": 1} or first != 1.5:
        assert braze.custom("other") == {}


def test_dates_in_strings_depend_on_the_first_value(braze: Caller) -> None:
    """A text attribute keeps date-like strings; a date-like first value makes it a date."""
    braze.attributes({**U, "text": "soon", "code": "12-1-2021"})

    braze.attributes({**U, "text": "12-1-2021", "code": "AB-12"})

    assert braze.custom("u") == {"text": "12-1-2021", "code": "2021-12-01T00:00:00.000Z"}


def test_type_outlives_its_value(braze: Caller) -> None:
    """The type stays when every value is gone, and a dropped first value fixes none."""
    braze.attributes({**U, "score": 80, "text": "x" * 256})
    braze.attributes({**U, "score": None})

    braze.attributes({**U, "score": "80", "text": 5})

    assert braze.custom("u") == {"text": 5}


@pytest.mark.parametrize(
    ("kind", "sent", "kept"),
    [
        ("boolean", "true", True),
        ("boolean", "T", True),
        ("boolean", "1", True),
        ("boolean", 1, True),
        ("boolean", "f", False),
        ("boolean", 0, False),
        ("boolean", "no", None),
        ("number", "80", 80),
        ("number", "-1.5", -1.5),
        ("number", "many", None),
        ("number", "1e999", None),
        ("number", True, None),
        ("string", 5, None),
        ("string", "12-1-2021", "12-1-2021"),
        ("time", "2021-05-01", "2021-05-01T00:00:00.000Z"),
        ("time", "soon", None),
        ("array", "a", None),
    ],
)
def test_forced_types_coerce_or_ignore(braze: Caller, kind: str, sent: Any, kept: Any) -> None:
    """Under a forced type a value is coerced, and ignored where it cannot be."""
    braze.settings(attribute_types={"value": kind})

    for external_id in ("u", "second"):
        braze.attributes({"external_id": external_id, "value": sent})

    expected = {} if kept is None else {"value": kept}
    assert (braze.custom("u"), braze.custom("second")) == (expected, expected)


def test_blocklisted_attributes_are_not_collected(braze: Caller) -> None:
    """A blocklisted attribute is lost while the call succeeds."""
    braze.settings(blocklisted_attributes=["secret"])

    answer = braze.attributes({**U, "secret": 1, "open": 2})

    assert answer.json() == {"attributes_processed": 1, "message": "success"}
    assert braze.custom("u") == {"open": 2}
    assert braze.dropped() == [("attributes", 0, "secret")]


# -- operators -----------------------------------------------------------------------------------


def test_inc_adds_to_integers(braze: Caller) -> None:
    """`inc` adds to an integer and begins from nothing at zero."""
    braze.attributes({**U, "count": {"inc": 2}})
    braze.attributes({**U, "count": {"inc": 3}})

    assert braze.custom("u") == {"count": 5}


def test_arrays_are_unique_and_re_adding_moves_to_the_end(braze: Caller) -> None:
    """Values are unique, re-adding one moves it to the end, add and remove go together."""
    braze.attributes({**U, "music": ["a", "b", "a", "c"]})
    first = braze.custom("u")["music"]

    braze.attributes({**U, "music": {"add": ["b", "d"], "remove": ["c"]}})

    assert first == ["b", "a", "c"]
    assert braze.custom("u")["music"] == ["a", "b", "d"]


def test_add_makes_an_array(braze: Caller) -> None:
    """`add` on an attribute that is not there makes the array."""
    braze.attributes({**U, "music": {"add": ["a"]}})

    assert braze.custom("u") == {"music": ["a"]}


def test_arrays_keep_the_newest_500(braze: Caller) -> None:
    """An array holds 500 values; at overflow the oldest go."""
    texts = [str(number) for number in range(501)]
    braze.attributes({**U, "set": list(range(501)), "texts": texts})
    braze.attributes({**U, "added": list(range(500))})
    braze.attributes({**U, "added": {"add": [500, 501]}})

    custom = braze.custom("u")
    assert custom["set"] == list(range(1, 501))
    assert custom["texts"] == texts[1:]
    assert custom["added"] == list(range(2, 502))


def test_arrays_over_100_kb_are_lost(braze: Caller) -> None:
    """An array whose JSON is over 100 KB is lost."""
    braze.attributes({**U, "big": [f"{n:0>255}" for n in range(450)]})

    assert braze.custom("u") == {}


def test_objects_are_overwritten_unless_merged(braze: Caller) -> None:
    """An object replaces the old one, and is merged deeply under `_merge_objects: true`."""
    old = {"year": 1960, "by": {"first": "A", "last": "B"}}
    braze.attributes({**U, "merged": old, "replaced": old})

    braze.attributes({**U, "_merge_objects": True, "merged": {"by": {"last": "C"}, "new": 1}})
    braze.attributes({**U, "replaced": {"by": {"last": "C"}}})

    assert braze.custom("u") == {
        "merged": {"year": 1960, "by": {"first": "A", "last": "C"}, "new": 1},
        "replaced": {"by": {"last": "C"}},
    }


def test_merge_past_100_kb_changes_nothing(braze: Caller) -> None:
    """A merge whose result is over 100 KB leaves the attribute as it was."""
    half = {f"a{n}": "x" * 250 for n in range(200)}
    braze.attributes({**U, "big": half})

    other = {f"b{n}": "x" * 250 for n in range(200)}
    braze.attributes({**U, "_merge_objects": True, "big": other})

    assert braze.custom("u") == {"big": half}
    assert braze.dropped() == [("attributes", 0, "big")]


@pytest.mark.parametrize(
    ("flag", "updated"),
    [
        ({}, {"name": "Bowser"}),
        ({"_merge_objects": False}, {"name": "Bowser"}),
        ({"_merge_objects": True}, {"id": 5, "name": "Bowser"}),
    ],
    ids=str,
)
def test_array_of_objects_operators(
    braze: Caller, flag: dict[str, bool], updated: dict[str, Any]
) -> None:
    """`$add`, `$remove`, `$update` in that order. `$update` overwrites without `_merge_objects`."""
    braze.attributes({**U, "pets": [{"id": 1, "name": "Rex"}, {"id": 2, "name": "Tom"}]})

    braze.attributes(
        {
            **U,
            **flag,
            "pets": {
                "$update": [
                    {
                        "$identifier_key": "id",
                        "$identifier_value": 5,
                        "$new_object": {"name": "Bowser"},
                    },
                ],
                "$remove": [{"$identifier_key": "id", "$identifier_value": 2}],
                "$add": [{"id": 5, "name": "Fluffy"}],
            },
        },
    )

    assert braze.custom("u")["pets"] == [{"id": 1, "name": "Rex"}, updated]


def test_drops_are_on_the_profile_too(braze: Caller) -> None:
    """What was dropped is listed on the profile, with the request's number and the reason."""
    braze.attributes({**U, "text": "x" * 256})

    assert braze.profile("u")["dropped"] == [
        {
            "n": 1,
            "path": "/users/track",
            "input_array": "attributes",
            "index": 0,
            "field": "text",
            "reason": "a string over 255 characters",
        },
    ]


def test_subscription_groups_create_and_subscribe(braze: Caller) -> None:
    """`subscription_groups` creates and subscribes at once, for all who share the e-mail."""
    braze.attributes({"external_id": "sharer", "email": "a@example.com"})

    answer = braze.attributes(
        {
            **U,
            "email": "a@example.com",
            "subscription_groups": [
                {"subscription_group_id": "demo-email-group", "subscription_state": "subscribed"},
            ],
        },
    )

    assert list(types_in(answer)) == []
    assert braze.status("demo-email-group", external_id=["u", "sharer"]) == {
        "u": "Subscribed",
        "sharer": "Subscribed",
    }
