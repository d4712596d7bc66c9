"""The acquisition worker's dependencies in memory, on a clock that a test moves.

Every port is a fake over plain data; the worker, the workflow and the sweep are the real ones.
"""

from __future__ import annotations

import heapq
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any

from braze_bridge.braze.client import BrazeClient
from braze_bridge.braze.errors import BadRequestError, BrazeError, ObjectError, RateLimitedError
from braze_bridge.braze.identifiers import UserAlias
from braze_bridge.braze.models import ExportedUser, ExportIdsResponse, TrackResponse
from braze_bridge.braze.rate_limits import RateLimit
from braze_bridge.braze.subscriptions import (
    SubscriptionStatus,
    SubscriptionStatusGetResponse,
    SubscriptionStatusSetResponse,
)
from braze_bridge.handlers import SqsMessage
from braze_bridge.jobs.queue import QueueUnavailableError
from braze_bridge.partner_config.quikly_acquisitions import AcquisitionRule
from quikly_acquisition.api_models import AcquisitionRequest, new_record
from quikly_acquisition.batch import run_batch
from quikly_acquisition.dependencies import Dependencies
from quikly_acquisition.models import (
    AcquisitionRecord,
    Channel,
    Consent,
    PersonKey,
    StepMessage,
    UnreadableStepError,
    parse_record,
)
from quikly_acquisition.records import (
    KNOWN_RETENTION,
    REQUEUED,
    Begun,
    DueStep,
    Fingerprints,
    IdempotencyKeyReusedError,
    Known,
    Loaded,
    RecordsUnavailableError,
)
from quikly_acquisition.step_queue import LONGEST_DELAY, QueuedStep
from quikly_acquisition.sweep import Dependencies as SweepDependencies
from quikly_acquisition.sweep import sweep
from quikly_acquisition.workflow import WorkflowSettings
from tests.fakes.braze import InlineExecutor
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.gate import NoGate
from tests.fakes.log import RecordingLog
from tests.fakes.meter import RecordingMeter
from tests.fakes.secret import FixedSecret

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from concurrent.futures import Executor

    from braze_bridge.braze.models import ExportIdsRequest, TrackRequest
    from braze_bridge.braze.subscriptions import (
        SubscriptionStatusGetRequest,
        SubscriptionStatusSetRequest,
    )
    from braze_bridge.clock import Clock
    from braze_bridge.gate.port import Gate
    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.quikly import QuiklyCall
    from quikly_acquisition.reporting import BatchResult

SMS_GROUP = "sms-group"
EMAIL_GROUP = "email-group"
OPT_IN_GROUP = "opt-in-group"
OPT_IN_EVENT = "start_opt_in"

RULES = {
    rule.q_scope: rule
    for rule in (
        AcquisitionRule("news", frozenset({"email"}), credit_event="signed-up"),
        AcquisitionRule(
            "texts",
            frozenset({"sms"}),
            subscription_group_id=SMS_GROUP,
            credit_event="signed-up",
            participation_event="took_part",
        ),
        AcquisitionRule(
            "asked",
            frozenset({"sms"}),
            subscription_group_id=OPT_IN_GROUP,
            double_opt_in="braze",
            credit_event="signed-up",
        ),
        AcquisitionRule(
            "asked-by-event",
            frozenset({"sms"}),
            subscription_group_id=OPT_IN_GROUP,
            double_opt_in="event",
            opt_in_event=OPT_IN_EVENT,
            credit_event="signed-up",
        ),
    )
}

SETTINGS = WorkflowSettings(
    profile_wait=timedelta(seconds=120), tells_quikly=True, credit_lease=timedelta(seconds=60)
)

CONSENT = Consent(given_at=NOON, method="checkbox", text="2026-11")


def record(
    scope: str = "news",
    *,
    number: int = 0,
    channel: Channel | None = None,
    email: str | None = "ada@example.com",
    phone: str | None = None,
    at: datetime = NOON,
    attributes: dict[str, Any] | None = None,
) -> AcquisitionRecord:
    """An acquisition as intake makes it; on the SMS channel with a phone."""
    if channel is None:
        channel = "email" if scope == "news" else "sms"
    if channel == "sms" and phone is None:
        phone = "+4915112345678"
    return new_record(
        AcquisitionRequest(scope, channel, email, phone, CONSENT, attributes or {}),
        acquisition_id=f"acquisition-{number:06}",
        correlation_id=f"correlation-{number}",
        now=at,
    )


