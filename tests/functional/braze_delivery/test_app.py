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
from braze_delivery.senders import Senders
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
    from collections.abc import Callable, Iterator, Mapping


class RecordingHider:
    """A ``MessageHider`` that records its calls."""

    def __init__(self) -> None:
        self.delays: dict[str, float] = {}

    def hide(
        self, delays: Mapping[str, float], seconds_left: Callable[[], float] = lambda: 60.0
    ) -> int:
        self.delays |= delays
        return len(delays)


class Harness:
    """The dependencies of one test, and the handler."""

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
        self.deps = Dependencies(ports, self.hider, self.secret, self.meter, self.log.logger)

    def handle(self, *bodies: str) -> list[str]:
        answer = answer_batch(sqs_event(*bodies), lambda: 60, handle, self.deps)
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
def harness() -> Iterator[Harness]:
    with ThreadPoolExecutor(4) as executor:
        yield Harness(executor)


def test_1050_records_take_14_requests_and_nothing_goes_back(harness: Harness) -> None:
    """The whole handler, on threads."""
    bodies = [job(str(n), f"user-{n}").to_json() for n in range(1_050)]

    assert harness.handle(*bodies) == []
    assert len(harness.braze.bodies) == 14
    assert harness.meter.by_partner["outgrow", Metric.JOBS_DELIVERED] == 1_050


def test_what_goes_back_is_hidden_by_its_receipt_handle(harness: Harness) -> None:
    """The answer names the message ids; the handles get the delays."""
    harness.braze.before = lambda _: AuthenticationError("", status=401)

    failures = harness.handle(job("1").to_json(), "poison", job("2", "bob").to_json())

    assert failures == ["message-0", "message-2"]
    assert set(harness.hider.delays) == {"handle-0", "handle-2"}
    assert all(seconds >= 60 for seconds in harness.hider.delays.values())


def test_a_refused_sender_raises_an_alarm_of_its_own(harness: Harness) -> None:
    """Beside the alarm on rejected jobs, since it may be an attack."""
    senders = Senders({"AROAITERATE": {"iterate"}})
    ports = replace(harness.deps.ports, senders=senders)
    event = sqs_event(job().to_json())
    event["Records"][0]["attributes"]["SenderId"] = "AROAITERATE:iterate-responses"

    answer = answer_batch(event, lambda: 60, handle, replace(harness.deps, ports=ports))

    assert answer == {"batchItemFailures": []}
    assert harness.meter.totals[Metric.SENDERS_REFUSED] == 1
    assert harness.meter.totals[Metric.JOBS_REJECTED] == 1


def test_a_refused_key_raises_the_alarm_and_is_dropped(harness: Harness) -> None:
    """The alarm's metric is emitted, and the next batch reads the secret again."""
    harness.braze.before = lambda _: AuthenticationError("", status=401)

    harness.handle(job().to_json())

    assert harness.meter.totals[Metric.BRAZE_KEY_REFUSED] == 1
    assert harness.secret.drops == 1


def test_the_figures_of_a_batch_add_up(harness: Harness) -> None:
    """Received = delivered + duplicate + rejected + retried, as figures."""
    harness.braze.named = lambda item: item["external_id"] == "bad"
    good = job("1").to_json()

    harness.handle(good, good, job("2", "bad").to_json(), "poison")

    [line] = [line for line in harness.log.lines if line["message"] == "batch"]
    assert line["received"] == 4
    outcomes = ("delivered", "duplicate", "rejected", "retried")
    assert [line[outcome] for outcome in outcomes] == [1, 1, 2, 0]
    assert harness.meter.totals[Metric.JOBS_REJECTED] == 2
    assert harness.meter.totals[Metric.OLDEST_WAIT] == 60


def test_figures_are_separate_for_each_partner(harness: Harness) -> None:
    """Each partner has its own outcomes."""
    harness.braze.named = lambda item: item["external_id"] == "bad"
    quiz, late = job("1", "ada", age=90), job("2", "bob", age=30)
    survey = job("3", "bad").model_copy(update={"source": "iterate"})

    harness.handle(*(each.to_json() for each in (quiz, late, survey)), "poison")

    told = harness.meter.by_partner
    assert told["outgrow", Metric.JOBS_DELIVERED] == 2
    assert told["iterate", Metric.JOBS_REJECTED] == 1
    assert harness.meter.totals[Metric.OLDEST_WAIT] == 90
    assert {metric for _, metric in told} == BY_PARTNER


