"""Acquisitions while Braze, Quikly, the store and the queue fail."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier, current_thread
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
    SETTINGS,
    Killed,
    Simulation,
    record,
)
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.gate import InMemoryGate

if TYPE_CHECKING:
    from collections.abc import Callable

SCOPES = ("news", "texts", "asked", "asked-by-event")


def confirms(sim: Simulation) -> None:
    """Every person answers the prompt as soon as it comes."""
    sim.braze.faults = lambda _: sim.braze.confirm()


def outcome(sim: Simulation, id_: str) -> object:
    """What Braze and Quikly hold at the end, for any faults on the way."""
    return (
        sim.stored(id_).state,
        sim.stored(id_).reason,
        [(each.alias, each.email, each.phone, each.groups) for each in sim.braze.profiles],
        sorted(sim.jobs.jobs),
        {(call.q_scope, call.event, call.email, call.phone) for call in sim.quikly.calls},
    )


@pytest.mark.parametrize("scope", SCOPES)
def test_killing_the_worker_between_any_two_steps_changes_nothing_in_the_outcome(
    scope: str,
) -> None:
    """Before and after every call of every port; only an unknown outcome leads to a second call."""
    whole = Simulation()
    confirms(whole)
    id_ = whole.begin(record(scope))
    whole.run()
    places = list(whole.hooks.reached)
    assert whole.stored(id_).state is State.CREDITED
    assert len(places) > 8
    for number, place in enumerate(places, start=1):
        sim = Simulation()
        confirms(sim)

        def kill(_: str, reached: int, number: int = number) -> None:
            if reached == number:
                raise Killed

        sim.hooks.on = kill
        sim.begin(record(scope))
        sim.run()
        assert sim.kills == 1
        assert outcome(sim, id_) == outcome(whole, id_), place
        again = "credit_outcome_unknown" in sim.steps_of(id_)
        assert len(sim.quikly.calls) == 1 or (again and len(sim.quikly.calls) == 2), place


@pytest.mark.parametrize("scope", SCOPES)
def test_a_crash_between_the_record_and_its_message_is_mended_by_the_sweep(scope: str) -> None:
    """The record comes first, then the message: the sweep finds a record without one."""
    sim = Simulation()
    confirms(sim)
    id_ = sim.begin(record(scope), queued=False)
    sim.run()
    assert sim.stored(id_).state is State.CREDITED


def test_a_worker_killed_again_and_again_ends_all_the_same() -> None:
    """Each operation ends it with a chance of one in ten."""
    chance = random.Random(3)
    sim = Simulation()
    confirms(sim)

    def kill(name: str, reached: int) -> None:
        del name, reached
        if chance.random() < 0.1:
            raise Killed

    sim.hooks.on = kill
    ids = [
        sim.begin(record(scope, number=number, email=f"{scope}@example.com"))
        for number, scope in enumerate(SCOPES)
    ]
    sim.run()
    assert {sim.stored(id_).state for id_ in ids} == {State.CREDITED}
    assert 3 < sim.kills < 60


def down_for(sim: Simulation, seconds: float, error: Callable[[], BrazeError]) -> None:
    """Braze answers 429 until then."""
    end = NOON + timedelta(seconds=seconds)
    sim.braze.faults = lambda _: error() if sim.clock.now() < end else None


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
    """No number of failures ends an acquisition, and the calls become rarer."""
    sim = Simulation(rules=RULES)
    down_for(sim, 3600, error)
    id_ = sim.begin(record(scope))
    sim.run()
    assert sim.stored(id_).state is State.CREDITED
    assert len(sim.quikly.calls) == 1
    assert sum(at < NOON + timedelta(hours=1) for at, _, _ in sim.braze.calls) < 20
    assert sim.clock.now() < NOON + timedelta(hours=1, minutes=25)


def test_the_oldest_wait_counts_the_time_in_trouble() -> None:
    """Each try moves a step's time; the alarm still rings, and ends when the failures do."""
    sim = Simulation()
    down_for(sim, 3600, lambda: ServerError("broken", status=500))
    sim.begin(record("asked"))
    sim.run_for(2 * 3600)
    assert 2700 < max(result.oldest_wait for result in sim.results) < 3600 + 20 * 60
    assert sim.results[-1].oldest_wait < 300


