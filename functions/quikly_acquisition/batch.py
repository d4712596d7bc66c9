"""One batch of step messages: load the records, run actions, store each change, queue next steps.

A changed record is stored before its next action runs, and only if no other worker changed it. So
the worker may crash anywhere: the next message, or the sweep, finds a record with its next step,
and repeating that step changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from braze_bridge.gate.calls import CONNECT_TIMEOUT, SHORTEST_READ
from braze_bridge.partner_config.quikly_acquisitions import AcquisitionRule
from quikly_acquisition.action_runner import ActionRunner
from quikly_acquisition.actions import Done, Observation, OutcomeUnknown, Refused, TryAgain, Wait
from quikly_acquisition.models import Step, UnreadableStepError, parse_step
from quikly_acquisition.next_action import next_action
from quikly_acquisition.parallel_calls import DEADLINE_MARGIN
from quikly_acquisition.records import RecordsUnavailableError
from quikly_acquisition.reporting import BatchResult
from quikly_acquisition.step_queue import QueuedStep
from quikly_acquisition.workflow import needs_sweep, observe, overdue_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from braze_bridge.handlers import SqsMessage
    from quikly_acquisition.actions import Action
    from quikly_acquisition.dependencies import Dependencies
    from quikly_acquisition.models import AcquisitionRecord, StepMessage

SAVE_TRIES: Final = 2
"""A result is worth a second try to store it, above all after a credit."""

NOT_CONFIGURED: Final = TryAgain(
    "not_configured", longest=timedelta(hours=1), reason="not_configured"
)
"""The scope, or its channel, is not in this worker's configuration.

