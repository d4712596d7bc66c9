"""Look up doubtful events at Braze, before anything of their jobs is sent again.

The Lambdas take turns: one makes up to 25 look-ups, and no other begins before their time is over.
A job whose look-up must wait goes back, and its events stay in doubt.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from braze_bridge.aws.side_by_side import side_by_side
from braze_bridge.braze.errors import (
    AuthenticationError,
    BadRequestError,
    BrazeError,
    InvalidInputError,
    PermissionDeniedError,
    RateLimitedError,
    UnknownOutcomeError,
)
from braze_bridge.braze.identifiers import UserAlias
from braze_bridge.braze.limits import MAX_IDS_PER_REQUEST, EndpointFamily
from braze_bridge.braze.models import ExportedUser, ExportIdsRequest
from braze_bridge.braze.transport import Deadline
from braze_bridge.gate.rules import RATE_LIMITED, wait_behind_gate
from braze_delivery.verifying import DoubtfulEvent, Profile, Verdict, judge, profile_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from braze_bridge.braze.models import ExportIdsResponse
    from braze_bridge.jobs.envelope import JobEvent
    from braze_bridge.ledger.port import PersonKey, PersonState
    from braze_delivery.batch import Batch
    from braze_delivery.entry import BatchEntry
    from braze_delivery.reading import PlainEvent

LOOK_UPS_A_TURN: Final = 25
LOOK_UPS_AT_ONCE: Final = 5
"""If the limit is used up, so many are refused."""

LOOK_UP_TIME: Final = timedelta(seconds=0.6)
"""How long a look-up keeps all Lambdas from the next: at most 100 a minute, of the 250 that newer
customers have. Acquisitions leave 7 of them unused (gate.rules.RESERVE). A look-up here may use
these. So neither starves the other."""

LONGEST_WAIT: Final = timedelta(days=1)
"""How long a job waits for its look-up. It outlasts Braze's outages, and is enough for the look-ups
of 144,000 e-mail addresses."""

LOOK_UP_SECONDS: Final = 6.0
"""Seconds for all look-ups of a batch, and at most a quarter of what is left: the other jobs wait
meanwhile."""

SHORTEST_LOOK_UP: Final = 2.0
"""Seconds. With less time no look-up starts."""

CONNECT_TIMEOUT: Final = 3.05

NO_PERMISSION: Final = "permission_missing"

CLOSINGS: Final[dict[type, str]] = {
    RateLimitedError: RATE_LIMITED,
    AuthenticationError: "key_refused",
    PermissionDeniedError: NO_PERMISSION,
}
"""Answers after which no other look-up may start. Only delivery's own look-ups stop. A refused key
closes no other family: it stops sending by its own answer, and some workspaces answer 401 for a
missing permission (docs/api/errors)."""

CLOSING_SECONDS: Final = {NO_PERMISSION: 900.0, "key_refused": 60.0, RATE_LIMITED: 60.0}
"""How long nothing is looked up after such an answer, unless Braze gives a time."""

_TOGETHER: Final = frozenset({"external_id", "user_alias"})
"""Identifiers of which one look-up takes 50. Of others it takes one."""

_Found: TypeAlias = "dict[PersonKey, Sequence[Profile] | None]"
"""The profiles of each person that was looked up; ``None`` if Braze cannot tell of the person."""


@dataclass(frozen=True, slots=True)
class _Person:
    """A person with doubtful events.

    Attributes:
        entries: The person's jobs in the batch.
        noticed: The last time at which one of them may have been sent.
        doubtful: The events that may or may not be at Braze, by their ids.
    """

    entries: Sequence[BatchEntry]
    noticed: datetime
    doubtful: Mapping[str, DoubtfulEvent]

    def places(self) -> Iterator[tuple[BatchEntry, int, str]]:
        """Find the doubtful events in all jobs: a resent response contains the same ones."""
        for entry in self.entries:
            for part, id_ in enumerate(entry.job.once_ids):
                if id_ in self.doubtful:
                    yield entry, part, id_

    def judge(
        self, profiles: Sequence[Profile] | None, now: datetime, lag: timedelta
    ) -> Mapping[str, Verdict]:
        """Judge the doubtful events; all are unknown if Braze cannot tell of the person."""
        if profiles is None:
            return dict.fromkeys(self.doubtful, Verdict.UNKNOWN)
        confirmed = [
            (event.name, event.time)
            for entry in self.entries
            for part, event in enumerate(_events(entry))
            if part in entry.settled
        ]
        doubtful = list(self.doubtful.values())
        return judge(doubtful, confirmed, profiles, now, now - self.noticed, lag)

    def settle(self, verdicts: Mapping[str, Verdict], *, parks: bool) -> None:
        """Note which events must not be sent again, and which of these are to be parked.

        The others are sent alone: if Braze takes an event for invalid and does not name it, only a
        lone answer tells.
        """
        parked: set[str] = set()
        for entry, part, id_ in self.places():
            if parks and verdicts[id_] is Verdict.UNKNOWN and id_ not in parked:
                parked.add(id_)
                entry.unknown |= {part}
            if verdicts[id_] is Verdict.ARRIVED or id_ in parked:
                entry.settled |= {part}
            else:
                entry.is_alone = True


def verify(
    batch: Batch,
    leased: dict[PersonKey, list[BatchEntry]],
    states: Mapping[PersonKey, PersonState],
) -> None:
    """Look up the doubtful events whose lag is over, and settle what Braze shows.

    Args:
        batch: Of the jobs.
        leased: The jobs to send, by person. Those that wait for the lag or for a look-up are
            removed: they go back, and their events stay in doubt.
        states: What the ledger knows of their people.
    """
    ports = batch.ports
    people = _doubted(leased, states) if ports.on_unknown_outcome == "verify" else {}
    if not people:
        return
    now = ports.clock.now()
    lag = ports.verify_lag
    due = {key: each for key, each in people.items() if now - each.noticed >= lag}
    found = _look_up(batch, due, now)
    count = 0
    for key, person in people.items():
        until = person.noticed + (LONGEST_WAIT if key in due else lag)
        if key in found or until <= now:
            verdicts = person.judge(found.get(key), now, lag)
            person.settle(verdicts, parks=ports.on_unverified == "park")
            batch.result.verified.update(verdicts.values())
            continue
        seconds = (until - now).total_seconds()
        if key in due:
            seconds = wait_behind_gate(person.noticed, until, now)
        waiting = {entry for entry, _, _ in person.places()}
        for entry in waiting:
            entry.wait(seconds)
        count += len(waiting)
        leased[key] = [entry for entry in leased[key] if entry not in waiting]
    if count:
        batch.hold_up("unknown outcome", count)


def _doubted(
    leased: Mapping[PersonKey, list[BatchEntry]], states: Mapping[PersonKey, PersonState]
) -> dict[PersonKey, _Person]:
    """Find the people with events that may or may not be at Braze."""
    people: dict[PersonKey, _Person] = {}
    for key, entries in leased.items():
        doubts = states[key].doubtful
        if not doubts:
            continue
        doubtful = {
            id_: DoubtfulEvent(id_, event.name, event.time, entry.job.received_at)
            for entry in entries
            for part, (id_, event) in enumerate(
                zip(entry.job.once_ids, _events(entry), strict=False)
            )
            if id_ in doubts and part not in entry.settled
        }
        if doubtful:
            people[key] = _Person(entries, max(doubts[id_] for id_ in doubtful), doubtful)
    return people


def _events(entry: BatchEntry) -> Sequence[JobEvent | PlainEvent]:
    return entry.job.events


class _LookUp(NamedTuple):
    """One request, and the people that it asks for."""

    request: ExportIdsRequest
    people: Sequence[PersonKey]


def _look_up(batch: Batch, due: Mapping[PersonKey, _Person], now: datetime) -> _Found:
    """Ask Braze for as many people as a turn allows, if it is this Lambda's turn."""
    ports = batch.ports
    gate, export_ids = ports.gate, ports.export_ids
    look_ups, found = _plan(due)
    seconds = min(LOOK_UP_SECONDS - batch.looked_up, batch.seconds_left() / 4)
    if not look_ups or seconds < SHORTEST_LOOK_UP:
        return found
    closed = gate.admit(EndpointFamily.VERIFY)
    if export_ids is None or closed.reason == NO_PERMISSION:
        return dict.fromkeys(due)
    turn = now + LOOK_UP_TIME * len(look_ups)
    if closed.closed_until is None and gate.take_turn(EndpointFamily.VERIFY, turn):
        for look_up, answer in _answers(batch, export_ids, look_ups, seconds):
            if isinstance(answer, list):
                found |= _read(look_up, answer)
            elif isinstance(answer, BadRequestError):
                found |= dict.fromkeys(look_up.people)
            else:
                batch.hold_up(f"look-up: {type(answer).__name__}")
                reason = CLOSINGS.get(type(answer))
                if reason is not None:
                    length = answer.retry_after or CLOSING_SECONDS[reason]
                    until = ports.clock.now() + timedelta(seconds=length)
                    gate.close(EndpointFamily.VERIFY, until, reason)
                if reason == NO_PERMISSION:
                    return dict.fromkeys(due)
    return found


