"""The call to Quikly: what goes out, and what each answer means."""

from __future__ import annotations

import json

import pytest

from braze_bridge.braze.errors import ConnectFailedError, UnknownOutcomeError
from braze_bridge.quikly import HttpQuiklyApi, QuiklyCall, QuiklyError, quikly_endpoint
from tests.fakes.recording_transport import RecordingTransport, answer

CALL = QuiklyCall("spring", "acquired", "ana@example.com")
KEY = "quikly-key-1"


def api(transport: RecordingTransport, key: str = KEY) -> HttpQuiklyApi:
    return HttpQuiklyApi("/webhook/braze", lambda: key, transport, now=lambda: 1_800_000_000.0)


def refusal(transport: RecordingTransport, key: str = KEY) -> QuiklyError:
    with pytest.raises(QuiklyError) as caught:
        api(transport, key).send(CALL, deadline=7.5)
    return caught.value


def test_the_call_carries_the_three_documented_keys_and_the_bearer_key() -> None:
    """As the partner page prints it, without its mistakes."""
    transport = RecordingTransport(answer(200))

    api(transport).send(CALL, deadline=7.5)

    (request,) = transport.requests
    assert request.deadline == 7.5
    assert (request.method, request.path) == ("POST", "/webhook/braze")
    assert request.headers == {
        "Authorization": f"Bearer {KEY}",
        "Content-Type": "application/json",
    }
    assert json.loads(request.body or b"") == {
        "q_scope": "spring",
        "event": "acquired",
        "email": "ana@example.com",
    }


def test_a_person_without_an_address_is_named_by_phone() -> None:
    """An unknown field is left out, not sent as null."""
    transport = RecordingTransport(answer(204))

    api(transport).send(QuiklyCall("spring", "acquired", phone="+13135550123"), deadline=7.5)

    assert json.loads(transport.requests[0].body or b"") == {
        "q_scope": "spring",
        "event": "acquired",
        "phone": "+13135550123",
    }


@pytest.mark.parametrize(
    ("status", "retryable", "unknown", "key_refused"),
    [
        (301, False, False, False),
        (400, False, False, False),
        (401, True, False, True),
        (403, True, False, True),
        (404, False, False, False),
        (408, True, False, False),
        (422, False, False, False),
        (429, True, False, False),
        (500, True, True, False),
        (502, True, True, False),
        (503, True, False, False),
        (504, True, True, False),
    ],
)
def test_each_refusal_says_whether_to_come_again(
    status: int, retryable: bool, unknown: bool, key_refused: bool
) -> None:
    """It also says whether Quikly may have taken the call."""
    error = refusal(RecordingTransport(answer(status)))

    assert error.status == status
    assert (error.retryable, error.outcome_unknown, error.key_refused) == (
        retryable,
        unknown,
        key_refused,
    )


def test_the_wait_that_quikly_asks_for_is_read() -> None:
    """In seconds."""
    error = refusal(RecordingTransport(answer(429, headers={"Retry-After": "17"})))

    assert error.retry_after == 17


def test_a_call_that_did_not_leave_differs_from_one_that_was_not_answered() -> None:
    """Quikly has certainly not counted the first."""
    lost = refusal(RecordingTransport(ConnectFailedError("the request was not sent")))
    unanswered = refusal(RecordingTransport(UnknownOutcomeError("sent and not answered")))

    assert (lost.retryable, lost.outcome_unknown) == (True, False)
    assert (unanswered.retryable, unanswered.outcome_unknown) == (True, True)


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel"])
def test_a_key_no_header_can_carry_is_not_sent(key: str) -> None:
    """The call waits until a person corrects the key."""
    transport = RecordingTransport()

    error = refusal(transport, key)

    assert error.key_refused
    assert error.retryable
    assert transport.requests == []


def test_neither_call_nor_error_shows_an_address() -> None:
    """Tracebacks show both."""
    error = refusal(RecordingTransport(answer(500, {"email": "ana@example.com"})))

    assert "ana" not in repr(CALL) + str(error) + repr(error)
    assert KEY not in str(error) + repr(error)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.quikly.com/webhook/braze", ("https://api.quikly.com", "/webhook/braze")),
        ("https://api.quikly.com", ("https://api.quikly.com", "/")),
        ("https://q.example:8443/a", ("https://q.example:8443", "/a")),
    ],
)
def test_an_address_is_split_into_host_and_path(url: str, expected: tuple[str, str]) -> None:
    """The transport takes the first, each call the second."""
    assert quikly_endpoint(url, allow_loopback=False) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.quikly.com/webhook",
        "http://api.quikly.com/webhook",
        "http://127.0.0.1:9/quikly",
        "https:///webhook",
        "https://user:secret@api.quikly.com/webhook",
        "https://api.quikly.com/webhook#part",
        "https://api.quikly.com/webhook?key=secret",
        "ftp://api.quikly.com/",
        "https://bücher.example/webhook",
    ],
)
def test_an_address_that_is_none_or_unsafe_is_refused(url: str) -> None:
    """The error does not quote it: it may hold a password."""
    with pytest.raises(ValueError, match="Quikly's address must") as caught:
        quikly_endpoint(url, allow_loopback=False)

    assert "secret" not in str(caught.value)


def test_this_machine_is_accepted_if_allowed() -> None:
    """For the local stack."""
    assert quikly_endpoint("http://127.0.0.1:9/quikly/webhook", allow_loopback=True) == (
        "http://127.0.0.1:9",
        "/quikly/webhook",
    )
