"""What Braze, Quikly, the store and the queue do wrong, and what then becomes of acquisitions."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from braze_bridge.braze.errors import (
    AuthenticationError,
    BrazeError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnknownOutcomeError,
)
from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.quikly import QuiklyError
from quikly_acquisition.models import PersonKey, State, Step
from quikly_acquisition.workflow import MAX_LOST_CREDITS
from tests.fakes.acquisitions import (
    RULES,
    TERMS,
    Killed,
    Simulation,
    record,
)
from tests.fakes.clock import NOON
from tests.fakes.gate import InMemoryGate

if TYPE_CHECKING:
    from collections.abc import Callable

SCOPES = ("news", "texts", "asked", "asked-by-event")


def confirms(world: Simulation) -> None:
    """Everybody answers the prompt as soon as it comes."""
    world.braze.faults = lambda _: world.braze.confirm()


def outcome(world: Simulation, id_: str) -> object:
    """What the world looks like at the end, whatever happened on the way."""
    return (
        world.stored(id_).state,
        world.stored(id_).reason,
        [(each.alias, each.email, each.phone, each.groups) for each in world.braze.profiles],
        sorted(world.jobs.jobs),
        {(call.q_scope, call.event, call.email, call.phone) for call in world.quikly.calls},
    )


@pytest.mark.parametrize("scope", SCOPES)
def test_killing_the_worker_between_any_two_steps_changes_nothing_in_the_outcome(
    scope: str,
) -> None:
    """Before and after every call of every port; told twice is only what nobody can know."""
    whole = Simulation()
    confirms(whole)
    id_ = whole.begin(record(scope))
    whole.run()
    places = list(whole.strings.pulled)
    assert whole.stored(id_).state is State.CREDITED
    assert len(places) > 8
    for number, place in enumerate(places, start=1):
        world = Simulation()
        confirms(world)

        def kill(_: str, pulled: int, number: int = number) -> None:
            if pulled == number:
                raise Killed

        world.strings.on = kill
        world.begin(record(scope))
        world.run()
        assert world.kills == 1
        assert outcome(world, id_) == outcome(whole, id_), place
        again = "credit_outcome_unknown" in world.steps_of(id_)
        assert len(world.quikly.calls) == 1 or (again and len(world.quikly.calls) == 2), place


@pytest.mark.parametrize("scope", SCOPES)
def test_a_crash_between_the_record_and_its_message_is_mended_by_the_sweep(scope: str) -> None:
    """Recorded first, then queued: what was never queued is found."""
    world = Simulation()
    confirms(world)
    id_ = world.begin(record(scope), queued=False)
    world.run()
    assert world.stored(id_).state is State.CREDITED


def test_a_worker_killed_again_and_again_ends_all_the_same() -> None:
    """Each operation kills it with a chance of one in ten."""
    chance = random.Random(3)
    world = Simulation()
    confirms(world)

    def kill(name: str, pulled: int) -> None:
        del name, pulled
        if chance.random() < 0.1:
            raise Killed

    world.strings.on = kill
    ids = [
        world.begin(record(scope, number=number, email=f"{scope}@example.com"))
        for number, scope in enumerate(SCOPES)
    ]
    world.run()
    assert {world.stored(id_).state for id_ in ids} == {State.CREDITED}
    assert 3 < world.kills < 60


def down_for(world: Simulation, seconds: float, error: Callable[[], BrazeError]) -> None:
    """Braze answers so until then."""
    end = NOON + timedelta(seconds=seconds)
    world.braze.faults = lambda _: error() if world.clock.now() < end else None


@pytest.mark.parametrize(
    "error",
    [
        lambda: ServerError("unavailable", status=503),
        lambda: ServerError("broken", status=500),
        lambda: UnknownOutcomeError("timed out"),
    ],
)
@pytest.mark.parametrize("scope", ["news", "texts"])
def test_braze_down_for_an_hour_makes_everything_wait_and_then_finish(
    scope: str, error: Callable[[], BrazeError]
) -> None:
    """No count of failures ends an acquisition, and the calls get fewer and fewer."""
    world = Simulation(rules=RULES)
    down_for(world, 3600, error)
    id_ = world.begin(record(scope))
    world.run()
    assert world.stored(id_).state is State.CREDITED
    assert len(world.quikly.calls) == 1
    assert sum(at < NOON + timedelta(hours=1) for at, _, _ in world.braze.calls) < 20
    assert world.clock.now() < NOON + timedelta(hours=1, minutes=25)


def test_the_oldest_wait_counts_the_time_in_trouble() -> None:
    """Each try moves a step's time; the alarm rings all the same, and ends with the trouble."""
    world = Simulation()
    down_for(world, 3600, lambda: ServerError("broken", status=500))
    world.begin(record("asked"))
    world.run_for(2 * 3600)
    assert 2700 < max(result.oldest_wait for result in world.results) < 3600 + 20 * 60
    assert world.results[-1].oldest_wait < 300


