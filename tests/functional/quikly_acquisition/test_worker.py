"""The worker and the sweep from Lambda's event to their answer, with fakes behind the ports."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from braze_bridge.braze.errors import AuthenticationError
from braze_bridge.handlers import answer_batch
from braze_bridge.observability import Metric
from braze_bridge.quikly import QuiklyError
from quikly_acquisition import worker
from quikly_acquisition.models import State, Step
from quikly_acquisition.sweep import Dependencies as SweepDependencies
from quikly_acquisition.sweep import sweep
from tests.fakes.acquisitions import RULES, Simulation, record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from braze_bridge.handlers import BatchAnswer, SqsMessage
    from quikly_acquisition.dependencies import Dependencies
    from quikly_acquisition.records import DueStep

ADA = "ada@example.com"
PHONE = "+4915112345678"


class Context:
    """An invocation.

    Attributes:
        left: Milliseconds.
    """

    def __init__(self, left: int = 60_000) -> None:
        self.left = left


def handle(event: dict[str, Any], context: Context, needs: Dependencies) -> BatchAnswer:
    return answer_batch(event, lambda: context.left / 1000, worker.handle, needs)


def event(*messages: SqsMessage) -> dict[str, list[dict[str, str]]]:
    return {"Records": [{"messageId": each.message_id, "body": each.body} for each in messages]}


def test_a_batch_is_done_with_counted_and_logged_without_anything_personal() -> None:
    """Two acquisitions: one is credited, one fails; nothing goes back to SQS."""
    sim = Simulation(
        rules=RULES
        | {"lost": RULES["texts"]._replace(q_scope="lost", subscription_group_id="no-group")}
    )
    sim.begin(record())
    sim.begin(record("lost", number=1))
    answer = handle(event(*sim.queue.take(10)), Context(), sim.deps)
    assert answer == {"batchItemFailures": []}
    totals = sim.meter.totals
    assert totals[Metric.ACQUISITIONS_CREDITED] == 1
    assert totals[Metric.ACQUISITIONS_FAILED] == 1
    assert totals[Metric.PROFILE_LOOK_UPS] == 1
    (failed,) = [line for line in sim.log.lines if line["message"] == "acquisition failed"]
    assert (failed["reason"], failed["q_scope"]) == ("unknown_group", "lost")
    for secret in (ADA, PHONE, PHONE.removeprefix("+")):
        assert secret not in sim.log.text


def test_what_the_brand_s_rules_decline_rings_no_alarm() -> None:
    """An unsubscribed person is not our failure: it is counted separately."""
    sim = Simulation()
    sim.braze.has(external_id="ada", email=ADA, email_subscribe="unsubscribed")
    id_ = sim.begin(record())
    handle(event(*sim.queue.take(10)), Context(), sim.deps)
    assert sim.stored(id_).reason == "unsubscribed"
    assert sim.meter.totals[Metric.ACQUISITIONS_FAILED] == 0
    assert sim.meter.totals[Metric.ACQUISITIONS_DECLINED] == 1


def test_an_unreadable_record_rings_and_the_rest_of_the_batch_goes_on() -> None:
    """Its message does not return; the sweep makes another."""
    sim = Simulation()
    bad = sim.begin(record())
    good = sim.begin(record(number=1, email="bob@example.com"))
    sim.records.rows[bad] = '{"schema_version": 99}'
    answer = handle(event(*sim.queue.take(10)), Context(), sim.deps)
    assert answer == {"batchItemFailures": []}
    assert sim.stored(good).state is State.CREDITED
    assert sim.meter.totals[Metric.ACQUISITIONS_FAILED] == 1
    (line,) = [line for line in sim.log.lines if line["message"] == "acquisition unreadable"]
    assert line["acquisition"] == bad


def test_messages_go_back_if_the_store_fails() -> None:
    """All of an acquisition's, also the second copy of one."""
    sim = Simulation()
    sim.begin(record())
    (message,) = sim.queue.take(10)
    sim.records.refusing = True
    again = message._replace(message_id="copy")
    answer = handle(event(message, again), Context(), sim.deps)
    ids = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
    assert ids == [message.message_id, "copy"]


