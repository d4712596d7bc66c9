"""What a replay decides; it loses nothing and doubles nothing."""

from __future__ import annotations

import json
import pathlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.handlers import SqsMessage
from braze_bridge.jobs.envelope import DeliveryJob, JobUser, parse_job
from braze_bridge.jobs.rejected import RejectedRecord
from braze_bridge.ledger.port import CALL_SECONDS, Leases, PersonState
from braze_bridge.mapping.job_building import UNTIMED
from braze_bridge.reasons import Reason
from braze_delivery.delivery import Ports, deliver
from braze_delivery.parking import job_records, rejected_part, unknown_part
from braze_delivery.senders import REFUSED
from ops.preview.body_mappings import LOADERS, BodyMappings
from ops.rejected.replay import (
    Forget,
    Keep,
    Replayer,
    Result,
    Send,
    judge,
    replayed_id,
    select,
    with_new_ids,
)
from ops.rejected.rows import Filter
from quikly_forward.forwarding import ROUTE as FORWARD_ROUTE
from tests.fakes.braze import FakeTrack, InlineExecutor
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.delivery_jobs import event, increment, job
from tests.fakes.forwarding import InMemoryForwardQueue, forward_message
from tests.fakes.gate import NoGate
from tests.fakes.iterate import SURVEY, IterateBench, answer
from tests.fakes.iterate import body as survey
from tests.fakes.jobs import InMemoryJobQueue, InMemoryRejectedStore
from tests.fakes.outgrow import PARTNER_CONFIG, OutgrowBench
from tests.fakes.rejected_rows import InMemoryRejectedRows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from braze_bridge.ledger.port import PersonKey

DAY = 86_400.0
ODD_BODY = {"id": "17", "contact": {"mail": "ada@example.com"}, "score": 5}
"""Unmappable as shipped: no path finds the address."""