def test_trouble_that_lasts_a_week_ends_in_failure_with_its_reason() -> None:
    """Nothing waits for ever."""
    world = Simulation()
    world.braze.faults = lambda _: ServerError("broken", status=500)
    id_ = world.begin(record("texts"))
    world.run()
    assert (world.stored(id_).state, world.stored(id_).reason) == (State.FAILED, "gave_up")
    assert len(world.stored(id_).history) < 10


@pytest.mark.parametrize(
    "error",
    [
        lambda: AuthenticationError("wrong key", status=401),
        lambda: PermissionDeniedError("not allowed", status=403),
        lambda: NotFoundError("wrong address", status=404),
    ],
)
def test_a_key_or_permission_that_is_missing_makes_all_wait_behind_one_probe(
    error: Callable[[], BrazeError],
) -> None:
    """One request at a time asks whether it is mended; then everything finishes."""
    world = Simulation(gate=InMemoryGate)
    end = NOON + timedelta(minutes=30)
    world.braze.faults = lambda name: (
        error() if name == "export_ids" and world.clock.now() < end else None
    )
    ids = [world.begin(record(number=n, email=f"p{n}@example.com")) for n in range(40)]
    world.run()
    assert {world.stored(id_).state for id_ in ids} == {State.CREDITED}
    before = [at for at, _, _ in world.braze.calls if at < end]
    # The first round may have been under way when the first refusal came.
    assert len(before) - before.count(NOON) < 12


FAMILIES = {
    "status_get": EndpointFamily.SHARED_DEFAULT,
    "export_ids": EndpointFamily.EXPORT_IDS,
    "track": EndpointFamily.TRACK,
    "status_set": EndpointFamily.SUBSCRIPTION_SET,
}


def test_500_at_once_all_finish_and_no_request_starts_while_a_gate_is_closed() -> None:
    """20 % of answers 5xx, now and then a 429, an export limit: one profile and credit each."""
    chance = random.Random(7)
    world = Simulation(gate=InMemoryGate, jitter=chance.random, batch=50, seconds=0.3)
    world.braze.export_limit = 100
    closed: list[str] = []
    slowed: list[str] = []

    def fault(name: str) -> BrazeError | None:
        if world.gate.closed_until(FAMILIES[name]) is not None:
            closed.append(name)
        drawn = chance.random()
        if drawn < 0.2:
            return ServerError("broken", status=500)
        if drawn < 0.21:
            slowed.append(name)
            return RateLimitedError("slower", status=429, retry_after=7.0)
        return None

    world.braze.faults = fault
    ids = [
        world.begin(
            record("texts", number=n, email=f"p{n}@example.com", phone=f"+49151{10000000 + n}")
        )
        for n in range(500)
    ]
    world.run()
    assert {world.stored(id_).state for id_ in ids} == {State.CREDITED}
    assert closed == []
    assert len({each.email for each in world.braze.profiles}) == len(world.braze.profiles) == 500
    assert len(world.quikly.calls) == len({call.email for call in world.quikly.calls}) == 500
    closings = {reason for result in world.results for reason in result.figures.closings}
    assert closings == {"rate_limited"}
    # Paced: the export limit itself was never run into.
    assert sum(result.figures.rate_limited for result in world.results) == len(slowed) > 0


def test_what_is_refused_by_name_fails_alone() -> None:
    """The other profiles of the request are made, by that request."""
    world = Simulation()
    world.braze.refuses_object = lambda item: item["email"] == "p3@example.com"
    ids = [world.begin(record(number=n, email=f"p{n}@example.com")) for n in range(10)]
    world.run()
    reasons = [world.stored(id_).reason for id_ in ids]
    assert reasons == [None] * 3 + ["braze_refused"] + [None] * 6
    assert [len(objects) for objects in world.braze.asked("track")] == [10]


def test_what_is_refused_without_a_name_is_found_by_trying_each_alone() -> None:
    """Three times, then it is the object's fault; the others succeed at once."""
    world = Simulation()
    world.braze.refuses_request = lambda item: item["email"] == "p3@example.com"
    ids = [world.begin(record(number=n, email=f"p{n}@example.com")) for n in range(10)]
    world.run()
    reasons = [world.stored(id_).reason for id_ in ids]
    assert reasons == [None] * 3 + ["braze_refused"] + [None] * 6
    assert len(world.braze.asked("track")) == 1 + 10 + 2


