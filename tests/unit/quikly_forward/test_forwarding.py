"""Calls to Quikly: sent once if the outcome is known, retried, or parked if refused for good."""

from __future__ import annotations

import dataclasses
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.handlers import SqsMessage
from braze_bridge.jobs.forward import ForwardMessage, parse_forward
from braze_bridge.quikly import QuiklyCall, QuiklyError
from quikly_forward.forwarding import Dependencies, ForwardResult, forward
from tests.fakes.clock import FixedClock
from tests.fakes.forwarding import InMemorySentCalls, ScriptedQuikly, forward_message
from tests.fakes.jobs import InMemoryRejectedStore
from tests.fakes.log import RecordingLog
from tests.fakes.meter import RecordingMeter
from tests.fakes.secret import FixedSecret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from quikly_forward.sent_calls import Lease

LEASE = timedelta(seconds=90)


class ForwardBench:
    """The batch on fakes."""

    def __init__(self, *script: QuiklyError | None) -> None:
        self.clock = FixedClock()
        self.quikly = ScriptedQuikly(*script)
        self.sent_calls = InMemorySentCalls()
        self.rejected = InMemoryRejectedStore()
        self.seconds_left = 60.0

    def run(self, *messages: ForwardMessage | str, receive_count: int = 1) -> ForwardResult:
        deps = Dependencies(
            api=self.quikly,
            sent_calls=self.sent_calls,
            rejected=self.rejected,
            clock=self.clock,
            jitter=lambda: 0.5,
            retention=timedelta(days=4),
            lease=LEASE,
            hider=NoHider(),
            secret=FixedSecret("quikly"),
            meter=RecordingMeter(),
            log=RecordingLog().logger,
        )
        bodies = [each if isinstance(each, str) else each.to_json() for each in messages]
        deliveries = [SqsMessage(f"m{n}", body, receive_count) for n, body in enumerate(bodies)]
        return forward(deliveries, deps, lambda: self.seconds_left)


class NoHider:
    """Changes no visibility; the batch does not use it."""

    def hide(
        self, delays: Mapping[str, float], seconds_left: Callable[[], float] = lambda: 60.0
    ) -> int:
        return 0


def unavailable(**more: object) -> QuiklyError:
    return QuiklyError("Quikly answered 503", status=503, retryable=True, **more)  # type: ignore[arg-type]  # flags of the table


def test_a_call_is_sent_as_braze_made_it() -> None:
    """Scope, event and address are sent; SQS may delete the message."""
    bench = ForwardBench()

    result = bench.run(forward_message())

    assert bench.quikly.calls == [QuiklyCall("spring", "joined", "person-1@example.com")]
    assert (len(result.sent), result.retry, result.parked) == (1, {}, [])


def test_a_message_that_comes_twice_is_sent_once() -> None:
    """In one batch, in another, and a month less a minute later."""
    bench = ForwardBench()

    results = [bench.run(forward_message(), forward_message())]
    bench.clock.advance(timedelta(days=30).total_seconds() - 60)
    results.append(bench.run(forward_message(received_at=bench.clock.now())))

    assert len(bench.quikly.calls) == 1
    assert [result.duplicate for result in results] == [1, 1]


def test_a_call_that_another_lambda_makes_waits_and_is_made_if_that_one_dies() -> None:
    """The call is leased: the message stays, and after the lease another Lambda sends it."""
    bench = ForwardBench()
    bench.sent_calls.take_lease(forward_message().forward_id, bench.clock.now(), LEASE)

    waiting = bench.run(forward_message())
    bench.clock.advance(LEASE.total_seconds())
    after = bench.run(forward_message())

    assert waiting.retry == {"m0": 0.5}
    assert len(after.sent) == len(bench.quikly.calls) == 1


@pytest.mark.parametrize("unknown", [False, True])
def test_a_failure_that_passes_is_tried_again_later_and_later(unknown: bool) -> None:
    """Also one that Quikly may have taken: Braze itself would call again."""
    bench = ForwardBench(unavailable(outcome_unknown=unknown), unavailable(), None)

    waits = [bench.run(forward_message(), receive_count=n).retry for n in (1, 5)]
    done = bench.run(forward_message())

    assert waits == [{"m0": 0.5}, {"m0": 8.0}]
    assert len(done.sent) == 1
    assert len(bench.quikly.calls) == 3


def test_quikly_s_own_time_is_kept_and_spares_it_the_rest_of_the_batch() -> None:
    """One 429; the other calls wait as long, unmade. A time beyond SQS's reach is cut."""
    limited = QuiklyError("Quikly answered 429", status=429, retryable=True, retry_after=120.0)
    bench = ForwardBench(limited)

    result = bench.run(*map(forward_message, range(3)))

    assert result.retry == {"m0": 120.0, "m1": 120.0, "m2": 120.0}
    assert len(bench.quikly.calls) == 1
    bench = ForwardBench(QuiklyError("Quikly answered 429", status=429, retryable=True))
    assert bench.run(*map(forward_message, range(2))).retry == {"m0": 0.5, "m1": 0.5}
    assert len(bench.quikly.calls) == 1
    bench = ForwardBench(QuiklyError("later", retryable=True, retry_after=1e9))
    assert bench.run(forward_message()).retry == {"m0": 36_000.0}


def test_a_refused_key_makes_everything_wait_and_is_reported() -> None:
    """At least a minute, growing to a quarter of an hour; nothing is parked, nothing lost."""
    refused = QuiklyError("Quikly answered 401", status=401, retryable=True, key_refused=True)
    bench = ForwardBench(refused, refused)

    first = bench.run(*map(forward_message, range(2)))
    late = bench.run(forward_message(), receive_count=40)

    assert (first.key_refused, first.retry) == (True, {"m0": 60.0, "m1": 60.0})
    assert late.retry == {"m0": 450.0}
    assert bench.rejected.records == {}
    assert len(bench.run(*map(forward_message, range(2))).sent) == 2


