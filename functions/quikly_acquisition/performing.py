"""Carrying out the next actions of many acquisitions side by side, at Braze and at Quikly.

Endpoints of one family are called together, behind the family's gate; families follow one another,
since a gate's probe belongs to one call at a time. What is not carried out for want of time gets no
observation, and is done by the next batch.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from braze_bridge.braze.errors import (
    AuthenticationError,
    BadRequestError,
    BrazeError,
    InvalidInputError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitedError,
    UnknownOutcomeError,
)
from braze_bridge.braze.identifiers import UserAlias, UserIdentifier
from braze_bridge.braze.limits import (
    MAX_OBJECTS_PER_REQUEST,
    SAFE_BODY_BYTES,
    EndpointFamily,
)
from braze_bridge.braze.models import AttributesObject, ExportIdsRequest, TrackRequest
from braze_bridge.braze.subscriptions import (
    SubscriptionStatus,
    SubscriptionStatusGetRequest,
    SubscriptionStatusSetRequest,
    SubscriptionUsers,
)
from braze_bridge.jobs.queue import QueueUnavailableError
from braze_bridge.quikly import QuiklyError
from quikly_acquisition.actions import (
    Action,
    BeginCredit,
    Credit,
    Held,
    LookUp,
    Observation,
    OutcomeUnknown,
    Performed,
    PersonFound,
    Proceed,
    ReadStatus,
    Refused,
    SendJob,
    StatusRead,
    Subscribe,
    TryAgain,
    WriteProfile,
)
from quikly_acquisition.models import PersonKey
from quikly_acquisition.verdicts import (
    CLOSING_SECONDS,
    KEY_REASONS,
    MAX_REFUSALS,
    Closing,
    found,
    judge,
    judge_quikly,
    known_of,
    number_of,
    remembered,
    still_counts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor
    from datetime import datetime

    from braze_bridge.braze.models import ExportIdsResponse, TrackResponse
    from braze_bridge.braze.rate_limits import RateLimit
    from braze_bridge.braze.subscriptions import (
        SubscriptionStatusGetResponse,
        SubscriptionStatusSetResponse,
    )
    from braze_bridge.clock import Clock
    from braze_bridge.gate.port import Gate
    from braze_bridge.jobs.queue import JobQueue
    from braze_bridge.quikly import QuiklyApi
    from quikly_acquisition.models import AcquisitionRecord, Profile
    from quikly_acquisition.records import AcquisitionRecords, Known
    from quikly_acquisition.reporting import Figures

CONNECT_TIMEOUT: Final = 3.05
READ_TIMEOUT: Final = 10.0
"""Seconds: each of these endpoints answers in well under one."""

QUIKLY_TIMEOUT: Final = (3.0, 7.0)
"""Connect and read seconds; a credit is not begun for less, since one cut short is one unknown."""

DEADLINE_MARGIN: Final = 6.0
"""Seconds of the Lambda's time for storing what was learnt and queueing what comes next."""

SHORTEST_READ: Final = 1.0
"""A request is not started for less reading time than this."""

FRAME_BYTES: Final = len(b'{"attributes":[]}')

ALIKE_REFUSALS: Final = 8
"""So many profiles refused alone, for no stated reason, and not one success: it is us."""

EXPORTED: Final = ("external_id", "braze_id", "user_aliases", "phone", "email_subscribe")

Timeout = tuple[float, float]


class BrazeCalls(Protocol):
    """What of :class:`braze_bridge.braze.client.BrazeClient` acquisitions need."""

    def track(self, request: TrackRequest, *, timeout: Timeout | None = None) -> TrackResponse:
        """Write profiles."""
        ...

    def export_ids(
        self, request: ExportIdsRequest, *, timeout: Timeout | None = None
    ) -> ExportIdsResponse:
        """Look somebody up."""
        ...

    def subscription_status_get(
        self, request: SubscriptionStatusGetRequest, *, timeout: Timeout | None = None
    ) -> SubscriptionStatusGetResponse:
        """Read a state in a group."""
        ...

    def subscription_status_set(
        self, request: SubscriptionStatusSetRequest, *, timeout: Timeout | None = None
    ) -> SubscriptionStatusSetResponse:
        """Set one."""
        ...


class Limited(Protocol):
    """An answer of any endpoint."""

    @property
    def rate_limit(self) -> RateLimit | None:
        """Of its family."""
        ...


AnswerT = TypeVar("AnswerT", bound=Limited)