class Hooks:
    """Calls a test before and after each operation of any port, by the operation's name.

    Attributes:
        reached: Every name, in order.
        on: Called with the name and how many were reached; may raise.
    """

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.on: Callable[[str, int], None] = lambda *_: None

    def reach(self, name: str) -> None:
        self.reached.append(name)
        self.on(name, len(self.reached))


class InMemoryRecords:
    """Both ports of :mod:`quikly_acquisition.records`.

    Attributes:
        rows: The JSON of each record, by id.
        overdue: When the sweep looks for the unfinished ones.
        known: Who is known, and until when.
        refusing: While true, every call fails.
    """

    def __init__(self, clock: Clock, hooks: Hooks | None = None) -> None:
        self.rows: dict[str, str] = {}
        self.overdue: dict[str, datetime] = {}
        self.known: dict[str, tuple[Known, datetime]] = {}
        self.refusing = False
        self._keys: dict[str, tuple[str, str]] = {}
        self._pending: dict[str, str] = {}
        self._prints = Fingerprints(b"a key for tests")
        self._clock = clock
        self._hooks = Hooks() if hooks is None else hooks
        self._lock = Lock()

    def _asked(self) -> None:
        if self.refusing:
            raise RecordsUnavailableError("refusing")

    def begin(self, record: AcquisitionRecord, idempotency_key: str | None) -> Begun:
        self._asked()
        if idempotency_key is not None:
            name = self._prints.idempotency(record.q_scope, idempotency_key)
            id_, request = self._keys.setdefault(
                name, (record.acquisition_id, self._prints.request(record))
            )
            if request != self._prints.request(record):
                raise IdempotencyKeyReusedError("reused")
            if id_ != record.acquisition_id:
                return Begun(id_, is_new=False)
        person = self._prints.pending(record)
        standing = self._pending.get(person)
        if standing is not None and not self.stored(standing).state.is_final:
            return Begun(standing, is_new=False)
        self._pending[person] = record.acquisition_id
        self.rows[record.acquisition_id] = record.model_dump_json()
        self.overdue[record.acquisition_id] = record.due_at + timedelta(seconds=60)
        return Begun(record.acquisition_id, is_new=True)

    def stored(self, id_: str) -> AcquisitionRecord:
        return parse_record(self.rows[id_])

    def get(self, acquisition_id: str) -> AcquisitionRecord | None:
        self._asked()
        return self.stored(acquisition_id) if acquisition_id in self.rows else None

    def load(self, ids: Collection[str]) -> Loaded:
        self._asked()
        found: dict[str, AcquisitionRecord | None] = {}
        unreadable: set[str] = set()
        for id_ in ids:
            try:
                found[id_] = self.get(id_)
            except UnreadableStepError:
                unreadable.add(id_)
        return Loaded(found, frozenset(unreadable))

    def save(self, record: AcquisitionRecord, overdue_at: datetime) -> bool:
        self._asked()
        self._hooks.reach("before save")
        with self._lock:
            row = self.rows.get(record.acquisition_id)
            if row is None or parse_record(row).version != record.version - 1:
                return False
            self.rows[record.acquisition_id] = record.model_dump_json()
            self.overdue.pop(record.acquisition_id, None)
            if not record.state.is_final:
                self.overdue[record.acquisition_id] = overdue_at
        self._hooks.reach("after save")
        return True

    def recall(self, people: Collection[PersonKey]) -> Mapping[PersonKey, Known]:
        now = self._clock.now()
        found = {person: self.known.get(self.fingerprint(person)) for person in people}
        return {
            person: kept[0] for person, kept in found.items() if kept is not None and now < kept[1]
        }

    def remember(self, people: Mapping[PersonKey, Known]) -> None:
        self._hooks.reach("before remember")
        for person, known in people.items():
            self.known[self.fingerprint(person)] = (known, known.seen_at + KNOWN_RETENTION)

    def fingerprint(self, person: PersonKey) -> str:
        return self._prints.person(person)

    def about(self, person: PersonKey) -> Sequence[str]:
        self._asked()
        return [
            id_
            for id_ in self.rows
            if person.value in {self.stored(id_).email, self.stored(id_).phone}
        ]

    def erase(self, person: PersonKey) -> int:
        ids = self.about(person)
        for id_ in ids:
            del self.rows[id_]
            self.overdue.pop(id_, None)
        self.known.pop(self.fingerprint(person), None)
        return len(ids)

    def due(self, now: datetime, limit: int) -> Sequence[DueStep]:
        self._asked()
        late = sorted((at, id_) for id_, at in self.overdue.items() if at <= now)
        return [DueStep(self.stored(id_).message, at) for at, id_ in late[:limit]]

    def queued(self, steps: Sequence[StepMessage], now: datetime) -> None:
        for step in steps:
            if step.acquisition_id in self.overdue:
                self.overdue[step.acquisition_id] = now + REQUEUED


