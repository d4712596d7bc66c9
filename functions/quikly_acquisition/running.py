"""One batch of step messages: load, act side by side, store each change, queue what comes next.

A record's change is stored before anything follows from it, under the condition that nobody else
changed it. So the worker may die anywhere: the next message, or the sweep, finds a record that says
what is to be done, and doing it twice changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.partner_config.quikly_acquisitions import AcquisitionRule
from quikly_acquisition.actions import Done, Interrupted, Observation, Refused, TryAgain, Wait
from quikly_acquisition.models import Step, UnreadableStepError, parse_step
from quikly_acquisition.performing import (
    CONNECT_TIMEOUT,
    DEADLINE_MARGIN,
    SHORTEST_READ,
    Performance,
    World,
)
from quikly_acquisition.records import RecordsUnavailableError
from quikly_acquisition.step_queue import QueuedStep
from quikly_acquisition.workflow import Terms, needs_sweep, next_action, observe, overdue_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from quikly_acquisition.actions import Action
    from quikly_acquisition.models import AcquisitionRecord, StepMessage
    from quikly_acquisition.step_queue import StepQueue
from quikly_acquisition.reporting import BatchResult

SAVE_TRIES: Final = 2
"""What was learnt is worth a second try: after a credit above all."""

NOT_CONFIGURED: Final = TryAgain(
    "not_configured", longest=timedelta(hours=1), reason="not_configured"
)
"""The scope, or its channel, is not in the configuration that this worker has.

