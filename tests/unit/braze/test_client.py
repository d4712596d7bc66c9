"""The client: its requests, the result of every kind of answer, and what must never leak."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braze_bridge.braze.answers import clean
from braze_bridge.braze.client import BrazeClient, partner_user_agent
from braze_bridge.braze.errors import (
    AuthenticationError,
    BadRequestError,
    BrazeError,
    ConnectFailedError,
    NotFoundError,
    ObjectError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnexpectedResponseError,
    UnknownOutcomeError,
    UnsupportedMediaTypeError,
)
from braze_bridge.braze.models import ExportIdsRequest, TrackRequest
from braze_bridge.braze.rate_limits import RateLimit
from braze_bridge.braze.subscriptions import (
    SubscriptionStatus,
    SubscriptionStatusGetRequest,
    SubscriptionStatusSetRequest,
    SubscriptionUsers,
)
from tests.fakes.recording_transport import RecordingTransport, answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.braze.transport import HttpResponse

KEY = "b7c1d2e3-SECRET-4f5a-9b8c-0d1e2f3a4b5c"
NOW = 1_763_812_800.0
TRACK = TrackRequest([b'{"external_id":"a","x":1}'])
EVENTS = TrackRequest([], [b'{"external_id":"a","name":"n"}'])
LOOKUP = ExportIdsRequest(["braze_id"], email_address="ana@example.com")
PHONES = SubscriptionUsers(phones=("+13135550123",))
STATUS = SubscriptionStatusGetRequest("group", PHONES)
CHANGE = SubscriptionStatusSetRequest("group", SubscriptionStatus.SUBSCRIBED, PHONES)


def client_of(
    *script: HttpResponse | BrazeError,
    key: Callable[[], str] = lambda: KEY,
) -> tuple[BrazeClient, RecordingTransport]:
    """A client on a scripted transport."""
    transport = RecordingTransport(*script)
    client = BrazeClient(
        api_key=key,
        transport=transport,
        user_agent=partner_user_agent("Acme", "Bridge", "1.2.3"),
        now=lambda: NOW,
        timeout=(2.0, 5.0),
    )
    return client, transport


def failure_of(step: HttpResponse | BrazeError, request: TrackRequest = TRACK) -> BrazeError:
    """Return what `track` raises for an answer."""
    client, _ = client_of(step)
    with pytest.raises(BrazeError) as caught:
        client.track(request)
    return caught.value


def test_a_track_request_as_braze_wants_it() -> None:
    """POST to the path without a trailing slash, key in the header, JSON type, partner's agent."""
    client, transport = client_of(answer(201, {"message": "success"}))

    client.track(TRACK, timeout=(1.0, 3.0))

    (request,) = transport.requests
    assert (request.method, request.path, request.params) == ("POST", "/users/track", ())
    assert request.body == TRACK.body()
    assert request.timeout == (1.0, 3.0)
    assert request.headers == {
        "Authorization": f"Bearer {KEY}",
        "Content-Type": "application/json",
        "User-Agent": "partner-Acme-Bridge/1.2.3",
        "Accept": "application/json",
    }


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.track(TRACK, deadline=7.5),
        lambda client: client.export_ids(LOOKUP, deadline=7.5),
        lambda client: client.subscription_status_get(STATUS, deadline=7.5),
        lambda client: client.subscription_status_set(CHANGE, deadline=7.5),
        lambda client: client.mau_data_series(1, deadline=7.5),
    ],
)
def test_every_call_takes_a_deadline(call: Callable[[BrazeClient], object]) -> None:
    """The transport keeps it, also while the key is read."""
    client, transport = client_of(ConnectFailedError("the request was not sent"))
    with pytest.raises(ConnectFailedError):
        call(client)

    assert transport.requests[0].deadline == 7.5


