"""Judge lone objects that Braze refuses without naming them: the object's fault, or ours.

A wrong configuration may make Braze refuse every request alike. Then nothing may be rejected. A
success shows that the configuration is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from braze_bridge.reasons import Reason
    from braze_delivery.packing import RequestPlan, TrackObject

    Refusal = tuple[TrackObject, Reason]

MANY_REFUSALS: Final = 8
"""If so many lone objects are refused with the same text and nothing succeeds, assume a
configuration fault."""

LONE_ATTEMPTS: Final = 3
"""After 3 attempts, a success of any Lambda since the job came is proof enough."""


class NamelessRefusals:
    """The lone refusals of one batch.

    Attributes:
        waiting: Those since the last success.
        had_success: Braze took something of this batch.
    """

    def __init__(self) -> None:
        self.waiting: list[Refusal] = []
        self.had_success = False
        self._had_refusal = False
        self._later: set[int] = set()
        self._is_proven = False

    def chosen(self, plan: RequestPlan) -> None:
        """Note whether the request starts after the first refusal."""
        if self._had_refusal:
            self._later.add(id(plan))

    def success(self, plan: RequestPlan) -> list[Refusal]:
        """Note a success; return the refusals that it proves."""
        self.had_success = True
        self._is_proven = self._is_proven or id(plan) in self._later
        proven, self.waiting = self.waiting, []
        return proven

    def refused(self) -> None:
        """Note that a request was refused without a name, whatever its size."""
        self._had_refusal = True

    def add(self, refusals: Sequence[Refusal]) -> None:
        """Add the lone refusals of one answer."""
        self.waiting += refusals

    @property
    def look_like_a_fault(self) -> bool:
        """Check for many alike, and no success of a request that started after the first."""
        texts = {reason.detail for _, reason in self.waiting}
        return len(self.waiting) >= MANY_REFUSALS and len(texts) == 1 and not self._is_proven

    def take_final(self, last_success: datetime | None, *, is_only_job: bool) -> list[Refusal]:
        """Take out those that were tried often enough to be rejected.

        Args:
            last_success: Of any Lambda.
            is_only_job: Nothing else is open in the batch, so that nothing else can prove anything.
        """
        final = [
            each
            for each in self.waiting
            if _is_last(each[0]) and (is_only_job or _came_before(each[0], last_success))
        ]
        self.waiting = [each for each in self.waiting if each not in final]
        return final

    @property
    def has_last(self) -> bool:
        """Check that one was tried often enough."""
        return any(_is_last(item) for item, _ in self.waiting)


def _is_last(item: TrackObject) -> bool:
    return all(entry.attempts + 1 >= LONE_ATTEMPTS for entry in item.entries)


def _came_before(item: TrackObject, success: datetime | None) -> bool:
    return success is not None and all(success > entry.waits_since for entry in item.entries)
