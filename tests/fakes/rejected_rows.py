"""A :class:`ops.rejected.rows.RejectedRows` over the store that delivery and ingest park into."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ops.rejected.rows import Filter, InvalidCursorError, Page, Parked, Row, RowsUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from braze_bridge.clock import Clock
    from braze_bridge.jobs.rejected import RejectedRecord
    from braze_bridge.reasons import Reason
    from tests.fakes.jobs import InMemoryRejectedStore


class InMemoryRejectedRows:
    """The rows of a store.

    Attributes:
        keeping: While true, nothing can be removed: as if the tool died before it.
    """

    def __init__(self, store: InMemoryRejectedStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.keeping = False

    def page(self, wanted: Filter, *, limit: int, cursor: str | None = None) -> Page:
        """See :meth:`ops.rejected.rows.RejectedRows.page`."""
        if cursor is not None and not cursor.isdecimal():
            raise InvalidCursorError(cursor)
        rows = [self._row(record) for record in self._alive() if _matches(record, wanted)]
        start = int(cursor or 0)
        end = start + limit
        return Page(tuple(rows[start:end]), str(end) if end < len(rows) else None)

    def counts(self) -> dict[str, int]:
        """See :meth:`ops.rejected.rows.RejectedRows.counts`."""
        return dict(Counter(record.reasons[0].code for record in self._alive()).most_common())

    def find(self, record_id: str) -> Parked | None:
        """See :meth:`ops.rejected.rows.RejectedRows.find`."""
        found = (record for record in self._alive() if record.id == record_id)
        record = next(found, None)
        return None if record is None else Parked(record, self._store.sightings[record_id])

    def explain(self, parked: Parked, reasons: Sequence[Reason]) -> bool:
        """See :meth:`ops.rejected.rows.RejectedRows.explain`."""
        if self.find(parked.record.id) != parked:
            return False
        record = parked.record.model_copy(update={"reasons": tuple(reasons)})
        self._store.records[record.id] = record
        return True

    def remove(self, parked: Parked) -> bool:
        """See :meth:`ops.rejected.rows.RejectedRows.remove`."""
        if self.keeping:
            raise RowsUnavailableError("keeping")
        return self.find(parked.record.id) == parked and self.drop(parked.record.id)

    def drop(self, record_id: str, reason: str | None = None) -> bool:
        """See :meth:`ops.rejected.rows.RejectedRows.drop`."""
        record = self._store.records.get(record_id)
        if record is None or reason not in {None, record.reasons[0].code}:
            return False
        del self._store.records[record_id]
        return True

    def _alive(self) -> list[RejectedRecord]:
        now = self._clock.now()
        return [record for record in self._store.records.values() if record.expires_at > now]

    def _row(self, record: RejectedRecord) -> Row:
        return Row(
            record.id,
            record.kind,
            record.source,
            record.route,
            record.reasons,
            record.correlation_id,
            record.first_seen,
            record.last_seen,
            record.expires_at,
            self._store.sightings[record.id],
        )


def _matches(record: RejectedRecord, wanted: Filter) -> bool:
    return (
        wanted.reason in {None, record.reasons[0].code}
        and wanted.source in {None, record.source}
        and wanted.kind in {None, record.kind}
        and (wanted.seen_since is None or record.last_seen >= wanted.seen_since)
        and (wanted.seen_until is None or record.last_seen <= wanted.seen_until)
    )