def test_where_every_profile_is_refused_alike_it_is_us_and_nobody_fails() -> None:
    """The gate closes; once it is mended, all finish."""
    world = Simulation(gate=InMemoryGate)
    end = NOON + timedelta(minutes=20)
    world.braze.refuses_request = lambda _: world.clock.now() < end
    ids = [world.begin(record(number=n, email=f"p{n}@example.com")) for n in range(20)]
    world.run()
    assert {world.stored(id_).state for id_ in ids} == {State.CREDITED}
    assert any("requests_refused" in result.figures.closings for result in world.results)


def test_creations_of_one_batch_go_out_in_one_request() -> None:
    """75 people, one ``/users/track``."""
    world = Simulation()
    for n in range(75):
        world.begin(record(number=n, email=f"p{n}@example.com"))
    world.run()
    assert [len(objects) for objects in world.braze.asked("track")] == [75]


def test_creations_that_are_too_long_for_one_request_go_out_in_several() -> None:
    """A body at the door may have 256 KB, a request to Braze 4 MB: twenty such people need two."""
    world = Simulation()
    long = {f"a{n}": ["x" * 250 + f"{item:03}" for item in range(20)] for n in range(40)}
    ids = [
        world.begin(record(number=n, email=f"p{n}@example.com", attributes=long)) for n in range(20)
    ]
    world.run()
    assert {world.stored(id_).state for id_ in ids} == {State.CREDITED}
    assert [len(objects) for objects in world.braze.asked("track")] == [17, 3]
    assert all(not result.figures.faults for result in world.results)


# -- the same person ---------------------------------------------------------------------------


def test_the_same_person_twice_at_once_is_enrolled_once() -> None:
    """The second request is told the first one's id."""
    world = Simulation()
    first = world.begin(record("texts"))
    second = world.begin(record("texts", number=1))
    assert first == second
    world.run()
    assert len(world.quikly.calls) == 1


def test_one_person_in_two_activations_at_once_is_looked_up_once_and_made_once() -> None:
    """Coalesced in the batch: one look-up, one profile, two credits."""
    world = Simulation(rules=RULES | {"more": RULES["news"]._replace(q_scope="more")})
    world.begin(record("news"))
    world.begin(record("more", number=1, channel="email"))
    world.run()
    assert world.braze.named().count("export_ids") == 1
    assert len(world.braze.profiles) == 1
    assert len(world.quikly.calls) == 2


def test_who_was_found_or_made_is_not_looked_up_again_for_a_week() -> None:
    """Under a keyed hash; after a week Braze is asked again."""
    world = Simulation()
    world.begin(record("news"))
    world.run()
    world.begin(record("news", number=1, at=world.clock.now()))
    world.run()
    assert world.braze.named().count("export_ids") == 1
    assert "profile_remembered" in world.steps_of("acquisition-000001")
    assert "ada@example.com" not in str(world.records.known)
    world.clock.advance(7 * 86_400)
    world.begin(record("news", number=2, at=world.clock.now()))
    world.run()
    assert world.braze.named().count("export_ids") == 2


def test_who_was_made_a_moment_ago_is_waited_for_by_the_next_sign_up_as_well() -> None:
    """A profile that is 30 seconds old is subscribed 120 seconds after it was made."""
    world = Simulation()
    world.begin(record("texts"))
    world.run_for(30)
    world.begin(record("asked", number=1, at=world.clock.now()))
    world.run_for(600)
    made = next(at for at, name, _ in world.braze.calls if name == "track")
    asked = [
        at
        for at, name, what in world.braze.calls
        if name == "status_set" and what.get("use_double_opt_in_logic")
    ]
    assert (asked[0] - made).total_seconds() >= 120
    assert world.braze.named().count("track") == 1


def test_a_remembered_person_with_a_new_number_gets_it_written() -> None:
    """What is known of a person says which number they had."""
    world = Simulation()
    world.begin(record("texts"))
    world.run()
    world.clock.advance(3600)
    world.begin(record("texts", number=1, phone="+4915187654321", at=world.clock.now()))
    world.run()
    assert world.braze.profiles[0].phone == "+4915187654321"
    assert len(world.braze.profiles) == 1


