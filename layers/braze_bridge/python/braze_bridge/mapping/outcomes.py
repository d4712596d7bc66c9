"""What a mapping decides about an admitted body."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.mapping.attributes import Skip
    from braze_bridge.reasons import Reason


class Mapped(NamedTuple):
    """It is a job.

    Attributes:
        skips: Values that did not fit and were left out or replaced: to be counted and logged.
        notes: Identifiers that were there but unusable, before one was found: to be logged.
        unanswered: Questions that were shown and not answered: to be counted.
    """

    job: DeliveryJob
    skips: tuple[Skip, ...] = ()
    notes: tuple[Reason, ...] = ()
    unanswered: int = 0


class Unmappable(NamedTuple):
    """It is authentic but can be no job: answered 422 and parked whole.

    Attributes:
        reasons: At least one, never quoting a value of the body; the first is what it is counted
            by.
    """

    reasons: tuple[Reason, ...]
    skips: tuple[Skip, ...] = ()


class Ignored(NamedTuple):
    """It is not for us: answered 200, and nothing of it is kept.

    Attributes:
        code: Why, such as ``no_consent``.
    """

    code: str


Outcome = Mapped | Unmappable | Ignored
