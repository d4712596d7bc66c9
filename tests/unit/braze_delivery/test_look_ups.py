"""The look-ups of interrupted jobs: when, how many, and what follows if Braze does not tell."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.braze.errors import (
    AuthenticationError,
    BadRequestError,
    BrazeError,
    RateLimitedError,
    ServerError,
    UnknownOutcomeError,
)
from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.handlers import SqsMessage
from braze_bridge.jobs.envelope import JobObject, JobUser, UserAlias
from braze_delivery.delivery import Ports, deliver
from braze_delivery.look_ups import LONGEST_WAIT, LOOK_UPS_A_TURN, NO_PERMISSION
from braze_delivery.verifying import LAG, Verdict
from tests.fakes.braze import InlineExecutor
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.delivery_jobs import event, job
from tests.fakes.gate import InMemoryGate
from tests.fakes.jobs import InMemoryRejectedStore
from tests.fakes.ledger import LEASE_SECONDS, InMemoryLedger
from tests.fakes.stand_in import KEY, StandIn

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.braze.transport import HttpRequest
    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_delivery.reporting import BatchResult

TRACK = "/users/track"
EXPORT = "/users/export/ids"
OVER = LAG.total_seconds() + 1


class Harness:
    """One Lambda over the stand-in Braze."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.braze = StandIn(self.clock)
        self.rejected = InMemoryRejectedStore()
        self.ledger = InMemoryLedger(self.clock)
        self.gate = InMemoryGate(self.clock)
        self.ports = Ports(
            track=self.braze.client.track,
            export_ids=self.braze.client.export_ids,
            gate=self.gate,
            ledger=self.ledger,
            rejected=self.rejected,
            clock=self.clock,
            executor=InlineExecutor(),
            jitter=lambda: 0.0,
            concurrency=20,
            retention=timedelta(days=4),
            on_unknown_outcome="verify",
        )

    def deliver(self, *jobs: DeliveryJob, seconds: float = 60, **ports: Any) -> BatchResult:
        messages = [SqsMessage(str(n), each.to_json()) for n, each in enumerate(jobs)]
        result = deliver(messages, replace(self.ports, **ports), lambda: seconds)
        outcomes = result.delivered + result.duplicate + result.rejected + result.retried
        assert result.received == outcomes
        return result

    def lose(self, *jobs: DeliveryJob, arrived: bool = True, **ports: Any) -> BatchResult:
        """Deliver jobs, and lose Braze's answers."""
        hook = "after" if arrived else "before"
        with self.failing(TRACK, UnknownOutcomeError("lost"), hook):
            result = self.deliver(*jobs, **ports)
        assert result.retried == len(jobs)
        return result

    def failing(self, path: str, error: BrazeError, hook: str = "before") -> _Failing:
        def fail(request: HttpRequest) -> None:
            if request.path == path:
                raise error

        return _Failing(self.braze, hook, fail)

    def events(self) -> dict[str, int]:
        """Each event's count, on all profiles."""
        counts: dict[str, int] = {}
        for profile in self.braze.workspace.profiles:
            for name, tally in profile.tallies.items():
                counts[name] = counts.get(name, 0) + tally.count
        return counts

    def look_ups(self) -> list[dict[str, Any]]:
        return self.braze.bodies.get(EXPORT, [])


class _Failing:
    """While it is entered, Braze's answers fail."""

    def __init__(self, braze: StandIn, hook: str, fail: Callable[[HttpRequest], None]) -> None:
        self._braze, self._hook, self._fail = braze, hook, fail

    def __enter__(self) -> None:
        setattr(self._braze, self._hook, self._fail)

    def __exit__(self, *_: object) -> None:
        setattr(self._braze, self._hook, lambda _: None)


@pytest.fixture
def harness() -> Harness:
    return Harness()


# -- the usual way -------------------------------------------------------------------------------