def _answers(
    batch: Batch,
    export_ids: Callable[..., ExportIdsResponse],
    look_ups: Sequence[_LookUp],
    seconds: float,
) -> Iterator[tuple[_LookUp, list[ExportedUser] | BrazeError]]:
    """Make the look-ups, some side by side. What does not start or end in time is left out."""
    deadline = Deadline.after(seconds)
    timeout = min(CONNECT_TIMEOUT, seconds), seconds

    def ask(look_up: _LookUp) -> list[ExportedUser] | BrazeError:
        try:
            return export_ids(look_up.request, timeout=timeout, deadline=deadline).users
        except BrazeError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a bug of ours must not stop the other jobs
            return UnknownOutcomeError(f"failed: {type(error).__name__}")

    until = batch.seconds_left() - seconds
    for start in range(0, len(look_ups), LOOK_UPS_AT_ONCE):
        some = look_ups[start : start + LOOK_UPS_AT_ONCE]
        before = batch.seconds_left()
        answers = side_by_side(
            ask, some, batch.ports.executor, lambda: batch.seconds_left() - until
        )
        batch.looked_up += before - batch.seconds_left()
        batch.result.look_ups += len(some) - answers.count(None)
        yield from ((each, to) for each, to in zip(some, answers, strict=True) if to is not None)
        if any(to is None or type(to) in CLOSINGS for to in answers):
            return