class InMemoryStepQueue:
    """A :class:`quikly_acquisition.step_queue.StepQueue` on a clock.

    Attributes:
        refusing: While true, it takes nothing.
    """

    def __init__(self, clock: Clock, hooks: Hooks | None = None) -> None:
        self.refusing = False
        self.sent = 0
        self._clock = clock
        self._hooks = Hooks() if hooks is None else hooks
        self._waiting: list[tuple[datetime, int, str]] = []

    def send(self, steps: Sequence[QueuedStep]) -> Sequence[QueuedStep]:
        if self.refusing:
            return steps
        self._hooks.reach("before queueing")
        for step in steps:
            assert 0 <= step.delay <= LONGEST_DELAY
            self.put(step.message.to_json(), step.delay)
        self._hooks.reach("after queueing")
        return ()

    def put(self, body: str, delay: float) -> None:
        self.sent += 1
        at = self._clock.now() + timedelta(seconds=delay)
        heapq.heappush(self._waiting, (at, self.sent, body))

    @property
    def next_at(self) -> datetime | None:
        return self._waiting[0][0] if self._waiting else None

    def take(self, most: int) -> list[SqsMessage]:
        taken: list[SqsMessage] = []
        while self._waiting and self._waiting[0][0] <= self._clock.now() and len(taken) < most:
            _, number, body = heapq.heappop(self._waiting)
            taken.append(SqsMessage(f"message-{number}", body))
        return taken


class InMemoryJobs:
    """A :class:`braze_bridge.jobs.queue.JobQueue` that, as delivery, takes each job once.

    Attributes:
        jobs: By id.
    """

    def __init__(self, hooks: Hooks | None = None) -> None:
        self.jobs: dict[str, DeliveryJob] = {}
        self.refusing = False
        self.on_job: Callable[[DeliveryJob], None] = lambda _: None
        self._hooks = Hooks() if hooks is None else hooks

    def send(self, job: DeliveryJob) -> None:
        self._hooks.reach("before job")
        if self.refusing:
            raise QueueUnavailableError("refusing")
        if job.job_id not in self.jobs:
            self.jobs[job.job_id] = job
            self.on_job(job)
        self._hooks.reach("after job")


@dataclass
class FakeProfile:
    """A profile at the fake Braze; ``visible_at`` is when reads see it and what it has."""

    visible_at: datetime
    braze_id: str = ""
    external_id: str | None = None
    alias: tuple[str, str] | None = None
    email: str | None = None
    phone: str | None = None
    email_subscribe: str = "subscribed"
    attributes: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    prompts: int = 0