def test_trouble_that_lasts_a_week_ends_in_failure_with_its_reason() -> None:
    """No acquisition waits without end."""
    sim = Simulation()
    sim.braze.faults = lambda _: ServerError("broken", status=500)
    id_ = sim.begin(record("texts"))
    sim.run()
    assert (sim.stored(id_).state, sim.stored(id_).reason) == (State.FAILED, "gave_up")
    assert len(sim.stored(id_).history) < 10


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
    """One request at a time probes; once the key is right, everything finishes."""
    sim = Simulation(gate=InMemoryGate)
    end = NOON + timedelta(minutes=30)
    sim.braze.faults = lambda name: (
        error() if name == "export_ids" and sim.clock.now() < end else None
    )
    ids = [sim.begin(record(number=n, email=f"p{n}@example.com")) for n in range(40)]
    sim.run()
    assert {sim.stored(id_).state for id_ in ids} == {State.CREDITED}
    before = [at for at, _, _ in sim.braze.calls if at < end]
    # The first round may have been under way when the first refusal came.
    assert len(before) - before.count(NOON) < 12


@pytest.mark.parametrize("meets_it", [True, False])
def test_a_gate_opened_by_hand_releases_the_acquisitions_that_wait(meets_it: bool) -> None:
    """They come back in steps: of an hour's closing within minutes, whether or not they met it."""
    gate = InMemoryGate(FixedClock())
    sim = Simulation(gate=gate.seen_by)
    limit = RateLimitedError("slower", status=429, retry_after=3_600.0)
    if meets_it:
        sim.braze.faults = lambda _: limit
    else:
        until = sim.clock.now() + timedelta(hours=1)
        sim.gate.close(EndpointFamily.EXPORT_IDS, until, "rate_limited")
    id_ = sim.begin(record())
    sim.run_for(120)
    sim.braze.faults = lambda _: None
    for family in EndpointFamily:
        gate.seen_by(sim.clock).open(family)
    sim.run_for(660)
    assert sim.stored(id_).state is State.CREDITED


FAMILIES = {
    "status_get": EndpointFamily.SHARED_DEFAULT,
    "export_ids": EndpointFamily.EXPORT_IDS,
    "track": EndpointFamily.TRACK,
    "status_set": EndpointFamily.SUBSCRIPTION_SET,
}


def test_500_at_once_all_finish_and_no_request_starts_while_a_gate_is_closed() -> None:
    """20 % of answers 5xx, now and then a 429, an export limit: one profile and credit each."""
    chance = random.Random(7)
    sim = Simulation(gate=InMemoryGate, jitter=chance.random, batch=50, seconds=0.3)
    sim.braze.export_limit = 100
    closed: list[str] = []
    slowed: list[str] = []

    def fault(name: str) -> BrazeError | None:
        if sim.gate.closed_until(FAMILIES[name]) is not None:
            closed.append(name)
        drawn = chance.random()
        if drawn < 0.2:
            return ServerError("broken", status=500)
        if drawn < 0.21:
            slowed.append(name)
            return RateLimitedError("slower", status=429, retry_after=7.0)
        return None

    sim.braze.faults = fault
    ids = [
        sim.begin(
            record("texts", number=n, email=f"p{n}@example.com", phone=f"+49151{10000000 + n}")
        )
        for n in range(500)
    ]
    sim.run()
    assert {sim.stored(id_).state for id_ in ids} == {State.CREDITED}
    assert closed == []
    assert len({each.email for each in sim.braze.profiles}) == len(sim.braze.profiles) == 500
    assert len(sim.quikly.calls) == len({call.email for call in sim.quikly.calls}) == 500
    closings = {reason for result in sim.results for reason in result.figures.closings}
    assert closings == {"rate_limited"}
    # Paced: the export limit itself was never run into.
    assert sum(result.figures.rate_limited for result in sim.results) == len(slowed) > 0