That is no failure at once. During a deployment that adds a scope (a canary takes five minutes),
intake may know the scope before every worker does. And a scope removed by mistake comes back.
"""

IMPOSSIBLE: Final = Refused("impossible")
"""The record lacks what its step needs: a bug of ours, which must not stop the other records."""

INTERRUPTED: Final = OutcomeUnknown("interrupted")
NO_TIME: Final = TryAgain("no_time")

LEAST_SECONDS: Final = DEADLINE_MARGIN + CONNECT_TIMEOUT + SHORTEST_READ
"""The least time left for a round of actions."""

NOT_RUN_SECONDS: Final = 1.0
"""The least delay of a step that there was no time for."""


def run_batch(
    messages: Sequence[SqsMessage], deps: Dependencies, remaining: Callable[[], float]
) -> BatchResult:
    """Advance each acquisition as far as possible.

    Args:
        remaining: Seconds left to this invocation.

    Returns:
        The result. SQS may delete every message that is not in ``back``.
    """
    return _Batch(deps, remaining, BatchResult(received=len(messages))).run(messages)


@dataclass(slots=True)
class _Batch:
    """The state of one call of :func:`run_batch`."""

    deps: Dependencies
    remaining: Callable[[], float]
    result: BatchResult
    message_ids: dict[str, list[str]] = field(default_factory=dict)
    next_steps: list[QueuedStep] = field(default_factory=list)

    def run(self, messages: Sequence[SqsMessage]) -> BatchResult:
        records = self._resume(self._load(messages))
        while records:
            actions = self._choose_actions(records)
            if not actions or self.remaining() < LEAST_SECONDS:
                break
            runner = ActionRunner(self.deps, self.remaining, self.result.figures)
            observations = runner.run(actions, records)
            self._postpone(records[id_] for id_ in actions.keys() - observations.keys())
            records = self._observe(records, observations)
        self._postpone(records.values())
        if self.next_steps:
            self.result.unqueued += len(self.deps.steps.send(self.next_steps))
        return self.result

    def _postpone(self, records: Iterable[AcquisitionRecord]) -> None:
        """Queue steps that there was no time for, and take back credits that began.

        Otherwise the next worker would not know that Quikly was not called.
        """
        crediting: dict[str, AcquisitionRecord] = {}
        for record in records:
            if _is_crediting(record):
                crediting[record.acquisition_id] = record
            else:
                self._queue(record, NOT_RUN_SECONDS)
        self._observe(crediting, dict.fromkeys(crediting, NO_TIME))

    # -- before the actions ------------------------------------------------------------------

    def _load(self, messages: Sequence[SqsMessage]) -> dict[str, AcquisitionRecord]:
        """Load the records whose message is not stale."""
        steps: dict[str, StepMessage] = {}
        for message in messages:
            try:
                step = parse_step(message.body)
            except UnreadableStepError:
                self.result.unreadable += 1
                continue
            id_ = step.acquisition_id
            self.message_ids.setdefault(id_, []).append(message.message_id)
            if id_ not in steps or steps[id_].version < step.version:
                steps[id_] = step
        try:
            found, unreadable = self.deps.records.load(steps)
        except RecordsUnavailableError:
            found, unreadable = {}, frozenset()
        self.result.unreadable_records.extend(sorted(unreadable))
        current: dict[str, AcquisitionRecord] = {}
        for id_, step in steps.items():
            if id_ in unreadable:
                continue  # the sweep makes another message: a later version may read the record
            if id_ not in found:
                self._give_back(id_)
                continue
            record = found[id_]
            if record is None or record.state.is_final or step.version < record.version:
                self.result.stale += 1
            else:
                current[id_] = record
        now = self.deps.clock.now()
        waits = [
            (now - (record.troubled_since or record.due_at)).total_seconds()
            for record in current.values()
        ]
        self.result.oldest_wait = max(waits, default=0.0)
        return current

    def _resume(self, records: dict[str, AcquisitionRecord]) -> dict[str, AcquisitionRecord]:
        """Handle credits that an earlier invocation began and did not end."""
        begun = {id_: record for id_, record in records.items() if _is_crediting(record)}
        self.result.resumed = len(begun)
        rest = {id_: record for id_, record in records.items() if id_ not in begun}
        return rest | self._observe(begun, dict.fromkeys(begun, INTERRUPTED))

    def _choose_actions(self, records: dict[str, AcquisitionRecord]) -> dict[str, Action]:
        """Choose what to do now. A record that must wait is queued and removed."""
        actions: dict[str, Action] = {}
        refused: dict[str, Observation] = {}
        now = self.deps.clock.now()
        for id_, record in list(records.items()):
            rule = self._rule(record)
            if record.channel not in rule.channels:
                refused[id_] = NOT_CONFIGURED
                continue
            # This batch has just stored that the credit begins, so it calls Quikly now.
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
        self._observe(records, refused)
        for id_ in refused:
            del records[id_]
        return actions

    def _rule(self, record: AcquisitionRecord) -> AcquisitionRule:
        rule = self.deps.rules.get(record.q_scope)
        return AcquisitionRule(record.q_scope, frozenset()) if rule is None else rule

    # -- after the actions -------------------------------------------------------------------

    def _observe(
        self, records: Mapping[str, AcquisitionRecord], observations: Mapping[str, Observation]
    ) -> dict[str, AcquisitionRecord]:
        """Store the records after the observations; returns those whose next step is due."""
        now = self.deps.clock.now()
        changed = [
            observe(
                records[id_],
                observation,
                self._rule(records[id_]),
                self.deps.settings,
                now,
                self.deps.jitter(),
            )
            for id_, observation in observations.items()
        ]
        due: dict[str, AcquisitionRecord] = {}
        saved = self.deps.storing.map(self._save, changed)
        for record, is_stored in zip(changed, saved, strict=True):
            if is_stored is None:
                self._give_back(record.acquisition_id)
            elif not is_stored:
                self.result.overtaken += 1
            elif record.state.is_final:
                self.result.finished.append(record)
            elif record.due_at <= now:
                due[record.acquisition_id] = record
            else:
                self._queue(record)
        return due

    def _save(self, record: AcquisitionRecord) -> bool | None:
        """Store a record; returns whether it was replaced, or ``None`` if the store failed."""
        overdue = overdue_at(record, self.deps.settings, self.deps.clock.now())
        for _ in range(SAVE_TRIES):
            try:
                return self.deps.records.save(record, overdue)
            except RecordsUnavailableError:
                continue
        return None

    def _queue(self, record: AcquisitionRecord, at_least: float = 0.0) -> None:
        """Queue the next step, unless the sweep does."""
        now = self.deps.clock.now()
        if not needs_sweep(record, now):
            delay = max((record.due_at - now).total_seconds(), at_least)
            self.next_steps.append(QueuedStep(record.message, delay))

    def _give_back(self, id_: str) -> None:
        self.result.back.extend(self.message_ids.get(id_, ()))


def _is_crediting(record: AcquisitionRecord) -> bool:
    return record.step is Step.CREDITING
