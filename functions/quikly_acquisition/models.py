"""What is kept of an acquisition, and the message that wakes it: two contracts, both versioned.

The record is the only copy of a person's consent until the acquisition is over, so every version
ever written stays readable (``tests/contract``). No repr here shows an address, a number or an
attribute's value.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from braze_bridge.clock import iso_millis
from braze_bridge.jobs.envelope import AttributeValue, JobUser, UserAlias

if TYPE_CHECKING:
    from datetime import datetime

RETENTION: Final = timedelta(days=90)
"""A record's life, counted from intake: the longest double opt-in (30 days), the week in which
trouble may still pass, and time for questions after that."""

PATIENCE: Final = timedelta(days=7)
"""For so long Braze or Quikly may refuse, be down or be out of our key before an acquisition fails
(``gave_up``). Counted from intake, or from the end of a double opt-in's time."""

EMAIL_LABEL: Final = "email"
PHONE_LABEL: Final = "phone"
"""Labels of the aliases of profiles made here: Quikly's page names the first
(docs/partners/message_orchestration/…/retargeting/quikly)."""

MAX_HISTORY: Final = 100
"""Entries kept: trouble is noted once a kind and step, so that only a fault of ours reaches it."""

Channel = Literal["email", "sms"]


class State(StrEnum):
    """What Quikly or a brand sees of an acquisition."""

    PENDING = "pending"
    WAITING_FOR_PROFILE = "waiting_for_profile"
    AWAITING_OPT_IN = "awaiting_opt_in"
    CREDITED = "credited"
    FAILED = "failed"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Whether nothing happens any more."""
        return self in {State.CREDITED, State.FAILED, State.EXPIRED}


class Step(StrEnum):
    """What is to be done next."""

    READ_STATUS = "read_status"
    LOOK_UP = "look_up"
    WRITE_PROFILE = "write_profile"
    TELL_PARTICIPATION = "tell_participation"
    SUBSCRIBE = "subscribe"
    READ_BACK = "read_back"
    ASK_OPT_IN = "ask_opt_in"
    AWAIT_OPT_IN = "await_opt_in"
    CREDIT = "credit"
    CREDITING = "crediting"
    """Quikly is being told: who finds a record like this does not know whether it was."""
    NOTHING = "nothing"


class PersonKey(NamedTuple):
    """An address by which Braze finds somebody.

    Attributes:
        kind: Of the address.
        value: The e-mail in lower case, or the phone number in E.164.
    """

    kind: Literal["email", "phone"]
    value: str

    def __repr__(self) -> str:
        return f"PersonKey({self.kind})"


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Consent(_Kept):
    """The evidence that the person agreed.

    Attributes:
        given_at: When.
        method: How, such as ``checkbox`` or ``sms_keyword``.
        text: Which text they agreed to: its version, or the text.
    """

    given_at: AwareDatetime
    method: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    text: Annotated[str, StringConstraints(min_length=1, max_length=5000)]


class Profile(_Kept):
    """Whom the person is at Braze.

    Attributes:
        kind: Which identifier finds the profile. For one that was made here it is the alias.
        value: The identifier; of an alias, its name.
        label: Of an alias.
        is_new: It was made by this acquisition, or lately by another one.
    """

    kind: Literal["external_id", "braze_id", "user_alias", "email", "phone"]
    value: Annotated[str, Field(min_length=1, repr=False)]
    label: str | None = None
    is_new: bool = False

    def job_user(self) -> JobUser:
        """The same as a DeliveryJob names it; only what is new may be created by a job.

        A profile made a moment ago may not be readable yet: a job that may create it finds it, or
        is at worst what makes it.
        """
        if self.kind == "user_alias":
            alias = UserAlias(alias_name=self.value, alias_label=self.label or EMAIL_LABEL)
            return JobUser(user_alias=alias, may_create=self.is_new)
        return JobUser.model_validate({self.kind: self.value, "may_create": self.is_new})


class HistoryEntry(_Kept):
    """One line of the story that the status route tells; never a person's data.

    Attributes:
        at: When.
        step: A stable word.
        detail: Another one, or a number with its unit.
    """

    at: AwareDatetime
    step: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
    detail: Annotated[str, StringConstraints(max_length=300)] | None = None


class AcquisitionRecord(_Kept):
    """Version 1 of everything that is known of one acquisition.

    Attributes:
        acquisition_id: Random and URL-safe.
        q_scope: The activation.
        email: In lower case; may be missing on the SMS channel.
        phone: E.164; may be missing on the e-mail channel.
        attributes: For the profile, as the caller gave them.
        correlation_id: Of the request that began it.
        step: What is to be done next, not before ``due_at``.
        reason: Why it failed; a stable word.
        version: Counts the changes: who changes a record names the version it read.
        attempts: How often the present step was tried in vain.
        troubled_since: When it first was.
        lost_credits: How often Quikly was told and its answer was lost.
        polls: How often a present wait looked and did not see ``Subscribed``.
        created_at: Of the request.
        give_up_at: After this, trouble is no longer waited out.
        opt_in_until: How long a double opt-in is waited for, once asked for.
        profile: Found or made.
        profile_written_at: When this acquisition (or a recent one) made the profile or wrote the
            phone number to it.
        made_profile: This acquisition made the profile (or, where nobody is looked up, may have).
    """

    schema_version: Literal[1] = 1
    acquisition_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{16,64}$")]
    q_scope: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    channel: Channel
    email: str | None = Field(default=None, repr=False)
    phone: str | None = Field(default=None, repr=False)
    consent: Consent = Field(repr=False)
    attributes: dict[str, AttributeValue] = Field(default_factory=dict, repr=False)
    correlation_id: str
    state: State = State.PENDING
    step: Step
    reason: str | None = None
    history: tuple[HistoryEntry, ...] = ()
    version: Annotated[int, Field(ge=1)] = 1
    due_at: AwareDatetime
    attempts: Annotated[int, Field(ge=0)] = 0
    troubled_since: AwareDatetime | None = None
    lost_credits: Annotated[int, Field(ge=0)] = 0
    polls: Annotated[int, Field(ge=0)] = 0
    created_at: AwareDatetime
    expires_at: AwareDatetime
    give_up_at: AwareDatetime
    opt_in_until: AwareDatetime | None = None
    profile: Profile | None = None
    profile_written_at: AwareDatetime | None = None
    made_profile: bool = False

    @property
    def person(self) -> PersonKey:
        """By what the person is looked up: the e-mail, or the phone where there is none."""
        if self.email is not None:
            return PersonKey("email", self.email)
        return PersonKey("phone", self.phone or "")

    @property
    def message(self) -> StepMessage:
        """What wakes it for its next step."""
        return StepMessage(acquisition_id=self.acquisition_id, version=self.version)


class StepMessage(_Kept):
    """Version 1 of the message in the acquisition queue: "take this acquisition's next step".

    Attributes:
        version: Of the record when the message was made; one that is older than the record's says
            something that was done already.
    """

    schema_version: Literal[1] = 1
    acquisition_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{16,64}$")]
    version: Annotated[int, Field(ge=1)]

    def to_json(self) -> str:
        """The message's body."""
        return self.model_dump_json()