@pytest.mark.parametrize(("arrived", "tracks"), [(True, 1), (False, 2)])
def test_an_event_whose_answer_was_lost_counts_once(
    harness: Harness,
    arrived: bool,
    tracks: int,
) -> None:
    """It waits for the lag, is looked up, and is sent again only if it did not arrive."""
    once = job(events=1)

    lost = harness.lose(once, arrived=arrived)
    assert lost.retry["0"] >= LAG.total_seconds()
    harness.clock.advance(lost.retry["0"])
    result = harness.deliver(once)

    assert (result.delivered, result.look_ups) == (1, 1)
    assert result.verified == {Verdict.ARRIVED if arrived else Verdict.NOT_ARRIVED: 1}
    assert harness.events() == {"answered-0": 1}
    assert len(harness.braze.bodies[TRACK]) == tracks - (not arrived)
    assert harness.deliver(once).duplicate == 1


def test_nothing_of_the_job_is_sent_before_the_look_up(harness: Harness) -> None:
    """Neither its attributes: they would hide that the job is not settled."""
    both = job(attributes={"score": 1}, events=1)
    harness.lose(both, arrived=False)

    harness.clock.advance(LAG.total_seconds() - 10)
    result = harness.deliver(both)

    assert (result.requests, result.look_ups) == (0, 0)
    assert 10 <= result.retry["0"] <= 20
    assert result.held_up == {"unknown outcome": 1}


def test_an_arrived_event_does_not_keep_the_attributes_from_being_sent(harness: Harness) -> None:
    both = job(attributes={"score": 1}, events=1)
    harness.lose(both)
    harness.clock.advance(OVER)

    assert harness.deliver(both).delivered == 1
    last = harness.braze.bodies[TRACK][-1]
    assert last == {"attributes": [{"external_id": "ada", "score": 1}]}


def test_a_killed_invocation_is_looked_up_after_its_lease_and_the_lag(harness: Harness) -> None:
    once = job(events=1)

    class KilledError(BaseException):
        pass

    class Killed(InMemoryLedger):
        def record(self, *_: object, **__: object) -> frozenset[Any]:
            raise KilledError

    with pytest.raises(KilledError):
        harness.deliver(once, ledger=Killed(harness.clock, harness.ledger.store))
    harness.clock.advance(LEASE_SECONDS + 1)
    waiting = harness.deliver(once)
    harness.clock.advance(waiting.retry["0"])
    result = harness.deliver(once)

    assert (waiting.retried, waiting.look_ups) == (1, 0)
    assert (result.delivered, result.verified) == (1, {Verdict.ARRIVED: 1})
    assert harness.events() == {"answered-0": 1}


def test_attributes_alone_need_no_look_up(harness: Harness) -> None:
    plain = job(attributes={"score": 1})

    lost = harness.lose(plain)
    harness.clock.advance(lost.retry["0"])

    assert lost.retry["0"] < LAG.total_seconds()
    assert harness.deliver(plain).delivered == 1
    assert harness.look_ups() == []


def test_an_answer_that_is_lost_again_is_looked_up_again(harness: Harness) -> None:
    """The lag begins anew: the second request may still arrive."""
    once = job(events=1)
    harness.lose(once, arrived=False)
    harness.clock.advance(OVER)
    again = harness.lose(once)
    assert again.retry["0"] >= LAG.total_seconds()
    harness.clock.advance(OVER)

    assert harness.deliver(once).delivered == 1
    assert harness.events() == {"answered-0": 1}


def test_events_that_braze_confirmed_are_not_looked_up(harness: Harness) -> None:
    """The answer of one of two requests was lost."""
    long = job(events=100, user="ada")

    def second_is_lost(request: HttpRequest) -> None:
        if request.path == TRACK and len(harness.braze.bodies[TRACK]) == 2:
            raise UnknownOutcomeError("lost")

    harness.braze.after = second_is_lost
    harness.deliver(long)
    harness.braze.after = lambda _: None
    harness.clock.advance(OVER)
    result = harness.deliver(long)

    assert (result.delivered, result.verified) == (1, {Verdict.ARRIVED: 25})
    assert set(harness.events().values()) == {1}


