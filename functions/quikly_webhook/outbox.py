"""What follows from a claim: the profile's job, and in forward mode the call to Quikly.

Sent again at every repeat until the sweep has sent it, too: the readers of both queues know what
they had.
"""

from __future__ import annotations

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


class Outbox:
    """Hands over what a claim leads to."""

    def __init__(self, jobs: JobQueue, forwards: ForwardQueue, clock: Clock) -> None:
        """Build one.

        Args:
            jobs: Of delivery.
            forwards: Of telling Quikly.
            clock: Says when a job was made.
        """
        self._jobs = jobs
        self._forwards = forwards
        self._clock = clock

    def send(self, claim: ClaimRecord, profile: ProfileRule) -> int:
        """Hand over a claim's messages.

        Args:
            claim: One whose claimer is gone leads to nothing: everything was sent.
            profile: What of it goes to Braze.

        Returns:
            How many messages it were.

        Raises:
            QueueUnavailableError: Not all was taken; the same claim can be sent again.
        """
        sent = 0
        if claim.status is Status.FORWARDED and claim.claimer is not None:
            self._forwards.send(
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
        job = job_of(claim, profile, self._clock.now())
        if job is not None:
            self._jobs.send(job)
            sent += 1
        return sent