def test_a_refused_key_is_read_again_before_the_next_try() -> None:
    """Braze's and Quikly's: a person may have replaced it."""
    sim = Simulation()
    sim.braze.faults = lambda _: AuthenticationError("no", status=401)
    sim.begin(record())
    handle(event(*sim.queue.take(10)), Context(), sim.deps)
    assert (sim.braze_secret.drops, sim.quikly_secret.drops) == (1, 0)
    assert sim.meter.totals[Metric.BRAZE_KEY_REFUSED] == 1

    def refuse(_: int) -> None:
        raise QuiklyError("no", status=401, retryable=True, key_refused=True)

    sim.braze.faults = lambda _: None
    sim.quikly.faults = refuse
    sim.begin(record(number=1, email="bob@example.com"))
    handle(event(*sim.queue.take(10)), Context(), sim.deps)
    assert (sim.braze_secret.drops, sim.quikly_secret.drops) == (1, 1)
    assert sim.meter.totals[Metric.QUIKLY_KEY_REFUSED] == 1


def test_what_time_does_not_allow_is_left_to_the_next_batch() -> None:
    """No call starts that could not be answered and stored; the message is made again."""
    sim = Simulation()
    id_ = sim.begin(record())
    messages = sim.queue.take(10)
    assert handle(event(*messages), Context(left=9_000), sim.deps) == {"batchItemFailures": []}
    assert sim.braze.calls == []
    sim.clock.advance(2)
    (again,) = sim.queue.take(10)
    assert again.body == sim.stored(id_).message.to_json()


def test_a_credit_that_there_is_no_time_for_is_known_not_to_have_been_sent() -> None:
    """It is taken back, so that its outcome is not unknown; the next batch calls Quikly."""
    sim = Simulation()
    context = Context()
    id_ = sim.begin(record())

    def slow(name: str, reached: int) -> None:
        del reached
        if name == "after track":
            context.left = 12_000  # enough to store things, not to tell Quikly

    sim.hooks.on = slow
    handle(event(*sim.queue.take(10)), context, sim.deps)
    assert sim.quikly.asked == 0
    assert sim.stored(id_).step is Step.CREDIT
    sim.run()
    assert len(sim.quikly.calls) == 1
    assert "credit_outcome_unknown" not in sim.steps_of(id_)


def test_the_sweep_counts_the_oldest_wait_and_makes_each_message_once() -> None:
    """What it queued is not queued again by the next minute's run."""
    sim = Simulation()
    sim.begin(record(), queued=False)
    sweep_deps = SweepDependencies(sim.records, sim.queue, sim.clock, sim.log.logger)
    assert sweep(sweep_deps) == 0
    sim.clock.advance(90)
    assert sweep(sweep_deps) == 1
    assert sim.log.lines[-1]["oldest"] == 30
    sim.clock.advance(60)
    assert sweep(sweep_deps) == 0


class AlreadyRead:
    """The due steps as a run read them before another run noted that it queued them."""

    def __init__(self, sim: Simulation) -> None:
        self._seen = sim.records.due(sim.clock.now(), 10)
        self.queued = sim.records.queued

    def due(self, now: datetime, limit: int) -> Sequence[DueStep]:
        del now, limit
        return self._seen


def test_two_sweeps_at_once_do_each_step_once() -> None:
    """Lambda may call it twice, and a slow run may meet the next: the worker drops the copy."""
    sim = Simulation()
    id_ = sim.begin(record(), queued=False)
    sim.clock.advance(90)
    sweep_deps = SweepDependencies(AlreadyRead(sim), sim.queue, sim.clock, sim.log.logger)

    assert (sweep(sweep_deps), sweep(sweep_deps)) == (1, 1)
    sim.run()

    assert len(sim.quikly.calls) == 1
    assert sim.stored(id_).state is State.CREDITED


def test_what_the_queue_did_not_take_is_found_by_the_next_run() -> None:
    """Only what was queued is marked as queued."""
    sim = Simulation()
    sim.begin(record(), queued=False)
    sweep_deps = SweepDependencies(sim.records, sim.queue, sim.clock, sim.log.logger)
    sim.clock.advance(timedelta(minutes=2).total_seconds())
    sim.queue.refusing = True
    assert sweep(sweep_deps) == 0
    sim.queue.refusing = False
    assert sweep(sweep_deps) == 1