@pytest.mark.parametrize("arrived", [True, False])
def test_a_purchase_is_parked_whatever_a_look_up_could_show(
    harness: Harness,
    arrived: bool,
) -> None:
    """Braze does not tell of operators, and objects are sent at most once."""
    bought = {"product_id": "p", "currency": "EUR", "price": 1, "time": "2026-11-22T11:00:00Z"}
    both = job(events=1, objects=[JobObject(array="purchases", object=bought)], version=2)
    harness.lose(both, arrived=arrived)
    harness.clock.advance(OVER)

    result = harness.deliver(both)

    assert (result.delivered, harness.events()) == (1, {"answered-0": 1})
    (row,) = harness.rejected.records.values()
    (profile,) = harness.braze.workspace.profiles
    assert [reason.field for reason in row.reasons] == ["objects.0"]
    assert len(profile.purchases) == arrived


def test_a_resent_response_with_other_content_does_not_send_a_doubtful_event(
    harness: Harness,
) -> None:
    """Its event has the id of the doubtful one."""
    same = event("answered", NOON - timedelta(seconds=60), event_id="response-1")
    first = job("1/a", events=[same], version=2)
    resent = job("1/b", events=[same], attributes={"score": 2}, version=2)
    harness.lose(first)

    waiting = harness.deliver(resent)
    harness.clock.advance(OVER)
    results = [harness.deliver(resent), harness.deliver(first)]

    assert (waiting.retried, waiting.requests) == (1, 0)
    assert [each.delivered for each in results] == [1, 1]
    assert harness.events() == {"answered": 1}


def test_the_lag_counts_from_the_end_of_the_batch(harness: Harness) -> None:
    """Braze may take a request until its deadline, long after the batch began."""
    once = job(events=1)

    def slowly(request: HttpRequest) -> None:
        harness.clock.advance(50)
        raise UnknownOutcomeError("late")

    harness.braze.after = slowly
    harness.deliver(once)
    harness.braze.after = lambda _: None
    harness.clock.advance(LAG.total_seconds() - 10)

    assert harness.deliver(once).look_ups == 0


# -- requests ------------------------------------------------------------------------------------


def test_ids_and_aliases_are_looked_up_by_fifties_and_addresses_one_at_a_time(
    harness: Harness,
) -> None:
    """Only the fields that the judgement reads are asked for."""
    alias = UserAlias(alias_name="n", alias_label="quiz")
    others = [JobUser(user_alias=alias), JobUser(email="a@example.com"), JobUser(phone="+49151122")]
    users = [*(JobUser(external_id=f"user-{n}") for n in range(60)), *others]
    jobs = [job(str(n), user, events=1) for n, user in enumerate(users)]
    harness.lose(*jobs)
    harness.clock.advance(OVER)

    result = harness.deliver(*jobs)

    assert (result.delivered, result.verified) == (63, {Verdict.ARRIVED: 63})
    first, second, email, phone = harness.look_ups()
    assert len(first["external_ids"]) == 50
    assert len(second["external_ids"]) == 10
    assert second["user_aliases"] == [{"alias_name": "n", "alias_label": "quiz"}]
    assert second["fields_to_export"] == ["external_id", "user_aliases", "custom_events"]
    assert email == {"fields_to_export": ["custom_events"], "email_address": "a@example.com"}
    assert phone == {"fields_to_export": ["custom_events"], "phone": "+49151122"}


def test_a_braze_id_is_looked_up_alone(harness: Harness) -> None:
    harness.deliver(job("0", "ada"))
    (profile,) = harness.braze.workspace.profiles
    once = job("1", JobUser(braze_id=profile.braze_id), events=1)
    harness.lose(once)
    harness.clock.advance(OVER)

    assert harness.deliver(once).verified == {Verdict.ARRIVED: 1}
    assert harness.look_ups() == [
        {"fields_to_export": ["custom_events"], "braze_id": profile.braze_id}
    ]


def test_a_profile_under_another_id_makes_the_missing_ones_unknown(harness: Harness) -> None:
    """A renamed id finds the profile, which shows its new id."""
    renamed, known = job("1", "old-id", events=1), job("2", "bob", events=1)
    harness.lose(renamed, known)
    for profile in harness.braze.workspace.profiles:
        if profile.external_id == "old-id":
            profile.external_id = "new-id"
    harness.clock.advance(OVER)

    result = harness.deliver(renamed, known, on_unverified="park")

    assert result.verified == {Verdict.UNKNOWN: 1, Verdict.ARRIVED: 1}


# -- turns ---------------------------------------------------------------------------------------