def test_an_export_request_as_braze_wants_it() -> None:
    """The look-up goes to its own path with the client's own timeout."""
    client, transport = client_of(answer(201, {"users": [], "message": "success"}))

    client.export_ids(LOOKUP)

    (request,) = transport.requests
    assert (request.method, request.path) == ("POST", "/users/export/ids")
    assert request.timeout == (2.0, 5.0)
    assert json.loads(request.body or b"") == {
        "fields_to_export": ["braze_id"],
        "email_address": "ana@example.com",
    }


def test_the_key_is_asked_for_at_each_call() -> None:
    """A key that changes between two calls is used at once."""
    keys = iter(["first", "second"])
    client, transport = client_of(answer(), answer(), key=lambda: next(keys))

    client.track(TRACK)
    client.track(TRACK)

    sent = [request.headers["Authorization"] for request in transport.requests]
    assert sent == ["Bearer first", "Bearer second"]


@pytest.mark.parametrize("key", ["", "two words", "line\n", "clé", "\0"])
def test_a_key_no_header_can_carry_is_not_sent(key: str) -> None:
    """An empty or broken key is an authentication error without a call, and without the key."""
    client, transport = client_of(key=lambda: key)

    with pytest.raises(AuthenticationError) as caught:
        client.track(TRACK)

    assert not transport.requests
    assert caught.value.status is None
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind", "retryable", "unknown"),
    [
        (301, UnexpectedResponseError, False, False),
        (304, UnexpectedResponseError, False, False),
        (400, BadRequestError, False, False),
        (401, AuthenticationError, False, False),
        (402, UnexpectedResponseError, False, False),
        (403, PermissionDeniedError, False, False),
        (404, NotFoundError, False, False),
        (405, UnexpectedResponseError, False, False),
        (408, ServerError, True, False),
        (413, PayloadTooLargeError, False, False),
        (415, UnsupportedMediaTypeError, False, False),
        (429, RateLimitedError, True, False),
        (500, ServerError, True, True),
        (502, ServerError, True, False),
        (503, ServerError, True, False),
        (504, ServerError, True, True),
        (524, ServerError, True, True),
        (599, ServerError, True, True),
    ],
)
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"message": "Braze says", "errors": ["a"]}', "Braze says"),
        (b'{"error": "Error while parsing request body."}', "Error while parsing request body."),
        (b"", ""),
        (b"<html>cloudflare</html>", ""),
        (b"\xff\xfe\x00", ""),
        (b"[" * 100_000, ""),
        (b"9" * 5_000, ""),
        (b"null", ""),
        (b'["message"]', ""),
        (b'{"message": {"x": 1}, "errors": 7}', ""),
    ],
    ids=["message", "error", "none", "html", "bytes", "deep", "digits", "null", "list", "types"],
)
def test_status_decides_the_error(
    status: int, kind: type[BrazeError], retryable: bool, unknown: bool, body: bytes, message: str
) -> None:
    """Only the status decides the class; the body of a 401 is dropped."""
    error = failure_of(answer(status, body))

    assert type(error) is kind
    assert error.status == status
    assert error.retryable is retryable
    assert error.outcome_unknown is unknown
    assert error.message == ("Braze refused the API key" if status == 401 else message)
    assert str(status) in str(error)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"message":"queued"}', b"[1]", b"[" * 100_000])
def test_any_2xx_is_accepted(status: int, body: bytes) -> None:
    """Every 2xx is a success, also one that cannot be read."""
    client, _ = client_of(answer(status, body))

    response = client.track(TRACK)

    assert response.status == status
    assert response.errors == ()
    assert response.message == ("queued" if b"queued" in body else "")


