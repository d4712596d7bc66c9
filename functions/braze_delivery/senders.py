"""Which job a role may put into the delivery queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from braze_bridge.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from braze_delivery.reading import Job

REFUSED: Final = Reason(
    code="sender_not_allowed", detail="the role that sent it may not send jobs of this source"
)

UNKNOWN: Final = "unknown sender"


class Senders(NamedTuple):
    """Who may send which jobs.

    Attributes:
        functions: Role id of each function of this stack to the sources that it may send.
        operators: Role and user ids that may send every job, for replays. Empty: each identity that
            is no function of this stack. IAM decides who may use the queue at all.
    """

    functions: Mapping[str, Collection[str]]
    operators: Collection[str] = ()

    def refusal(self, job: Job, sender_id: str) -> Reason | Literal["unknown sender"] | None:
        """Return why the sender may not send this job; ``None`` if it may.

        An unknown sender may be a function's new role, as during a canary or after a rollback, or
        one whose role was replaced while its job waited. So the job waits for other settings.

        Args:
            job: As it was read from the queue.
            sender_id: SQS's ``SenderId``: ``<role id>:<session>``, or a user's id. The local
                engine gives the account's id for every sender.
        """
        identity = sender_id.partition(":")[0]
        sources = self.functions.get(identity)
        if sources is not None:
            return None if job.source in sources else REFUSED
        return UNKNOWN if self.operators and identity not in self.operators else None


ANY_SENDER: Final = Senders({})
