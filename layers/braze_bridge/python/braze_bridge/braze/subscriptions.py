"""Requests and responses of subscription groups: docs/api/endpoints/subscription_groups/*."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from braze_bridge.braze.answers import unreadable
from braze_bridge.braze.encoding import to_json
from braze_bridge.braze.errors import InvalidReason, InvalidRequestError
from braze_bridge.braze.identifiers import check_count, check_identifiers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from braze_bridge.braze.answers import Answer
    from braze_bridge.braze.rate_limits import RateLimit


class SubscriptionStatus(StrEnum):
    """A user's state in a group.

    Braze writes `Subscribed`, `Unsubscribed`, and `Unknown` or `unknown`. During a double opt-in a
    user is unsubscribed.
    """

    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"
    UNKNOWN = "unknown"

    @classmethod
    def read(cls, value: object) -> SubscriptionStatus:
        """Read its name in any case; anything else is unknown."""
        name = value.strip().lower() if isinstance(value, str) else ""
        return cls(name) if name in set(cls) else cls.UNKNOWN


@dataclass(frozen=True, slots=True)
class SubscriptionUsers:
    """Up to 50 users of one kind of identifier.

    external_ids work for every group, emails for e-mail groups, phones for SMS and WhatsApp groups.
    Braze refuses e-mails and phones together, and ignores both beside external_ids.

    Attributes:
        emails: each means every user who shares it.
        phones: E.164; likewise.

    Raises:
        InvalidRequestError: no kind is given, or several, or over 50 users.
        InvalidIdentifierError: an identifier is blank, over-long, or a phone is not E.164.
    """

    external_ids: Sequence[str] = field(default=(), repr=False)
    emails: Sequence[str] = field(default=(), repr=False)
    phones: Sequence[str] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        check_identifiers("external_id", self.external_ids)
        check_identifiers("email", self.emails)
        check_identifiers("phone", self.phones)
        kinds = sum(1 for values in (self.external_ids, self.emails, self.phones) if values)
        if kinds != 1:
            raise InvalidRequestError(
                InvalidReason.IDENTIFIER_COUNT,
                f"one of external_ids, emails and phones is needed, not {kinds}",
            )
        check_count(len(self))

    def __len__(self) -> int:
        return len(self.external_ids) + len(self.emails) + len(self.phones)

    @property
    def kind(self) -> str:
        """Braze's key: `external_id`, `email` or `phone`."""
        if self.external_ids:
            return "external_id"
        return "email" if self.emails else "phone"

    @property
    def values(self) -> list[str]:
        """The identifiers."""
        return [*self.external_ids, *self.emails, *self.phones]

    def params(self) -> tuple[tuple[str, str], ...]:
        """Make query parameters: `email=…` for one, `email[]=…` for each of several."""
        name = self.kind if len(self) == 1 else f"{self.kind}[]"
        return tuple((name, value) for value in self.values)


def _check_group(subscription_group_id: object) -> None:
    if not isinstance(subscription_group_id, str) or not subscription_group_id.strip():
        raise InvalidRequestError(
            InvalidReason.FIELD_MISSING,
            "a subscription group is needed",
            name="subscription_group_id",
        )


# --- GET /subscription/status/get -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SubscriptionStatusGetRequest:
    """Asks for users' states in one group.

    Raises:
        InvalidRequestError: the group is blank.
    """

    subscription_group_id: str
    users: SubscriptionUsers

    def __post_init__(self) -> None:
        _check_group(self.subscription_group_id)

    def params(self) -> tuple[tuple[str, str], ...]:
        """The query."""
        return (("subscription_group_id", self.subscription_group_id), *self.users.params())


@dataclass(frozen=True, slots=True)
class SubscriptionStatusGetResponse:
    """The states found.

    Attributes:
        statuses: by identifier. For e-mails and phones Braze does not document the form of the
            key: ask for one user and read `only()`.
    """

    statuses: Mapping[str, SubscriptionStatus] = field(repr=False)
    rate_limit: RateLimit | None = None

    @classmethod
    def of(cls, answer: Answer) -> SubscriptionStatusGetResponse:
        """Read an accepted answer.

        Raises:
            UnexpectedResponseError: it has no `status` object.
        """
        document = answer.document
        statuses = document.get("status") if isinstance(document, dict) else None
        if not isinstance(statuses, dict):
            raise unreadable(answer, "status")
        return cls(
            {user: SubscriptionStatus.read(value) for user, value in statuses.items()},
            answer.rate_limit,
        )

    def only(self) -> SubscriptionStatus:
        """Give the state of the only user; unknown if Braze answers with none or several."""
        if len(self.statuses) != 1:
            return SubscriptionStatus.UNKNOWN
        return next(iter(self.statuses.values()))


# --- POST /subscription/status/set ------------------------------------------------------------

_SETTABLE: Final = frozenset({SubscriptionStatus.SUBSCRIBED, SubscriptionStatus.UNSUBSCRIBED})


@dataclass(frozen=True, slots=True)
class SubscriptionStatusSetRequest:
    """Sets the state of users in one group.

    If no profile has that e-mail or phone, Braze keeps the state for up to 30 days and applies it
    to a new profile. With double opt-in it keeps nothing: the profile must exist first.

    Attributes:
        subscription_state: subscribed or unsubscribed.
        use_double_opt_in_logic: for SMS groups: ask the user, and subscribe on their answer. With
            None Braze does not ask.

    Raises:
        InvalidRequestError: the group is blank, or the state cannot be set.
    """

    subscription_group_id: str
    subscription_state: SubscriptionStatus
    users: SubscriptionUsers
    use_double_opt_in_logic: bool | None = None

    def __post_init__(self) -> None:
        _check_group(self.subscription_group_id)
        if self.subscription_state not in _SETTABLE:
            raise InvalidRequestError(
                InvalidReason.OUT_OF_RANGE,
                "a state is set to subscribed or unsubscribed",
                name="subscription_state",
            )

    def body(self) -> bytes:
        """The request's JSON."""
        document: dict[str, object] = {
            "subscription_group_id": self.subscription_group_id,
            "subscription_state": self.subscription_state.value,
            self.users.kind: self.users.values,
        }
        if self.use_double_opt_in_logic is not None:
            document["use_double_opt_in_logic"] = self.use_double_opt_in_logic
        return to_json(document).encode()


@dataclass(frozen=True, slots=True)
class SubscriptionStatusSetResponse:
    """Braze accepted the update.

    Attributes:
        status: 201; any 2xx counts.
        message: `success`; empty if the body cannot be read.
    """

    status: int
    message: str
    rate_limit: RateLimit | None

    @classmethod
    def of(cls, answer: Answer) -> SubscriptionStatusSetResponse:
        """Read an accepted answer."""
        return cls(answer.status, answer.message, answer.rate_limit)