Not at once a failure: while a deployment that adds a scope goes on (a canary takes five minutes),
intake may know it before every worker does; and a scope taken out by mistake comes back.
"""

IMPOSSIBLE: Final = Refused("impossible")
"""The record does not hold what its step needs: a fault of ours, and no reason to stop the rest."""

NO_TIME: Final = TryAgain("no_time")

UNREACHED_SECONDS: Final = 1.0


class ReceivedStep(NamedTuple):
    """A message of the acquisition queue.

    Attributes:
        message_id: SQS's.
        body: As it came.
    """

    message_id: str
    body: str


@dataclass(frozen=True, slots=True)
class Desk:
    """What the worker has at hand.

    Attributes:
        world: Where actions are carried out.
        steps: Takes the messages for what comes next.
        rules: The configured activations, by scope.
        terms: The stack's.
        jitter: Random numbers in [0, 1).
    """

    world: World
    steps: StepQueue
    rules: Mapping[str, AcquisitionRule]
    terms: Terms
    jitter: Callable[[], float]


def run(
    messages: Sequence[ReceivedStep], desk: Desk, remaining: Callable[[], float]
) -> BatchResult:
    """Take each acquisition as far as it comes now.

    Args:
        messages: What SQS handed over.
        desk: The world.
        remaining: Seconds left to this invocation.

    Returns:
        What became of the batch. Messages not in ``back`` are done with.
    """
    return _Batch(messages, desk, remaining).run()


class _Batch:
    """The state of one call of :func:`run`."""

    def __init__(
        self, messages: Sequence[ReceivedStep], desk: Desk, remaining: Callable[[], float]
    ) -> None:
        self._messages = messages
        self._desk = desk
        self._world = desk.world
        self._remaining = remaining
        self._result = BatchResult(received=len(messages))
        self._ids: dict[str, list[str]] = {}
        self._later: list[QueuedStep] = []

    def run(self) -> BatchResult:
        records = self._loaded()
        records = self._resumed(records)
        while records:
            actions = self._actions(records)
            if not actions or not self._has_time():
                break
            seen = self._performed(actions, records)
            self._leave(records[id_] for id_ in actions.keys() - seen.keys())
            records = self._observed(records, seen)
        self._leave(records.values())
        if self._later:
            self._result.unqueued += len(self._desk.steps.send(self._later))
        return self._result

    def _leave(self, records: Iterable[AcquisitionRecord]) -> None:
        """What time does not allow is the next batch's; a credit begun and not told is taken back.

        Left as it is, nobody would know that Quikly was not told.
        """
        crediting: dict[str, AcquisitionRecord] = {}
        for record in records:
            if _is_crediting(record):
                crediting[record.acquisition_id] = record
            else:
                self._queue(record, UNREACHED_SECONDS)
        if crediting:
            self._observed(crediting, dict.fromkeys(crediting, NO_TIME))

    def _has_time(self) -> bool:
        return self._remaining() >= DEADLINE_MARGIN + CONNECT_TIMEOUT + SHORTEST_READ

    # -- before ------------------------------------------------------------------------------

    def _loaded(self) -> dict[str, AcquisitionRecord]:
        """The records whose turn it is."""
        steps: dict[str, StepMessage] = {}
        for message in self._messages:
            try:
                step = parse_step(message.body)
            except UnreadableStepError:
                self._result.unreadable += 1
                continue
            id_ = step.acquisition_id
            self._ids.setdefault(id_, []).append(message.message_id)
            if id_ not in steps or steps[id_].version < step.version:
                steps[id_] = step
        try:
            found, unreadable = self._world.records.load(steps)
        except RecordsUnavailableError:
            found, unreadable = {}, frozenset()
        self._result.unreadable_records.extend(sorted(unreadable))
        current: dict[str, AcquisitionRecord] = {}
        for id_, step in steps.items():
            if id_ in unreadable:
                continue  # the sweep comes back to it: other code may be able to read it
            if id_ not in found:
                self._back(id_)
                continue
            record = found[id_]
            if record is None or record.state.is_final or step.version < record.version:
                self._result.stale += 1
            else:
                current[id_] = record
        now = self._world.clock.now()
        waits = [
            (now - (record.troubled_since or record.due_at)).total_seconds()
            for record in current.values()
        ]
        self._result.oldest_wait = max(waits, default=0.0)
        return current

    def _resumed(self, records: dict[str, AcquisitionRecord]) -> dict[str, AcquisitionRecord]:
        """A credit that somebody began and did not end: this batch did not."""
        found = {id_: Interrupted() for id_, record in records.items() if _is_crediting(record)}
        self._result.resumed = len(found)
        rest = {id_: record for id_, record in records.items() if id_ not in found}
        return rest | self._observed({id_: records[id_] for id_ in found}, found)

    def _actions(self, records: dict[str, AcquisitionRecord]) -> dict[str, Action]:
        """What is to be done now; who has to wait gets a message, and leaves."""
        actions: dict[str, Action] = {}
        refused: dict[str, Observation] = {}
        now = self._world.clock.now()
        for id_, record in list(records.items()):
            rule = self._rule(record)
            if record.channel not in rule.channels:
                refused[id_] = NOT_CONFIGURED
                continue
            # Who has just marked a credit as begun is the one to tell Quikly.
            at = max(now, record.due_at) if _is_crediting(record) else now
            try:
                action = next_action(record, rule, at)
            except ValueError:
                refused[id_] = IMPOSSIBLE
                continue
            if isinstance(action, Wait):
                self._queue(records.pop(id_))
            elif isinstance(action, Done):
                del records[id_]
            else:
                actions[id_] = action
        self._observed(records, refused)
        for id_ in refused:
            del records[id_]
        return actions

    def _rule(self, record: AcquisitionRecord) -> AcquisitionRule:
        rule = self._desk.rules.get(record.q_scope)
        return AcquisitionRule(record.q_scope, frozenset()) if rule is None else rule

    # -- the round ---------------------------------------------------------------------------

    def _performed(
        self, actions: Mapping[str, Action], records: Mapping[str, AcquisitionRecord]
    ) -> dict[str, Observation]:
        performance = Performance(self._world, self._remaining, self._result.figures)
        return dict(performance.run(actions, records))

    def _observed(
        self, records: Mapping[str, AcquisitionRecord], seen: Mapping[str, Observation]
    ) -> dict[str, AcquisitionRecord]:
        """Store what follows from each observation; returns those that can go on at once."""
        now = self._world.clock.now()
        changed = [
            observe(
                records[id_],
                observation,
                self._rule(records[id_]),
                self._desk.terms,
                now,
                self._desk.jitter(),
            )
            for id_, observation in seen.items()
        ]
        going: dict[str, AcquisitionRecord] = {}
        for record, is_stored in zip(
            changed, self._world.executor.map(self._save, changed), strict=True
        ):
            id_ = record.acquisition_id
            if is_stored is None:
                self._back(id_)
            elif not is_stored:
                self._result.overtaken += 1
            elif record.state.is_final:
                self._result.finished.append(record)
            elif record.due_at <= now:
                going[id_] = record
            else:
                self._queue(record)
        return going

    def _save(self, record: AcquisitionRecord) -> bool | None:
        """Whether it was stored; ``None`` where the store failed."""
        overdue = overdue_at(record, self._desk.terms, self._world.clock.now())
        for _ in range(SAVE_TRIES):
            try:
                return self._world.records.save(record, overdue)
            except RecordsUnavailableError:
                continue
        return None

    # -- after -------------------------------------------------------------------------------

    def _queue(self, record: AcquisitionRecord, at_least: float = 0.0) -> None:
        """Make the message for its next step; the sweep does where no message can wait so long."""
        now = self._world.clock.now()
        if not needs_sweep(record, now):
            delay = max((record.due_at - now).total_seconds(), at_least)
            self._later.append(QueuedStep(record.message, delay))

    def _back(self, id_: str) -> None:
        self._result.back.extend(self._ids.get(id_, ()))


def _is_crediting(record: AcquisitionRecord) -> bool:
    return record.step is Step.CREDITING