def _plan(people: Iterable[PersonKey]) -> tuple[list[_LookUp], _Found]:
    """Plan the look-ups of one turn: up to 50 external ids and aliases in each, others alone.

    Returns:
        The look-ups, and the people that cannot be looked up.
    """
    together: list[PersonKey] = []
    singles: list[_LookUp] = []
    found: _Found = {}
    for key in people:
        try:
            alone = _LookUp(_request([key]), [key])
        except InvalidInputError:  # such an identifier is never sent
            found[key] = None
            continue
        if key[0] in _TOGETHER:
            together.append(key)
        else:
            singles.append(alone)
    starts = range(0, len(together), MAX_IDS_PER_REQUEST)
    parts = [together[at : at + MAX_IDS_PER_REQUEST] for at in starts]
    look_ups = [_LookUp(_request(part), part) for part in parts]
    return (look_ups + singles)[:LOOK_UPS_A_TURN], found


def _request(people: Sequence[PersonKey]) -> ExportIdsRequest:
    """Ask for the event names, and for identifiers only if several people are asked for."""
    kind, value = people[0][0], people[0][-1]
    if kind in _TOGETHER:
        return ExportIdsRequest(
            ("external_id", "user_aliases", "custom_events"),
            external_ids=[key[1] for key in people if key[0] == "external_id"],
            user_aliases=[UserAlias(key[2], key[1]) for key in people if key[0] == "user_alias"],
        )
    return ExportIdsRequest(
        ("custom_events",),
        braze_id=value if kind == "braze_id" else None,
        email_address=value if kind == "email" else None,
        phone=value if kind == "phone" else None,
    )


def _read(look_up: _LookUp, users: Sequence[ExportedUser]) -> _Found:
    """Assign the profiles to the people that were asked for."""
    first = look_up.people[0]
    if first[0] not in _TOGETHER:
        return {first: [profile_of(user) for user in users]}
    found: dict[PersonKey, list[Profile]] = {key: [] for key in look_up.people}
    is_complete = True
    for user in users:
        keys: list[PersonKey] = [("external_id", user.external_id or "")]
        keys += [("user_alias", each.alias_label, each.alias_name) for each in user.user_aliases]
        known = [key for key in keys if key in found]
        is_complete = is_complete and bool(known)
        for key in known:
            found[key].append(profile_of(user))
    # A profile under another id, such as a renamed one, belongs to a person without a profile.
    return {key: each if each or is_complete else None for key, each in found.items()}