class UnreadableStepError(Exception):
    """A queue message that is no step of any known version, or a record that is none."""


def parse_step(body: str) -> StepMessage:
    """Read a step message of any shipped version.

    Raises:
        UnreadableStepError: It is none. The text holds nothing of the body.
    """
    try:
        return StepMessage.model_validate_json(body)
    except ValidationError as error:
        raise UnreadableStepError(f"{error.error_count()} problem(s)") from None


def parse_record(text: str) -> AcquisitionRecord:
    """Read a record of any shipped version.

    Raises:
        UnreadableStepError: It is none. The text holds nothing of the record.
    """
    try:
        return AcquisitionRecord.model_validate_json(text)
    except ValidationError as error:
        raise UnreadableStepError(f"{error.error_count()} problem(s)") from None


def new_record(  # noqa: PLR0913 - each is a different fact
    *,
    acquisition_id: str,
    q_scope: str,
    channel: Channel,
    email: str | None,
    phone: str | None,
    consent: Consent,
    attributes: dict[str, AttributeValue],
    correlation_id: str,
    now: datetime,
) -> AcquisitionRecord:
    """A record as intake keeps it first, due at once.

    Args:
        acquisition_id: Random.
        q_scope: A configured one.
        channel: One that the scope takes.
        email: Normalised.
        phone: Normalised.
        consent: The evidence.
        attributes: Checked (:func:`quikly_acquisition.people.checked_attributes`).
        correlation_id: Of the request.
        now: The time of the request.
    """
    return AcquisitionRecord(
        acquisition_id=acquisition_id,
        q_scope=q_scope,
        channel=channel,
        email=email,
        phone=phone,
        consent=consent,
        attributes=attributes,
        correlation_id=correlation_id,
        step=Step.READ_STATUS if channel == "sms" else Step.LOOK_UP,
        history=(HistoryEntry(at=now, step="accepted"),),
        due_at=now,
        created_at=now,
        expires_at=now + RETENTION,
        give_up_at=now + PATIENCE,
    )


def status_document(record: AcquisitionRecord) -> dict[str, object]:
    """What the status route answers, without anything personal."""
    history: list[dict[str, str]] = []
    for entry in record.history:
        line = {"at": iso_millis(entry.at), "step": entry.step}
        history.append(line if entry.detail is None else {**line, "detail": entry.detail})
    document: dict[str, object] = {
        "acquisition_id": record.acquisition_id,
        "channel": record.channel,
        "state": record.state.value,
    }
    if record.reason is not None:
        document["reason"] = record.reason
    return {**document, "history": history}