def test_a_partial_success_names_its_failures() -> None:
    """Errors of a 201 come by array and index; odd ones without, none lost."""
    client, _ = client_of(
        answer(
            201,
            {
                "message": "success",
                "attributes_processed": 2,
                "events_processed": "2",
                "errors": [
                    {"type": "bad", "input_array": "attributes", "index": 0},
                    {"type": "worse", "input_array": "purchases", "index": 74},
                    {"type": "where?", "input_array": "devices", "index": -1},
                    {"type": 7, "input_array": ["events"], "index": True},
                    {"message": "other key", "input_array": "events", "index": "3"},
                    "a bare text",
                    None,
                ],
            },
        )
    )

    response = client.track(TRACK)

    assert (response.attributes_processed, response.events_processed) == (2, None)
    assert response.errors == (
        ObjectError("attributes", 0, "bad"),
        ObjectError("purchases", 74, "worse"),
        ObjectError(None, None, "where?"),
        ObjectError(None, None, ""),
        ObjectError("events", 3, "other key"),
        ObjectError(None, None, "a bare text"),
        ObjectError(None, None, ""),
    )


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (None, ()),
        ([], ()),
        ("one text", (ObjectError(None, None, "one text"),)),
        (
            {"type": "t", "input_array": "events", "index": 1},
            (ObjectError("events", 1, "t"),),
        ),
    ],
)
def test_errors_that_are_no_list(errors: Any, expected: tuple[ObjectError, ...]) -> None:
    """A single error outside of a list is one error."""
    error = failure_of(answer(400, {"message": "m", "errors": errors}))

    assert isinstance(error, BadRequestError)
    assert error.errors == expected


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"X-Ratelimit-Retry-After": "4"}, 4),
        (429, {"x-ratelimit-reset": str(int(NOW) + 9)}, 9),
        (429, {}, None),
        (503, {"Retry-After": "3"}, 3),
        (503, {"x-ratelimit-reset": str(int(NOW) + 9)}, None),
        (
            401,
            {"X-RateLimit-Limit": "", "X-RateLimit-Remaining": "", "X-RateLimit-Reset": ""},
            None,
        ),
    ],
)
def test_the_wait_braze_asks_for(status: int, headers: dict[str, str], wait: float | None) -> None:
    """An error carries the server's own time; the reset counts for a 429 only."""
    assert failure_of(answer(status, {}, headers)).retry_after == wait


def test_rate_limits_come_with_answers_and_errors() -> None:
    """A success and an error both have limit, remaining and reset."""
    headers = {
        "x-ratelimit-limit": "250",
        "x-ratelimit-remaining": "3",
        "x-ratelimit-reset": str(int(NOW) + 30),
    }
    expected = RateLimit(250, 3, NOW + 30)
    client, _ = client_of(answer(201, {}, headers), answer(201, {"users": []}, headers))

    assert client.track(TRACK).rate_limit == expected
    assert client.export_ids(LOOKUP).rate_limit == expected
    assert failure_of(answer(400, {}, headers)).rate_limit == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"message":"queued"}',
        b'{"users":null}',
        b'{"users":{}}',
        b'{"users":["a"]}',
        b"<html>",
    ],
)
def test_an_unreadable_export_is_no_empty_export(body: bytes) -> None:
    """A success without a list of users is an error that may pass, never "no such profile"."""
    client, _ = client_of(answer(202, body))

    with pytest.raises(UnexpectedResponseError) as caught:
        client.export_ids(LOOKUP)

    assert caught.value.status == 202
    assert caught.value.retryable


def test_profiles_are_read_leniently() -> None:
    """Missing fields are None or empty, unreadable aliases are left out, the rest is kept."""
    client, _ = client_of(
        answer(
            200,
            {
                "users": [
                    {},
                    {
                        "external_id": "e",
                        "braze_id": 5,
                        "email": None,
                        "user_aliases": [
                            {"alias_name": "n", "alias_label": "l"},
                            {"alias_name": "n"},
                            "n",
                        ],
                        "custom_attributes": {"score": 80},
                        "first_name": "Ana",
                    },
                    {"user_aliases": "none", "custom_attributes": []},
                ],
            },
        )
    )

    response = client.export_ids(LOOKUP)

    empty, full, odd = response.users
    assert (empty.external_id, empty.user_aliases, empty.custom_attributes) == (None, (), {})
    assert (full.external_id, full.braze_id, full.email) == ("e", None, None)
    assert [alias.alias_name for alias in full.user_aliases] == ["n"]
    assert full.custom_attributes == {"score": 80}
    assert full.other == {"first_name": "Ana"}
    assert (odd.user_aliases, odd.custom_attributes) == ((), {})