def test_what_quikly_refuses_is_parked_with_its_cause_and_can_be_replayed() -> None:
    """One row for any number of copies; the payload is the message, and its lease is free again."""
    refused = QuiklyError("Quikly answered 422", status=422)
    bench = ForwardBench(refused, refused)

    results = [bench.run(forward_message()), bench.run(forward_message())]

    [record] = bench.rejected.records.values()
    assert [result.parked for result in results] == [
        [(forward_message().forward_id, "quikly_refused")]
    ] * 2
    assert record.reasons[0].detail == "Quikly answered 422"
    assert parse_forward(record.payload) == forward_message()
    assert "example.com" not in record.id + str(record.reasons)
    assert len(bench.run(parse_forward(record.payload)).sent) == 1


def test_nothing_is_forgotten_while_the_rejected_table_does_not_answer() -> None:
    """A call that cannot be parked comes again."""
    bench = ForwardBench(QuiklyError("Quikly answered 422", status=422))
    bench.rejected.refusing = True

    assert bench.run(forward_message()).retry == {"m0": 0.5}


def test_a_call_near_the_end_of_its_retention_is_parked_unmade() -> None:
    """SQS would delete it silently."""
    bench = ForwardBench()
    bench.clock.advance(timedelta(days=3, seconds=1).total_seconds())

    result = bench.run(forward_message())

    assert [code for _, code in result.parked] == ["expired"]
    assert bench.quikly.calls == []


@pytest.mark.parametrize("body", ["", "{}", "[1]", '{"schema_version":2}', "\ufffex"])
def test_poison_is_parked_at_once(body: str) -> None:
    """It is never retried; the next message is still sent."""
    bench = ForwardBench()

    result = bench.run(body, forward_message())

    assert [code for _, code in result.parked] == ["unreadable_forward"]
    assert (result.retry, len(result.sent)) == ({}, 1)
    assert next(iter(bench.rejected.records.values())).payload == body


def test_without_the_memory_no_call_is_made() -> None:
    """It is unknown whether it was sent: it waits."""
    bench = ForwardBench()
    bench.sent_calls.failing = {"take_lease"}

    result = bench.run(forward_message())

    assert (bench.quikly.calls, result.retry) == ([], {"m0": 0.5})


def test_a_call_that_could_not_be_marked_as_sent_is_reported_and_not_repeated() -> None:
    """Quikly took it; a second message would only be a second call."""
    bench = ForwardBench()
    bench.sent_calls.failing = {"mark_sent"}

    result = bench.run(forward_message())

    assert (len(result.sent), result.retry, result.unnoted) == (1, {}, 1)


def test_a_turn_that_cannot_be_given_back_ends_by_itself() -> None:
    """The message waits for its lease, then it is sent."""
    bench = ForwardBench(unavailable())
    bench.sent_calls.failing = {"release"}

    bench.run(forward_message())
    assert bench.run(forward_message(), receive_count=7).retry == {"m0": 32.0}
    bench.clock.advance(90)
    assert len(bench.run(forward_message()).sent) == 1


def test_no_call_is_begun_that_lambda_would_cut_off() -> None:
    """With too little time left, messages go back at once."""
    bench = ForwardBench()
    bench.seconds_left = 19.0

    result = bench.run(forward_message())

    assert (bench.quikly.calls, result.retry) == ([], {"m0": 0.0})


@pytest.mark.parametrize("seconds_left", [60.0, 20.0])
def test_each_call_ends_early_enough_to_note_its_outcome(seconds_left: float) -> None:
    """Also an answer that drips: the deadline is absolute. A slow lease costs the call's time."""
    bench = ForwardBench()
    bench.seconds_left = seconds_left

    before = time.monotonic()
    bench.run(*map(forward_message, range(2)))
    after = time.monotonic()

    assert len(bench.quikly.deadlines) == 2
    for deadline in bench.quikly.deadlines:
        assert before + 13 <= deadline <= after + 13


def test_a_lease_that_took_the_time_leaves_none_to_the_call() -> None:
    """The deadline has passed: the transport sends nothing."""
    bench = ForwardBench()

    class SlowSentCalls(InMemorySentCalls):
        def take_lease(self, forward_id: str, now: datetime, duration: timedelta) -> Lease:
            bench.seconds_left = 6.0
            return super().take_lease(forward_id, now, duration)

    bench.sent_calls = SlowSentCalls()
    bench.run(forward_message())

    assert bench.quikly.deadlines[0] < time.monotonic()


FAILURES = st.sampled_from(
    [
        None,
        unavailable(),
        unavailable(outcome_unknown=True),
        QuiklyError("429", status=429, retryable=True, retry_after=30.0),
        QuiklyError("401", status=401, retryable=True, key_refused=True),
        QuiklyError("422", status=422),
    ]
)


@given(
    script=st.lists(FAILURES, max_size=12),
    numbers=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    poison=st.booleans(),
)
def test_every_message_has_one_outcome(
    script: list[QuiklyError | None], numbers: list[int], poison: bool
) -> None:
    """Sent, duplicate, parked or retried: the four add up, and no call is sent twice."""
    bench = ForwardBench(*script)

    messages: list[ForwardMessage | str] = [forward_message(number) for number in numbers]
    result = bench.run(*messages, *(["poison"] if poison else []))

    assert len(messages) + poison == (
        len(result.sent) + result.duplicate + len(result.parked) + len(result.retry)
    )
    assert len(result.sent) == len(set(result.sent))
    assert "@" not in str(dataclasses.asdict(result))
