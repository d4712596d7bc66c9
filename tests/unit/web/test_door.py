"""The door: which calls it admits, and how it answers the others."""

from __future__ import annotations

import base64
import json
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.aws.secrets import SecretPair
from braze_bridge.observability import Metric
from braze_bridge.reasons import Reason
from braze_bridge.web.door import (
    MAX_BODY_BYTES,
    Admitted,
    Door,
    DoorError,
    Route,
    answer,
    correlation_id,
    unavailable,
)
from tests.fakes.api_event import TOKEN, proxy_event
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.json_bodies import json_values
from tests.fakes.meter import RecordingMeter
from tests.fakes.secret import FixedSecret

ROUTES = (
    Route("POST", "/outgrow"),
    Route("POST", "/outgrow/{content_id}"),
    Route("GET", "/things/{id}", has_body=False),
)


class Entrance:
    """A door and what it touches."""

    def __init__(self, secret: FixedSecret | None = None, *, query: bool = False) -> None:
        self.secret = FixedSecret(TOKEN) if secret is None else secret
        self.meter = RecordingMeter()
        self.door = Door(
            routes=ROUTES,
            secret=self.secret,
            meter=self.meter,
            clock=FixedClock(),
            allow_query_token=query,
        )

    def admit(self, event: object) -> Admitted:
        return self.door.admit(event)

    def refusal(self, event: object) -> DoorError:
        with pytest.raises(DoorError) as raised:
            self.door.admit(event)
        return raised.value


def test_right_call_is_admitted_whole() -> None:
    """A right call comes out with its parsed body, its text, its parameters, id and time."""
    admitted = Entrance().admit(proxy_event('{"a": [1]}', path="/outgrow/c-1"))

    assert admitted.body == {"a": [1]}
    assert admitted.body_text == '{"a": [1]}'
    assert admitted.path == "/outgrow/c-1"
    assert admitted.path_parameters == {"content_id": "c-1"}
    assert admitted.correlation_id == "c0ffee00-0000-4000-8000-000000000001"
    assert admitted.received_at == NOON


def test_base64_body_is_undone_and_byte_order_mark_dropped() -> None:
    """What is parsed and kept is the text the sender wrote."""
    admitted = Entrance().admit(proxy_event(b'\xef\xbb\xbf{"a":"\xc3\xa9"}'))

    assert (admitted.body, admitted.body_text) == ({"a": "é"}, '{"a":"é"}')


def test_route_without_body_needs_neither_body_nor_content_type() -> None:
    """A GET needs only its token."""
    event = proxy_event(
        None,
        path="/things/7",
        resource="/things/{id}",
        path_parameters={"id": "7"},
        method="GET",
    )
    event["headers"].pop("Content-Type")
    event["multiValueHeaders"].pop("Content-Type")

    admitted = Entrance().admit(event)

    assert (admitted.path, admitted.body, admitted.body_text) == ("/things/7", None, "")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/outgrow"), ("POST", "/"), ("POST", "/outgrow/a/b"), ("POST", "/things/7")],
)
def test_unknown_route_is_404(method: str, path: str) -> None:
    """A path without a route is not found, with any token."""
    refusal = Entrance().refusal(proxy_event("{}", method=method, path=path, token=None))

    assert refusal.status == HTTPStatus.NOT_FOUND


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": f"Bearer{TOKEN}"},
        {"Authorization": f"Bearer {TOKEN} {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}, Bearer {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN.upper()}"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer"},
        {"Authorization": ""},
        {"Authorization": "Bearer tök\ud800en"},
        {"X-Authorization": f"Bearer {TOKEN}"},
        {},
    ],
)
@pytest.mark.parametrize("body", ['{"a": 1}', "{", "", None, b"\xff"])
def test_wrong_token_is_401_whatever_the_body(
    headers: dict[str, str], body: str | bytes | None
) -> None:
    """Without the right token the answer is only 401, and the call is counted."""
    entrance = Entrance()

    refusal = entrance.refusal(proxy_event(body, token=None, headers=headers))

    assert refusal.status == HTTPStatus.UNAUTHORIZED
    assert refusal.response()["body"] == '{"status":"error"}'
    assert entrance.meter.figures == [(Metric.UNAUTHORIZED, 1)]


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"bearer {TOKEN}"},
        {"AUTHORIZATION": f"BEARER   {TOKEN}  "},
    ],
)
def test_spelling_of_header_and_scheme_does_not_matter(headers: dict[str, str]) -> None:
    """HTTP compares both without case."""
    assert Entrance().admit(proxy_event("{}", token=None, headers=headers)).body == {}


