"""Runs one action for each of many acquisitions, at Braze, Quikly and SQS.

Calls to one endpoint family run in parallel behind the family's gate. Families follow one another,
since a gate admits one probe at a time. An action that there is no time for gets no observation:
the next batch runs it.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from braze_bridge.braze.errors import (
    BadRequestError,
    BrazeError,
    InvalidInputError,
    PayloadTooLargeError,
)
from braze_bridge.braze.identifiers import UserAlias, UserIdentifier
from braze_bridge.braze.limits import MAX_OBJECTS_PER_REQUEST, SAFE_BODY_BYTES, EndpointFamily
from braze_bridge.braze.models import AttributesObject, ExportIdsRequest, TrackRequest
from braze_bridge.braze.subscriptions import (
    SubscriptionStatus,
    SubscriptionStatusGetRequest,
    SubscriptionStatusSetRequest,
    SubscriptionUsers,
)
from braze_bridge.gate.calls import CONNECT_TIMEOUT, SHORTEST_READ
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
    ProfileFound,
    ReadStatus,
    Refused,
    SendJob,
    SkipStep,
    StatusRead,
    Subscribe,
    TryAgain,
    WriteProfile,
)
from quikly_acquisition.error_outcomes import CLOSING_SECONDS, MAX_REFUSALS, Closing, quikly_outcome
from quikly_acquisition.found_profiles import (
    found,
    known_of,
    number_of,
    remembered,
    replaces_look_up,
)
from quikly_acquisition.models import PersonKey
from quikly_acquisition.parallel_calls import (
    QUIKLY_TIMEOUT,
    Call,
    ParallelCalls,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from braze_bridge.braze.models import ExportIdsResponse, TrackResponse
    from braze_bridge.braze.subscriptions import SubscriptionStatusGetResponse
    from quikly_acquisition.dependencies import Dependencies
    from quikly_acquisition.models import AcquisitionRecord, Profile
    from quikly_acquisition.records import Known
    from quikly_acquisition.reporting import Figures

FRAME_BYTES: Final = len(b'{"attributes":[]}')

ALIKE_REFUSALS: Final = 8
"""If so many profiles are refused alone, all alike and without a stated reason, and none is taken,
assume a configuration fault and refuse no profile."""

EXPORTED: Final = ("external_id", "braze_id", "user_aliases", "phone", "email_subscribe")


class ActionRunner:
    """Runs one round: an action for each of some acquisitions.

    Args:
        remaining: Seconds left to this invocation.
        figures: Added to.
    """

    def __init__(
        self, deps: Dependencies, remaining: Callable[[], float], figures: Figures
    ) -> None:
        self._deps = deps
        self._figures = figures
        self._observations: dict[str, Observation] = {}
        self._calls = ParallelCalls(deps, remaining, figures, self._observations)
        self._learnt: dict[PersonKey, Known] = {}
        self._unexplained: dict[str, str] = {}
        self._any_written = False

    def run(
        self, actions: Mapping[str, Action], records: Mapping[str, AcquisitionRecord]
    ) -> Mapping[str, Observation]:
        """Run the actions.

        Args:
            actions: By acquisition id; neither ``Wait`` nor ``Done``.
            records: By acquisition id.

        Returns:
            By acquisition id; nothing for those that there was no time for.
        """
        by_kind: dict[type[Action], dict[str, Any]] = {}
        for id_, action in actions.items():
            by_kind.setdefault(type(action), {})[id_] = action
        for kind in (BeginCredit, SkipStep):
            self._observations |= dict.fromkeys(by_kind.get(kind, ()), Performed())
        self._read_statuses(by_kind.get(ReadStatus, {}))
        self._look_up(by_kind.get(LookUp, {}), records)
        self._write_profiles(by_kind.get(WriteProfile, {}), records)
        self._subscribe(by_kind.get(Subscribe, {}))
        self._send_jobs(by_kind.get(SendJob, {}))
        self._credit(by_kind.get(Credit, {}))
        remember = self._deps.records.remember
        list(self._deps.storing.map(lambda each: remember(dict([each])), self._learnt.items()))
        return self._observations

    @contextmanager
    def _refusing_invalid(self, ids: Sequence[str]) -> Iterator[None]:
        """End the acquisitions whose request Braze would refuse or lose."""
        try:
            yield
        except InvalidInputError as error:
            refused = Refused("invalid_request", error.reason.value)
            self._observations |= dict.fromkeys(ids, refused)

    # -- subscription groups -----------------------------------------------------------------

    def _read_statuses(self, actions: Mapping[str, ReadStatus]) -> None:
        # One read serves all acquisitions with the same number and group.
        sharing: dict[tuple[str, str], list[str]] = {}
        for id_, action in actions.items():
            sharing.setdefault((action.group, action.phone), []).append(id_)
        calls = []
        for (group, phone), ids in sharing.items():
            with self._refusing_invalid(ids):
                request = SubscriptionStatusGetRequest(group, SubscriptionUsers(phones=(phone,)))
                send = partial(self._deps.braze.subscription_status_get, request)
                calls.append(Call(ids, send, partial(_status_read, ids)))
        self._calls.behind_gate(EndpointFamily.SHARED_DEFAULT, calls)

    def _subscribe(self, actions: Mapping[str, Subscribe]) -> None:
        calls = []
        for id_, action in actions.items():
            with self._refusing_invalid([id_]):
                update = SubscriptionStatusSetRequest(
                    action.group,
                    SubscriptionStatus.SUBSCRIBED,
                    SubscriptionUsers(phones=(action.phone,)),
                    use_double_opt_in_logic=True if action.asks_first else None,
                )
                send = partial(self._deps.braze.subscription_status_set, update)
                performed = {id_: Performed()}
                calls.append(Call([id_], send, partial(_always, performed)))
        self._calls.behind_gate(EndpointFamily.SUBSCRIPTION_SET, calls)

    # -- look-ups ----------------------------------------------------------------------------

    def _look_up(
        self, actions: Mapping[str, LookUp], records: Mapping[str, AcquisitionRecord]
    ) -> None:
        sharing: dict[PersonKey, list[str]] = {}
        for id_, action in actions.items():
            sharing.setdefault(action.person, []).append(id_)
        if not sharing:
            return
        known = self._deps.records.recall(sharing)
        now = self._deps.clock.now()
        calls = []
        for person, ids in sharing.items():
            entry = known.get(person)
            if entry is not None and replaces_look_up(entry, now):
                for id_ in ids:
                    phone = self._fingerprint(records[id_].phone)
                    self._observations[id_] = remembered(entry, person, phone, now)
                continue
            with self._refusing_invalid(ids):
                send = partial(self._deps.braze.export_ids, _export_request(person))
                phones = {id_: records[id_].phone for id_ in ids}
                calls.append(Call(ids, send, partial(self._read_export, person, phones)))
        before = self._figures.requests
        self._calls.behind_gate(EndpointFamily.EXPORT_IDS, calls)
        self._figures.look_ups += self._figures.requests - before

    def _read_export(
        self, person: PersonKey, phones: Mapping[str, str | None], answer: ExportIdsResponse
    ) -> Mapping[str, Observation]:
        user = answer.preferred()
        observations = {id_: found(user, person, phone) for id_, phone in phones.items()}
        for each in observations.values():
            # An unsubscribed person may change that any time, and is looked up again.
            if user is not None and isinstance(each, ProfileFound) and not each.is_unsubscribed:
                self._learn(person, each.profile, number_of(user, person), None)
        return observations

    def _learn(
        self, person: PersonKey, profile: Profile, phone: str | None, written_at: datetime | None
    ) -> None:
        now = self._deps.clock.now()
        self._learnt[person] = known_of(
            profile, person, phone=self._fingerprint(phone), written_at=written_at, now=now
        )

    def _fingerprint(self, phone: str | None) -> str | None:
        return None if phone is None else self._deps.records.fingerprint(PersonKey("phone", phone))

    # -- profiles ----------------------------------------------------------------------------

    def _write_profiles(
        self, actions: Mapping[str, WriteProfile], records: Mapping[str, AcquisitionRecord]
    ) -> None:
        objects: dict[str, bytes] = {}
        for id_, action in actions.items():
            with self._refusing_invalid([id_]):
                objects[id_] = AttributesObject(
                    _identifier(action.profile),
                    update_existing_only=not action.may_create,
                    attributes=action.attributes,
                ).encode()
        calls = [self._track(ids, objects, actions, records) for ids in _requests_of(objects)]
        self._calls.behind_gate(EndpointFamily.TRACK, calls)
        self._judge_unexplained()

    def _track(
        self,
        ids: Sequence[str],
        objects: Mapping[str, bytes],
        actions: Mapping[str, WriteProfile],
        records: Mapping[str, AcquisitionRecord],
    ) -> Call:
        """Make one request for all of these profiles, split up if it is refused as a whole."""

        def send(*, timeout: tuple[float, float], deadline: float) -> TrackResponse:
            request = TrackRequest(attributes=[objects[id_] for id_ in ids])
            return self._deps.braze.track(request, timeout=timeout, deadline=deadline)

        def read(answer: TrackResponse) -> Mapping[str, Observation]:
            self._any_written = True
            refused = self._refused_by_name(ids, answer)
            for id_ in ids:
                if id_ not in refused:
                    self._learn_written(actions[id_], records[id_])
            return {id_: refused.get(id_, Performed()) for id_ in ids}

        def split(error: BrazeError) -> Sequence[Call] | None:
            if not isinstance(error, BadRequestError | PayloadTooLargeError):
                return None
            refused: dict[str, Observation] = {}
            if isinstance(error, BadRequestError):
                refused = self._refused_by_name(ids, error)
            self._observations |= refused
            rest = [id_ for id_ in ids if id_ not in refused]
            if refused:
                return [self._track(rest, objects, actions, records)] if rest else []
            if len(rest) > 1:
                return [self._track([id_], objects, actions, records) for id_ in rest]
            self._unexplained[rest[0]] = str(error)
            return []

        return Call(ids, send, read, split)

    def _refused_by_name(
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

    def _learn_written(self, action: WriteProfile, record: AcquisitionRecord) -> None:
        self._figures.profiles_created += action.may_create
        phone = record.phone if "phone" in action.attributes else None
        self._learn(record.person, action.profile, phone, self._deps.clock.now())

    def _judge_unexplained(self) -> None:
        """Judge profiles that were refused alone and without a stated reason.

        Each is the cause of its own refusal, unless :data:`ALIKE_REFUSALS` applies.
        """
        are_alike = len(set(self._unexplained.values())) == 1
        outcome: Observation = TryAgain("refused", most=MAX_REFUSALS, reason="braze_refused")
        if are_alike and len(self._unexplained) >= ALIKE_REFUSALS and not self._any_written:
            until = self._deps.clock.now() + timedelta(seconds=CLOSING_SECONDS)
            self._calls.close(EndpointFamily.TRACK, Closing("family", until, "requests_refused"))
            outcome = Held(until, "requests_refused")
        self._observations |= dict.fromkeys(self._unexplained, outcome)

    # -- delivery and Quikly -----------------------------------------------------------------

    def _send_jobs(self, actions: Mapping[str, SendJob]) -> None:
        # A late job may be sent again: it has the same id.
        failed = TryAgain("delivery_queue")

        def send(action: SendJob, _: float) -> Observation:
            try:
                self._deps.jobs.send(action.job)
            except QueueUnavailableError:
                return failed
            return Performed()

        self._calls.without_gate(actions, send, CONNECT_TIMEOUT + SHORTEST_READ, failed)

    def _credit(self, actions: Mapping[str, Credit]) -> None:
        quikly = self._deps.quikly

        def call(action: Credit, deadline: float) -> Observation:
            if quikly is None:
                return Refused("not_configured")
            try:
                quikly.send(action.call, deadline)
            except QuiklyError as error:
                return quikly_outcome(error, self._deps.clock.now())
            return Performed()

        late = OutcomeUnknown("no_answer")
        self._calls.without_gate(actions, call, sum(QUIKLY_TIMEOUT), late)
        self._figures.quikly_key_refused += sum(
            isinstance(self._observations.get(id_), Held) for id_ in actions
        )


def _status_read(
    ids: Sequence[str], answer: SubscriptionStatusGetResponse
) -> Mapping[str, Observation]:
    return dict.fromkeys(ids, StatusRead(answer.only()))


def _always(observations: Mapping[str, Observation], _: object) -> Mapping[str, Observation]:
    return observations


def _export_request(person: PersonKey) -> ExportIdsRequest:
    if person.kind == "email":
        return ExportIdsRequest(EXPORTED, email_address=person.value)
    return ExportIdsRequest(EXPORTED, phone=person.value)


def _requests_of(objects: Mapping[str, bytes]) -> Sequence[Sequence[str]]:
    """Group ids into requests, each as full as Braze's limits of number and bytes allow."""
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
    value: Any = profile.value
    if profile.kind == "user_alias":
        value = UserAlias(profile.value, profile.label or "")
    return UserIdentifier(**{profile.kind: value})
