"""The inputs that the models accept, and their JSON."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braze_bridge.braze import limits
from braze_bridge.braze.errors import (
    InvalidAttributeError,
    InvalidEventError,
    InvalidIdentifierError,
    InvalidInputError,
    InvalidReason,
    InvalidRequestError,
)
from braze_bridge.braze.identifiers import UserAlias, UserIdentifier
from braze_bridge.braze.models import (
    AttributesObject,
    EventObject,
    ExportedUser,
    ExportIdsRequest,
    ExportIdsResponse,
    TrackRequest,
)

USER = UserIdentifier(external_id="user-1")
TIME = datetime(2026, 11, 22, 9, 30, 0, 123_987, tzinfo=UTC)


def attributes(values: Any, user: UserIdentifier = USER, only: bool | None = None) -> Any:
    """Encode an attributes object and parse its JSON."""
    return json.loads(AttributesObject(user, only, values).encode())


def event(properties: Any = None, **changes: Any) -> Any:
    """Encode an event and parse its JSON."""
    fields = {"user": USER, "update_existing_only": None, "name": "quiz", "time": TIME}
    made = EventObject(**(fields | changes), properties={} if properties is None else properties)
    return json.loads(made.encode())


class TestUserIdentifier:
    """Exactly one identifier, within its bytes."""

    @pytest.mark.parametrize(
        ("identifier", "kind", "member"),
        [
            (UserIdentifier(external_id="a"), "external_id", {"external_id": "a"}),
            (UserIdentifier(braze_id="b"), "braze_id", {"braze_id": "b"}),
            (UserIdentifier(email="é@x.io"), "email", {"email": "é@x.io"}),
            (UserIdentifier(phone="+15555550123"), "phone", {"phone": "+15555550123"}),
            (
                UserIdentifier(user_alias=UserAlias("n", "l")),
                "user_alias",
                {"user_alias": {"alias_name": "n", "alias_label": "l"}},
            ),
        ],
    )
    def test_kinds(self, identifier: UserIdentifier, kind: str, member: dict[str, Any]) -> None:
        """Each kind knows its name and its place in Braze's JSON."""
        assert identifier.kind == kind
        assert identifier.value in str(member)
        assert attributes({}, identifier) == member

    @pytest.mark.parametrize(
        ("given_", "reason"),
        [
            ({}, InvalidReason.IDENTIFIER_COUNT),
            ({"external_id": "a", "email": "a@x.io"}, InvalidReason.IDENTIFIER_COUNT),
            ({"external_id": "", "email": "a@x.io"}, InvalidReason.IDENTIFIER_COUNT),
            ({"external_id": ""}, InvalidReason.IDENTIFIER_BLANK),
            ({"email": " \t"}, InvalidReason.IDENTIFIER_BLANK),
            ({"external_id": 7}, InvalidReason.WRONG_TYPE),
            ({"user_alias": {"alias_name": "a"}}, InvalidReason.WRONG_TYPE),
            ({"external_id": "x" * 988}, InvalidReason.IDENTIFIER_TOO_LONG),
            ({"external_id": "é" * 494}, InvalidReason.IDENTIFIER_TOO_LONG),
            ({"external_id": "\ud800"}, InvalidReason.BAD_UNICODE),
            ({"phone": "5555550123"}, InvalidReason.PHONE_NOT_E164),
            ({"phone": "+1 555 555 0123"}, InvalidReason.PHONE_NOT_E164),
            ({"phone": "+٣٣٣٣٣٣٣"}, InvalidReason.PHONE_NOT_E164),
            ({"phone": "+15555550123\n"}, InvalidReason.PHONE_NOT_E164),
        ],
    )
    def test_refused(self, given_: dict[str, Any], reason: InvalidReason) -> None:
        """None, several, blank, too long or odd ones are refused by a code."""
        with pytest.raises(InvalidIdentifierError) as caught:
            UserIdentifier(**given_)

        assert caught.value.reason is reason

    def test_the_limit_itself_is_allowed(self) -> None:
        """987 bytes pass for an external_id, 236 for each part of an alias."""
        assert UserIdentifier(external_id="x" * 987).value == "x" * 987
        assert UserAlias("é" * 118, "x" * 236).alias_name == "é" * 118

    @pytest.mark.parametrize(
        ("name", "label", "reason"),
        [
            ("", "l", InvalidReason.IDENTIFIER_BLANK),
            ("n", " ", InvalidReason.IDENTIFIER_BLANK),
            ("n" * 237, "l", InvalidReason.IDENTIFIER_TOO_LONG),
            ("n", "é" * 119, InvalidReason.IDENTIFIER_TOO_LONG),
            (None, "l", InvalidReason.WRONG_TYPE),
        ],
    )
    def test_alias_refused(self, name: Any, label: Any, reason: InvalidReason) -> None:
        """An alias has two parts of 1 to 236 bytes."""
        with pytest.raises(InvalidIdentifierError) as caught:
            UserAlias(name, label)

        assert caught.value.reason is reason

    def test_it_keys_a_persons_work(self) -> None:
        """Equal identifiers are equal keys; the same text of another kind is another person."""
        work = {UserIdentifier(external_id="a"): 1, UserIdentifier(braze_id="a"): 2}

        assert work[UserIdentifier(external_id="a")] == 1
        assert len(work) == 2