@dataclass(frozen=True, slots=True)
class World:
    """What acquisitions need of the world.

    Attributes:
        quikly: ``None`` where no address is configured.
        jobs: Leads to delivery.
        executor: Runs calls side by side.
        concurrency: How many at once.
    """

    braze: BrazeCalls
    quikly: QuiklyApi | None
    jobs: JobQueue
    gate: Gate
    records: AcquisitionRecords
    clock: Clock
    executor: Executor
    concurrency: int


@dataclass(frozen=True, slots=True)
class _Call:
    """One request for some acquisitions.

    Attributes:
        ids: For whom.
        send: Makes it.
        read: What a success means for each.
        again: What to call instead after a refusal, and what is decided by it; ``None`` where it
            is judged like any other error.
    """

    ids: Sequence[str]
    send: Callable[[Timeout], Limited]
    read: Callable[[Any], Mapping[str, Observation]]
    again: Callable[[BrazeError], Sequence[_Call] | None] = lambda _: None


class Performance:
    """One round: an action for each of some acquisitions, and what came of them.

    Args:
        world: The ports.
        remaining: Seconds left to this invocation.
        figures: Added to.
    """

    def __init__(self, world: World, remaining: Callable[[], float], figures: Figures) -> None:
        self._world = world
        self._remaining = remaining
        self._figures = figures
        self._seen: dict[str, Observation] = {}
        self._learnt: dict[PersonKey, Known] = {}
        self._suspects: dict[str, str] = {}
        self._any_written = False

    def run(
        self, actions: Mapping[str, Action], records: Mapping[str, AcquisitionRecord]
    ) -> Mapping[str, Observation]:
        """Carry the actions out.

        Args:
            actions: By acquisition id; neither ``Wait`` nor ``Done``.
            records: Whose they are.

        Returns:
            By acquisition id; nothing for those that time did not allow.
        """
        by_kind: dict[type[Action], dict[str, Any]] = {}
        for id_, action in actions.items():
            by_kind.setdefault(type(action), {})[id_] = action
        for kind in (BeginCredit, Proceed):
            self._seen |= dict.fromkeys(by_kind.get(kind, ()), Performed())
        self._statuses(by_kind.get(ReadStatus, {}))
        self._look_ups(by_kind.get(LookUp, {}), records)
        self._profiles(by_kind.get(WriteProfile, {}), records)
        self._subscriptions(by_kind.get(Subscribe, {}))
        self._jobs(by_kind.get(SendJob, {}))
        self._credits(by_kind.get(Credit, {}))
        self._remember()
        return self._seen

    # -- the kinds of action -----------------------------------------------------------------

    def _statuses(self, wanted: Mapping[str, ReadStatus]) -> None:
        def read(ids: Sequence[str]) -> Callable[[Any], Mapping[str, Observation]]:
            return lambda answer: dict.fromkeys(ids, StatusRead(answer.only()))

        # The same number in the same group is read once for all who ask.
        askers: dict[tuple[str, str], list[str]] = {}
        for id_, action in wanted.items():
            askers.setdefault((action.group, action.phone), []).append(id_)
        calls = []
        for (group, phone), ids in askers.items():
            request = self._built(ids, partial(_get_request, group, phone))
            if request is not None:
                calls.append(
                    _Call(ids, _with(self._world.braze.subscription_status_get, request), read(ids))
                )
        self._side_by_side(EndpointFamily.SHARED_DEFAULT, calls)

    def _subscriptions(self, wanted: Mapping[str, Subscribe]) -> None:
        calls = []
        for id_, action in wanted.items():
            request = self._built([id_], partial(_set_request, action))
            if request is not None:
                calls.append(
                    _Call(
                        [id_],
                        _with(self._world.braze.subscription_status_set, request),
                        partial(_performed, id_),
                    )
                )
        self._side_by_side(EndpointFamily.SUBSCRIPTION_SET, calls)

    def _look_ups(
        self, wanted: Mapping[str, LookUp], records: Mapping[str, AcquisitionRecord]
    ) -> None:
        askers: dict[PersonKey, list[str]] = {}
        for id_, action in wanted.items():
            askers.setdefault(action.person, []).append(id_)
        if not askers:
            return
        known = self._world.records.recall(askers)
        now = self._world.clock.now()
        calls = []
        for person, ids in askers.items():
            entry = known.get(person)
            if entry is not None and still_counts(entry, now):
                for id_ in ids:
                    phone = self._fingerprint(records[id_].phone)
                    self._seen[id_] = remembered(entry, person, phone, now)
                continue
            request = self._built(ids, partial(_export_request, person))
            if request is not None:
                read = self._reader(person, {id_: records[id_].phone for id_ in ids})
                calls.append(_Call(ids, _with(self._world.braze.export_ids, request), read))
        before = self._figures.requests
        self._side_by_side(EndpointFamily.EXPORT_IDS, calls)
        self._figures.look_ups += self._figures.requests - before

    def _reader(
        self, person: PersonKey, phones: Mapping[str, str | None]
    ) -> Callable[[ExportIdsResponse], Mapping[str, Observation]]:
        def read(answer: ExportIdsResponse) -> Mapping[str, Observation]:
            user = answer.preferred()
            seen = {id_: found(user, person, phone) for id_, phone in phones.items()}
            for each in seen.values():
                # Who is unsubscribed may change that any time, and is looked up again.
                if user is not None and isinstance(each, PersonFound) and not each.is_unsubscribed:
                    self._learn(person, each.profile, number_of(user, person), None)
            return seen

        return read

    def _learn(
        self, person: PersonKey, profile: Profile, phone: str | None, written_at: datetime | None
    ) -> None:
        now = self._world.clock.now()
        self._learnt[person] = known_of(
            profile, person, phone=self._fingerprint(phone), written_at=written_at, now=now
        )

    def _remember(self) -> None:
        remember = self._world.records.remember
        list(
            self._world.executor.map(
                lambda each: remember(dict([each])), list(self._learnt.items())
            )
        )

    def _fingerprint(self, phone: str | None) -> str | None:
        return None if phone is None else self._world.records.fingerprint(PersonKey("phone", phone))

    def _profiles(
        self, wanted: Mapping[str, WriteProfile], records: Mapping[str, AcquisitionRecord]
    ) -> None:
        objects: dict[str, bytes] = {}
        for id_, action in wanted.items():
            encoded = self._built([id_], partial(_encoded, action))
            if encoded is not None:
                objects[id_] = encoded
        calls = [self._track(ids, objects, wanted, records) for ids in _requests_of(objects)]
        self._side_by_side(EndpointFamily.TRACK, calls)
        self._judge_suspects()

    def _track(
        self,
        ids: Sequence[str],
        objects: Mapping[str, bytes],
        wanted: Mapping[str, WriteProfile],
        records: Mapping[str, AcquisitionRecord],
    ) -> _Call:
        """One request for all of these profiles; smaller ones where it is refused as a whole."""

        def send(timeout: Timeout) -> TrackResponse:
            request = TrackRequest(attributes=[objects[id_] for id_ in ids])
            return self._world.braze.track(request, timeout=timeout)

        def read(answer: TrackResponse) -> Mapping[str, Observation]:
            self._any_written = True
            refused = self._named(ids, answer)
            for id_ in ids:
                if id_ not in refused:
                    self._wrote(wanted[id_], records[id_])
            return {id_: refused.get(id_, Performed()) for id_ in ids}

        def again(error: BrazeError) -> Sequence[_Call] | None:
            if not isinstance(error, BadRequestError | PayloadTooLargeError):
                return None
            refused = self._named(ids, error) if isinstance(error, BadRequestError) else {}
            self._seen |= refused
            rest = [id_ for id_ in ids if id_ not in refused]
            if refused:
                return [self._track(rest, objects, wanted, records)] if rest else []
            if len(rest) > 1:
                return [self._track([id_], objects, wanted, records) for id_ in rest]
            self._suspects[rest[0]] = str(error)
            return []

        return _Call(ids, send, read, again)

    def _named(
        self, ids: Sequence[str], answer: TrackResponse | BadRequestError
    ) -> dict[str, Observation]:
        refused: dict[str, Observation] = {}
        for error in answer.errors:
            index = error.index
            if error.input_array == "attributes" and index is not None and index < len(ids):
                refused[ids[index]] = Refused("braze_refused", error.type or None)
            else:
                self._figures.unattributed += 1
        return refused

    def _wrote(self, action: WriteProfile, record: AcquisitionRecord) -> None:
        self._figures.created += action.may_create
        now = self._world.clock.now()
        phone = record.phone if "phone" in action.attributes else None
        self._learn(record.person, action.profile, phone, now)

    def _judge_suspects(self) -> None:
        """Profiles refused alone and for no stated reason: theirs, or ours where all are."""
        texts = set(self._suspects.values())
        alike = len(self._suspects) >= ALIKE_REFUSALS and len(texts) == 1
        if alike and not self._any_written:
            until = self._world.clock.now() + timedelta(seconds=CLOSING_SECONDS)
            self._close(EndpointFamily.TRACK, Closing("family", until, "requests_refused"))
            self._seen |= dict.fromkeys(self._suspects, Held(until, "requests_refused"))
        else:
            refused = TryAgain("refused", most=MAX_REFUSALS, reason="braze_refused")
            self._seen |= dict.fromkeys(self._suspects, refused)
        self._suspects.clear()

    def _jobs(self, wanted: Mapping[str, SendJob]) -> None:
        def send(action: SendJob) -> Observation:
            try:
                self._world.jobs.send(action.job)
            except QueueUnavailableError:
                return TryAgain("delivery_queue")
            return Performed()

        late = TryAgain("delivery_queue")  # the job's id is the same the next time
        self._seen |= self._each(wanted, send, CONNECT_TIMEOUT + SHORTEST_READ, late)

    def _credits(self, wanted: Mapping[str, Credit]) -> None:
        quikly = self._world.quikly

        def tell(action: Credit) -> Observation:
            if quikly is None:
                return Refused("not_configured")
            try:
                quikly.tell(action.call)
            except QuiklyError as error:
                return judge_quikly(error, self._world.clock.now())
            return Performed()

        told = self._each(wanted, tell, sum(QUIKLY_TIMEOUT), OutcomeUnknown("no_answer"))
        self._figures.quikly_key_refused += sum(
            isinstance(each, Held) and each.reason == "quikly_key_refused" for each in told.values()
        )
        self._seen |= told

    # -- side by side ------------------------------------------------------------------------

    def _each(
        self,
        wanted: Mapping[str, ActionT],
        call: Callable[[ActionT], Observation],
        seconds: float,
        late: Observation,
    ) -> dict[str, Observation]:
        """Calls without a gate.

        None is started for less than so many seconds; one that is not over when the others must be
        stored (a timeout is per silence) is observed as late.
        """
        seen: dict[str, Observation] = {}
        waiting = deque(wanted.items())
        in_flight: dict[Future[Observation], str] = {}
        while waiting or in_flight:
            while waiting and len(in_flight) < self._world.concurrency:
                if self._remaining() - DEADLINE_MARGIN < seconds:
                    waiting.clear()  # not observed: the next batch does it
                    break
                id_, action = waiting.popleft()
                in_flight[self._world.executor.submit(call, action)] = id_
            if not in_flight:
                break
            done, _ = wait(in_flight, timeout=self._patience(), return_when=FIRST_COMPLETED)
            if not done:
                seen |= dict.fromkeys(in_flight.values(), late)
                break
            for future in done:
                fault = _fault_of(future, self._figures)
                seen[in_flight.pop(future)] = future.result() if fault is None else fault
        return seen

    def _side_by_side(self, family: EndpointFamily, calls: Sequence[_Call]) -> None:
        """Make calls of one family, as many at a time as its gate and the machine allow."""
        if not calls:
            return
        gate = self._world.gate
        admission = gate.admit(family)
        waiting = deque(calls)
        if admission.closed_until is not None:
            self._figures.key_refused += admission.reason in KEY_REASONS
            self._hold(waiting, Held(admission.closed_until, admission.reason))
            return
        before = self._figures.requests
        in_flight: dict[Future[Limited], _Call] = {}
        while True:
            self._start(family, waiting, in_flight)
            if not in_flight:
                break
            done, late = wait(in_flight, timeout=self._patience(), return_when=FIRST_COMPLETED)
            if not done:
                # A timeout is per silence: a dripping answer can outlast it.
                for future in late:
                    self._hold([in_flight.pop(future)], TryAgain("no_answer"))
                continue
            for future in done:
                waiting.extendleft(self._answered(family, in_flight.pop(future), future))
        if admission.is_probe and self._figures.requests == before:
            gate.release_probe()

    def _start(
        self,
        family: EndpointFamily,
        waiting: deque[_Call],
        in_flight: dict[Future[Limited], _Call],
    ) -> None:
        gate = self._world.gate
        while waiting and len(in_flight) < self._world.concurrency:
            timeout = self._timeout()
            if timeout is None:
                waiting.clear()  # not observed: the next batch does it
                return
            if not gate.may_start(family, len(in_flight)):
                until = gate.closed_until(family)
                if until is not None:
                    self._hold(waiting, Held(until, "paced"))
                    waiting.clear()
                return
            call = waiting.popleft()
            in_flight[self._world.executor.submit(call.send, timeout)] = call
            self._figures.requests += 1

    def _answered(
        self, family: EndpointFamily, call: _Call, future: Future[Limited]
    ) -> Sequence[_Call]:
        error = _error_of(future, self._figures)
        if error is None:
            answer = future.result()
            self._world.gate.record_success(family, answer.rate_limit)
            self._seen |= call.read(answer)
            return ()
        again = call.again(error)
        if again is not None:
            return again
        self._figures.rate_limited += isinstance(error, RateLimitedError)
        self._figures.key_refused += isinstance(error, AuthenticationError | PermissionDeniedError)
        verdict = judge(error, self._world.clock.now())
        if verdict.closing is not None:
            self._close(family, verdict.closing)
        self._hold([call], verdict.observation)
        return ()

    def _close(self, family: EndpointFamily, closing: Closing) -> None:
        # Counted from the answer: the batch may have begun long before.
        which = None if closing.scope == "all" else family
        self._world.gate.close(which, closing.until, closing.reason)
        if closing.reason not in self._figures.closings:
            self._figures.closings.append(closing.reason)

    def _hold(self, calls: Sequence[_Call] | deque[_Call], observation: Observation) -> None:
        for call in calls:
            self._seen |= dict.fromkeys(call.ids, observation)

    def _built(self, ids: Sequence[str], build: Callable[[], RequestT]) -> RequestT | None:
        """A request; ``None`` where Braze would refuse or lose it, which ends the acquisition."""
        try:
            return build()
        except InvalidInputError as error:
            self._seen |= dict.fromkeys(ids, Refused("invalid_request", error.reason.value))
            return None

    def _patience(self) -> float:
        """Seconds for which calls under way may be waited for."""
        return max(self._remaining() - DEADLINE_MARGIN, SHORTEST_READ)

    def _timeout(self) -> Timeout | None:
        """Connect and read seconds for a request that starts now, or ``None``: too late."""
        left = self._remaining() - DEADLINE_MARGIN - CONNECT_TIMEOUT
        return None if left < SHORTEST_READ else (CONNECT_TIMEOUT, min(READ_TIMEOUT, left))