class FakeBraze(BrazeClient):
    """Braze as far as acquisitions see it, eventually consistent.

    Attributes:
        profiles: In order of creation.
        groups: Id to channel; a double opt-in group is ``asks``.
        calls: When, which endpoint, and what was asked, of every request.
        deadlines: Of every request.
        faults: Called with the endpoint's name; may give the error it answers. Before it acts.
        lost: The same, after it acted.
        export_limit: Look-ups a clock minute; 0 for none.
        read_delay: How long reads lag writes.
        refuses_object: Objects it names as refused.
        refuses_request: A request with such an object gets a 400 that names no object.
    """

    def __init__(self, clock: Clock, hooks: Hooks | None = None) -> None:
        self.profiles: list[FakeProfile] = []
        self.groups = {SMS_GROUP: "sms", EMAIL_GROUP: "email", OPT_IN_GROUP: "asks"}
        self.calls: list[tuple[datetime, str, Any]] = []
        self.deadlines: list[float | None] = []
        self.faults: Callable[[str], BrazeError | None] = lambda _: None
        self.lost: Callable[[str], BrazeError | None] = lambda _: None
        self.export_limit = 0
        self.read_delay = timedelta(0)
        self.refuses_object: Callable[[dict[str, Any]], bool] = lambda _: False
        self.refuses_request: Callable[[dict[str, Any]], bool] = lambda _: False
        self._window = (datetime.min.replace(tzinfo=UTC), 0)
        self._clock = clock
        self._hooks = Hooks() if hooks is None else hooks
        self._lock = Lock()

    def asked(self, name: str) -> list[Any]:
        """What one endpoint was asked."""
        return [what for _, each, what in self.calls if each == name]

    def named(self) -> list[str]:
        """The endpoints called, in order."""
        return [name for _, name, _ in self.calls]

    def has(self, **fields: Any) -> FakeProfile:
        """Put a profile there, visible at once."""
        profile = FakeProfile(self._clock.now(), f"braze-{len(self.profiles)}", **fields)
        self.profiles.append(profile)
        return profile

    def _call(self, name: str, what: Any, act: Callable[[], Any]) -> Any:
        self._hooks.reach(f"before {name}")
        with self._lock:
            self.calls.append((self._clock.now(), name, what))
            self._raise(self.faults(name))
            answer = act()
            self._raise(self.lost(name))
        self._hooks.reach(f"after {name}")
        return answer

    @staticmethod
    def _raise(error: BrazeError | None) -> None:
        if error is not None:
            raise error

    # -- /users/track ------------------------------------------------------------------------

    def track(
        self,
        request: TrackRequest,
        *,
        timeout: tuple[float, float] | None = None,
        deadline: float | None = None,
    ) -> TrackResponse:
        del timeout
        self.deadlines.append(deadline)
        objects = json.loads(request.body())["attributes"]
        answer: TrackResponse = self._call("track", objects, lambda: self._tracked(objects))
        return answer

    def _tracked(self, objects: list[dict[str, Any]]) -> TrackResponse:
        if any(self.refuses_request(item) for item in objects):
            raise BadRequestError("Something is not valid")
        errors = tuple(
            ObjectError("attributes", index, "refused by name")
            for index, item in enumerate(objects)
            if self.refuses_object(item)
        )
        if len(errors) == len(objects):
            raise BadRequestError("Valid data must be provided", errors=errors)
        for item in objects:
            if not self.refuses_object(item):
                self._write(dict(item))
        return TrackResponse(201, "success", len(objects), None, errors, None)

    def _write(self, item: dict[str, Any]) -> None:
        now = self._clock.now()
        update_only = item.pop("_update_existing_only", None)
        alias = item.pop("user_alias", None)
        pair = None if alias is None else (alias["alias_label"], alias["alias_name"])
        found = self._owner(pair, item)
        if found is None:
            if update_only is not False:
                return
            found = FakeProfile(now + self.read_delay, f"braze-{len(self.profiles)}", alias=pair)
            self.profiles.append(found)
        for key in ("external_id", "braze_id"):
            item.pop(key, None)
        for key in ("email", "phone"):
            if key in item:
                setattr(found, key, item.pop(key))
        found.attributes |= item

    def _owner(self, pair: tuple[str, str] | None, item: dict[str, Any]) -> FakeProfile | None:
        for profile in self.profiles:
            if pair is not None:
                if profile.alias == pair:
                    return profile
            elif "external_id" in item or "braze_id" in item:
                wanted = (item.get("external_id"), item.get("braze_id"))
                if wanted in {(profile.external_id, None), (None, profile.braze_id)}:
                    return profile
            elif "email" in item:
                if profile.email == item["email"]:
                    return profile
            elif profile.phone == item["phone"]:
                return profile
        return None

    # -- /users/export/ids -------------------------------------------------------------------

    def export_ids(
        self,
        request: ExportIdsRequest,
        *,
        timeout: tuple[float, float] | None = None,
        deadline: float | None = None,
    ) -> ExportIdsResponse:
        del timeout
        self.deadlines.append(deadline)
        asked = json.loads(request.body())
        answer: ExportIdsResponse = self._call("export_ids", asked, lambda: self._exported(asked))
        return answer

    def _exported(self, asked: dict[str, Any]) -> ExportIdsResponse:
        limit = self._used()
        users = [
            ExportedUser(
                external_id=profile.external_id,
                braze_id=profile.braze_id,
                user_aliases=()
                if profile.alias is None
                else (UserAlias(profile.alias[1], profile.alias[0]),),
                email=profile.email,
                phone=profile.phone,
                email_subscribe=profile.email_subscribe,
            )
            for profile in self._visible()
            if asked.get("email_address", "-") == profile.email
            or asked.get("phone", "-") == profile.phone
        ]
        return ExportIdsResponse(users, limit)

    def _used(self) -> RateLimit | None:
        if not self.export_limit:
            return None
        now = self._clock.now()
        start, used = self._window
        minute = now.replace(second=0, microsecond=0)
        used = used if start == minute else 0
        resets = minute + timedelta(minutes=1)
        if used >= self.export_limit:
            raise RateLimitedError("limit", status=429, retry_after=(resets - now).total_seconds())
        self._window = (minute, used + 1)
        return RateLimit(self.export_limit, self.export_limit - used - 1, resets.timestamp())

    def _visible(self) -> list[FakeProfile]:
        return [each for each in self.profiles if each.visible_at <= self._clock.now()]

    # -- /subscription/status ----------------------------------------------------------------

    def subscription_status_get(
        self,
        request: SubscriptionStatusGetRequest,
        *,
        timeout: tuple[float, float] | None = None,
        deadline: float | None = None,
    ) -> SubscriptionStatusGetResponse:
        del timeout
        self.deadlines.append(deadline)
        group, (phone,) = request.subscription_group_id, request.users.values
        answer: SubscriptionStatusGetResponse = self._call(
            "status_get", (group, phone), lambda: self._status(group, phone)
        )
        return answer

    def _check(self, group: str) -> None:
        if group not in self.groups:
            raise BadRequestError("Invalid subscription group ID")
        if self.groups[group] == "email":
            raise BadRequestError("The identifiers do not fit the channel")

    def _status(self, group: str, phone: str) -> SubscriptionStatusGetResponse:
        self._check(group)
        states = {each.groups.get(group) for each in self._visible() if each.phone == phone}
        known = sorted(state for state in states if state is not None)
        state = SubscriptionStatus.read(known[-1] if known else "unknown")
        return SubscriptionStatusGetResponse({"somebody": state})

    def subscription_status_set(
        self,
        request: SubscriptionStatusSetRequest,
        *,
        timeout: tuple[float, float] | None = None,
        deadline: float | None = None,
    ) -> SubscriptionStatusSetResponse:
        del timeout
        self.deadlines.append(deadline)
        body = json.loads(request.body())
        answer: SubscriptionStatusSetResponse = self._call(
            "status_set", body, lambda: self._set(body)
        )
        return answer

    def _set(self, body: dict[str, Any]) -> SubscriptionStatusSetResponse:
        group = body["subscription_group_id"]
        self._check(group)
        for profile in self._visible():
            if profile.phone in body["phone"]:
                if body.get("use_double_opt_in_logic"):
                    self.prompt(profile, group)
                else:
                    profile.groups[group] = "Subscribed"
        return SubscriptionStatusSetResponse(201, "success", None)

    def prompt(self, profile: FakeProfile, group: str) -> None:
        """Ask for an opt-in, unless it was asked for already."""
        if profile.groups.setdefault(group, "Unsubscribed") == "Unsubscribed":
            profile.prompts = 1

    def confirm(self, group: str = OPT_IN_GROUP) -> None:
        """Confirm every opt-in that was asked for."""
        for profile in self.profiles:
            if profile.prompts:
                profile.groups[group] = "Subscribed"


