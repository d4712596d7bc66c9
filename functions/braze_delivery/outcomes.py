"""Note at the jobs what an answer means for their objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from braze_bridge.braze.errors import BrazeError
from braze_bridge.braze.retry import retry_delay
from braze_delivery.batch import SHORT_RETRY
from braze_delivery.merging import split_merged
from braze_delivery.packing import apart, fitting
from braze_delivery.settling import NotBrazeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from braze_bridge.braze.models import TrackResponse
    from braze_bridge.reasons import Reason
    from braze_delivery.batch import Batch
    from braze_delivery.entry import BatchEntry, Chunk
    from braze_delivery.packing import TrackObject
    from braze_delivery.settling import Settlement

NOT_BRAZE_ATTEMPTS: Final = 10
"""After so many attempts an event is parked whose successes are not Braze's. The delays grow to 15
minutes, so that is one hour or two. Attributes are sent on: that is harmless."""


class Outcomes:
    """Notes the outcome of each object, and tells when a chunk is settled.

    Args:
        batch: Of the jobs.
        chunk_settled: Called for each chunk as soon as nothing of it is to be sent any more.
    """

    def __init__(self, batch: Batch, chunk_settled: Callable[[Chunk], None]) -> None:
        self._batch = batch
        self._chunk_settled = chunk_settled

    def apply(self, settlement: Settlement, outcome: TrackResponse | BrazeError) -> None:
        """Note the outcome of each object at its jobs."""
        self._batch.result.unclear_answers.extend(settlement.texts[:1])
        for item in settlement.delivered:
            for entry in item.entries:
                entry.delivered(item.part)
                self.settled(entry.chunk)
        self.reject(settlement.rejected)
        settlement.resend += apart(self._sendable_again(settlement.unclear, outcome))
        if not isinstance(outcome, BrazeError):
            return
        for item in settlement.retry:
            if settlement.closing is None:  # else the jobs come back in steps, behind the gate
                self._retry_later(item, outcome)
            self.done(item)
        for item in self._sendable_again(settlement.unknown, outcome):
            self._retry_later(item, outcome)
            self.done(item)

    def _sendable_again(
        self, objects: Sequence[TrackObject], outcome: TrackResponse | BrazeError
    ) -> list[TrackObject]:
        """Return the objects that may be sent again although Braze may have taken them.

        Attributes may. Events follow the policy. Other objects are sent at most once.
        """
        again = []
        for item in objects:
            if item.part is None:
                again.append(item)
                continue
            (entry,) = item.entries
            policy = self._batch.ports.on_unknown_outcome
            if item.part >= len(entry.job.events) or _is_never_braze(outcome, entry):
                policy = "park"
            if policy == "resend":
                again.append(item)
                continue
            if policy == "verify":
                entry.doubtful |= {item.part}
                entry.tried = True
                entry.wait(self._batch.ports.verify_lag.total_seconds())
            else:
                entry.open -= 1
                entry.unknown |= {item.part}
            self.done(item)
        return again

    def _retry_later(self, item: TrackObject, error: BrazeError) -> None:
        """Leave the object open, and note its delay and the attempt."""
        for entry in item.entries:
            seconds = retry_delay(error, entry.attempts + 1, self._batch.ports.jitter)
            entry.wait(SHORT_RETRY if seconds is None else seconds)
            entry.tried = True

    def reject(self, refused: Sequence[tuple[TrackObject, Reason]]) -> None:
        """Refuse each object's part at its jobs."""
        for item, reason in refused:
            # An object that only creates belongs to no job; the person's other objects fail too.
            for entry in item.entries:
                entry.open -= 1
                entry.refuse(item.part, reason)
            self.done(item)

    def done(self, item: TrackObject) -> None:
        """Note that the object is not sent any more in this batch."""
        for entry in item.entries:
            self.settled(entry.chunk)

    def settled(self, chunk: Chunk) -> None:
        """Note that one object of the chunk is settled, or that all its objects are made."""
        chunk.unsettled -= 1
        if not chunk.unsettled:
            self._chunk_settled(chunk)

    def split(self, merged: TrackObject) -> Sequence[TrackObject]:
        """Make one object of each job of a refused merge; return those that fit into a request."""
        parts = split_merged(merged)
        made = {part.entries[0] for part in parts}
        for entry in merged.entries:
            entry.open -= entry not in made
        chosen = fitting(parts if merged.needs is None else [merged.needs, *parts])
        if merged.needs is not None:  # it travels with them
            chosen = chosen[1:]
        merged.entries[0].chunk.unsettled += len(chosen)
        self.done(merged)
        return chosen


def _is_never_braze(outcome: TrackResponse | BrazeError, entry: BatchEntry) -> bool:
    return isinstance(outcome, NotBrazeError) and entry.attempts + 1 >= NOT_BRAZE_ATTEMPTS