def test_an_object_refused_by_name_fails_without_the_others() -> None:
    """The same request creates the other profiles."""
    sim = Simulation()
    sim.braze.refuses_object = lambda item: item["email"] == "p3@example.com"
    ids = [sim.begin(record(number=n, email=f"p{n}@example.com")) for n in range(10)]
    sim.run()
    reasons = [sim.stored(id_).reason for id_ in ids]
    assert reasons == [None] * 3 + ["braze_refused"] + [None] * 6
    assert [len(objects) for objects in sim.braze.asked("track")] == [10]


def test_an_object_refused_without_a_name_is_found_by_single_requests() -> None:
    """Three times, then the object counts as the cause; the others succeed at once."""
    sim = Simulation()
    sim.braze.refuses_request = lambda item: item["email"] == "p3@example.com"
    ids = [sim.begin(record(number=n, email=f"p{n}@example.com")) for n in range(10)]
    sim.run()
    reasons = [sim.stored(id_).reason for id_ in ids]
    assert reasons == [None] * 3 + ["braze_refused"] + [None] * 6
    assert len(sim.braze.asked("track")) == 1 + 10 + 2


def test_if_every_profile_is_refused_alike_it_is_a_configuration_fault_and_none_fails() -> None:
    """The gate closes; once the fault is removed, all finish."""
    sim = Simulation(gate=InMemoryGate)
    end = NOON + timedelta(minutes=20)
    sim.braze.refuses_request = lambda _: sim.clock.now() < end
    ids = [sim.begin(record(number=n, email=f"p{n}@example.com")) for n in range(20)]
    sim.run()
    assert {sim.stored(id_).state for id_ in ids} == {State.CREDITED}
    assert any("requests_refused" in result.figures.closings for result in sim.results)


def test_creations_of_one_batch_go_out_in_one_request() -> None:
    """75 people, one ``/users/track``."""
    sim = Simulation()
    for n in range(75):
        sim.begin(record(number=n, email=f"p{n}@example.com"))
    sim.run()
    assert [len(objects) for objects in sim.braze.asked("track")] == [75]


def test_creations_that_are_too_long_for_one_request_go_out_in_several() -> None:
    """A body at the door may have 256 KB, a request to Braze 4 MB: twenty such people need two."""
    sim = Simulation()
    long = {f"a{n}": ["x" * 250 + f"{item:03}" for item in range(20)] for n in range(40)}
    ids = [
        sim.begin(record(number=n, email=f"p{n}@example.com", attributes=long)) for n in range(20)
    ]
    sim.run()
    assert {sim.stored(id_).state for id_ in ids} == {State.CREDITED}
    assert [len(objects) for objects in sim.braze.asked("track")] == [17, 3]
    assert all(not result.figures.faults for result in sim.results)


# -- the same person ---------------------------------------------------------------------------


def test_the_same_person_twice_at_once_is_enrolled_once() -> None:
    """The second request gets the first one's id."""
    sim = Simulation()
    first = sim.begin(record("texts"))
    second = sim.begin(record("texts", number=1))
    assert first == second
    sim.run()
    assert len(sim.quikly.calls) == 1


def test_one_person_in_two_activations_at_once_is_looked_up_once_and_made_once() -> None:
    """Coalesced in the batch: one look-up, one profile, two credits."""
    sim = Simulation(rules=RULES | {"more": RULES["news"]._replace(q_scope="more")})
    sim.begin(record("news"))
    sim.begin(record("more", number=1, channel="email"))
    sim.run()
    assert sim.braze.named().count("export_ids") == 1
    assert len(sim.braze.profiles) == 1
    assert len(sim.quikly.calls) == 2


def test_a_found_or_created_profile_is_not_looked_up_again_for_a_week() -> None:
    """Under a keyed hash; after a week Braze is asked again."""
    sim = Simulation()
    sim.begin(record("news"))
    sim.run()
    sim.begin(record("news", number=1, at=sim.clock.now()))
    sim.run()
    assert sim.braze.named().count("export_ids") == 1
    assert "profile_remembered" in sim.steps_of("acquisition-000001")
    assert "ada@example.com" not in str(sim.records.known)
    sim.clock.advance(7 * 86_400)
    sim.begin(record("news", number=2, at=sim.clock.now()))
    sim.run()
    assert sim.braze.named().count("export_ids") == 2


