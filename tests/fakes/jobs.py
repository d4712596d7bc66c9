"""The ports of :mod:`braze_bridge.jobs`, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from braze_bridge.jobs.queue import QueueUnavailableError
from braze_bridge.jobs.rejected import RejectedStoreUnavailableError

if TYPE_CHECKING:
    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.jobs.rejected import RejectedRecord


class InMemoryJobQueue:
    """A :class:`braze_bridge.jobs.queue.JobQueue`.

    Attributes:
        jobs: What it took, in order.
        refusing: While true, it takes nothing.
    """

    def __init__(self) -> None:
        self.jobs: list[DeliveryJob] = []
        self.refusing = False

    def send(self, job: DeliveryJob) -> None:
        """See :meth:`braze_bridge.jobs.queue.JobQueue.send`."""
        if self.refusing:
            raise QueueUnavailableError("refusing")
        self.jobs.append(job)


class InMemoryRejectedStore:
    """A :class:`braze_bridge.jobs.rejected.RejectedStore`.

    Attributes:
        records: By id; parking one again replaces it but keeps its first sighting.
        sightings: How often each id was parked.
        refusing: While true, it keeps nothing.
    """

    def __init__(self) -> None:
        self.records: dict[str, RejectedRecord] = {}
        self.sightings: dict[str, int] = {}
        self.refusing = False

    def park(self, record: RejectedRecord) -> None:
        """See :meth:`braze_bridge.jobs.rejected.RejectedStore.park`."""
        if self.refusing:
            raise RejectedStoreUnavailableError("refusing")
        known = self.records.get(record.id)
        first_seen = record.first_seen if known is None else known.first_seen
        self.records[record.id] = record.model_copy(update={"first_seen": first_seen})
        self.sightings[record.id] = self.sightings.get(record.id, 0) + 1