def test_the_mau_series_is_given_as_braze_sends_it() -> None:
    """The doctor asks for it to check a permission."""
    days = [{"time": "2018-06-28", "mau": 123}, {"time": "2018-06-27", "mau": 0}]
    client, transport = client_of(answer(200, {"data": days}))

    assert client.mau_data_series(2) == days

    (request,) = transport.requests
    assert (request.method, request.path) == ("GET", "/kpi/mau/data_series")
    assert request.params == (("length", "2"),)


@pytest.mark.parametrize("document", [{}, {"data": {}}, {"data": [1]}])
def test_an_unreadable_mau_series_is_an_error(document: Any) -> None:
    """It is not an empty series."""
    client, _ = client_of(answer(200, document))

    with pytest.raises(UnexpectedResponseError):
        client.mau_data_series(1)


class TestNothingLeaks:
    """No key, no body, no personal data in anything an error shows."""

    @pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 413, 415, 429, 500, 503])
    @pytest.mark.parametrize("request_", [TRACK, EVENTS])
    def test_a_key_that_is_echoed(
        self, status: int, request_: TrackRequest, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Braze may echo the key anywhere: text, errors, headers. No error shows it."""
        error = failure_of(
            answer(
                status,
                {
                    "message": f"Invalid API key: {KEY}",
                    "error": KEY,
                    "errors": [f"key {KEY}", {"type": KEY, "input_array": KEY, "index": 0}],
                },
                {"X-Echo": KEY, "Retry-After": KEY, "X-RateLimit-Limit": KEY},
            ),
            request_,
        )

        assert KEY not in everything_shown_by(error, caplog)

    @pytest.mark.parametrize(
        "cause", [ConnectFailedError("no way"), UnknownOutcomeError("no answer")]
    )
    def test_a_transport_that_fails(
        self, cause: BrazeError, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Not even a traceback that prints variables shows the key or the body."""
        shown = everything_shown_by(failure_of(cause, EVENTS), caplog)

        assert KEY not in shown
        assert "external_id" not in shown

    def test_a_key_that_cannot_be_sent(self, caplog: pytest.LogCaptureFixture) -> None:
        """A broken key shows nowhere either."""
        client, _ = client_of(key=lambda: f"{KEY}\n")
        with pytest.raises(AuthenticationError) as caught:
            client.track(TRACK)

        assert KEY not in everything_shown_by(caught.value, caplog)

    @pytest.mark.parametrize("status", [400, 403, 429, 500])
    def test_personal_data_that_is_echoed(
        self, status: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        """E-mail addresses and phone numbers in Braze's texts are masked; the rest is kept."""
        text = "'ana.b@example.com' (+1 555-555-0123, 33612345678) must be fewer than 988 bytes"
        error = failure_of(answer(status, {"message": text, "errors": [text]}))

        assert error.message == "'[email]' ([number], [number]) must be fewer than 988 bytes"
        shown = everything_shown_by(error, caplog)
        assert "ana.b" not in shown
        assert "0123" not in shown
        assert "33612345678" not in shown

    def test_a_partial_success_is_cleaned_too(self) -> None:
        """The texts of a 201 pass the same cleaning."""
        client, _ = client_of(
            answer(201, {"message": KEY, "errors": [{"type": f"{KEY} ana@example.com"}]})
        )

        response = client.track(TRACK)

        assert response.message == "[key]"
        assert response.errors[0].type == "[key] [email]"

    def test_no_key_is_nothing_to_cut_out(self) -> None:
        """Without a key, a text is left as it is."""
        assert clean("Invalid", "") == "Invalid"

    def test_long_texts_are_cut(self) -> None:
        """A proxy's page instead of a message does not fill logs and tables."""
        assert len(failure_of(answer(400, {"message": "x " * 5_000})).message) <= 500


def everything_shown_by(error: BrazeError, caplog: pytest.LogCaptureFixture) -> str:
    """All that can reach a log: texts, attributes, chained errors, a traceback with variables."""
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").error("failed", exc_info=error)
    verbose = traceback.TracebackException(
        type(error), error, error.__traceback__, capture_locals=True
    )
    # The frames of this file hold the script on purpose.
    verbose.stack[:] = [frame for frame in verbose.stack if frame.filename != __file__]
    return "\n".join(
        [
            str(error),
            repr(error),
            repr(error.args),
            repr(vars(error)),
            repr(error.__cause__),
            repr(error.__context__),
            *verbose.format(),
            caplog.text,
        ]
    )


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_errors_survive_copying(status: int) -> None:
    """Pickling and copying keep everything of an error."""
    error = failure_of(
        answer(
            status,
            {"message": "m", "errors": [{"type": "t", "input_array": "events", "index": 1}]},
            {"Retry-After": "5"},
        )
    )

    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301  # our own
        assert type(twin) is type(error)
        assert vars(twin) == vars(error)


@pytest.mark.parametrize("step", [answer(503), answer(429), ConnectFailedError("x")])
def test_one_call_is_one_request(step: HttpResponse | BrazeError) -> None:
    """The client never tries again by itself: SQS waits, and the caller decides."""
    client, transport = client_of(step, answer())

    with pytest.raises(BrazeError):
        client.track(TRACK)
    assert len(transport.requests) == 1


@pytest.mark.parametrize(
    "parts",
    [
        ("", "Bridge", "1"),
        ("Ac-me", "Bridge", "1"),
        ("Acme", "The Bridge", "1"),
        ("Acme", "Bridge", ""),
        ("Acme", "Bridge", "1\r\nX: y"),
        ("Acme", "Bridge", "v 1"),
        ("Acmé", "Bridge", "1"),
    ],
)
def test_a_user_agent_has_brazes_form(parts: tuple[str, str, str]) -> None:
    """Parts that break the form `partner-Organization-Product/Version` are refused."""
    with pytest.raises(ValueError, match="partner-<Organization>"):
        partner_user_agent(*parts)


def test_brazes_own_example_is_a_user_agent() -> None:
    """The page's example can be built."""
    built = partner_user_agent("Snowflake", "CloudDataIngestion", "179")

    assert built == "partner-Snowflake-CloudDataIngestion/179"


@pytest.mark.parametrize(
    ("agent", "timeout"),
    [
        ("axios/1.4.0", (1.0, 1.0)),
        ("partner-Acme-Bridge/1", (0.0, 1.0)),
        ("partner-Acme-Bridge/1", (1.0, -1.0)),
        ("partner-Acme-Bridge/1", (float("nan"), 1.0)),
    ],
)
def test_a_client_is_built_right_or_not(agent: str, timeout: tuple[float, float]) -> None:
    """Another agent, or no timeout, is refused when the client is built."""
    with pytest.raises(ValueError):  # noqa: PT011  # two checks, told apart by their cases
        BrazeClient(lambda: KEY, RecordingTransport(), agent, lambda: NOW, timeout)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "message": JSON,
        "error": JSON,
        "errors": JSON,
        "users": JSON,
        "status": JSON,
        "attributes_processed": JSON,
        "invalid_user_ids": JSON,
    },
)


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(200, 599), DOCUMENTS)
def test_any_answer_is_an_answer_or_a_braze_error(status: int, document: dict[str, Any]) -> None:
    """No body, however odd, makes the client raise anything but a BrazeError."""
    accepted = 200 <= status < 300
    client, _ = client_of(answer(status, document), answer(status, document))

    with nullcontext() if accepted else pytest.raises(BrazeError):
        client.track(TRACK)
    with suppress(UnexpectedResponseError) if accepted else pytest.raises(BrazeError):
        client.export_ids(LOOKUP)
