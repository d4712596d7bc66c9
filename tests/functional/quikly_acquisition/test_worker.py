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
from quikly_acquisition.worker import Dependencies
from tests.fakes.acquisitions import RULES, Simulation, record
from tests.fakes.secret import FixedSecret

if TYPE_CHECKING:
    from braze_bridge.handlers import BatchAnswer
    from quikly_acquisition.running import ReceivedStep

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


def wired(world: Simulation) -> Dependencies:
    return Dependencies(
        world.desk, FixedSecret("braze"), FixedSecret("quikly"), world.meter, world.log.logger
    )


def event(*messages: ReceivedStep) -> dict[str, list[dict[str, str]]]:
    return {"Records": [{"messageId": each.message_id, "body": each.body} for each in messages]}


def test_a_batch_is_done_with_counted_and_logged_without_anything_personal() -> None:
    """Two acquisitions: one is credited, one fails; nothing goes back to SQS."""
    world = Simulation(
        rules=RULES
        | {"lost": RULES["texts"]._replace(q_scope="lost", subscription_group_id="no-group")}
    )
    world.begin(record())
    world.begin(record("lost", number=1))
    answer = handle(event(*world.queue.take(10)), Context(), wired(world))
    assert answer == {"batchItemFailures": []}
    totals = world.meter.totals
    assert totals[Metric.ACQUISITIONS_CREDITED] == 1
    assert totals[Metric.ACQUISITIONS_FAILED] == 1
    assert totals[Metric.PROFILES_CREATED] == 1
    assert totals[Metric.PROFILE_LOOK_UPS] == 1
    (failed,) = [line for line in world.log.lines if line["message"] == "acquisition failed"]
    assert (failed["reason"], failed["q_scope"]) == ("unknown_group", "lost")
    for secret in (ADA, PHONE, PHONE.removeprefix("+")):
        assert secret not in world.log.text


def test_what_the_brand_s_rules_decline_rings_no_alarm() -> None:
    """Somebody unsubscribed is a failure of nobody's: counted on its own."""
    world = Simulation()
    world.braze.has(external_id="ada", email=ADA, email_subscribe="unsubscribed")
    id_ = world.begin(record())
    handle(event(*world.queue.take(10)), Context(), wired(world))
    assert world.stored(id_).reason == "unsubscribed"
    assert world.meter.totals[Metric.ACQUISITIONS_FAILED] == 0
    assert world.meter.totals[Metric.ACQUISITIONS_DECLINED] == 1


def test_an_unreadable_record_rings_and_the_rest_of_the_batch_goes_on() -> None:
    """Its message does not go round and round: the sweep makes another."""
    world = Simulation()
    bad = world.begin(record())
    good = world.begin(record(number=1, email="bob@example.com"))
    world.records.rows[bad] = '{"schema_version": 99}'
    answer = handle(event(*world.queue.take(10)), Context(), wired(world))
    assert answer == {"batchItemFailures": []}
    assert world.stored(good).state is State.CREDITED
    assert world.meter.totals[Metric.ACQUISITIONS_FAILED] == 1
    (line,) = [line for line in world.log.lines if line["message"] == "acquisition unreadable"]
    assert line["acquisition"] == bad


def test_messages_go_back_where_the_store_fails() -> None:
    """All of an acquisition's, also the second copy of one."""
    world = Simulation()
    world.begin(record())
    (message,) = world.queue.take(10)
    world.records.refusing = True
    again = message._replace(message_id="copy")
    answer = handle(event(message, again), Context(), wired(world))
    ids = [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]
    assert ids == [message.message_id, "copy"]


def test_a_refused_key_is_read_again_before_the_next_try() -> None:
    """Braze's and Quikly's each: somebody may have put a new one there."""
    world = Simulation()
    needs = wired(world)
    assert isinstance(needs.braze_secret, FixedSecret)
    assert isinstance(needs.quikly_secret, FixedSecret)
    world.braze.faults = lambda _: AuthenticationError("no", status=401)
    world.begin(record())
    handle(event(*world.queue.take(10)), Context(), needs)
    assert (needs.braze_secret.drops, needs.quikly_secret.drops) == (1, 0)
    assert world.meter.totals[Metric.BRAZE_KEY_REFUSED] == 1

    def refuse(_: int) -> None:
        raise QuiklyError("no", status=401, retryable=True, key_refused=True)

    world.braze.faults = lambda _: None
    world.quikly.faults = refuse
    world.begin(record(number=1, email="bob@example.com"))
    handle(event(*world.queue.take(10)), Context(), needs)
    assert (needs.braze_secret.drops, needs.quikly_secret.drops) == (1, 1)
    assert world.meter.totals[Metric.QUIKLY_KEY_REFUSED] == 1


def test_what_time_does_not_allow_is_left_to_the_next_batch() -> None:
    """Nothing is asked that could not be answered and stored; the message is made again."""
    world = Simulation()
    id_ = world.begin(record())
    messages = world.queue.take(10)
    assert handle(event(*messages), Context(left=9_000), wired(world)) == {"batchItemFailures": []}
    assert world.braze.calls == []
    world.clock.advance(2)
    (again,) = world.queue.take(10)
    assert again.body == world.stored(id_).message.to_json()


def test_a_credit_that_there_is_no_time_for_is_known_not_to_have_been_told() -> None:
    """It is taken back, not left as if it might have been; the next batch tells."""
    world = Simulation()
    context = Context()
    id_ = world.begin(record())

    def slow(name: str, pulled: int) -> None:
        del pulled
        if name == "after track":
            context.left = 12_000  # enough to store things, not to tell Quikly

    world.strings.on = slow
    handle(event(*world.queue.take(10)), context, wired(world))
    assert world.quikly.asked == 0
    assert world.stored(id_).step is Step.CREDIT
    world.run()
    assert len(world.quikly.calls) == 1
    assert "credit_outcome_unknown" not in world.steps_of(id_)


def test_the_sweep_counts_the_oldest_wait_and_makes_each_message_once() -> None:
    """What it queued is not queued again by the next minute's run."""
    world = Simulation()
    world.begin(record(), queued=False)
    needs = SweepDependencies(
        world.records, world.queue, world.clock, world.meter, world.log.logger
    )
    assert sweep(needs) == 0
    world.clock.advance(90)
    assert sweep(needs) == 1
    assert world.meter.totals[Metric.OLDEST_WAIT] == 30
    world.clock.advance(60)
    assert sweep(needs) == 0


def test_what_the_queue_did_not_take_is_found_by_the_next_run() -> None:
    """Only what was queued is put off."""
    world = Simulation()
    world.begin(record(), queued=False)
    needs = SweepDependencies(
        world.records, world.queue, world.clock, world.meter, world.log.logger
    )
    world.clock.advance(timedelta(minutes=2).total_seconds())
    world.queue.refusing = True
    assert sweep(needs) == 0
    world.queue.refusing = False
    assert sweep(needs) == 1