@pytest.fixture
def config(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with the partners' files as shipped, to be corrected."""
    for file in PARTNER_CONFIG.glob("*.toml"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def correct(config: pathlib.Path, old: str, new: str, name: str = "outgrow.toml") -> None:
    file = config / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def look_for_contact_mail(config: pathlib.Path) -> None:
    correct(config, 'email = ["email",', 'email = ["contact.mail", "email",')


class RememberingLedger:
    """A ledger of one process: what the port promises, without leases."""

    def __init__(self) -> None:
        self.known: dict[PersonKey, PersonState] = {}
        self.full: frozenset[PersonKey] = frozenset()

    def lease(self, jobs: Sequence[DeliveryJob]) -> Leases:
        keys = frozenset(job.user.key for job in jobs)
        states = {key: self.known.get(key, PersonState()) for key in keys - self.full}
        return Leases(states=states, busy={}, full=keys & self.full)

    def record(
        self,
        leases: Leases,
        updates: Mapping[PersonKey, PersonState],
        seconds_left: Callable[[], float] = lambda: CALL_SECONDS,
    ) -> frozenset[PersonKey]:
        for key, new in updates.items():
            old = self.known.get(key, PersonState())
            newest = dict(old.newest)
            for name, at in new.newest.items():
                newest[name] = max(at, newest.get(name, at))
            self.known[key] = PersonState(
                old.delivered | new.delivered,
                newest,
                {**old.attempts, **new.attempts},
                old.counted | new.counted,
            )
        return frozenset()


class Run:
    """Delivery, the rejected table and a replay, on fakes."""

    def __init__(self, config: pathlib.Path = PARTNER_CONFIG) -> None:
        self.clock = FixedClock()
        self.braze = FakeTrack()
        self.store = InMemoryRejectedStore()
        self.rows = InMemoryRejectedRows(self.store, self.clock)
        self.queue = InMemoryJobQueue()
        self.forwards = InMemoryForwardQueue()
        self.config = config
        self.ledger = RememberingLedger()
        self.ports = Ports(
            track=self.braze,
            gate=NoGate(),
            ledger=self.ledger,
            rejected=self.store,
            clock=self.clock,
            executor=InlineExecutor(),
            jitter=lambda: 0.5,
            concurrency=20,
            retention=timedelta(days=4),
            on_unknown_outcome="resend",
        )

    def deliver(
        self, *jobs: DeliveryJob | str, sent_at: float | None = None
    ) -> tuple[int, int, int, int]:
        """Delivered, duplicate, rejected, retried."""
        bodies = [each if isinstance(each, str) else each.to_json() for each in jobs]
        messages = [SqsMessage(f"m{n}", body, sent_at=sent_at) for n, body in enumerate(bodies)]
        result = deliver(messages, self.ports, lambda: 60.0)
        return result.delivered, result.duplicate, result.rejected, result.retried

    def deliver_queued(self) -> tuple[int, int, int, int]:
        jobs, self.queue.jobs = self.queue.jobs, []
        return self.deliver(*jobs, sent_at=self.clock.now().timestamp())

    def replay(self, *ids: str, **options: Any) -> list[Result]:
        chosen = ids or tuple(select(self.rows, Filter(), 100)[0])
        return [done.result for done in self.replayer(**options).run(chosen)]

    def replayer(self, **options: Any) -> Replayer:
        return Replayer(
            rows=self.rows,
            queue=self.queue,
            forwards=self.forwards,
            bodies=BodyMappings(self.config),
            clock=self.clock,
            **options,
        )

    def answers(self, name: str) -> list[dict[str, Any]]:
        return [sent for sent in self.braze.events if sent["name"] == name]


def parked_body(body: object, path: str = "/outgrow") -> RejectedRecord:
    """A body as Outgrow's function parks it."""
    bench = OutgrowBench()
    assert bench.post(body, path)["statusCode"] == 422
    (record,) = bench.rejected.records.values()
    return record


def parked_message(body: str) -> RejectedRecord:
    """A message as delivery parks it if it cannot read it."""
    run = Run()
    assert run.deliver(body) == (0, 0, 1, 0)
    (record,) = run.store.records.values()
    return record


def parked_event(run: Run) -> DeliveryJob:
    """A job of two events, of which Braze took the first and refused the second."""
    whole = job("1", events=[event("taken", NOON), event("refused", NOON)])
    run.braze.named = lambda item: item.get("name") == "refused"
    assert run.deliver(whole) == (0, 0, 1, 0)
    run.braze.named = lambda _: False
    return whole


# -- bodies ----------------------------------------------------------------------------------


def test_a_body_goes_through_its_mapping_as_it_is_now(config: pathlib.Path) -> None:
    """The corrected file makes a job of the body, the same job as a resend."""
    record = parked_body(ODD_BODY, "/outgrow/quiz")
    look_for_contact_mail(config)

    verdict = judge(record, BodyMappings(config), NOON, resend_unknown=False)

    assert isinstance(verdict, Send)
    assert verdict.job.job_id.startswith("outgrow:quiz:17:")
    assert verdict.job.sender == "bridge"
    assert verdict.job.user == JobUser(email="ada@example.com")
    assert verdict.job.attributes == {"outgrow_quiz_score": 5}
    assert verdict.job.correlation_id == record.correlation_id


def test_a_body_is_mapped_by_the_rule_of_the_content_that_it_came_for(
    config: pathlib.Path,
) -> None:
    """The content's id is the end of its route."""
    record = parked_body(ODD_BODY, "/outgrow/quiz")
    with (config / "outgrow.toml").open("a") as file:
        file.write('[content."quiz".person]\nemail = ["contact.mail"]\n')

    assert isinstance(judge(record, BodyMappings(config), NOON, resend_unknown=False), Send)
    other = parked_body(ODD_BODY, "/outgrow/other")
    assert isinstance(judge(other, BodyMappings(config), NOON, resend_unknown=False), Keep)


def test_an_answer_without_a_time_does_not_overwrite_one_that_has_one() -> None:
    """Unless its file says so. Among themselves the last one counts."""
    run = Run()
    bench = OutgrowBench()

    def answer(number: int, score: int, **fields: str) -> None:
        bench.clock.advance(60)
        run.clock.advance(60)
        body = {"response_id": str(number), "external_id": "ada", "score": score, **fields}
        assert bench.post(body)["statusCode"] == 200
        assert run.deliver(bench.queue.jobs[-1]) == (1, 0, 0, 0)

    answer(1, 10)
    answer(2, 20)
    assert run.braze.profile("ada")["outgrow_quiz_score"] == 20
    answer(3, 30, created_at="2026-11-22T12:01:00Z")
    answer(4, 40)
    assert run.braze.profile("ada")["outgrow_quiz_score"] == 30


def test_a_response_without_a_time_is_as_old_as_its_first_sighting(config: pathlib.Path) -> None:
    """The queue counts its age anew, so it is not parked as expired; a newer answer still wins."""
    run = Run(config)
    run.store.park(parked_body(ODD_BODY))
    look_for_contact_mail(config)
    newer = job(
        "18", JobUser(email="ada@example.com"), attributes={"outgrow_quiz_score": 9}, age=-5
    )
    assert run.deliver(newer) == (1, 0, 0, 0)
    run.clock.advance(10 * DAY)

    assert run.replay() == [Result.SENT]

    (replayed,) = run.queue.jobs
    assert (replayed.received_at, replayed.occurred_at) == (NOON, NOON - UNTIMED)
    assert run.deliver_queued() == (1, 0, 0, 0)
    assert [item["outgrow_quiz_score"] for _, item in run.braze.taken] == [9]


def test_an_iterate_body_is_mapped_by_iterate_s_file(config: pathlib.Path) -> None:
    """Corrected, it becomes the job that Iterate's own resend makes, dated by its answers."""
    bench = IterateBench()
    unknown = survey(answer(1, "Why?", "So"), user={"customer": "c-1"})
    assert bench.post(unknown)["statusCode"] == 422
    (record,) = bench.rejected.records.values()
    correct(
        config,
        '"survey_response.user.external_id", "',
        '"survey_response.user.customer", "',
        "iterate.toml",
    )

    verdict = judge(record, BodyMappings(config), NOON, resend_unknown=False)

    assert isinstance(verdict, Send)
    assert verdict.job.job_id.startswith(f"iterate:{SURVEY}:sr-1:")
    assert verdict.job.user == JobUser(external_id="c-1")
    assert [event.time.isoformat() for event in verdict.job.events] == ["2026-11-20T08:01:00+00:00"]


def test_a_body_that_still_fits_nothing_stays_with_the_reasons_of_today(
    config: pathlib.Path,
) -> None:
    """The person is found now, but the score is refused: the row says so, and its expiry stays."""
    run = Run(config)
    run.store.park(parked_body({**ODD_BODY, "score": "many"}))
    look_for_contact_mail(config)
    correct(
        config,
        'outgrow_quiz_score = { from = ["score", "quiz_score", "result.score"], type = "number" }',
        'outgrow_quiz_score = { from = ["score"], type = "number", on_mismatch = "reject" }',
    )
    (before,) = run.store.records.values()
    run.clock.advance(DAY)

    assert run.replay() == [Result.STILL_REJECTED]

    (after,) = run.store.records.values()
    assert before.reasons[0].code == "no_identity"
    assert [reason.field for reason in after.reasons] == ["outgrow_quiz_score"]
    assert after.expires_at == before.expires_at
    assert run.queue.jobs == []


def test_a_body_that_now_lacks_consent_is_forgotten(config: pathlib.Path) -> None:
    """As in the function: ignored, and nothing is kept."""
    run = Run(config)
    run.store.park(parked_body(ODD_BODY))
    correct(config, "[default.person]", 'consent = ["gdpr"]\n[default.person]')

    verdict = judge(
        next(iter(run.store.records.values())), BodyMappings(config), NOON, resend_unknown=False
    )

    assert verdict == Forget("no_consent")
    assert run.replay(dry_run=True) == [Result.IGNORED]
    assert len(run.store.records) == 1
    assert run.replay() == [Result.IGNORED]
    assert run.store.records == {}


@pytest.mark.parametrize(
    ("payload", "source", "code"),
    [
        ("{", "outgrow", "not_json"),
        ("[NaN]", "outgrow", "not_json"),
        ("{}", "unknown", "unknown_route"),
    ],
)
def test_a_body_that_has_no_mapping_stays(payload: str, source: str, code: str) -> None:
    """Broken text, or a partner that no longer exists."""
    record = parked_body(ODD_BODY).model_copy(update={"payload": payload, "source": source})

    verdict = judge(record, BodyMappings(PARTNER_CONFIG), NOON, resend_unknown=False)

    assert isinstance(verdict, Keep)
    assert verdict.reasons is not None
    assert verdict.reasons[0].code == code


def test_every_partner_whose_bodies_are_parked_can_be_replayed() -> None:
    """A new ingest function needs an entry, or its bodies could never leave the table."""
    functions = pathlib.Path(__file__).parents[3] / "functions"
    parking = {
        line.split('"')[1]
        for module in functions.glob("*/mapping.py")
        for line in module.read_text().splitlines()
        if line.startswith("SOURCE: Final = ")
    }

    assert parking == set(LOADERS)


# -- unreadable messages -----------------------------------------------------------------------


def test_a_message_that_can_be_read_now_is_sent_under_its_own_id() -> None:
    """Newer code reads what older code could not; the ledger never saw the job."""
    record = parked_message("{").model_copy(update={"payload": job("1", age=5 * DAY).to_json()})

    verdict = judge(record, BodyMappings(PARTNER_CONFIG), NOON, resend_unknown=False)

    assert isinstance(verdict, Send)
    assert verdict.job == job("1", age=5 * DAY).sent_by("bridge")


def test_a_message_that_still_cannot_be_read_stays() -> None:
    """With today's reasons, and no value."""
    record = parked_message('{"schema_version": 0, "email": "ada@example.com"}')

    verdict = judge(record, BodyMappings(PARTNER_CONFIG), NOON, resend_unknown=False)

    assert isinstance(verdict, Keep)
    assert verdict.reasons is not None
    assert {reason.code for reason in verdict.reasons} == {"unreadable_job"}
    assert "ada@" not in repr(verdict)


# -- objects -----------------------------------------------------------------------------------


def test_replaying_a_rejected_event_sends_that_event_and_no_other() -> None:
    """Through the ledger, which has settled the job; events that arrived are not sent again."""
    run = Run()
    parked_event(run)

    assert run.replay() == [Result.SENT]
    assert run.deliver_queued() == (1, 0, 0, 0)

    assert (len(run.answers("taken")), len(run.answers("refused"))) == (1, 1)
    assert run.store.records == {}


def test_under_the_job_s_own_id_the_event_would_never_arrive() -> None:
    """Negative control: the ledger knows that job, and its events by their place in the whole."""
    run = Run()
    parked_event(run)
    (record,) = run.store.records.values()

    run.deliver(record.payload)

    assert run.answers("refused") == []


def test_a_crash_between_send_and_removal_loses_and_doubles_nothing() -> None:
    """The row is still there, the replay is repeated, and the event is on the profile once."""
    run = Run()
    parked_event(run)
    run.rows.keeping = True

    assert run.replay() == [Result.SENT_AND_KEPT]
    assert run.deliver_queued() == (1, 0, 0, 0)
    assert len(run.store.records) == 1
    run.rows.keeping = False
    assert run.replay() == [Result.SENT]
    assert run.deliver_queued() == (0, 1, 0, 0)

    assert (len(run.answers("taken")), len(run.answers("refused"))) == (1, 1)
    assert run.store.records == {}


def test_replaying_what_is_replayed_changes_nothing() -> None:
    """The row is gone: nothing is sent."""
    run = Run()
    parked_event(run)
    (record_id,) = run.store.records

    assert run.replay(record_id) == [Result.SENT]
    run.queue.jobs.clear()
    assert run.replay(record_id) == [Result.GONE]
    assert run.queue.jobs == []


def test_a_replay_that_braze_refuses_again_can_be_replayed_again() -> None:
    """Parked under the replay's id; the next one has another, so the ledger lets it pass."""
    run = Run()
    parked_event(run)
    run.replay()
    run.braze.named = lambda item: item.get("name") == "refused"
    assert run.deliver_queued() == (0, 0, 1, 0)
    run.braze.named = lambda _: False
    (again,) = run.store.records

    assert run.replay() == [Result.SENT]
    (second,) = run.queue.jobs
    assert "~r1-" in again
    assert "~r2-" in second.job_id
    assert run.deliver_queued() == (1, 0, 0, 0)
    assert (len(run.answers("taken")), len(run.answers("refused"))) == (1, 1)


@pytest.mark.parametrize("resent_first", [False, True])
def test_a_resend_by_the_partner_and_a_replay_together_send_each_event_once(
    resent_first: bool,
) -> None:
    """In either order: a rejected job is settled, what is parked of it is the only copy."""
    run = Run()
    whole = parked_event(run)
    if resent_first:
        run.deliver(whole)
    run.replay()
    run.deliver_queued()
    run.deliver(whole)

    assert (len(run.answers("taken")), len(run.answers("refused"))) == (1, 1)


def test_an_expired_job_goes_on_where_it_stopped() -> None:
    """Parked before it was claimed: under its own id the ledger knows which events had arrived."""
    run = Run()
    whole = job("1", events=[event("taken", NOON), event("waited", NOON)], age=2 * DAY)
    run.ledger.known[whole.user.key] = PersonState(
        attempts={whole.job_id: 1}, counted=frozenset({whole.once_ids[0]})
    )
    run.clock.advance(2 * DAY)
    assert run.deliver(whole) == (0, 0, 1, 0)
    assert next(iter(run.store.records.values())).reasons[0].code == "expired"

    assert run.replay() == [Result.SENT]
    assert run.deliver_queued() == (1, 0, 0, 0)

    assert (len(run.answers("taken")), len(run.answers("waited"))) == (0, 1)


def test_a_job_parked_as_person_full_keeps_its_id() -> None:
    """It was parked untried, too."""
    run = Run()
    whole = job("1", events=[event("waited", NOON)])
    run.ledger.full = frozenset({whole.user.key})
    assert run.deliver(whole) == (0, 0, 1, 0)
    run.ledger.full = frozenset()

    assert run.replay() == [Result.SENT]
    assert [queued.job_id for queued in run.queue.jobs] == [whole.job_id]
    assert run.deliver_queued() == (1, 0, 0, 0)


def test_a_replayed_job_is_not_parked_as_expired_and_stays_as_old_as_it_is() -> None:
    """After 20 days its attribute is stale if a newer one was sent, and arrives if none was."""
    run = Run()
    run.braze.named = lambda item: "score" in item or "plan" in item
    assert run.deliver(job("1", attributes={"score": 1, "plan": "a"})) == (0, 0, 1, 0)
    run.braze.named = lambda _: False
    assert run.deliver(job("2", attributes={"score": 2}, age=30)) == (1, 0, 0, 0)
    run.clock.advance(20 * DAY)

    assert run.replay() == [Result.SENT]
    assert run.deliver_queued() == (1, 0, 0, 0)

    profile = run.braze.profile("ada")
    assert (profile["score"], profile["plan"]) == (2, "a")


def test_events_that_may_have_arrived_are_sent_only_on_request() -> None:
    """Braze does not de-duplicate events: a person must decide."""
    run = Run()
    parked_event(run)
    (record,) = run.store.records.values()
    unknown = (*record.reasons, Reason(code="unknown_outcome", field="events.0"))
    run.store.records[record.id] = record.model_copy(update={"reasons": unknown})

    assert run.replay() == [Result.OUTCOME_UNKNOWN]
    assert run.queue.jobs == []
    assert run.replay(resend_unknown=True) == [Result.SENT]


def replayed(parked: DeliveryJob, code: str) -> DeliveryJob:
    """The job that a replay of this row sends."""
    record = RejectedRecord(
        id=parked.job_id,
        kind="objects",
        source=parked.source,
        payload=parked.to_json(),
        reasons=(Reason(code=code, field="events.0"),),
        correlation_id="c",
        first_seen=NOON,
        last_seen=NOON,
    )
    verdict = judge(record, BodyMappings(PARTNER_CONFIG), NOON, resend_unknown=True)
    assert isinstance(verdict, Send)
    assert parse_job(verdict.job.to_json()) == verdict.job
    assert (verdict.job.schema_version, verdict.job.sender) == (2, "bridge")
    return verdict.job


V2 = job(
    events=[event("a", event_id="e-a"), event("b", event_id="e-b"), event("c", event_id="e-c")],
    objects=[increment("x"), increment("y", object_id="o-y")],
    attributes={"score": 1},
    version=2,
)


def test_what_braze_refused_is_replayed_under_its_own_ids_in_another_job() -> None:
    """It was not counted, unless the partner sent it again meanwhile: then it is a duplicate."""
    parked = rejected_part(V2, [(1, Reason(code="braze_refused"))])

    sent = replayed(parked, "braze_refused")

    assert sent.once_ids == ("e-b",)
    assert sent.attributes == {}
    assert sent.job_id.startswith(f"{V2.job_id}~r1-")


def test_what_may_have_arrived_is_replayed_under_new_ids() -> None:
    """The ledger counted the ids that it had. The same row gives the same ids; the next others."""
    parked = unknown_part(V2, [0, 2, 3, 4])
    assert parked.once_ids == ("e-a", "e-c", f"{V2.job_id}!0", "o-y")

    sent = replayed(parked, "unknown_outcome")
    again = replayed(sent, "unknown_outcome")

    assert sent == replayed(parked, "unknown_outcome")
    assert sent.once_ids == tuple(f"{id_}~r1" for id_ in parked.once_ids)
    assert again.once_ids == tuple(f"{id_}~r2" for id_ in parked.once_ids)
    assert len({parked.job_id, sent.job_id, again.job_id}) == 3


@pytest.mark.parametrize("code", ["expired", "person_full"])
def test_what_was_parked_untried_is_replayed_under_its_own_ids_in_its_own_job(code: str) -> None:
    """What of it arrived in an earlier attempt stays counted, in parts of it, too."""
    assert replayed(V2, code).once_ids == V2.once_ids
    assert replayed(V2, code).job_id == V2.job_id
    big = V2.model_copy(update={"attributes": {f"name-{n}": "x" * 250 for n in range(2_000)}})
    parts = job_records(big, (Reason(code=code),), NOON, "~expired")
    assert len(parts) > 1
    sent = [replayed(parse_job(part.payload), code) for part in parts]
    assert tuple(id_ for each in sent for id_ in each.once_ids) == V2.once_ids


def test_a_row_of_version_1_is_replayed_as_version_2_under_ids_of_its_new_job() -> None:
    """Its positions are those of the row, not those that the ledger counted."""
    parked = rejected_part(job(events=3), [(2, Reason(code="braze_refused"))])

    sent = replayed(parked, "braze_refused")

    assert sent.once_ids == (f"{sent.job_id}#0",)
    assert sent.once_ids != job(events=3).once_ids[:1]
    assert replayed(parked, "expired").once_ids == parked.once_ids


@given(st.text(min_size=1, max_size=300), st.integers(1, 4))
def test_new_ids_fit_and_are_told_apart(id_: str, generations: int) -> None:
    """Whatever the first one was."""
    seen = job(events=[event("a", event_id=id_)], version=2)
    ids = [id_]
    for _ in range(generations):
        seen = with_new_ids(seen)
        ids += seen.once_ids

    assert len(set(ids)) == len(ids)
    assert max(map(len, ids)) <= 300
    assert with_new_ids(seen) == with_new_ids(seen)


def test_a_job_that_its_sender_may_not_send_is_replayed_only_by_name() -> None:
    """It may be forged: a replay of all rows leaves it."""
    run = Run()
    forged = job("1")
    (row,) = job_records(forged, (REFUSED,), NOON, "~sender")
    run.store.park(row)

    assert run.replay(is_named=False) == [Result.STILL_REJECTED]
    assert run.queue.jobs == []
    assert run.replay(row.id) == [Result.SENT]
    assert [sent.job_id for sent in run.queue.jobs] == [forged.job_id]


def test_objects_that_cannot_be_read_stay() -> None:
    """A row of a version that no longer exists."""
    run = Run()
    parked_event(run)
    (record,) = run.store.records.values()
    run.store.records[record.id] = record.model_copy(update={"payload": "{}"})

    assert run.replay() == [Result.STILL_REJECTED]
    assert next(iter(run.store.records.values())).reasons[0].code == "unreadable_job"


# -- ids ---------------------------------------------------------------------------------------


@given(
    job_id=st.text(
        st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=256
    ),
    generations=st.integers(1, 5),
)
def test_the_ids_of_replays_fit_are_told_apart_and_are_the_same_for_the_same(
    job_id: str, generations: int
) -> None:
    """Each generation has its own id, whatever the first one was, with room for parts."""
    seen = [job_id]
    for _ in range(generations):
        parked = job(job_id=seen[-1])
        assert replayed_id(parked) == replayed_id(parse_job(parked.to_json()))
        later = parked.received_at + timedelta(days=1)
        resent = parked.model_copy(update={"received_at": later, "correlation_id": "another"})
        assert replayed_id(parked) == replayed_id(resent)
        seen.append(replayed_id(parked))

    assert len(set(seen)) == len(seen)
    assert max(map(len, seen[1:])) <= 240


def test_other_objects_of_the_same_job_have_another_id() -> None:
    """Parked anew with other content, it is no duplicate."""
    first, second = job("1", attributes={"score": 1}), job("1", attributes={"score": 2})

    assert replayed_id(first) != replayed_id(second)


# -- the order of steps ------------------------------------------------------------------------


def test_a_queue_that_refuses_keeps_every_row_and_ends_the_run() -> None:
    """Three in a row are enough; nothing was sent, nothing removed."""
    run = Run()
    run.braze.named = lambda _: True
    run.deliver(*(job(str(n), f"user-{n}") for n in range(10)))
    run.queue.refusing = True

    assert run.replay() == [Result.NOT_TAKEN] * 3
    assert len(run.store.records) == 10
    run.queue.refusing = False
    assert run.replay() == [Result.SENT] * 10


class RemovesFirst(Replayer):
    """Flawed on purpose: it removes the row before it sends the job."""

    def _send(self, parked: Any, sent_as: str, send: Callable[[], None]) -> Any:
        self.rows.remove(parked)
        return super()._send(parked, sent_as, send)


@pytest.mark.parametrize(("replayer", "kept"), [(Replayer, 1), (RemovesFirst, 0)])
def test_a_failing_send_keeps_the_record(replayer: type[Replayer], kept: int) -> None:
    """The negative control removes first, and loses it."""
    run = Run()
    parked_event(run)
    (record_id,) = run.store.records
    run.queue.refusing = True
    flawed = replayer(
        rows=run.rows,
        queue=run.queue,
        forwards=run.forwards,
        bodies=BodyMappings(run.config),
        clock=run.clock,
    )

    assert flawed.replay(record_id).result is Result.NOT_TAKEN
    assert len(run.store.records) == kept


def test_a_row_that_was_parked_again_meanwhile_stays() -> None:
    """It changed between reading and removing: its new content was not judged."""
    run = Run()
    parked_event(run)
    (record,) = run.store.records.values()

    class ParksMeanwhile(InMemoryJobQueue):
        def send(self, job: DeliveryJob) -> None:
            super().send(job)
            run.store.park(record)

    run.queue = ParksMeanwhile()

    assert run.replay() == [Result.CHANGED]
    assert len(run.store.records) == 1


def test_an_expired_row_is_not_replayed_although_it_is_still_there() -> None:
    """DynamoDB deletes late."""
    run = Run()
    parked_event(run)
    (record_id,) = run.store.records
    run.clock.advance(30 * DAY)

    assert run.replay(record_id) == [Result.GONE]
    assert select(run.rows, Filter(), 100) == ([], False)


def test_a_dry_run_reports_and_changes_nothing() -> None:
    """The same result, no job, the row as it was."""
    run = Run()
    parked_event(run)
    before = dict(run.store.records)

    assert run.replay(dry_run=True) == [Result.SENT]
    assert run.queue.jobs == []
    assert run.store.records == before


def test_a_selection_is_bounded_and_says_so() -> None:
    """Called again it would find the rest."""
    run = Run()
    run.braze.named = lambda _: True
    run.deliver(*(job(str(n), f"user-{n}") for n in range(250)))

    ids, more = select(run.rows, Filter(), 240)

    assert (len(set(ids)), more) == (240, True)
    assert select(run.rows, Filter(reason="braze_refused"), 250)[1] is False
    assert select(run.rows, Filter(reason="other"), 250) == ([], False)


def test_no_result_of_a_replay_holds_an_answer(config: pathlib.Path) -> None:
    """Results hold ids and codes; parked rows do not print their payload."""
    run = Run(config)
    run.store.park(parked_body({**ODD_BODY, "name": "Ada Lovelace"}))
    parked_event(run)
    ids = list(run.store.records)
    said = [repr(done) for done in run.replayer(dry_run=True).run(ids)]
    said += [repr(run.rows.find(record_id)) for record_id in ids]

    assert "Ada" not in json.dumps(said)
    assert "ada@" not in json.dumps(said)


def parked_forward(run: Run, payload: str) -> RejectedRecord:
    record = RejectedRecord(
        id="forward:1",
        kind="body",
        source="quikly_webhook",
        route=FORWARD_ROUTE,
        payload=payload,
        reasons=(Reason(code="quikly_refused", detail="Quikly answered 404"),),
        correlation_id="c-1",
        first_seen=NOON,
        last_seen=NOON,
    )
    run.store.park(record)
    return record


def test_a_call_that_quikly_refused_goes_back_to_its_own_queue() -> None:
    """Under its own id, as received now; no mapping and no delivery is used."""
    run = Run()
    parked_forward(run, forward_message().to_json())
    run.clock.advance(3 * DAY)

    assert run.replay() == [Result.SENT]
    assert run.forwards.messages == [forward_message(received_at=run.clock.now())]
    assert (run.queue.jobs, run.store.records) == ([], {})


def test_an_unreadable_call_stays_with_its_reasons() -> None:
    """And a forward queue that takes nothing keeps the row."""
    run = Run()
    parked_forward(run, "{}")
    assert run.replay() == [Result.STILL_REJECTED]
    assert run.store.records["forward:1"].reasons[0].code == "unreadable_forward"
    parked_forward(run, forward_message().to_json())
    run.forwards.refusing = True

    assert run.replay() == [Result.NOT_TAKEN]
    assert list(run.store.records) == ["forward:1"]