class TestAttributesObject:
    """Names and values of a profile."""

    def test_encoding(self) -> None:
        """Compact UTF-8; each value keeps its type, booleans too."""
        encoded = AttributesObject(
            USER, False, {"s": 'é"\n', "i": 7, "f": 1.5, "t": True, "n": None, "a": ["x", 2, False]}
        ).encode()

        assert (
            encoded
            == (
                '{"external_id":"user-1","_update_existing_only":false,'
                '"s":"é\\"\\n","i":7,"f":1.5,"t":true,"n":null,"a":["x",2,false]}'
            ).encode()
        )

    @pytest.mark.parametrize(
        ("only", "expected"),
        [
            (None, {"external_id": "user-1"}),
            (True, {"external_id": "user-1", "_update_existing_only": True}),
            (False, {"external_id": "user-1", "_update_existing_only": False}),
        ],
    )
    def test_update_existing_only(self, only: bool | None, expected: dict[str, Any]) -> None:
        """It is sent only if given."""
        assert attributes({}, only=only) == expected

    def test_enum_values_are_their_values(self) -> None:
        """Members of string and integer enumerations go out as plain strings and integers."""
        colour = Enum("colour", {"RED": "red"}, type=str)
        size = Enum("size", {"BIG": 9}, type=int)

        assert attributes({"c": colour.RED, "s": size.BIG, "l": (size.BIG,)}) == {
            "external_id": "user-1",
            "c": "red",
            "s": 9,
            "l": [9],
        }

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ("x" * 256, InvalidReason.STRING_TOO_LONG),
            ("\udfff", InvalidReason.BAD_UNICODE),
            (math.nan, InvalidReason.NUMBER_NOT_FINITE),
            (-math.inf, InvalidReason.NUMBER_NOT_FINITE),
            (2**63, InvalidReason.NUMBER_TOO_LARGE),
            (-(2**63) - 1, InvalidReason.NUMBER_TOO_LARGE),
            pytest.param(10**5000, InvalidReason.NUMBER_TOO_LARGE, id="5,000 digits"),
            (["x"] * 501, InvalidReason.ARRAY_TOO_LONG),
            (["é" * 250] * 300, InvalidReason.VALUE_TOO_LARGE),
            (["x" * 256], InvalidReason.STRING_TOO_LONG),
            ([None], InvalidReason.NULL_INSIDE),
            ([["x"]], InvalidReason.WRONG_TYPE),
            ([{"a": 1}], InvalidReason.WRONG_TYPE),
            ({"inc": 1}, InvalidReason.WRONG_TYPE),
            ({1, 2}, InvalidReason.WRONG_TYPE),
            (b"x", InvalidReason.WRONG_TYPE),
            (TIME, InvalidReason.WRONG_TYPE),
        ],
    )
    def test_value_refused(self, value: Any, reason: InvalidReason) -> None:
        """What Braze would lose, truncate or refuse is refused first, by a code."""
        with pytest.raises(InvalidAttributeError) as caught:
            attributes({"field": value})

        assert caught.value.reason is reason

    @pytest.mark.parametrize(
        "value",
        [
            "x" * 255,
            "é" * 255,
            "",
            2**63 - 1,
            -(2**63),
            1e308,
            0.1,
            [],
            ["x"] * 500,
            ["x" * 250] * 390,
        ],
    )
    def test_the_limit_itself_is_allowed(self, value: Any) -> None:
        """Values just within a limit pass unchanged."""
        assert attributes({"field": value})["field"] == value

    def test_image_urls_may_be_longer(self) -> None:
        """`image_url` has a limit of its own: 1,024 characters."""
        assert attributes({"image_url": "u" * 1024})["image_url"] == "u" * 1024
        with pytest.raises(InvalidAttributeError):
            attributes({"image_url": "u" * 1025})

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("", InvalidReason.NAME_BLANK),
            (" ", InvalidReason.NAME_BLANK),
            ("n" * 256, InvalidReason.NAME_TOO_LONG),
            ("\ud83d", InvalidReason.BAD_UNICODE),
            (7, InvalidReason.WRONG_TYPE),
            ("external_id", InvalidReason.NAME_RESERVED),
            (" external_id ", InvalidReason.NAME_RESERVED),
            ("braze_id", InvalidReason.NAME_RESERVED),
            ("user_alias", InvalidReason.NAME_RESERVED),
            ("_update_existing_only", InvalidReason.NAME_RESERVED),
            ("_merge_objects", InvalidReason.NAME_RESERVED),
            ("email_subscription_info", InvalidReason.NAME_RESERVED),
        ],
    )
    def test_name_refused(self, name: Any, reason: InvalidReason) -> None:
        """A name that is blank, too long or a key of Braze is refused, every time."""
        for _ in range(2):
            with pytest.raises(InvalidAttributeError) as caught:
                attributes({name: 1})

            assert caught.value.reason is reason

    def test_question_texts_are_names(self) -> None:
        """A survey's question may be a name: spaces, commas, question marks, dots."""
        name = "Overall, how satisfied are you with Iterate? (1.-5.)"

        assert attributes({name: "Very"})[name] == "Very"

    def test_primary_identifier_with_email(self) -> None:
        """Next to a primary identifier, e-mail and phone are attributes."""
        assert attributes({"email": "a@x.io", "phone": None}) == {
            "external_id": "user-1",
            "email": "a@x.io",
            "phone": None,
        }

    def test_an_identifier_said_twice_is_sent_once(self) -> None:
        """The e-mail that identifies, given again as attribute, is one JSON member."""
        encoded = AttributesObject(
            UserIdentifier(email="a@x.io"), None, {"email": "a@x.io", "phone": "+331"}
        ).encode()

        assert encoded == b'{"email":"a@x.io","phone":"+331"}'

    @pytest.mark.parametrize(
        ("user", "name", "value"),
        [
            (UserIdentifier(email="a@x.io"), "email", "b@x.io"),
            (UserIdentifier(email="a@x.io"), "email ", None),
            (UserIdentifier(phone="+15555550123"), "phone", "+15555550124"),
            (UserIdentifier(phone="+15555550123"), "email", "b@x.io"),
            (UserIdentifier(phone="+15555550123"), "email", None),
        ],
    )
    def test_an_attribute_cannot_become_the_identifier(
        self, user: UserIdentifier, name: str, value: Any
    ) -> None:
        """An e-mail beside an identifying phone would change the user: e-mail takes precedence."""
        with pytest.raises(InvalidAttributeError) as caught:
            attributes({name: value}, user)

        assert caught.value.reason is InvalidReason.IDENTIFIER_AS_ATTRIBUTE

    def test_an_object_that_no_request_can_hold(self) -> None:
        """One object over the byte margin is refused when encoded."""
        huge = {f"field-{number}": "x" * 255 for number in range(14_000)}

        with pytest.raises(InvalidAttributeError) as caught:
            AttributesObject(USER, None, huge).encode()

        assert caught.value.reason is InvalidReason.OBJECT_TOO_LARGE

    def test_an_error_names_the_attribute_beside_its_text(self) -> None:
        """The error has the name; its text has no names and values."""
        with pytest.raises(InvalidAttributeError) as caught:
            attributes({"Your secret?": "s" * 300})

        assert caught.value.name == "Your secret?"
        assert str(caught.value) == "string_too_long: a string over 255 characters"


