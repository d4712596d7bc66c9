"""The acquisition workflow from sign-up to credit: pure.

:func:`quikly_acquisition.next_action.next_action` returns the action that a record needs.
:func:`observe` returns the record after that action's observation. Between the two the record may
be stored, the worker may crash, and another one may go on.

    e-mail  look up ──▶ (create profile) ──▶ send participation ──▶ credit
    sms     read status ──▶ subscribed: credit
                       └──▶ look up ──▶ (create profile, or write the number to it) ──▶ send
                            participation ──▶ wait, if something was written ──▶ subscribe ──▶ read
                            back until Braze shows it ──▶ credit
                                                   or ──▶ ask for the opt-in ──▶ read the status
                            now and then until it is given ──▶ credit

On the SMS channel a person is credited once Braze has shown the number as subscribed after the
sign-up. A later STOP does not change that. After an earlier STOP we never subscribe the number
again. Braze reports a group's state whatever the person's global state is
(docs/api/endpoints/subscription_groups/get_list_user_subscription_group_status), so the global
state does not count here. For e-mail it does, and the brand decides (``credit_unsubscribed``).

Every step but the credit may run twice with the same result: reads, profiles created by alias,
states that are set, jobs with one id. A call to Quikly may not, so it takes two steps. A worker
that loads a record at ``crediting`` does not know whether Quikly was called.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from braze_bridge.braze.subscriptions import SubscriptionStatus
from quikly_acquisition.actions import (
    Held,
    Observation,
    OutcomeUnknown,
    Performed,
    ProfileFound,
    ProfileNotFound,
    Refused,
    StatusRead,
    TryAgain,
)
from quikly_acquisition.models import (
    MAX_HISTORY,
    PATIENCE,
    AcquisitionRecord,
    HistoryEntry,
    State,
    Step,
)
from quikly_acquisition.next_action import (
    current_step,
    participation,
    profile_write,
    subscribe_step,
)
from quikly_acquisition.records import GRACE
from quikly_acquisition.step_queue import LONGEST_DELAY

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.partner_config.quikly_acquisitions import AcquisitionRule

BACKOFF_INTERVALS: Final = (1.0, 900.0)
"""Seconds before the next try after a failure: the first, and where doubling ends."""

READ_BACK_INTERVALS: Final = (1.0, 300.0)
"""Seconds between two reads of a subscription just set: the first, and where doubling ends."""

MAX_READ_BACKS: Final = 20
"""Most reads before the acquisition fails: about 50 minutes of answers. Braze's own advice ends at
five (https://www.braze.com/docs/api/api_limits)."""

OPT_IN_INTERVALS: Final = (2.0, 3600.0)
"""Seconds between two reads for a confirmation on the first day."""

OPT_IN_FIRST_DAY: Final = 35
"""Most reads at those intervals: eleven in the first hour, then one an hour."""

OPT_IN_LATER: Final = 6 * 3600.0
"""Seconds between two reads after that: some 150 in 30 days instead of 730. Each costs a request to
Braze, a message and three writes."""

SHORTEST_WAIT: Final = 0.5
MAX_DOUBLINGS: Final = 30
MAX_DETAIL: Final = 200
"""Characters of a history entry's detail."""

FIRST_SPREAD: Final = 2.0
LONGEST_SPREAD: Final = 600.0
"""Seconds over which the acquisitions that wait for one gate are spread after it opens."""

MAX_LOST_CREDITS: Final = 20
"""Most calls to Quikly whose answer is lost: about two hours, with growing waits. An address that
takes calls and never answers must not be called for a week."""

STATUS_ROUTE: Final = "status_route"
QUIKLY: Final = "quikly"

_READING: Final = frozenset({Step.READ_STATUS, Step.READ_BACK, Step.AWAIT_OPT_IN})
_REPEATING: Final = frozenset({"held", "retried", "status_read", "credit_outcome_unknown"})


class WorkflowSettings(NamedTuple):
    """The stack's settings for every acquisition.

    Attributes:
        profile_wait: Between writing a profile and subscribing it.
        tells_quikly: Quikly's address is configured.
        credit_lease: How long only one worker may call Quikly: longer than a Lambda lives.
        on_unknown_outcome: After a credit whose answer was lost, ``resend`` may call Quikly twice
            and ``park`` fails the acquisition (``credit_unknown``).
    """

    profile_wait: timedelta
    tells_quikly: bool
    credit_lease: timedelta
    on_unknown_outcome: Literal["resend", "park"] = "resend"


def observe(
    record: AcquisitionRecord,
    observation: Observation,
    rule: AcquisitionRule,
    settings: WorkflowSettings,
    now: datetime,
    jitter: float,
) -> AcquisitionRecord:
    """Return the record after the observation of its action.

    Args:
        record: As it was when the action was chosen.
        rule: As for :func:`quikly_acquisition.next_action.next_action`.
        now: The time of the answer.
        jitter: Random, in [0, 1).

    Returns:
        The record with a version one higher; a final one unchanged.
    """
    if record.state.is_final:
        return record
    transition = _Transition(record, rule, settings, now, jitter, list(record.history))
    return transition.after(observation)


@dataclass(frozen=True, slots=True)
class _Transition:
    """One call of :func:`observe`: the record and its new history."""

    record: AcquisitionRecord
    rule: AcquisitionRule
    settings: WorkflowSettings
    now: datetime
    jitter: float
    history: list[HistoryEntry]

    def after(  # noqa: PLR0911 - one branch an observation
        self, observation: Observation
    ) -> AcquisitionRecord:
        step = current_step(self.record, self.rule)
        match observation:
            case Refused(reason, detail):
                return self._failed(reason, detail)
            case Held(until, reason):
                return self._held(until, reason)
            case OutcomeUnknown(detail) if step is Step.CREDITING:
                return self._credit_unknown(detail)
            case StatusRead(status) if step in _READING:
                return self._status_read(step, status)
            case ProfileFound() if step is Step.LOOK_UP:
                return self._found(observation)
            case ProfileNotFound() if step is Step.LOOK_UP:
                self._note("nobody_found")
                return self._to(Step.WRITE_PROFILE)
            case Performed():
                return self._performed(step)
            case TryAgain():
                return self._again(observation)
            case _:
                return self._again(TryAgain("unexpected_answer"))

    # -- progress ----------------------------------------------------------------------------

    def _performed(  # noqa: PLR0911 - one branch a step
        self, step: Step
    ) -> AcquisitionRecord:
        match step:
            case Step.WRITE_PROFILE:
                return self._written()
            case Step.TELL_PARTICIPATION:
                self._note("participation_sent")
                return self._participated(self.record)
            case Step.SUBSCRIBE:
                self._note("subscription_set")
                due_at = self._in(READ_BACK_INTERVALS[0])
                return self._to(Step.READ_BACK, state=State.PENDING, due_at=due_at)
            case Step.ASK_OPT_IN:
                return self._asked()
            case Step.CREDIT:
                return self._credit_begun()
            case Step.CREDITING:
                return self._credited(QUIKLY)
            case _:
                return self._again(TryAgain("unexpected_answer"))

    def _status_read(self, step: Step, status: SubscriptionStatus) -> AcquisitionRecord:
        self._note_once("status_read", status.value)
        if status is SubscriptionStatus.SUBSCRIBED:
            return self._to_credit()
        if step is Step.READ_STATUS:
            return self._to(Step.LOOK_UP)
        if step is Step.READ_BACK:
            return self._not_shown()
        return self._not_confirmed()

    def _found(self, found: ProfileFound) -> AcquisitionRecord:
        record = self.record
        self._note("profile_remembered" if found.is_remembered else "profile_found")
        if record.channel == "email":
            if found.is_unsubscribed and not self.rule.credit_unsubscribed:
                return self._failed("unsubscribed")
            needs_phone = False
        else:
            needs_phone = found.phone != "same"
            if found.phone == "other" and not self.rule.replace_phone:
                return self._failed("phone_differs")
        found_record = record.model_copy(
            update={"profile": found.profile, "profile_written_at": found.written_at}
        )
        if needs_phone:
            return self._to(Step.WRITE_PROFILE, of=found_record)
        return self._has_profile(found_record)

    def _written(self) -> AcquisitionRecord:
        record = self.record
        written = profile_write(record, self.rule)
        made = record.profile is None
        if not made:
            self._note("phone_written")
        elif self.rule.lookup == "none":
            self._note("profile_written", written.profile.kind)
        else:
            self._note("profile_created", written.profile.label)
        update = {"profile": written.profile, "profile_written_at": self.now, "made_profile": made}
        return self._has_profile(record.model_copy(update=update))

    def _has_profile(self, record: AcquisitionRecord) -> AcquisitionRecord:
        attributes, event = participation(record, self.rule)
        if attributes or event is not None:
            return self._to(Step.TELL_PARTICIPATION, of=record)
        return self._participated(record)

    def _participated(self, record: AcquisitionRecord) -> AcquisitionRecord:
        if record.channel == "email":
            return self._to_credit(record)
        step = subscribe_step(self.rule)
        ready_at = self.now
        if record.profile_written_at is not None:
            ready_at = max(record.profile_written_at + self.settings.profile_wait, self.now)
        if ready_at == self.now:
            return self._to(step, of=record)
        self._note("waiting", f"{(ready_at - self.now).total_seconds():.0f} s")
        return self._to(step, of=record, state=State.WAITING_FOR_PROFILE, due_at=ready_at)

    def _not_shown(self) -> AcquisitionRecord:
        polls = self.record.polls + 1
        if polls >= MAX_READ_BACKS:
            return self._failed("subscription_not_shown")
        due_at = self._in(_interval(READ_BACK_INTERVALS, polls))
        return self._to(Step.READ_BACK, polls=polls, due_at=due_at)

    def _asked(self) -> AcquisitionRecord:
        self._note("opt_in_asked", self.rule.double_opt_in)
        until = self.now + timedelta(days=self.rule.opt_in_days)
        return self._to(
            Step.AWAIT_OPT_IN,
            state=State.AWAITING_OPT_IN,
            opt_in_until=until,
            give_up_at=until + PATIENCE,
            due_at=self._in(OPT_IN_INTERVALS[0]),
        )

    def _not_confirmed(self) -> AcquisitionRecord:
        until = self.record.opt_in_until or self.now
        if self.now >= until:
            return self._expired()
        polls = self.record.polls + 1
        first_day = polls <= OPT_IN_FIRST_DAY
        wait = _interval(OPT_IN_INTERVALS, polls) if first_day else OPT_IN_LATER
        return self._to(Step.AWAIT_OPT_IN, polls=polls, due_at=min(self._in(wait), until))

    # -- credit ------------------------------------------------------------------------------

    @property
    def _tells_quikly(self) -> bool:
        return self.rule.credit_event is not None and self.settings.tells_quikly

    def _to_credit(self, record: AcquisitionRecord | None = None) -> AcquisitionRecord:
        if not self._tells_quikly:
            return self._credited(STATUS_ROUTE, record)
        return self._to(Step.CREDIT, of=record)

    def _credit_begun(self) -> AcquisitionRecord:
        if not self._tells_quikly:
            return self._credited(STATUS_ROUTE)
        return self._to(
            Step.CREDITING,
            attempts=self.record.attempts,
            troubled_since=self.record.troubled_since,
        )

    def _credited(self, way: str, record: AcquisitionRecord | None = None) -> AcquisitionRecord:
        self._note("credited", way)
        return self._to(Step.NOTHING, of=record, state=State.CREDITED)

    def _credit_unknown(self, detail: str) -> AcquisitionRecord:
        self._note_once("credit_outcome_unknown", detail)
        lost = self.record.lost_credits + 1
        if self.settings.on_unknown_outcome == "park" or lost > MAX_LOST_CREDITS:
            return self._failed("credit_unknown")
        tried = self._again(TryAgain(detail), is_noted=True)
        return tried.model_copy(update={"lost_credits": lost})

    # -- failures ----------------------------------------------------------------------------

    def _held(self, until: datetime, reason: str) -> AcquisitionRecord:
        self._note_once("held", reason)
        wait = max((until - self.now).total_seconds(), 0.0)
        # The spread grows, so that not all acquisitions that wait for a gate come when it opens.
        spread = min(max(wait, FIRST_SPREAD) * (self.record.attempts + 1), LONGEST_SPREAD)
        return self._later(wait + spread * (0.25 + 0.75 * self.jitter), "gave_up")

    def _again(self, failure: TryAgain, *, is_noted: bool = False) -> AcquisitionRecord:
        if not is_noted:
            self._note_once("retried", failure.detail)
        attempts = self.record.attempts + 1
        if failure.most and attempts >= failure.most:
            return self._failed(failure.reason)
        lasted = self.now - self._troubled_since
        if failure.longest is not None and lasted >= failure.longest:
            return self._failed(failure.reason)
        wait = _interval(BACKOFF_INTERVALS, attempts - 1) * (0.5 + self.jitter / 2)
        return self._later(max(wait, (failure.after or 0.0) + self.jitter), failure.reason)

    @property
    def _troubled_since(self) -> datetime:
        return self.record.troubled_since or self.now

    def _later(self, seconds: float, reason: str) -> AcquisitionRecord:
        record = self.record
        if self.now >= record.give_up_at:
            return self._expired() if record.step is Step.AWAIT_OPT_IN else self._failed(reason)
        return self._to(
            Step.CREDIT if record.step is Step.CREDITING else record.step,
            attempts=record.attempts + 1,
            troubled_since=self._troubled_since,
            polls=record.polls,
            due_at=min(self._in(max(seconds, SHORTEST_WAIT)), record.give_up_at),
        )

    def _failed(self, reason: str, detail: str | None = None) -> AcquisitionRecord:
        self._note("failed", reason if detail is None else f"{reason}: {detail}")
        return self._to(Step.NOTHING, state=State.FAILED, reason=reason)

    def _expired(self) -> AcquisitionRecord:
        self._note("expired")
        return self._to(Step.NOTHING, state=State.EXPIRED)

    # -- the record --------------------------------------------------------------------------

    def _to(
        self, step: Step, *, of: AcquisitionRecord | None = None, **update: object
    ) -> AcquisitionRecord:
        record = self.record if of is None else of
        changed: dict[str, object] = {
            "step": step,
            "due_at": self.now,
            "attempts": 0,
            "troubled_since": None,
            "polls": 0,
            "history": tuple(self.history),
            "version": record.version + 1,
        }
        return record.model_copy(update=changed | update)

    def _in(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)

    def _note(self, step: str, detail: str | None = None) -> None:
        detail = None if detail is None else detail[:MAX_DETAIL]
        self.history.append(HistoryEntry(at=self.now, step=step, detail=detail))

    def _note_once(self, step: str, detail: str) -> None:
        """Note an entry that may repeat, unless the same is among the last such entries."""
        for entry in reversed(self.history):
            if entry.step not in _REPEATING:
                break
            if (entry.step, entry.detail) == (step, detail[:MAX_DETAIL]):
                return
        if len(self.history) < MAX_HISTORY:
            self._note(step, detail)


def _interval(bounds: tuple[float, float], polls: int) -> float:
    shortest, longest = bounds
    return min(shortest * 2.0 ** min(polls, MAX_DOUBLINGS), longest)


def overdue_at(record: AcquisitionRecord, settings: WorkflowSettings, now: datetime) -> datetime:
    """Return when the sweep looks for an unfinished record whose message is lost or not made."""
    if record.step is Step.CREDITING:
        return now + settings.credit_lease
    return record.due_at if needs_sweep(record, now) else record.due_at + GRACE


def needs_sweep(record: AcquisitionRecord, now: datetime) -> bool:
    """Return whether a record waits longer than a message can, so that the sweep makes it."""
    return record.due_at - now > timedelta(seconds=LONGEST_DELAY)