def test_a_remembered_person_s_other_number_is_left_alone_where_the_brand_says_so() -> None:
    """The look-up was an e-mail sign-up's, which asks for no number: the profile has one."""
    careful = RULES["texts"]._replace(replace_phone=False)
    world = Simulation(rules=RULES | {"texts": careful})
    profile = world.braze.has(external_id="ada", email="ada@example.com", phone="+12025550123")
    world.begin(record("news"))
    world.run()
    id_ = world.begin(record("texts", number=1, at=world.clock.now()))
    world.run()
    assert "profile_remembered" not in world.steps_of("acquisition-000000")
    assert world.braze.named().count("export_ids") == 1
    assert world.stored(id_).reason == "phone_differs"
    assert profile.phone == "+12025550123"


@pytest.mark.parametrize(("after", "look_ups"), [(60, 0), (16 * 60, 1)])
def test_who_was_written_to_without_a_look_up_is_known_for_a_quarter_of_an_hour(
    after: float, look_ups: int
) -> None:
    """As long as a look-up might miss the new profile; later it tells who is unsubscribed."""
    blind = RULES["news"]._replace(q_scope="blind", lookup="none")
    world = Simulation(rules=RULES | {"blind": blind})
    world.braze.has(external_id="ada", email="ada@example.com", email_subscribe="unsubscribed")
    world.begin(record("blind", channel="email"))
    world.run()
    world.clock.advance(after)
    id_ = world.begin(record("news", number=1, at=world.clock.now()))
    world.run()
    assert world.braze.named().count("export_ids") == look_ups
    assert world.stored(id_).reason == ("unsubscribed" if look_ups else None)


# -- Quikly ------------------------------------------------------------------------------------


def refuse(world: Simulation, times: int, **how: object) -> None:
    def fault(asked: int) -> None:
        if asked <= times:
            raise QuiklyError("Quikly answered", **how)  # type: ignore[arg-type]  # of its flags

    world.quikly.faults = fault


@pytest.mark.parametrize(
    "how",
    [
        {"retryable": True},
        {"status": 429, "retryable": True, "retry_after": 30.0},
        {"status": 503, "retryable": True},
        {"status": 401, "retryable": True, "key_refused": True},
    ],
)
def test_a_credit_that_was_refused_for_now_is_told_again(how: dict[str, object]) -> None:
    """The call did not count, so telling again is no second credit."""
    world = Simulation()
    refuse(world, 4, **how)
    id_ = world.begin(record())
    world.run()
    assert len(world.quikly.calls) == 1
    assert world.stored(id_).state is State.CREDITED
    assert "credit_outcome_unknown" not in world.steps_of(id_)


def test_a_credit_that_is_refused_for_good_fails() -> None:
    """Quikly answers 422, say: the acquisition says so."""
    world = Simulation()
    refuse(world, 9, status=422)
    id_ = world.begin(record())
    world.run()
    assert world.stored(id_).reason == "credit_refused"
    assert world.quikly.asked == 1


@pytest.mark.parametrize("status", [302, 404, 405])
def test_an_address_of_quikly_s_that_is_wrong_is_waited_out_for_a_day(status: int) -> None:
    """Mended within it, everybody is credited; else the story has the status."""
    world = Simulation()
    refuse(world, 15, status=status)
    id_ = world.begin(record())
    world.run()
    assert world.stored(id_).state is State.CREDITED
    assert len(world.quikly.calls) == 1

    world = Simulation()
    refuse(world, 10_000, status=status)
    id_ = world.begin(record())
    world.run()
    assert world.stored(id_).reason == "credit_refused"
    assert [each.detail for each in world.stored(id_).history if each.step == "retried"] == [
        f"quikly_{status}"
    ]
    assert timedelta(days=1) <= world.clock.now() - NOON <= timedelta(days=1, minutes=20)


@pytest.mark.parametrize(
    ("rule", "calls", "state"), [("resend", 2, State.CREDITED), ("park", 1, State.FAILED)]
)
def test_a_credit_whose_answer_was_lost_follows_the_rule_and_says_so(
    rule: str, calls: int, state: State
) -> None:
    """``resend`` may tell twice; ``park`` leaves it to people."""
    world = Simulation(
        terms=TERMS._replace(on_unknown_outcome="park" if rule == "park" else "resend")
    )

    def lose(asked: int) -> None:
        if asked == 1:
            raise QuiklyError("timed out", retryable=True, outcome_unknown=True)

    world.quikly.lost = lose
    id_ = world.begin(record())
    world.run()
    assert len(world.quikly.calls) == calls
    assert world.stored(id_).state is state
    assert "credit_outcome_unknown" in world.steps_of(id_)


def test_an_address_that_never_answers_is_not_told_for_ever() -> None:
    """After about two hours of lost answers people have to look."""
    world = Simulation()

    def lose(_: int) -> None:
        raise QuiklyError("timed out", retryable=True, outcome_unknown=True)

    world.quikly.lost = lose
    id_ = world.begin(record())
    world.run()
    assert world.stored(id_).reason == "credit_unknown"
    assert len(world.quikly.calls) == MAX_LOST_CREDITS + 1
    assert timedelta(hours=1) < world.clock.now() - NOON < timedelta(hours=4)