class TestEventObject:
    """Events: name, time, properties."""

    def test_encoding(self) -> None:
        """The time goes out in UTC with milliseconds and Z."""
        encoded = EventObject(
            USER, True, "quiz", TIME, {"score": 80, "level": None, "tags": ["a"]}
        ).encode()

        assert encoded == (
            b'{"external_id":"user-1","_update_existing_only":true,"name":"quiz",'
            b'"time":"2026-11-22T09:30:00.123Z","properties":{"score":80,"tags":["a"]}}'
        )

    def test_without_properties(self) -> None:
        """No properties, no key."""
        assert event() == {"external_id": "user-1", "name": "quiz", "time": TIME_TEXT}

    def test_other_zones_become_utc(self) -> None:
        """A time in another zone is the same moment in UTC."""
        elsewhere = TIME.astimezone(timezone(timedelta(hours=-5, minutes=-30)))

        assert event(time=elsewhere)["time"] == TIME_TEXT

    @pytest.mark.parametrize(
        ("time", "reason"),
        [
            (TIME.replace(tzinfo=None), InvalidReason.TIME_WITHOUT_ZONE),
            (
                datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
                InvalidReason.TIME_OUT_OF_RANGE,
            ),
            ("2026-11-22T09:30:00Z", InvalidReason.WRONG_TYPE),
        ],
    )
    def test_time_refused(self, time: Any, reason: InvalidReason) -> None:
        """A time without a zone would be guessed at; it is refused."""
        with pytest.raises(InvalidEventError) as caught:
            event(time=time)

        assert caught.value.reason is reason

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("", InvalidReason.NAME_BLANK),
            ("n" * 256, InvalidReason.NAME_TOO_LONG),
            (None, InvalidReason.WRONG_TYPE),
        ],
    )
    def test_name_refused(self, name: Any, reason: InvalidReason) -> None:
        """An event needs a name of 1 to 255 characters."""
        with pytest.raises(InvalidEventError) as caught:
            event(name=name)

        assert caught.value.reason is reason

    @pytest.mark.parametrize(
        ("properties", "reason"),
        [
            ({"time": 1}, InvalidReason.NAME_RESERVED),
            ({"event_name": 1}, InvalidReason.NAME_RESERVED),
            ({" time": 1}, InvalidReason.NAME_RESERVED),
            ({"$x": 1}, InvalidReason.NAME_LEADING_DOLLAR),
            ({"": 1}, InvalidReason.NAME_BLANK),
            ({"n" * 256: 1}, InvalidReason.NAME_TOO_LONG),
            ({"x": "s" * 256}, InvalidReason.STRING_TOO_LONG),
            ({"x": math.inf}, InvalidReason.NUMBER_NOT_FINITE),
            ({"x": [{"y": 1}]}, InvalidReason.WRONG_TYPE),
            ({"x": [None]}, InvalidReason.NULL_INSIDE),
            ({"x": {"y": None}}, InvalidReason.NULL_INSIDE),
            ({"x": {"a b": 1}}, InvalidReason.NAME_NESTED_CHARACTER),
            ({"x": {"a.b": 1}}, InvalidReason.NAME_NESTED_CHARACTER),
            ({"x": {"a$": 1}}, InvalidReason.NAME_NESTED_CHARACTER),
            ({"x": TIME}, InvalidReason.WRONG_TYPE),
            ({"x": "\ud800"}, InvalidReason.BAD_UNICODE),
            ({f"p{n}": "é" * 250 for n in range(250)}, InvalidReason.VALUE_TOO_LARGE),
        ],
    )
    def test_property_refused(self, properties: Any, reason: InvalidReason) -> None:
        """Reserved names, odd values and over 100 KB are refused by a code."""
        with pytest.raises(InvalidEventError) as caught:
            event(properties)

        assert caught.value.reason is reason

    def test_depth_is_bounded(self) -> None:
        """Twenty levels of objects pass, more do not, however many more."""
        for depth, fits in ((20, True), (21, False), (5_000, False)):
            properties: Any = {"x": 1}
            for _ in range(depth - 1):
                properties = {"x": properties}
            if fits:
                assert event(properties)["properties"] == properties
            else:
                with pytest.raises(InvalidEventError) as caught:
                    event(properties)
                assert caught.value.reason is InvalidReason.TOO_DEEP

    def test_nested_objects(self) -> None:
        """Objects may nest, from any mapping; `time` is reserved at the top only."""
        properties = {"release": MappingProxyType({"time": "2022", "cast": ["A", "B"]})}

        assert event(properties)["properties"] == {"release": {"time": "2022", "cast": ["A", "B"]}}