def addresses(count: int) -> list[DeliveryJob]:
    """Jobs of people that need a look-up each."""
    return [job(str(n), JobUser(email=f"person{n}@example.com"), events=1) for n in range(count)]


def test_a_turn_has_25_look_ups_and_the_next_one_waits(harness: Harness) -> None:
    """At most 100 look-ups a minute of all Lambdas. The others stay interrupted."""
    jobs = addresses(40)
    harness.lose(*jobs)
    harness.clock.advance(OVER)

    first = harness.deliver(*jobs)
    other = harness.deliver(*jobs, gate=harness.gate.seen_by(harness.clock))
    harness.clock.advance(15)
    second = harness.deliver(*jobs)

    assert (first.look_ups, first.delivered) == (LOOK_UPS_A_TURN, LOOK_UPS_A_TURN)
    assert (other.look_ups, other.delivered, other.retried) == (0, 0, 15)
    assert (second.look_ups, second.delivered) == (15, 15)
    assert set(harness.events().values()) == {40}


def test_acquisitions_and_look_ups_leave_each_other_their_share(harness: Harness) -> None:
    """Acquisitions pause with 7 of 250 left; then look-ups use these. Turns close nothing else."""
    once = job(events=1)
    harness.lose(once)
    harness.clock.advance(OVER)
    until = harness.clock.now() + timedelta(seconds=30)
    harness.gate.close(EndpointFamily.EXPORT_IDS, until, "paced")

    assert harness.deliver(once).verified == {Verdict.ARRIVED: 1}

    harness.gate.open(EndpointFamily.EXPORT_IDS)
    assert harness.gate.closed_until(EndpointFamily.VERIFY) is not None
    assert harness.gate.closed_until(EndpointFamily.EXPORT_IDS) is None


def test_look_ups_have_a_deadline_and_do_not_start_too_late(harness: Harness) -> None:
    """At most a quarter of the time left, so that the batch can still be sent and recorded."""
    once = job(events=1)
    harness.lose(once)
    harness.clock.advance(OVER)

    late = harness.deliver(once, seconds=7.9)

    assert (late.look_ups, late.retried) == (0, 1)
    assert harness.ledger.lease([once]).states[once.user.key].doubtful.keys() == set(once.once_ids)


def test_a_look_up_that_waits_comes_back_often_at_first_and_gives_up_after_a_day(
    harness: Harness,
) -> None:
    """At most some 300 of SQS's 1,000 receives. Then `OnUnverified` decides."""
    once = job(events=1)
    harness.lose(once)
    harness.clock.advance(OVER)
    receives = 0
    with harness.failing(EXPORT, ServerError("", status=503)):
        while (result := harness.deliver(once, on_unverified="park")).retried:
            receives += 1
            harness.clock.advance(max(result.retry["0"], 60))

    assert 250 < receives < 400
    assert harness.clock.now() - NOON < LONGEST_WAIT + timedelta(hours=1)
    assert (result.rejected, result.verified) == (1, {Verdict.UNKNOWN: 1})
    (row,) = harness.rejected.records.values()
    assert [reason.code for reason in row.reasons] == ["unknown_outcome"]


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("on_unverified", "rejected", "count"), [("resend", 0, 2), ("park", 1, 1)])
def test_without_the_permission_on_unverified_decides(
    harness: Harness, on_unverified: str, rejected: int, count: int
) -> None:
    """Noticed once, it is remembered for a quarter of an hour. No other family closes."""
    first, second = job("1", events=[event("a")]), job("2", "bob", events=[event("b")])
    harness.lose(first, second)
    harness.braze.configure(keys={KEY: ["users.track"]})
    harness.clock.advance(OVER)

    results = [harness.deliver(each, on_unverified=on_unverified) for each in (first, second)]

    assert [each.rejected for each in results] == [rejected] * 2
    assert [each.verified for each in results] == [{Verdict.UNKNOWN: 1}] * 2
    assert [each.look_ups for each in results] == [1, 0]
    assert [each.key_refused for each in results] == [0, 0]
    assert harness.events() == {"a": count, "b": count}
    closed = {each for each in EndpointFamily if harness.gate.closed_until(each) is not None}
    assert closed == {EndpointFamily.VERIFY}
    assert harness.gate.admit(EndpointFamily.VERIFY).reason == NO_PERMISSION


