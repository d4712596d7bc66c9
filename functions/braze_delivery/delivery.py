"""One batch of queue messages: lease, send, finish.

Every message gets exactly one outcome: ``received = delivered + duplicate + rejected + retried``. A
retried message goes back to SQS with a delay; nothing sleeps here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from braze_bridge.braze.limits import EndpointFamily
from braze_delivery.admitting import read_jobs, wait_for_gate, without_expired
from braze_delivery.batch import Batch, Ports
from braze_delivery.finishing import Finisher
from braze_delivery.leasing import LeasedChunks, chunks_of
from braze_delivery.sending import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from braze_bridge.handlers import SqsMessage
    from braze_delivery.reporting import BatchResult

__all__ = ["Ports", "deliver"]


def deliver(
    messages: Sequence[SqsMessage], ports: Ports, remaining: Callable[[], float]
) -> BatchResult:
    """Deliver a batch.

    Args:
        messages: From SQS.
        ports: Clients, stores and settings.
        remaining: Gives the seconds left of this invocation.

    Returns:
        The outcomes. A message that is not in ``retry`` is done.
    """
    batch = Batch(messages, ports, remaining)
    entries = read_jobs(batch)
    admission = ports.gate.admit(EndpointFamily.TRACK)
    # Expired jobs are parked also while the gate is closed.
    fresh = without_expired(batch, entries)
    if admission.closed_until is not None:
        wait_for_gate(batch, fresh, admission, admission.closed_until)
        fresh = []
    chunks = LeasedChunks(batch, chunks_of(batch, fresh))
    finisher = Finisher(batch)
    try:
        if fresh:
            Sender(batch, chunks, finisher.record_early).run()
    except Exception:
        # Lambda reports the fault and all messages come back. What Braze took must be recorded
        # before, or its events count twice.
        finisher.finish(chunks, entries)
        raise
    finisher.finish(chunks, entries)
    batch.count(entries)
    for chunk in chunks.taken:
        chunk.let_go()
    return batch.result