def test_the_next_sign_up_waits_for_a_profile_created_a_moment_ago() -> None:
    """A profile that is 30 seconds old is subscribed 120 seconds after it was made."""
    sim = Simulation()
    sim.begin(record("texts"))
    sim.run_for(30)
    sim.begin(record("asked", number=1, at=sim.clock.now()))
    sim.run_for(600)
    made = next(at for at, name, _ in sim.braze.calls if name == "track")
    asked = [
        at
        for at, name, what in sim.braze.calls
        if name == "status_set" and what.get("use_double_opt_in_logic")
    ]
    assert (asked[0] - made).total_seconds() >= 120
    assert sim.braze.named().count("track") == 1


def test_a_remembered_person_with_a_new_number_gets_it_written() -> None:
    """The remembered profile includes its number."""
    sim = Simulation()
    sim.begin(record("texts"))
    sim.run()
    sim.clock.advance(3600)
    sim.begin(record("texts", number=1, phone="+4915187654321", at=sim.clock.now()))
    sim.run()
    assert sim.braze.profiles[0].phone == "+4915187654321"
    assert len(sim.braze.profiles) == 1


def test_a_remembered_person_s_other_number_is_not_replaced_if_the_brand_says_so() -> None:
    """An e-mail sign-up looked the person up; the profile's number is remembered, too."""
    careful = RULES["texts"]._replace(replace_phone=False)
    sim = Simulation(rules=RULES | {"texts": careful})
    profile = sim.braze.has(external_id="ada", email="ada@example.com", phone="+12025550123")
    sim.begin(record("news"))
    sim.run()
    id_ = sim.begin(record("texts", number=1, at=sim.clock.now()))
    sim.run()
    assert "profile_remembered" not in sim.steps_of("acquisition-000000")
    assert sim.braze.named().count("export_ids") == 1
    assert sim.stored(id_).reason == "phone_differs"
    assert profile.phone == "+12025550123"


@pytest.mark.parametrize(("after", "look_ups"), [(60, 0), (16 * 60, 1)])
def test_a_profile_written_without_a_look_up_is_remembered_for_a_quarter_of_an_hour(
    after: float, look_ups: int
) -> None:
    """As long as a look-up might miss the new profile; later it shows who is unsubscribed."""
    blind = RULES["news"]._replace(q_scope="blind", lookup="none")
    sim = Simulation(rules=RULES | {"blind": blind})
    sim.braze.has(external_id="ada", email="ada@example.com", email_subscribe="unsubscribed")
    sim.begin(record("blind", channel="email"))
    sim.run()
    sim.clock.advance(after)
    id_ = sim.begin(record("news", number=1, at=sim.clock.now()))
    sim.run()
    assert sim.braze.named().count("export_ids") == look_ups
    assert sim.stored(id_).reason == ("unsubscribed" if look_ups else None)


# -- Quikly ------------------------------------------------------------------------------------


def refuse(sim: Simulation, times: int, **how: object) -> None:
    def fault(asked: int) -> None:
        if asked <= times:
            raise QuiklyError("Quikly answered", **how)  # type: ignore[arg-type]  # of its flags

    sim.quikly.faults = fault


@pytest.mark.parametrize(
    "how",
    [
        {"retryable": True},
        {"status": 429, "retryable": True, "retry_after": 30.0},
        {"status": 503, "retryable": True},
        {"status": 401, "retryable": True, "key_refused": True},
    ],
)
def test_a_credit_that_was_refused_for_now_is_sent_again(how: dict[str, object]) -> None:
    """Quikly did not take the call, so the next one is no second credit."""
    sim = Simulation()
    refuse(sim, 4, **how)
    id_ = sim.begin(record())
    sim.run()
    assert len(sim.quikly.calls) == 1
    assert sim.stored(id_).state is State.CREDITED
    assert "credit_outcome_unknown" not in sim.steps_of(id_)