ActionT = TypeVar("ActionT")
RequestT = TypeVar("RequestT")


def _with(send: Callable[..., Limited], request: object) -> Callable[[Timeout], Limited]:
    return lambda timeout: send(request, timeout=timeout)


def _error_of(future: Future[Limited], figures: Figures) -> BrazeError | None:
    error = future.exception()
    if error is None or isinstance(error, BrazeError):
        return error
    return UnknownOutcomeError(_counted(error, figures))


def _fault_of(future: Future[Observation], figures: Figures) -> Observation | None:
    error = future.exception()
    return None if error is None else OutcomeUnknown(_counted(error, figures))


def _counted(error: BaseException, figures: Figures) -> str:
    """A fault of ours: what the others of the batch learnt must be stored all the same."""
    if not isinstance(error, Exception):
        raise error
    name = type(error).__name__
    figures.faults[name] = figures.faults.get(name, 0) + 1
    return name


def _requests_of(objects: Mapping[str, bytes]) -> Sequence[Sequence[str]]:
    """Ids whose objects go out together: as many as a request holds, by number and by bytes."""
    requests: list[list[str]] = []
    size = 0
    for id_, encoded in objects.items():
        size += len(encoded) + 1
        is_full = not requests or len(requests[-1]) == MAX_OBJECTS_PER_REQUEST
        if is_full or size > SAFE_BODY_BYTES - FRAME_BYTES:
            requests.append([])
            size = len(encoded) + 1
        requests[-1].append(id_)
    return requests