TIME_TEXT = "2026-11-22T09:30:00.123Z"

TEXTS = st.text(max_size=300)
SCALARS = st.one_of(st.booleans(), st.integers(), st.floats(), TEXTS)
VALUES = st.one_of(st.none(), SCALARS, st.lists(SCALARS, max_size=5))


@settings(deadline=None)  # a busy machine is no failure
@given(st.dictionaries(TEXTS, VALUES, max_size=5), st.sampled_from([None, True, False]))
def test_attributes_round_trip_or_are_refused(values: dict[str, Any], only: bool | None) -> None:
    """Encoded and parsed again, the attributes are the same, within the limits."""
    try:
        encoded = AttributesObject(USER, only, values).encode()
    except InvalidInputError:
        return

    parsed = json.loads(encoded)
    assert parsed.pop("external_id") == "user-1"
    assert parsed.pop("_update_existing_only", None) is only
    assert parsed == values
    assert all(type(parsed[name]) is type(value) for name, value in values.items())
    assert all(0 < len(name) <= limits.MAX_STRING_CHARS for name in parsed)
    assert all(
        len(value) <= limits.MAX_STRING_CHARS for value in parsed.values() if isinstance(value, str)
    )


PROPERTIES = st.recursive(
    st.one_of(st.none(), SCALARS, st.lists(SCALARS, max_size=3)),
    lambda inner: st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)  # a busy machine is no failure