class FakeQuikly:
    """A :class:`braze_bridge.quikly.QuiklyApi`.

    Attributes:
        calls: Those it took.
        deadlines: Of every call.
        asked: Those it heard of.
        faults: Called with the number of the call; may raise. Before it takes it.
        lost: The same, after it took it.
    """

    def __init__(self, hooks: Hooks | None = None) -> None:
        self.calls: list[QuiklyCall] = []
        self.deadlines: list[float] = []
        self.asked = 0
        self.faults: Callable[[int], None] = lambda _: None
        self.lost: Callable[[int], None] = lambda _: None
        self._hooks = Hooks() if hooks is None else hooks

    def send(self, call: QuiklyCall, deadline: float) -> None:
        self._hooks.reach("before credit")
        self.deadlines.append(deadline)
        self.asked += 1
        self.faults(self.asked)
        self.calls.append(call)
        self.lost(self.asked)
        self._hooks.reach("after credit")


class Killed(BaseException):
    """Nothing below the simulation may catch it."""


class Simulation:
    """Worker, sweep and all they talk to, on one virtual clock.

    Attributes:
        kills: How often the worker crashed.
        results: Of every batch that ended.
    """

    def __init__(
        self,
        *,
        rules: Mapping[str, AcquisitionRule] | None = None,
        settings: WorkflowSettings = SETTINGS,
        gate: Callable[[Clock], Gate] | None = None,
        executor: Executor | None = None,
        jitter: Callable[[], float] = lambda: 0.5,
        batch: int = 75,
        seconds: float = 0.0,
    ) -> None:
        self.clock = FixedClock()
        self.hooks = Hooks()
        self.records = InMemoryRecords(self.clock, self.hooks)
        self.queue = InMemoryStepQueue(self.clock, self.hooks)
        self.braze = FakeBraze(self.clock, self.hooks)
        self.quikly = FakeQuikly(self.hooks)
        self.jobs = InMemoryJobs(self.hooks)
        self.jobs.on_job = self._on_job
        self.gate = NoGate() if gate is None else gate(self.clock)
        self.meter = RecordingMeter()
        self.log = RecordingLog()
        self.braze_secret = FixedSecret("braze")
        self.quikly_secret = FixedSecret("quikly")
        self.deps = Dependencies(
            braze=self.braze,
            braze_secret=self.braze_secret,
            quikly=self.quikly,
            quikly_secret=self.quikly_secret,
            jobs=self.jobs,
            steps=self.queue,
            records=self.records,
            gate=self.gate,
            rules=RULES if rules is None else rules,
            settings=settings,
            clock=self.clock,
            executor=InlineExecutor() if executor is None else executor,
            storing=InlineExecutor(),
            concurrency=20,
            jitter=jitter,
            meter=self.meter,
            log=self.log.logger,
        )
        self.kills = 0
        self.results: list[BatchResult] = []
        self._batch = batch
        self._seconds = seconds
        self._next_sweep = self.clock.now() + timedelta(seconds=30)

    def _on_job(self, job: DeliveryJob) -> None:
        """Delivery's part: a custom event that starts the opt-in reaches the profile."""
        alias = job.user.user_alias
        for profile in self.braze.profiles:
            pair = None if alias is None else (alias.alias_label, alias.alias_name)
            if (pair is not None and profile.alias == pair) or (
                job.user.external_id is not None and profile.external_id == job.user.external_id
            ):
                profile.attributes |= job.attributes
                if any(event.name == OPT_IN_EVENT for event in job.events):
                    self.braze.prompt(profile, OPT_IN_GROUP)

    def begin(self, new: AcquisitionRecord, key: str | None = None, *, queued: bool = True) -> str:
        """Do what intake does; without ``queued`` it crashes before it queues the step."""
        begun = self.records.begin(new, key)
        if begun.is_new and queued:
            self.queue.put(new.message.to_json(), 0)
        return begun.acquisition_id

    def stored(self, id_: str) -> AcquisitionRecord:
        """Return a record as it is stored."""
        return self.records.stored(id_)

    def steps_of(self, id_: str) -> list[str]:
        """Its history's words."""
        return [entry.step for entry in self.stored(id_).history]

    def is_quiet(self) -> bool:
        """Whether nothing is unfinished."""
        return not self.records.overdue

    def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.clock.now() + timedelta(seconds=seconds)
        while (at := self._next_at()) <= end:
            self._advance_to(at)
            self._turn()
        self._advance_to(end)

    def run(self, days: float = 60) -> None:
        """Let time pass until nothing is unfinished."""
        end = self.clock.now() + timedelta(days=days)
        while not self.is_quiet():
            at = self._next_at()
            assert at <= end, "it does not end"
            self._advance_to(at)
            self._turn()

    def _next_at(self) -> datetime:
        queued = self.queue.next_at
        return self._next_sweep if queued is None else min(queued, self._next_sweep)

    def _advance_to(self, at: datetime) -> None:
        self.clock.advance(max((at - self.clock.now()).total_seconds(), 0.0))

    def _turn(self) -> None:
        if self.clock.now() >= self._next_sweep:
            self._next_sweep += timedelta(minutes=1)
            overdue = min(self.records.overdue.values(), default=None)
            if self.queue.next_at is None and overdue is not None:
                # Nothing at all happens until then: the empty minutes are not worth turning.
                self._next_sweep = max(self._next_sweep, overdue)
            try:
                sweep(SweepDependencies(self.records, self.queue, self.clock, self.log.logger))
            except RecordsUnavailableError:
                return
            except Killed:
                self.kills += 1
        while messages := self.queue.take(self._batch):
            self.work(messages)

    def work(self, messages: Sequence[SqsMessage]) -> None:
        """One Lambda's batch; what goes back, or is lost with its Lambda, comes after a minute."""
        try:
            result = run_batch(messages, self.deps, lambda: 60.0)
        except Killed:
            self.kills += 1
            back = {message.message_id for message in messages}
        else:
            self.results.append(result)
            back = set(result.back)
        for message in messages:
            if message.message_id in back:
                self.queue.put(message.body, 60)
        self.clock.advance(self._seconds)