def test_several_authorization_headers_are_401() -> None:
    """With two headers it is unclear which one counts, so none does."""
    event = proxy_event("{}")
    event["multiValueHeaders"]["Authorization"] = [f"Bearer {TOKEN}", f"Bearer {TOKEN}"]
    other = proxy_event("{}")
    other["multiValueHeaders"] = None
    other["headers"]["authorization"] = f"Bearer {TOKEN}"

    assert Entrance().refusal(event).status == HTTPStatus.UNAUTHORIZED
    assert Entrance().refusal(other).status == HTTPStatus.UNAUTHORIZED


def test_event_with_plain_headers_only_is_enough() -> None:
    """The ``multiValue…`` keys may be missing."""
    event = proxy_event("{}")
    del event["multiValueHeaders"]

    assert Entrance().admit(event).body == {}


def test_both_halves_of_a_secret_are_valid() -> None:
    """While a token is rotated, the previous one works as well as the current one."""
    entrance = Entrance(FixedSecret("new", previous="old"))

    for token in ("new", "old"):
        assert entrance.admit(proxy_event("{}", token=token)).body == {}
    assert entrance.secret.refreshes == 0


@pytest.mark.parametrize("token", ["", " ", "x"])
def test_empty_half_matches_nothing(token: str) -> None:
    """A secret without a token admits no call, not even one with an empty token."""
    entrance = Entrance(FixedSecret("", previous=""))

    assert entrance.refusal(proxy_event("{}", token=token)).status == HTTPStatus.UNAUTHORIZED


def test_token_rotated_meanwhile_works_at_once() -> None:
    """A token that matches neither half makes the door read the secret again, once."""
    entrance = Entrance(FixedSecret("old", rotated=SecretPair(current="new", previous="old")))

    assert entrance.admit(proxy_event("{}", token="new")).body == {}
    assert entrance.secret.refreshes == 1


def test_unreadable_secret_is_503() -> None:
    """A caller who cannot be checked is not admitted, and is asked to try again."""
    secret = FixedSecret(TOKEN)
    secret.unavailable = True

    refusal = Entrance(secret).refusal(proxy_event("{}"))

    assert refusal.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert int(refusal.response()["headers"]["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("query", "headers", "allowed", "status"),
    [
        ({"token": TOKEN}, {}, True, None),
        ({"token": TOKEN}, {}, False, HTTPStatus.UNAUTHORIZED),
        ({"token": "wrong"}, {}, True, HTTPStatus.UNAUTHORIZED),
        ({"Token": TOKEN}, {}, True, HTTPStatus.UNAUTHORIZED),
        ({}, {}, True, HTTPStatus.UNAUTHORIZED),
        ({"token": TOKEN}, {"Authorization": "Bearer wrong"}, True, HTTPStatus.UNAUTHORIZED),
        ({"token": TOKEN}, {"Authorization": "Basic abc"}, True, HTTPStatus.UNAUTHORIZED),
        ({"token": TOKEN}, {"Authorization": ""}, True, HTTPStatus.UNAUTHORIZED),
        ({"token": "wrong"}, {"Authorization": f"Bearer {TOKEN}"}, True, None),
    ],
)
def test_query_token_counts_only_where_allowed_and_without_a_header(
    query: dict[str, str], headers: dict[str, str], allowed: bool, status: HTTPStatus | None
) -> None:
    """``?token=`` counts only if the configuration allows it and there is no header."""
    entrance = Entrance(query=allowed)
    event = proxy_event("{}", token=None, headers=headers, query=query)

    if status is None:
        assert entrance.admit(event).body == {}
    else:
        assert entrance.refusal(event).status == status


def test_query_token_given_twice_is_401() -> None:
    """Two tokens count as none."""
    event = proxy_event("{}", token=None, query={"token": TOKEN})
    event["multiValueQueryStringParameters"]["token"] = [TOKEN, TOKEN]

    assert Entrance(query=True).refusal(event).status == HTTPStatus.UNAUTHORIZED


def body_of(size: int) -> bytes:
    return b'"' + b"x" * (size - 2) + b'"'


def test_largest_body_is_admitted() -> None:
    """262,144 bytes pass, however they are counted in base64."""
    assert Entrance().admit(proxy_event(body_of(MAX_BODY_BYTES))).body == "x" * (MAX_BODY_BYTES - 2)


@pytest.mark.parametrize(
    ("token", "counted"), [(TOKEN, 1), ("wrong", 0), (None, 0)], ids=["right", "wrong", "none"]
)
@pytest.mark.parametrize(
    "body",
    [body_of(MAX_BODY_BYTES + 1), "é" * (MAX_BODY_BYTES // 2 + 1)],
    ids=["base64", "text"],
)
def test_larger_body_is_413_and_counted_for_partners_only(
    body: str | bytes, token: str | None, counted: int
) -> None:
    """Every large body is refused, but unauthenticated callers cannot trigger the alarm."""
    entrance = Entrance()

    refusal = entrance.refusal(proxy_event(body, token=token))

    assert refusal.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert entrance.meter.totals[Metric.BODY_TOO_LARGE] == counted
    assert entrance.meter.totals[Metric.UNAUTHORIZED] == 0


def test_too_large_is_413_even_if_the_secret_cannot_be_read() -> None:
    """Sending it again would not help."""
    secret = FixedSecret(TOKEN)
    secret.unavailable = True

    refusal = Entrance(secret).refusal(proxy_event(body_of(MAX_BODY_BYTES + 1)))

    assert refusal.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=UTF-8",
        'application/json;charset="utf-8"',
        "application/json; charset=utf8; x=y",
        "application/vnd.outgrow.v1+json",
    ],
)
def test_json_in_utf8_is_taken(content_type: str) -> None:
    """JSON by any of its names, in UTF-8 or without a charset."""
    assert Entrance().admit(proxy_event("{}", headers={"Content-Type": content_type})).body == {}


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/json",
        "application/json-seq",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        "+json",
        ";",
        "",
    ],
)
def test_other_content_types_are_415(content_type: str) -> None:
    """A body that is not declared as JSON in UTF-8 is not parsed."""
    refusal = Entrance().refusal(proxy_event("{}", headers={"Content-Type": content_type}))

    assert refusal.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE


def test_missing_or_contradicting_content_types_are_415() -> None:
    """A missing content type is refused, and so are two different ones."""
    missing = proxy_event("{}")
    del missing["multiValueHeaders"]["Content-Type"]
    two = proxy_event("{}")
    two["multiValueHeaders"]["Content-Type"] = ["application/json", "text/plain"]

    for event in (missing, two):
        assert Entrance().refusal(event).status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        None,
        "{",
        "{} {}",
        "{'a': 1}",
        '{"a": NaN}',
        '{"a": Infinity}',
        b'"\xff"',
        b'{"\xc3": 1}',
        '{"a": 1}'.encode("utf-16"),
        "[" * 10_000 + "]" * 10_000,
        '{"a":' * 10_000 + "1" + "}" * 10_000,
        "9" * 5000,
    ],
    ids=lambda body: repr(body)[:20],
)
def test_what_is_no_json_is_400(body: str | bytes | None) -> None:
    """Broken bodies, deep ones and huge numbers are 400 and no crash."""
    assert Entrance().refusal(proxy_event(body)).status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize(
    ("body", "text", "replaced"),
    [
        ('"Great \\ud83d"', "Great \ufffd", 1),
        ('"\\uDE00 back to front \\uD83D"', "\ufffd back to front \ufffd", 2),
        ('"\ud83d"', "\ufffd", 1),
        (b'"\xed\xa0\xbd"', "\ufffd", 1),
        ('"\\ud83d\\ude00 \\ud83d"', "\U0001f600 \ufffd", 1),
        ('"\\\\ud83d"', "\\ud83d", 0),
        ('"\\\\\\ud83d"', "\\\ufffd", 1),
    ],
)
def test_half_an_emoji_loses_no_body(body: str | bytes, text: str, replaced: int) -> None:
    """U+FFFD takes its place, and is counted; what is whole or escaped stays."""
    entrance = Entrance()

    admitted = entrance.admit(proxy_event(body))

    assert admitted.body == text
    assert json.loads(admitted.body_text) == text
    assert entrance.meter.totals[Metric.SURROGATES_REPLACED] == replaced


def test_broken_base64_is_400() -> None:
    """A body that is declared as base64 and is not is answered as no JSON."""
    event = proxy_event(b"{}")
    event["body"] = "%%%"

    assert Entrance().refusal(event).status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("text", ['{"a":1,"a":2}', "[1]", "7", "null", '"x"', "1e400"])
def test_any_json_value_is_admitted(text: str) -> None:
    """The mapping decides what a body means; of duplicate keys the last counts."""
    assert Entrance().admit(proxy_event(text)).body in ({"a": 2}, [1], 7, None, "x", float("inf"))