@given(
    TEXTS,
    st.datetimes(timezones=st.timezones()),
    st.dictionaries(TEXTS, PROPERTIES, max_size=4),
)
def test_events_round_trip_or_are_refused(
    name: str, time: datetime, properties: dict[str, Any]
) -> None:
    """An encoded event is the one given: name, moment (to the millisecond) and properties."""
    try:
        encoded = EventObject(USER, None, name, time, properties).encode()
    except InvalidInputError:
        return

    parsed = json.loads(encoded)
    moment = datetime.fromisoformat(parsed["time"])
    assert parsed["name"] == name
    assert timedelta(0) <= time - moment < timedelta(milliseconds=1)
    assert parsed.get("properties", {}) == {
        key: value for key, value in properties.items() if value is not None
    }


class TestTrackRequest:
    """Ready-made objects, joined."""

    def test_body(self) -> None:
        """Arrays hold their objects in order; an array without objects is left out."""
        one, two = b'{"a":1}', b'{"b":2}'

        assert TrackRequest([one, two], [two]).body() == (
            b'{"attributes":[{"a":1},{"b":2}],"events":[{"b":2}]}'
        )
        assert TrackRequest([one], []).body() == b'{"attributes":[{"a":1}]}'
        assert TrackRequest((), (two,)).body() == b'{"events":[{"b":2}]}'

    @settings(deadline=None)  # a busy machine is no failure
    @given(
        st.lists(st.just(b"{}"), max_size=75),
        st.lists(st.just(b'{"n":1}'), max_size=75),
    )
    def test_up_to_75_together(self, first: list[bytes], second: list[bytes]) -> None:
        """Up to 75 objects of both arrays together make a request, of the size it says."""
        total = len(first) + len(second)
        if 0 < total <= 75:
            request = TrackRequest(first, second)
            assert request.objects == total
            assert request.size == len(request.body())
        else:
            with pytest.raises(InvalidRequestError) as caught:
                TrackRequest(first, second)
            assert caught.value.reason is (
                InvalidReason.TOO_MANY_OBJECTS if total else InvalidReason.REQUEST_EMPTY
            )

    @pytest.mark.parametrize(("attributes_", "events"), [(75, 0), (0, 75), (40, 35)])
    def test_exactly_75(self, attributes_: int, events: int) -> None:
        """75 fit in any split, one more does not."""
        assert TrackRequest([b"{}"] * attributes_, [b"{}"] * events).objects == 75
        with pytest.raises(InvalidRequestError):
            TrackRequest([b"{}"] * attributes_, [b"{}"] * (events + 1))

    def test_byte_margin(self) -> None:
        """A body may have the safe size, and not a byte more."""
        frame = len(b'{"attributes":[]}')
        fitting = b" " * (limits.SAFE_BODY_BYTES - frame)

        assert TrackRequest([fitting]).size == limits.SAFE_BODY_BYTES
        with pytest.raises(InvalidRequestError) as caught:
            TrackRequest([fitting + b" "])
        assert caught.value.reason is InvalidReason.REQUEST_TOO_LARGE


