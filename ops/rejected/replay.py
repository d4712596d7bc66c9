"""Replay what was parked: a pure rule decides on each record, and the order loses nothing.

A record is removed only after SQS took its job. A crash between the two leaves the record. The next
replay makes the same job under the same id, which the ledger drops as a duplicate.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.aws.secrets import SecretUnavailableError
from braze_bridge.jobs.envelope import (
    MAX_ID_CHARS,
    UnreadableJobError,
    canonical_hash,
    parse_job,
)
from braze_bridge.jobs.forward import UnreadableForwardError, parse_forward
from braze_bridge.jobs.queue import QueueUnavailableError
from braze_bridge.mapping.outcomes import Ignored, Mapped, Unmappable
from braze_bridge.reasons import Reason
from braze_delivery.parking import QUEUE_ROUTE
from braze_delivery.senders import REFUSED
from ops.rejected.rows import RowsUnavailableError
from quikly_forward.forwarding import ROUTE as FORWARD_ROUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from braze_bridge.clock import Clock
    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.jobs.forward import ForwardMessage, ForwardQueue
    from braze_bridge.jobs.queue import JobQueue
    from braze_bridge.jobs.rejected import RejectedRecord
    from braze_bridge.mapping.outcomes import Outcome
    from ops.preview.body_mappings import BodyMappings
    from ops.rejected.rows import Filter, Parked, RejectedRows

UNKNOWN_OUTCOME: Final = "unknown_outcome"
"""The code of events that Braze may have counted: a replay may count them twice."""

NEVER_CLAIMED: Final = frozenset({"expired", "person_full", REFUSED.code})
"""Codes of jobs that delivery parks whole and untried. The ledger has not settled these ids. It may
know that some of their events arrived in an earlier attempt, so the ids stay."""

SENDER: Final = "bridge"
"""Who puts replayed jobs into the queue."""

FAILURES_IN_A_ROW: Final = 3
"""A replay ends after this many failed calls in a row: AWS does not answer."""

READ_ROWS: Final = 100

_GENERATION: Final = re.compile(r"(?P<base>.+)~r(?P<number>[0-9]{1,6})-[0-9a-f]{12}", re.DOTALL)
_SENT_AGAIN: Final = re.compile(r"(?P<base>.+)~r(?P<number>[0-9]{1,6})", re.DOTALL)


class Send(NamedTuple):
    """The job can be delivered now."""

    job: DeliveryJob


class Forward(NamedTuple):
    """The call to Quikly can be made now."""

    message: ForwardMessage


class Keep(NamedTuple):
    """The record cannot be sent.

    Attributes:
        reasons: Today's reasons; ``None`` if the record's own reasons still apply.
    """

    reasons: tuple[Reason, ...] | None


class Forget(NamedTuple):
    """Today's mapping ignores the body, so nothing of it may be kept.

    Attributes:
        code: The reason, such as ``no_consent``.
    """

    code: str


Verdict = Send | Forward | Keep | Forget


def judge(
    record: RejectedRecord,
    bodies: BodyMappings,
    now: datetime,
    *,
    resend_unknown: bool,
    is_named: bool = True,
) -> Verdict:
    """Decide what a replay does with a record.

    All times of the job stay. So an old answer still loses against a newer one, and a job of a
    person who was erased meanwhile is dropped. Its age in the queue begins again: SQS counts it.

    Args:
        record: As it was parked.
        bodies: The mappings of today's configuration.
        now: The replay's time, for calls to Quikly.
        resend_unknown: Whether to send events that may have arrived.
        is_named: Whether the operator named this row. Only then is a job sent that its sender may
            not send: it may be forged.

    Raises:
        ConfigError: The file of the body's partner has mistakes.
    """
    codes = {reason.code for reason in record.reasons}
    if UNKNOWN_OUTCOME in codes and not resend_unknown:
        return Keep(None)
    if REFUSED.code in codes and not is_named:
        return Keep(record.reasons)
    if record.route == FORWARD_ROUTE:
        return _judge_forward(record, now)
    if record.kind == "body" and record.route != QUEUE_ROUTE:
        return _judge_body(bodies.outcome(record))
    try:
        job = parse_job(record.payload)
    except UnreadableJobError as error:
        return Keep(
            tuple(
                Reason(code="unreadable_job", field=where, detail=what)
                for where, what in error.reasons
            )
        )
    if record.kind == "objects" and not codes & NEVER_CLAIMED:
        job = job.model_copy(update={"job_id": replayed_id(job)})
    job = job.sent_by(SENDER)
    return Send(with_new_ids(job) if UNKNOWN_OUTCOME in codes else job)


def _judge_body(outcome: Outcome) -> Verdict:
    match outcome:
        case Mapped(job):
            return Send(job.sent_by(SENDER))
        case Unmappable(reasons):
            return Keep(reasons)
        case Ignored(code):
            return Forget(code)


def _judge_forward(record: RejectedRecord, now: datetime) -> Verdict:
    """Decide about a call that Quikly refused, or that waited too long.

    It keeps its id: if Quikly took it after all, it is not sent again.
    """
    try:
        message = parse_forward(record.payload)
    except UnreadableForwardError as error:
        return Keep(error.reasons)
    return Forward(message.model_copy(update={"received_at": max(message.received_at, now)}))


def with_new_ids(job: DeliveryJob) -> DeliveryJob:
    """Give new ids to what may have arrived: the ledger has counted the ids that it had.

    They depend only on the ids before, so replaying a record twice sends once.
    """
    ids = iter([_next_id(id_) for id_ in job.once_ids])
    return job.model_copy(
        update={
            "events": tuple(each.model_copy(update={"id": next(ids)}) for each in job.events),
            "objects": tuple(each.model_copy(update={"id": next(ids)}) for each in job.objects),
        }
    )


def _next_id(id_: str) -> str:
    known = _SENT_AGAIN.fullmatch(id_)
    base, number = (id_, 1) if known is None else (known["base"], int(known["number"]) + 1)
    if len(base) > MAX_ID_CHARS:
        base = f"h-{hashlib.sha256(base.encode()).hexdigest()[:32]}"
    return f"{base}~r{number}"


def replayed_id(job: DeliveryJob) -> str:
    """Make the id under which the refused objects of a job are sent again.

    The ledger has settled the job's own id and would drop the replay as a duplicate. It also knows
    the events of a v1 job by their position in the whole job. The same objects always get the same
    id, so replaying twice sends once. If Braze refuses them again, the next replay has another id.

    Events of v2 keep their ids. A refused event was not counted. If the partner sent it again with
    other content meanwhile, it was counted, and delivery drops the replay's.

    Args:
        job: As it was parked: only the refused objects.

    Returns:
        ``<job_id>~r<n>-<digest>``, ``n`` counting the replays.
    """
    known = _GENERATION.fullmatch(job.job_id)
    base, number = (job.job_id, 1) if known is None else (known["base"], int(known["number"]) + 1)
    content = json.loads(job.to_json())
    del content["received_at"], content["correlation_id"]
    suffix = f"~r{number}-{canonical_hash(content)[:12]}"
    if len(base) + len(suffix) > MAX_ID_CHARS:
        base = f"{job.source}:h-{hashlib.sha256(base.encode()).hexdigest()[:32]}"
    return f"{base}{suffix}"


class Result(StrEnum):
    """The result of replaying a record."""

    SENT = "sent"
    """SQS has its job, or its call to Quikly; the record is removed."""
    SENT_AND_KEPT = "sent_and_kept"
    """SQS has it, but the record could not be removed. Replaying it again is harmless."""
    CHANGED = "changed"
    """It was parked again during the replay, so it stays. Check it; replay it again if needed."""
    STILL_REJECTED = "still_rejected"
    """It stays, with today's reasons."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """It stays: Braze may have counted its events already."""
    IGNORED = "ignored"
    """Today's mapping ignores it; the record is removed."""
    GONE = "gone"
    """The record does not exist, or is expired."""
    NOT_TAKEN = "not_taken"
    """SQS or DynamoDB did not answer; the record stays."""

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do."""
        return self in {Result.SENT, Result.IGNORED, Result.GONE}


class Replayed(NamedTuple):
    """One record's result.

    Attributes:
        job_id: Of the job (or of the call to Quikly) that was sent, if one was.
        reasons: Codes that say why nothing was sent.
    """

    record_id: str
    result: Result
    job_id: str | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Replayer:
    """Replays records, one by one.

    Attributes:
        forwards: The queue of calls to Quikly.
        clock: Gives the replay's time.
        resend_unknown: Whether to send events again that Braze may have counted.
        is_named: As in :func:`judge`.
        dry_run: Whether to give the results only and change nothing.
    """

    rows: RejectedRows
    queue: JobQueue
    forwards: ForwardQueue
    bodies: BodyMappings
    clock: Clock
    resend_unknown: bool = False
    is_named: bool = True
    dry_run: bool = False

    def run(self, record_ids: Iterable[str]) -> Iterator[Replayed]:
        """Replay records; each is done when its result is yielded.

        Ends early after three records in a row that SQS or DynamoDB did not take. A second run goes
        on with the rest. Raises as :meth:`replay`.
        """
        failures = 0
        for record_id in record_ids:
            done = self.replay(record_id)
            yield done
            failed = done.result in {Result.NOT_TAKEN, Result.SENT_AND_KEPT}
            failures = failures + 1 if failed else 0
            if failures == FAILURES_IN_A_ROW:
                return

    def replay(self, record_id: str) -> Replayed:
        """Replay one record, as it is now.

        Raises:
            ConfigError: A partner's file has mistakes.
            UnreadableRowError: The row is of another version.
        """
        try:
            parked = self.rows.find(record_id)
            if parked is None:
                return Replayed(record_id, Result.GONE)
            verdict = judge(
                parked.record,
                self.bodies,
                self.clock.now(),
                resend_unknown=self.resend_unknown,
                is_named=self.is_named,
            )
            match verdict:
                case Send(job):
                    return self._send(parked, job.job_id, lambda: self.queue.send(job))
                case Forward(message):
                    return self._send(
                        parked, message.forward_id, lambda: self.forwards.send(message)
                    )
                case Keep(reasons):
                    return self._keep(parked, reasons)
                case Forget(code):
                    removed = self.dry_run or self.rows.remove(parked)
                    result = Result.IGNORED if removed else Result.CHANGED
                    return Replayed(record_id, result, reasons=(code,))
        except (RowsUnavailableError, SecretUnavailableError) as error:
            return Replayed(record_id, Result.NOT_TAKEN, reasons=(str(error),))

    def _send(self, parked: Parked, sent_as: str, send: Callable[[], None]) -> Replayed:
        record_id = parked.record.id
        if self.dry_run:
            return Replayed(record_id, Result.SENT, sent_as)
        try:
            send()
        except QueueUnavailableError as error:
            return Replayed(record_id, Result.NOT_TAKEN, reasons=(str(error),))
        # Remove last: a crash before this line leaves the record. The job may then be sent twice,
        # under one id.
        try:
            removed = self.rows.remove(parked)
        except RowsUnavailableError as error:
            return Replayed(record_id, Result.SENT_AND_KEPT, sent_as, (str(error),))
        return Replayed(record_id, Result.SENT if removed else Result.CHANGED, sent_as)

    def _keep(self, parked: Parked, reasons: tuple[Reason, ...] | None) -> Replayed:
        record = parked.record
        if reasons is None:
            return Replayed(record.id, Result.OUTCOME_UNKNOWN, reasons=(UNKNOWN_OUTCOME,))
        codes = tuple(dict.fromkeys(reason.code for reason in reasons))
        if (
            not self.dry_run
            and reasons != record.reasons
            and not self.rows.explain(parked, reasons)
        ):
            return Replayed(record.id, Result.CHANGED, reasons=codes)
        return Replayed(record.id, Result.STILL_REJECTED, reasons=codes)


def select(rows: RejectedRows, wanted: Filter, limit: int) -> tuple[list[str], bool]:
    """Read the ids of rows before anything changes, so rows parked later are not included.

    Returns:
        At most ``limit`` ids, and whether there may be more.

    Raises:
        RowsUnavailableError: The table did not answer.
        UnreadableRowError: A row is of another version.
    """
    found: list[str] = []
    cursor = None
    while len(found) < limit:
        page = rows.page(wanted, limit=min(READ_ROWS, limit - len(found)), cursor=cursor)
        found += [row.id for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            return found, False
    return found, True