def _identifier(profile: Profile) -> UserIdentifier:
    match profile.kind:
        case "external_id":
            return UserIdentifier(external_id=profile.value)
        case "braze_id":
            return UserIdentifier(braze_id=profile.value)
        case "user_alias":
            return UserIdentifier(user_alias=UserAlias(profile.value, profile.label or ""))
        case "email":
            return UserIdentifier(email=profile.value)
        case "phone":
            return UserIdentifier(phone=profile.value)


def _encoded(action: WriteProfile) -> bytes:
    return AttributesObject(
        _identifier(action.profile),
        update_existing_only=not action.may_create,
        attributes=action.attributes,
    ).encode()


def _export_request(person: PersonKey) -> ExportIdsRequest:
    if person.kind == "email":
        return ExportIdsRequest(EXPORTED, email_address=person.value)
    return ExportIdsRequest(EXPORTED, phone=person.value)


def _get_request(group: str, phone: str) -> SubscriptionStatusGetRequest:
    return SubscriptionStatusGetRequest(group, SubscriptionUsers(phones=(phone,)))


def _performed(id_: str, _: Limited) -> Mapping[str, Observation]:
    return {id_: Performed()}


def _set_request(action: Subscribe) -> SubscriptionStatusSetRequest:
    return SubscriptionStatusSetRequest(
        action.group,
        SubscriptionStatus.SUBSCRIBED,
        SubscriptionUsers(phones=(action.phone,)),
        use_double_opt_in_logic=True if action.asks_first else None,
    )
