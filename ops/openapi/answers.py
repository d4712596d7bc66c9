"""The document's answers as models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, Field
from typing_extensions import TypeAliasType

from braze_bridge.jobs.envelope import DeliveryJob
from braze_bridge.partner_config.quikly_activations import Status
from braze_bridge.reasons import Reason
from braze_bridge.web.intake import MOST_SKIPS_NAMED
from quikly_acquisition.models import AcquisitionRecord, Channel, HistoryEntry, State

JobId = Annotated[str, DeliveryJob.model_fields["job_id"]]
AcquisitionId = TypeAliasType(
    "AcquisitionId", Annotated[str, AcquisitionRecord.model_fields["acquisition_id"]]
)
Word = Annotated[str, HistoryEntry.model_fields["step"]]


class _Answer(BaseModel, extra="forbid", use_attribute_docstrings=True): ...


class LeftOut(_Answer):
    """A value that is left out."""

    code: Word
    field: str


class Accepted(_Answer):
    """The queue has the job."""

    status: Literal["accepted"]
    job_id: JobId
    """The same for every resend."""
    warnings: Annotated[list[LeftOut], Field(max_length=MOST_SKIPS_NAMED)] | None = None
    """What does not fit and is left out, if there is something: the first of them."""


class Ignored(_Answer):
    """Nothing of the body is wanted, and nothing is kept."""

    status: Literal["ignored"]


class AcquisitionTaken(_Answer):
    """The sign-up is stored; read its state by the id."""

    status: Literal["accepted"]
    acquisition_id: AcquisitionId
    warnings: list[LeftOut] | None = None
    """What does not fit and is left out, if there is something."""


class BegunState(_Answer):
    """One step of a sign-up."""

    at: AwareDatetime
    step: Word


class AcquisitionStatus(_Answer):
    """The states of the sign-up. What Braze holds about the person is not among them."""

    acquisition_id: AcquisitionId
    channel: Channel
    state: State
    reason: Word | None = None
    """Why it failed; absent if the brand's own rules declined the person."""
    history: list[BegunState]


class Claim(_Answer):
    """The award, or that there is none."""

    status: Status
    tier: str | None = None
    """What the person won, or the consolation."""
    rank: Annotated[int, Field(ge=1)] | None = None
    """The rank, with or without an award, if ranks decide."""
    value: int | None = None
    """In minor units of the currency."""
    currency: str | None = None


class Refused(_Answer):
    """Refused, and why."""

    status: Literal["error"]
    reasons: Annotated[list[Reason], Field(min_length=1)]


class Unauthorized(_Answer):
    """Refused, without a reason."""

    status: Literal["error"]


ANSWERS = (Accepted, Ignored, AcquisitionTaken, AcquisitionStatus, Claim, Refused, Unauthorized)
