"""Sends a claim's messages: the profile's job, and in forward mode the call to Quikly.

Every repeat sends them again until the sweep has sent them. The readers of both queues drop
duplicates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from braze_bridge.jobs.forward import ForwardMessage
from braze_bridge.partner_config.quikly_activations import Status
from quikly_webhook.claim_jobs import claim_id, job_of

if TYPE_CHECKING:
    from braze_bridge.clock import Clock
    from braze_bridge.jobs.forward import ForwardQueue
    from braze_bridge.jobs.queue import JobQueue
    from braze_bridge.partner_config.quikly_activations import ProfileRule
    from quikly_webhook.claim_records import ClaimRecord


@dataclass
class Outbox:
    """Sends the messages of claims to delivery's queue and to the forward queue."""

    jobs: JobQueue
    forwards: ForwardQueue
    clock: Clock

    def send(self, claim: ClaimRecord, profile: ProfileRule) -> int:
        """Send a claim's messages.

        Args:
            claim: If its claimer was removed, everything was sent before.
            profile: What of it goes to Braze.

        Returns:
            How many messages were sent.

        Raises:
            QueueUnavailableError: A queue refused one; the same claim can be sent again.
        """
        sent = 0
        if claim.status is Status.FORWARDED and claim.claimer is not None:
            self.forwards.send(
                ForwardMessage(
                    forward_id=claim_id(claim),
                    q_scope=claim.q_scope,
                    event=claim.event,
                    email=claim.claimer.email,
                    received_at=claim.decided_at,
                    correlation_id=claim.correlation_id,
                )
            )
            sent += 1
        job = job_of(claim, profile, self.clock.now())
        if job is not None:
            self.jobs.send(job)
            sent += 1
        return sent
