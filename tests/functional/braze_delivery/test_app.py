"""The delivery function from SQS event to answer, with fakes behind its ports."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.braze.errors import AuthenticationError, ObjectError, RateLimitedError
from braze_bridge.braze.models import TrackResponse
from braze_bridge.braze.rate_limits import RateLimit
from braze_bridge.handlers import answer_batch
from braze_bridge.keys import braze_key
from braze_bridge.observability import BY_PARTNER, Metric
from braze_delivery.app import Dependencies, handle
from braze_delivery.delivery import Ports
from tests.fakes.braze import FakeTrack
from tests.fakes.clock import FixedClock
from tests.fakes.delivery_jobs import job
from tests.fakes.gate import NoGate
from tests.fakes.jobs import InMemoryRejectedStore
from tests.fakes.ledger import NoLedger
from tests.fakes.log import RecordingLog
from tests.fakes.meter import RecordingMeter
from tests.fakes.secret import FixedSecret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class RecordingHider:
    """A ``MessageHider`` that keeps what it was asked."""

    def __init__(self) -> None:
        self.delays: dict[str, float] = {}

    def hide(self, delays: Mapping[str, float]) -> int:
        self.delays |= delays
        return len(delays)


class World:
    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.braze = FakeTrack()
        self.hider = RecordingHider()
        self.meter = RecordingMeter()
        self.log = RecordingLog()
        self.secret = FixedSecret("key")
        self.rejected = InMemoryRejectedStore()
        ports = Ports(
            track=self.braze,
            gate=NoGate(),
            ledger=NoLedger(),
            rejected=self.rejected,
            clock=FixedClock(),
            executor=executor,
            jitter=lambda: 0.5,
            concurrency=4,
            retention=timedelta(days=4),
            on_unknown_outcome="resend",
        )
        self.needs = Dependencies(ports, self.hider, self.secret, self.meter, self.log.logger)

    def handle(self, *bodies: str) -> list[str]:
        answer = answer_batch(sqs_event(*bodies), lambda: 60, handle, self.needs)
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def sqs_event(*bodies: str) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"message-{number}",
                "receiptHandle": f"handle-{number}",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "0"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
            }
            for number, body in enumerate(bodies)
        ]
    }


@pytest.fixture
def world() -> Iterator[World]:
    with ThreadPoolExecutor(4) as executor:
        yield World(executor)


def test_1050_records_take_14_requests_and_nothing_goes_back(world: World) -> None:
    """The whole handler, on threads."""
    bodies = [job(str(n), f"user-{n}").to_json() for n in range(1_050)]

    assert world.handle(*bodies) == []
    assert len(world.braze.bodies) == 14
    assert world.meter.totals[Metric.JOBS_DELIVERED] == 1_050


def test_what_goes_back_is_hidden_by_its_receipt_handle(world: World) -> None:
    """SQS is told by message id what to keep, and by handle for how long."""
    world.braze.before = lambda _: AuthenticationError("", status=401)

    failures = world.handle(job("1").to_json(), "poison", job("2", "bob").to_json())

    assert failures == ["message-0", "message-2"]
    assert set(world.hider.delays) == {"handle-0", "handle-2"}
    assert all(seconds >= 60 for seconds in world.hider.delays.values())


def test_a_refused_key_raises_the_alarm_and_is_dropped(world: World) -> None:
    """The metric of the alarm is emitted, and the next batch has the secret as it is then."""
    world.braze.before = lambda _: AuthenticationError("", status=401)

    world.handle(job().to_json())

    assert world.meter.totals[Metric.BRAZE_KEY_REFUSED] == 1
    assert world.secret.drops == 1


def test_the_metrics_of_a_batch_add_up(world: World) -> None:
    """Received = delivered + duplicate + rejected + retried, as figures."""
    world.braze.named = lambda item: item["external_id"] == "bad"
    good = job("1").to_json()

    world.handle(good, good, job("2", "bad").to_json(), "poison")

    total = world.meter.totals
    assert total[Metric.JOBS_RECEIVED] == 4
    assert [
        total[metric]
        for metric in (
            Metric.JOBS_DELIVERED,
            Metric.JOBS_DUPLICATE,
            Metric.JOBS_REJECTED,
            Metric.JOBS_RETRIED,
        )
    ] == [1, 1, 2, 0]
    assert total[Metric.OLDEST_WAIT] == 60


def test_partners_are_told_apart(world: World) -> None:
    """Each partner has its own outcomes and its own oldest wait; together they are the whole."""
    world.braze.named = lambda item: item["external_id"] == "bad"
    quiz, late = job("1", "ada", age=90), job("2", "bob", age=30)
    survey = job("3", "bad").model_copy(update={"source": "iterate"})

    world.handle(*(each.to_json() for each in (quiz, late, survey)), "poison")

    told = world.meter.by_partner
    assert told["outgrow", Metric.JOBS_DELIVERED] == 2
    assert told["iterate", Metric.JOBS_REJECTED] == 1
    assert told["outgrow", Metric.OLDEST_WAIT] == world.meter.totals[Metric.OLDEST_WAIT] == 90
    assert told["iterate", Metric.OLDEST_WAIT] == 60
    assert {metric for _, metric in told} == BY_PARTNER


def test_a_job_is_found_in_the_log_by_its_call_at_the_door(world: World) -> None:
    """Delivered, duplicate, given back or rejected: its correlation id stands beside the word."""
    world.braze.named = lambda item: item["external_id"] == "bad"
    good, bad = (
        job(name, user).model_copy(update={"correlation_id": f"call-{name}"})
        for name, user in (("1", "ada"), ("2", "bad"))
    )
    twin = good.model_copy(update={"correlation_id": "call-1-again"})

    world.handle(good.to_json(), twin.to_json(), bad.to_json())
    world.braze.before = lambda _: AuthenticationError("", status=401)
    world.handle(job("3").model_copy(update={"correlation_id": "call-3"}).to_json())

    trail = {
        line["message"]: line["correlation_ids"]
        for line in world.log.lines
        if "correlation_ids" in line
    }
    assert trail == {
        "jobs delivered": ["call-1"],
        "jobs duplicate": ["call-1-again"],
        "jobs retried": ["call-3"],
    }
    (rejected,) = [line for line in world.log.lines if line["message"] == "job rejected"]
    assert rejected["correlation_id"] == "call-2"


def test_a_whole_batch_s_trail_is_a_few_lines(world: World) -> None:
    """1,050 jobs are not 1,050 lines, and nobody is missing."""
    ids = [f"call-{number}" for number in range(1_050)]
    world.handle(
        *(job(name, name).model_copy(update={"correlation_id": name}).to_json() for name in ids)
    )

    lines = [line for line in world.log.lines if "correlation_ids" in line]
    assert len(lines) == 3
    assert sorted(each for line in lines for each in line["correlation_ids"]) == sorted(ids)


def test_a_closed_gate_and_what_is_left_of_the_limit_are_figures(world: World) -> None:
    """Zero while Braze takes everything; one when an answer closes the gate."""
    world.handle(job("1").to_json())
    assert world.meter.totals[Metric.GATE_CLOSED] == 0
    assert Metric.BRAZE_REMAINING not in world.meter.totals

    limit = RateLimit(limit=3_000, remaining=0, reset_at=None)
    world.braze.before = lambda _: RateLimitedError("", status=429, rate_limit=limit)
    world.handle(job("2", "bob").to_json())

    assert world.meter.totals[Metric.GATE_CLOSED] == 1
    assert (Metric.BRAZE_REMAINING, 0) in world.meter.figures


def test_errors_that_name_no_object_are_counted(world: World) -> None:
    """Braze took the request and complains of something: it is not lost in a log."""
    nobody = ObjectError(None, None, "something")
    taken = TrackResponse(201, "success", 1, None, (nobody,), None)
    world.needs = replace(
        world.needs, ports=replace(world.needs.ports, track=lambda _, timeout=None: taken)
    )

    world.handle(job().to_json())

    assert world.meter.totals[Metric.UNATTRIBUTED_ERRORS] == 1
    assert world.meter.totals[Metric.JOBS_DELIVERED] == 1


def test_nothing_personal_is_logged(world: World) -> None:
    """Neither identifiers nor answers, not even of rejected jobs; reasons are."""
    world.braze.named = lambda _: True
    person = job(user="ada-the-customer", attributes={"answer": "a-very-private-answer"})

    world.handle(person.to_json(), json.dumps({"email": "ada@example.com"}))

    assert [line["reason"] for line in world.log.lines if "reason" in line] == [
        "unreadable_job",
        "braze_refused",
    ]
    for private in ("ada-the-customer", "a-very-private-answer", "ada@example.com"):
        assert private not in world.log.text


@pytest.mark.parametrize(("current", "unavailable"), [("", False), ("key", True)])
def test_without_a_key_nothing_is_sent_as_if_braze_had_refused_it(
    current: str, *, unavailable: bool
) -> None:
    """A secret created empty, or one that cannot be read, keeps every job and rings the alarm."""
    secret = FixedSecret(current)
    secret.unavailable = unavailable

    with pytest.raises(AuthenticationError):
        braze_key(secret)()
