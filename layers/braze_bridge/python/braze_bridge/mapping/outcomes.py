"""The possible results of mapping an admitted body."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.mapping.attributes import Skip
    from braze_bridge.reasons import Reason


class Mapped(NamedTuple):
    """The body became a job.

    Attributes:
        skips: Values that did not fit and were left out or replaced; counted and logged.
        notes: Unusable identifiers before the usable one; logged.
        unanswered: The number of questions that were shown and not answered.
    """

    job: DeliveryJob
    skips: tuple[Skip, ...] = ()
    notes: tuple[Reason, ...] = ()
    unanswered: int = 0


class Unmappable(NamedTuple):
    """The body is authentic but cannot become a job: it is answered 422 and parked whole.

    Attributes:
        reasons: At least one, without values of the body. The metric counts the first.
    """

    reasons: tuple[Reason, ...]
    skips: tuple[Skip, ...] = ()


class Ignored(NamedTuple):
    """The body is not wanted: it is answered 200, and nothing of it is kept.

    Attributes:
        code: The reason, such as ``no_consent``.
    """

    code: str


Outcome = Mapped | Unmappable | Ignored
