"""The acquisition record and the step message: two contracts, both versioned.

The record is the only copy of a person's consent until the acquisition ends. So every shipped
version stays readable (``tests/contract``). No repr here shows an address, a number or an
attribute's value.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal, NamedTuple, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from braze_bridge.clock import iso_millis
from braze_bridge.jobs.envelope import AttributeValue, JobUser, UserAlias

RETENTION: Final = timedelta(days=90)
"""How long a record is kept, from intake: the longest double opt-in (30 days), a week of retries
(:data:`PATIENCE`), and time for questions after that."""

PATIENCE: Final = timedelta(days=7)
"""How long a step is retried before the acquisition fails (``gave_up``): Braze or Quikly may be
down, or refuse our key. Counted from intake, or from the end of a double opt-in's time."""

EMAIL_LABEL: Final = "email"
PHONE_LABEL: Final = "phone"
"""Alias labels of profiles that acquisitions create. Quikly's page names the first
(docs/partners/message_orchestration/…/retargeting/quikly)."""

MAX_HISTORY: Final = 100
"""Most history entries. A repeated failure is noted once a step, so only a bug reaches this."""

DECLINED: Final = frozenset({"unsubscribed", "phone_differs"})
"""Failures that the brand's own configuration asks for, by what Braze holds about the person."""

TOLD_STEPS: Final = frozenset(
    {"accepted", "waiting", "opt_in_asked", "credited", "failed", "expired"}
)
"""History entries that partners see: those that begin a state. The others are for operators."""

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
        """Whether the acquisition is over."""
        return self in {State.CREDITED, State.FAILED, State.EXPIRED}


class Step(StrEnum):
    """The next step of an acquisition."""

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
    """A call to Quikly is under way. A worker that loads such a record cannot know its outcome."""
    NOTHING = "nothing"


class PersonKey(NamedTuple):
    """An address by which Braze finds a person.

    Attributes:
        value: The e-mail in lower case, or the phone number in E.164.
    """

    kind: Literal["email", "phone"]
    value: str

    def __repr__(self) -> str:
        return f"PersonKey({self.kind})"


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


ContractT = TypeVar("ContractT", bound=_Contract)


class Consent(_Contract):
    """The evidence that the person agreed.

    Attributes:
        method: Such as ``checkbox`` or ``sms_keyword``.
        text: The text they agreed to, or its version.
    """

    given_at: AwareDatetime
    method: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    text: Annotated[str, StringConstraints(min_length=1, max_length=5000)]


class Profile(_Contract):
    """The identifier of a Braze profile.

    Attributes:
        kind: ``user_alias`` for a profile that an acquisition created.
        value: The identifier, or the alias's name.
        label: The alias's label.
        is_new: This acquisition created it, or another one did recently.
    """

    kind: Literal["external_id", "braze_id", "user_alias", "email", "phone"]
    value: Annotated[str, Field(min_length=1, repr=False)]
    label: str | None = None
    is_new: bool = False

    def job_user(self) -> JobUser:
        """Name the profile as a DeliveryJob does. A job may create only a new profile.

        Braze may not show a profile that was created a moment ago. A job that may create it either
        finds it or creates it.
        """
        if self.kind == "user_alias":
            alias = UserAlias(alias_name=self.value, alias_label=self.label or EMAIL_LABEL)
            return JobUser(user_alias=alias, may_create=self.is_new)
        return JobUser.model_validate({self.kind: self.value, "may_create": self.is_new})


class HistoryEntry(_Contract):
    """One history entry, without personal data. Operators see all of it, partners a part.

    Attributes:
        step: A stable word.
        detail: Another word, or a number with its unit.
    """

    at: AwareDatetime
    step: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
    detail: Annotated[str, StringConstraints(max_length=300)] | None = None


class AcquisitionRecord(_Contract):
    """Version 1 of the record of one acquisition.

    Attributes:
        acquisition_id: Random and URL-safe.
        email: In lower case; may be missing on the SMS channel.
        phone: E.164; may be missing on the e-mail channel.
        attributes: For the profile, as the caller sent them.
        correlation_id: Of the request that began it.
        step: The next step; it is due at ``due_at``.
        reason: Why it failed; a stable word.
        version: Rises by one with each change. A write names the version it read.
        attempts: Failed tries of the present step.
        troubled_since: When the first of them failed.
        lost_credits: Calls to Quikly without a known outcome.
        polls: Reads in the present wait that did not show ``Subscribed``.
        give_up_at: Failures after this time end the acquisition.
        opt_in_until: When a double opt-in expires.
        profile_written_at: When this acquisition, or a recent one, created the profile or wrote the
            phone number to it.
        made_profile: This acquisition created the profile, or may have if nothing is looked up.
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
        """The address to look up: the e-mail, or the phone if there is no e-mail."""
        if self.email is not None:
            return PersonKey("email", self.email)
        return PersonKey("phone", self.phone or "")

    @property
    def message(self) -> StepMessage:
        """The message for its next step."""
        return StepMessage(acquisition_id=self.acquisition_id, version=self.version)


class StepMessage(_Contract):
    """Version 1 of the message in the acquisition queue: "take this acquisition's next step".

    Attributes:
        version: The record's when the message was made. If the record's is higher, the message is
            stale.
    """

    schema_version: Literal[1] = 1
    acquisition_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{16,64}$")]
    version: Annotated[int, Field(ge=1)]

    def to_json(self) -> str:
        """Encode the message's body."""
        return self.model_dump_json()


class UnreadableStepError(Exception):
    """A queue message or a record that has no known version's form."""


def parse_step(body: str) -> StepMessage:
    """Read a step message of any shipped version.

    Raises:
        UnreadableStepError: It is none. The text quotes nothing of the body.
    """
    return _parsed(StepMessage, body)


def parse_record(text: str) -> AcquisitionRecord:
    """Read a record of any shipped version.

    Raises:
        UnreadableStepError: It is none. The text quotes nothing of the record.
    """
    return _parsed(AcquisitionRecord, text)


def _parsed(model: type[ContractT], text: str) -> ContractT:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise UnreadableStepError(f"{error.error_count()} problem(s)") from None


def status_document(record: AcquisitionRecord) -> dict[str, object]:
    """Build the status route's answer: the states, and not what a look-up at Braze found.

    With those findings, a holder of Quikly's token could ask about any address.
    """
    told = record.reason is not None and record.reason not in DECLINED
    return {
        "acquisition_id": record.acquisition_id,
        "channel": record.channel,
        "state": record.state.value,
        **({"reason": record.reason} if told else {}),
        "history": [
            {"at": iso_millis(entry.at), "step": entry.step}
            for entry in record.history
            if entry.step in TOLD_STEPS
        ],
    }


def full_document(record: AcquisitionRecord) -> dict[str, object]:
    """Build what an operator sees: every step with its detail, and nothing personal."""
    reason = {} if record.reason is None else {"reason": record.reason}
    return {
        "acquisition_id": record.acquisition_id,
        "channel": record.channel,
        "state": record.state.value,
        **reason,
        "history": [
            {"at": iso_millis(entry.at), "step": entry.step}
            | ({} if entry.detail is None else {"detail": entry.detail})
            for entry in record.history
        ],
    }