class TestExportIdsRequest:
    """Look-ups."""

    def test_body(self) -> None:
        """Only what is asked for is in the body, and always the fields."""
        assert json.loads(
            ExportIdsRequest(["braze_id", "user_aliases"], email_address="a@x.io").body()
        ) == {"fields_to_export": ["braze_id", "user_aliases"], "email_address": "a@x.io"}
        assert json.loads(
            ExportIdsRequest(
                ["email"], external_ids=["a"], user_aliases=[UserAlias("n", "l")], braze_id="b"
            ).body()
        ) == {
            "fields_to_export": ["email"],
            "external_ids": ["a"],
            "user_aliases": [{"alias_name": "n", "alias_label": "l"}],
            "braze_id": "b",
        }

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({}, InvalidReason.IDENTIFIER_COUNT),
            (
                {"email_address": "a@x.io", "phone": "+15555550123"},
                InvalidReason.IDENTIFIER_COUNT,
            ),
            ({"external_ids": ["x"] * 51}, InvalidReason.TOO_MANY_IDS),
            (
                {"external_ids": ["x"] * 25, "user_aliases": [UserAlias("n", "l")] * 26},
                InvalidReason.TOO_MANY_IDS,
            ),
            ({"fields_to_export": [], "braze_id": "b"}, InvalidReason.FIELD_MISSING),
            ({"fields_to_export": "email", "braze_id": "b"}, InvalidReason.FIELD_MISSING),
            ({"fields_to_export": ["emails"], "braze_id": "b"}, InvalidReason.FIELD_UNKNOWN),
            ({"email_address": " "}, InvalidReason.IDENTIFIER_BLANK),
            ({"external_ids": [""]}, InvalidReason.IDENTIFIER_BLANK),
            ({"external_ids": "abc"}, InvalidReason.WRONG_TYPE),
            ({"phone": "0155555"}, InvalidReason.PHONE_NOT_E164),
        ],
    )
    def test_refused(self, changes: dict[str, Any], reason: InvalidReason) -> None:
        """No identifier, too many, or a field that does not exist are refused by a code."""
        with pytest.raises(InvalidInputError) as caught:
            ExportIdsRequest(**({"fields_to_export": ["email"]} | changes))

        assert caught.value.reason is reason

    def test_fifty_are_allowed(self) -> None:
        """50 ids, of both kinds together, are one request."""
        request = ExportIdsRequest(
            ["email"], external_ids=["x"] * 25, user_aliases=[UserAlias("n", "l")] * 25
        )

        assert len(json.loads(request.body())["external_ids"]) == 25


def test_the_identified_profile_is_preferred() -> None:
    """Of several profiles the first with an external_id, else the first, else none."""
    first, second = ExportedUser(braze_id="1"), ExportedUser(braze_id="2", external_id="e")

    assert ExportIdsResponse([first, second]).preferred() is second
    assert ExportIdsResponse([first]).preferred() is first
    assert ExportIdsResponse([]).preferred() is None


def test_reprs_hold_no_personal_data() -> None:
    """No repr of a model that holds a person's data shows any of it."""
    email, phone = "ana@example.com", "+15555550123"
    alias = UserAlias(email, "email")
    models = [
        alias,
        UserIdentifier(email=email),
        UserIdentifier(user_alias=alias),
        AttributesObject(UserIdentifier(phone=phone), None, {"first_name": email}),
        EventObject(UserIdentifier(external_id=email), None, "quiz", TIME, {"to": phone}),
        TrackRequest([email.encode()]),
        ExportIdsRequest(["email"], email_address=email),
        ExportIdsRequest(["email"], external_ids=[email], user_aliases=[alias]),
        ExportIdsRequest(["email"], phone=phone),
        ExportedUser(email, email, (alias,), email, phone, None, {"x": email}, {"y": phone}),
        ExportIdsResponse([ExportedUser(email=email)]),
    ]

    assert not [model for model in models if email in repr(model) or phone in repr(model)]