def test_a_credit_that_is_refused_for_good_fails() -> None:
    """For example 422: the acquisition's reason says so."""
    sim = Simulation()
    refuse(sim, 9, status=422)
    id_ = sim.begin(record())
    sim.run()
    assert sim.stored(id_).reason == "credit_refused"
    assert sim.quikly.asked == 1


@pytest.mark.parametrize("status", [302, 404, 405])
def test_an_address_of_quikly_s_that_is_wrong_is_waited_out_for_a_day(status: int) -> None:
    """If it is corrected by then, every person is credited; if not, the history has the status."""
    sim = Simulation()
    refuse(sim, 15, status=status)
    id_ = sim.begin(record())
    sim.run()
    assert sim.stored(id_).state is State.CREDITED
    assert len(sim.quikly.calls) == 1

    sim = Simulation()
    refuse(sim, 10_000, status=status)
    id_ = sim.begin(record())
    sim.run()
    assert sim.stored(id_).reason == "credit_refused"
    assert [each.detail for each in sim.stored(id_).history if each.step == "retried"] == [
        f"quikly_{status}"
    ]
    assert timedelta(days=1) <= sim.clock.now() - NOON <= timedelta(days=1, minutes=20)


@pytest.mark.parametrize(
    ("rule", "calls", "state"), [("resend", 2, State.CREDITED), ("park", 1, State.FAILED)]
)
def test_a_credit_whose_answer_was_lost_follows_the_rule_and_says_so(
    rule: str, calls: int, state: State
) -> None:
    """``resend`` may call twice; ``park`` leaves it to people."""
    sim = Simulation(
        settings=SETTINGS._replace(on_unknown_outcome="park" if rule == "park" else "resend")
    )

    def lose(asked: int) -> None:
        if asked == 1:
            raise QuiklyError("timed out", retryable=True, outcome_unknown=True)

    sim.quikly.lost = lose
    id_ = sim.begin(record())
    sim.run()
    assert len(sim.quikly.calls) == calls
    assert sim.stored(id_).state is state
    assert "credit_outcome_unknown" in sim.steps_of(id_)


def test_an_address_that_never_answers_is_not_called_without_end() -> None:
    """After about two hours of lost answers people have to look."""
    sim = Simulation()

    def lose(_: int) -> None:
        raise QuiklyError("timed out", retryable=True, outcome_unknown=True)

    sim.quikly.lost = lose
    id_ = sim.begin(record())
    sim.run()
    assert sim.stored(id_).reason == "credit_unknown"
    assert len(sim.quikly.calls) == MAX_LOST_CREDITS + 1
    assert timedelta(hours=1) < sim.clock.now() - NOON < timedelta(hours=4)


def test_two_workers_with_one_step_tell_quikly_once() -> None:
    """The worker that first stores that the call begins makes the call."""
    sim = Simulation()
    id_ = sim.begin(record())
    (message,) = sim.queue.take(10)
    taken = {"twice": False}

    def other_worker(name: str, reached: int) -> None:
        del reached
        if name == "before save" and sim.stored(id_).step is Step.CREDIT and not taken["twice"]:
            taken["twice"] = True
            body = sim.stored(id_).message.to_json()
            sim.work([message._replace(body=body)])

    sim.hooks.on = other_worker
    sim.work([message])
    sim.run()
    assert taken["twice"]
    assert len(sim.quikly.calls) == 1
    assert sim.stored(id_).state is State.CREDITED


# -- store, queues, messages -------------------------------------------------------------------


def test_an_old_message_is_dropped() -> None:
    """SQS may deliver a message twice, also long after."""
    sim = Simulation()
    id_ = sim.begin(record())
    old = sim.stored(id_).message.to_json()
    sim.run()
    calls = len(sim.braze.calls)
    sim.queue.put(old, 0)
    sim.run_for(60)
    assert len(sim.braze.calls) == calls
    assert sim.results[-1].stale == 1