def test_a_job_is_found_in_the_log_by_its_call_at_the_door(harness: Harness) -> None:
    """Delivered, duplicate, retried or rejected: the line has its correlation id."""
    harness.braze.named = lambda item: item["external_id"] == "bad"
    good, bad = (
        job(name, user).model_copy(update={"correlation_id": f"call-{name}"})
        for name, user in (("1", "ada"), ("2", "bad"))
    )
    twin = good.model_copy(update={"correlation_id": "call-1-again"})

    harness.handle(good.to_json(), twin.to_json(), bad.to_json())
    harness.braze.before = lambda _: AuthenticationError("", status=401)
    harness.handle(job("3").model_copy(update={"correlation_id": "call-3"}).to_json())

    logged = {
        line["message"]: line["correlation_ids"]
        for line in harness.log.lines
        if "correlation_ids" in line
    }
    assert logged == {
        "jobs delivered": ["call-1"],
        "jobs duplicate": ["call-1-again"],
        "jobs retried": ["call-3"],
    }
    (rejected,) = [line for line in harness.log.lines if line["message"] == "job rejected"]
    assert rejected["correlation_id"] == "call-2"


def test_the_correlation_ids_of_a_whole_batch_take_a_few_lines(harness: Harness) -> None:
    """1,050 jobs are not 1,050 lines, and no id is missing."""
    ids = [f"call-{number}" for number in range(1_050)]
    harness.handle(
        *(job(name, name).model_copy(update={"correlation_id": name}).to_json() for name in ids)
    )

    lines = [line for line in harness.log.lines if "correlation_ids" in line]
    assert len(lines) == 3
    assert sorted(each for line in lines for each in line["correlation_ids"]) == sorted(ids)


def test_a_closed_gate_is_a_figure_and_the_rest_of_the_limit_is_logged(
    harness: Harness,
) -> None:
    """Zero while Braze takes everything; one when an answer closes the gate."""
    harness.handle(job("1").to_json())
    assert harness.meter.totals[Metric.GATE_CLOSED] == 0

    limit = RateLimit(limit=3_000, remaining=0, reset_at=None)
    harness.braze.before = lambda _: RateLimitedError("", status=429, rate_limit=limit)
    harness.handle(job("2", "bob").to_json())

    assert harness.meter.totals[Metric.GATE_CLOSED] == 1
    batches = [line for line in harness.log.lines if line["message"] == "batch"]
    assert [line.get("remaining") for line in batches] == [None, 0]


def test_errors_that_name_no_object_are_counted(harness: Harness) -> None:
    """Braze accepted the request, with an error that names no object."""
    unnamed = ObjectError(None, None, "something")
    taken = TrackResponse(201, "success", 1, None, (unnamed,), None)
    harness.deps = replace(
        harness.deps, ports=replace(harness.deps.ports, track=lambda _, **_options: taken)
    )

    harness.handle(job().to_json())

    assert harness.meter.totals[Metric.UNCLEAR_ANSWERS] == 1
    assert harness.meter.by_partner["outgrow", Metric.JOBS_DELIVERED] == 1


def test_nothing_personal_is_logged(harness: Harness) -> None:
    """Neither identifiers nor answers, not even of rejected jobs; reasons are."""
    harness.braze.named = lambda _: True
    person = job(user="ada-the-customer", attributes={"answer": "a-very-private-answer"})

    harness.handle(person.to_json(), json.dumps({"email": "ada@example.com"}))

    assert [line["reason"] for line in harness.log.lines if "reason" in line] == [
        "unreadable_job",
        "braze_refused",
    ]
    for private in ("ada-the-customer", "a-very-private-answer", "ada@example.com"):
        assert private not in harness.log.text


@pytest.mark.parametrize(("current", "unavailable"), [("", False), ("key", True)])
def test_without_a_key_nothing_is_sent_as_if_braze_had_refused_it(
    current: str, *, unavailable: bool
) -> None:
    """An empty or unreadable secret keeps every job and raises the alarm."""
    secret = FixedSecret(current)
    secret.unavailable = unavailable

    with pytest.raises(AuthenticationError):
        braze_key(secret)()