def test_repr_of_an_admitted_call_has_no_body() -> None:
    """A repr may end up in a traceback."""
    admitted = Entrance().admit(proxy_event('{"email": "ada@example.com"}'))

    assert "ada" not in repr(admitted)


ODD = st.one_of(
    json_values(("resource", "headers", "body", "httpMethod")),
    st.fixed_dictionaries(
        {"resource": st.just("/outgrow"), "httpMethod": st.just("POST")},
        optional={
            "headers": json_values(("Authorization", "Content-Type")),
            "multiValueHeaders": json_values(("Authorization", "Content-Type")),
            "queryStringParameters": json_values(("token",)),
            "multiValueQueryStringParameters": json_values(("token",)),
            "pathParameters": json_values(("content_id",)),
            "requestContext": json_values(("requestId",)),
            "body": json_values(),
            "isBase64Encoded": json_values(),
        },
    ),
)


@given(event=ODD, query=st.booleans())
def test_no_event_breaks_the_door(event: Any, query: bool) -> None:
    """Anything that is not a proxy event is refused with a 4xx."""
    refusal = Entrance(query=query).refusal(event)

    assert 400 <= refusal.status < 500


@given(
    changes=st.dictionaries(
        st.sampled_from(
            [
                "multiValueHeaders",
                "queryStringParameters",
                "pathParameters",
                "requestContext",
                "stageVariables",
                "path",
            ]
        ),
        json_values(("requestId", "content_id")),
    )
)
def test_odd_but_authentic_event_is_answered(changes: dict[str, Any]) -> None:
    """An event with odd further fields is admitted or refused with a 4xx."""
    try:
        admitted = Entrance().admit({**proxy_event("{}"), **changes})
    except DoorError as refusal:
        assert 400 <= refusal.status < 500  # noqa: PT017 - both ends are fine
    else:
        assert admitted.body == {}
        assert 1 <= len(admitted.correlation_id) <= 128


def test_path_parameter_with_half_a_surrogate_is_made_harmless() -> None:
    """Text that cannot be encoded would break hashing and storing."""
    event = proxy_event("{}", path="/outgrow/x")
    event["pathParameters"] = {"content_id": "a\ud800b", "n": 7}

    assert Entrance().admit(event).path_parameters == {"content_id": "a?b"}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"requestContext": {"requestId": "r-1"}}, "r-1"),
        ({"headers": {"X-Amzn-Trace-Id": "Root=1-5f;Sampled=0"}}, "Root=1-5f;Sampled=0"),
        (
            {
                "requestContext": {"requestId": "ada@example.com"},
                "headers": {"x-amzn-trace-id": "t"},
            },
            "t",
        ),
        ({"body": "{}"}, "44136fa355b3678a1146ad16f7e8649e"),
        ({}, "e3b0c44298fc1c149afbf4c8996fb924"),
        (None, "e3b0c44298fc1c149afbf4c8996fb924"),
    ],
)
def test_correlation_id_is_found_or_made(event: Any, expected: str) -> None:
    """The request's id, else the trace's, else the body's hash; only what is safe to log."""
    assert correlation_id(event) == expected


def test_error_answer_names_fields_and_codes() -> None:
    """An error's answer is JSON with one reason per field, and its headers go along."""
    error = DoorError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        [Reason(code="no_identity", field="person"), Reason(code="nothing_to_send")],
    )

    response = error.response()

    assert response["statusCode"] == 422
    assert response["headers"]["Content-Type"] == "application/json"
    assert json.loads(response["body"]) == {
        "status": "error",
        "reasons": [{"code": "no_identity", "field": "person"}, {"code": "nothing_to_send"}],
    }


def test_unavailable_asks_to_come_again() -> None:
    """A 503 always says when to try again."""
    response = unavailable("unavailable", "later").response()

    assert (response["statusCode"], response["headers"]["Retry-After"]) == (503, "30")


def test_answer_is_a_proxy_response() -> None:
    """An answer has what API Gateway wants, with its text unescaped."""
    assert answer(HTTPStatus.OK, {"status": "ignored", "name": "é"}) == {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store"},
        "body": '{"status":"ignored","name":"é"}',
        "isBase64Encoded": False,
    }


def test_size_is_that_of_the_decoded_body() -> None:
    """Base64 is a third longer than the body; that third does not count."""
    event = proxy_event(body_of(MAX_BODY_BYTES))

    assert len(event["body"]) > MAX_BODY_BYTES
    assert len(base64.b64decode(event["body"])) == MAX_BODY_BYTES
    assert Entrance().admit(event).route == ROUTES[0]