def test_a_message_of_the_version_before_is_dropped() -> None:
    """The step it asks for was taken; the one after has its own message."""
    sim = Simulation()
    id_ = sim.begin(record("texts"))
    sim.run_for(30)
    now = sim.stored(id_).message
    sim.queue.put(now.model_copy(update={"version": now.version - 1}).to_json(), 0)
    sent = sim.queue.sent
    sim.run_for(1)
    assert sim.results[-1].stale == 1
    assert sim.queue.sent == sent


def test_a_message_that_is_none_is_counted_and_dropped() -> None:
    """It holds nothing of value: the sweep makes what is missing."""
    sim = Simulation()
    sim.queue.put("{}", 0)
    sim.run_for(1)
    assert (sim.results[0].unreadable, sim.results[0].back) == (1, [])


def test_a_store_that_does_not_answer_sends_the_messages_back() -> None:
    """And everything finishes once it does."""
    sim = Simulation()
    id_ = sim.begin(record("texts"))
    sim.records.refusing = True
    sim.run_for(150)
    assert sim.results[-1].back
    assert sim.braze.calls == []
    sim.records.refusing = False
    sim.run()
    assert sim.stored(id_).state is State.CREDITED


def test_a_queue_that_takes_nothing_delays_and_loses_nothing() -> None:
    """The sweep finds the step once it is overdue; a job for a full delivery queue waits, too."""
    sim = Simulation()
    id_ = sim.begin(record("texts"))
    sim.queue.refusing = True
    sim.run_for(30)
    assert sim.results[-1].unqueued == 1
    sim.queue.refusing = False
    sim.jobs.refusing = True
    sim.run_for(600)
    sim.jobs.refusing = False
    sim.run()
    assert sim.stored(id_).state is State.CREDITED


def test_an_erased_acquisition_is_not_brought_back_by_a_worker_under_way() -> None:
    """The worker drops its results."""
    sim = Simulation()
    id_ = sim.begin(record("texts"))
    sim.run_for(60)
    assert sim.records.erase(PersonKey("email", "ada@example.com")) == 1
    sim.run_for(600)
    assert sim.records.rows == {}
    assert sim.quikly.calls == []
    del id_


def test_a_record_that_cannot_go_on_fails_without_the_others() -> None:
    """A bug of ours in one must not stop its whole batch each time."""
    sim = Simulation()
    fine, broken = sim.begin(record()), sim.begin(record("texts", number=1))
    kept = sim.stored(broken).model_copy(update={"step": Step.TELL_PARTICIPATION})
    sim.records.rows[broken] = kept.model_copy(update={"made_profile": True}).model_dump_json()
    sim.run()
    assert sim.stored(fine).state is State.CREDITED
    assert sim.stored(broken).reason == "impossible"


def test_a_fault_of_ours_is_counted_and_tried_again() -> None:
    """An exception that no port should raise."""
    sim = Simulation()
    id_ = sim.begin(record())
    times = {"left": 2}

    def stumble(name: str, reached: int) -> None:
        del reached
        if name in {"before track", "before credit"} and times["left"]:
            times["left"] -= 1
            raise KeyError(name)

    sim.hooks.on = stumble
    sim.run()
    assert sim.stored(id_).state is State.CREDITED
    assert sum(result.figures.faults.get("KeyError", 0) for result in sim.results) == 2


def test_records_are_stored_side_by_side_in_threads_of_their_own() -> None:
    """A call that hangs in each thread of the others delays none of them."""
    sim = Simulation()
    meeting = Barrier(2, timeout=30)
    threads: list[str] = []

    def meet(place: str, _: int) -> None:
        if place == "before save" and len(threads) < 2:
            threads.append(current_thread().name)
            meeting.wait()

    sim.hooks.on = meet
    ids = [sim.begin(record(number=number, email=f"p{number}@example.com")) for number in range(2)]
    with ThreadPoolExecutor(2, thread_name_prefix="storing") as storing:
        sim.deps = replace(sim.deps, storing=storing)
        sim.run()

    assert [name.rpartition("_")[0] for name in threads] == ["storing", "storing"]
    assert {sim.stored(id_).state for id_ in ids} == {State.CREDITED}