def test_after_a_quarter_of_an_hour_a_new_key_is_noticed(harness: Harness) -> None:
    jobs = [job("1", events=1), job("2", "bob", events=1)]
    harness.lose(*jobs)
    harness.clock.advance(OVER)
    harness.braze.configure(keys={KEY: ["users.track"]})
    harness.deliver(jobs[0])
    harness.braze.configure(keys={KEY: ["*"]})

    harness.clock.advance(901)

    assert harness.deliver(jobs[1]).verified == {Verdict.ARRIVED: 1}


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimitedError("", status=429, retry_after=40.0), 40),
        (RateLimitedError("", status=429), 60),
        (AuthenticationError("", status=401), 60),
    ],
)
def test_other_refusals_close_only_the_look_ups(
    harness: Harness, error: BrazeError, seconds: float
) -> None:
    """The job waits. A key that is truly refused closes the rest by the next request."""
    jobs = addresses(3)
    harness.lose(*jobs)
    harness.clock.advance(OVER)

    with harness.failing(EXPORT, error):
        result = harness.deliver(*jobs)

    assert (result.retried, result.key_refused) == (3, 0)
    until = harness.clock.now() + timedelta(seconds=seconds)
    assert harness.gate.closed_until(EndpointFamily.VERIFY) == until
    assert harness.gate.closed_until(EndpointFamily.TRACK) is None
    harness.clock.advance(seconds)
    assert harness.deliver(*jobs).verified == {Verdict.ARRIVED: 3}


@pytest.mark.parametrize("error", [ServerError("", status=500), UnknownOutcomeError("late")])
def test_a_look_up_without_an_answer_is_made_again(harness: Harness, error: BrazeError) -> None:
    once = job(events=1)
    harness.lose(once)
    harness.clock.advance(OVER)
    with harness.failing(EXPORT, error):
        waiting = harness.deliver(once)
    harness.clock.advance(waiting.retry["0"])

    assert (waiting.retried, waiting.verified) == (1, {})
    assert harness.deliver(once).verified == {Verdict.ARRIVED: 1}


def test_a_refused_look_up_makes_its_people_unknown(harness: Harness) -> None:
    """No other look-up of these ids would be answered otherwise."""
    once = job(events=1)
    harness.lose(once)
    harness.clock.advance(OVER)

    with harness.failing(EXPORT, BadRequestError(status=400, message="no")):
        assert harness.deliver(once).verified == {Verdict.UNKNOWN: 1}


def test_without_a_client_nothing_is_looked_up(harness: Harness) -> None:
    once = job(events=1)
    harness.lose(once)
    harness.clock.advance(OVER)

    assert harness.deliver(once, export_ids=None).verified == {Verdict.UNKNOWN: 1}


def test_a_fault_of_ours_in_a_look_up_does_not_stop_the_batch(harness: Harness) -> None:
    once, other = job(events=1), job("2", "bob")
    harness.lose(once)
    harness.clock.advance(OVER)

    def faulty(*_: object, **__: object) -> Any:
        raise ZeroDivisionError

    result = harness.deliver(once, other, export_ids=faulty)

    assert (result.delivered, result.retried) == (1, 1)
    assert result.held_up["look-up: UnknownOutcomeError"] == 1


def test_all_look_ups_of_a_batch_share_their_seconds(harness: Harness) -> None:
    """Two chunks of 150 people: the look-ups of the first take 7.5 s, so the second waits."""
    jobs = [job(str(n), f"user-{n}", events=1) for n in range(300)]
    harness.lose(*jobs)
    harness.clock.advance(OVER)
    messages = [SqsMessage(str(n), each.to_json()) for n, each in enumerate(jobs)]
    left = 60.0

    def slow(request: HttpRequest) -> None:
        nonlocal left
        if request.path == EXPORT:
            left -= 2.5
            harness.clock.advance(2.5)  # the next turn may begin

    harness.braze.before = slow
    result = deliver(messages, harness.ports, lambda: left)

    assert (result.look_ups, result.retried) == (3, 150)