def test_two_workers_with_one_step_tell_quikly_once() -> None:
    """Whoever stores first that Quikly is about to be told, tells."""
    world = Simulation()
    id_ = world.begin(record())
    (message,) = world.queue.take(10)
    told = {"twice": False}

    def other_worker(name: str, pulled: int) -> None:
        del pulled
        if name == "before save" and world.stored(id_).step is Step.CREDIT and not told["twice"]:
            told["twice"] = True
            body = world.stored(id_).message.to_json()
            world.work([message._replace(body=body)])

    world.strings.on = other_worker
    world.work([message])
    world.run()
    assert told["twice"]
    assert len(world.quikly.calls) == 1
    assert world.stored(id_).state is State.CREDITED


# -- store, queues, messages -------------------------------------------------------------------


def test_an_old_message_is_dropped() -> None:
    """SQS may hand one out twice, also long after."""
    world = Simulation()
    id_ = world.begin(record())
    old = world.stored(id_).message.to_json()
    world.run()
    calls = len(world.braze.calls)
    world.queue.put(old, 0)
    world.run_for(60)
    assert len(world.braze.calls) == calls
    assert world.results[-1].stale == 1


def test_a_message_of_the_version_before_is_dropped() -> None:
    """The step it asks for was taken; the one after has its own message."""
    world = Simulation()
    id_ = world.begin(record("texts"))
    world.run_for(30)
    now = world.stored(id_).message
    world.queue.put(now.model_copy(update={"version": now.version - 1}).to_json(), 0)
    sent = world.queue.sent
    world.run_for(1)
    assert world.results[-1].stale == 1
    assert world.queue.sent == sent


def test_a_message_that_is_none_is_counted_and_dropped() -> None:
    """There is nothing in it to lose: the sweep makes what is missing."""
    world = Simulation()
    world.queue.put("{}", 0)
    world.run_for(1)
    assert (world.results[0].unreadable, world.results[0].back) == (1, [])


def test_a_store_that_does_not_answer_sends_the_messages_back() -> None:
    """And everything finishes once it does."""
    world = Simulation()
    id_ = world.begin(record("texts"))
    world.records.refusing = True
    world.run_for(150)
    assert world.results[-1].back
    assert world.braze.calls == []
    world.records.refusing = False
    world.run()
    assert world.stored(id_).state is State.CREDITED


def test_a_queue_that_takes_nothing_delays_and_loses_nothing() -> None:
    """The sweep finds the step once its time is over; so does a delivery queue's step wait."""
    world = Simulation()
    id_ = world.begin(record("texts"))
    world.queue.refusing = True
    world.run_for(30)
    assert world.results[-1].unqueued == 1
    world.queue.refusing = False
    world.jobs.refusing = True
    world.run_for(600)
    world.jobs.refusing = False
    world.run()
    assert world.stored(id_).state is State.CREDITED


def test_an_erased_acquisition_is_not_brought_back_by_a_worker_under_way() -> None:
    """What the worker learnt of it is dropped with it."""
    world = Simulation()
    id_ = world.begin(record("texts"))
    world.run_for(60)
    assert world.records.erase(PersonKey("email", "ada@example.com")) == 1
    world.run_for(600)
    assert world.records.rows == {}
    assert world.quikly.calls == []
    del id_


def test_a_record_that_cannot_go_on_fails_alone() -> None:
    """A fault of ours in one must not stop its whole batch, again and again."""
    world = Simulation()
    fine, broken = world.begin(record()), world.begin(record("texts", number=1))
    kept = world.stored(broken).model_copy(update={"step": Step.TELL_PARTICIPATION})
    world.records.rows[broken] = kept.model_copy(update={"made_profile": True}).model_dump_json()
    world.run()
    assert world.stored(fine).state is State.CREDITED
    assert world.stored(broken).reason == "impossible"


def test_a_fault_of_ours_is_counted_and_tried_again() -> None:
    """An exception that no port should raise."""
    world = Simulation()
    id_ = world.begin(record())
    times = {"left": 2}

    def stumble(name: str, pulled: int) -> None:
        del pulled
        if name in {"before track", "before credit"} and times["left"]:
            times["left"] -= 1
            raise KeyError(name)

    world.strings.on = stumble
    world.run()
    assert world.stored(id_).state is State.CREDITED
    assert sum(result.figures.faults.get("KeyError", 0) for result in world.results) == 2
