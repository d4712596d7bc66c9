"""Subscription groups: what is asked, what is answered.

docs/api/endpoints/subscription_groups/*
"""

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
    """A user's state in a group, as read.

    Braze writes `Subscribed`, `Unsubscribed`, and `Unknown` or `unknown`. A user in the middle
    of a double opt-in is unsubscribed.
    """

    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"
    UNKNOWN = "unknown"

    @classmethod
    def read(cls, value: object) -> SubscriptionStatus:
        """By its name in any case; unknown for anything else."""
        known = {status.value: status for status in cls}
        return (
            known.get(value.strip().lower(), cls.UNKNOWN) if isinstance(value, str) else cls.UNKNOWN
        )


@dataclass(frozen=True, slots=True)
class SubscriptionUsers:
    """Up to 50 users of one kind of identifier.

    external_ids work for every group, emails for e-mail groups, phones for SMS and WhatsApp ones.
    Braze refuses e-mails and phones together, and ignores both next to external_ids, so one kind
    is all there can be.

    Attributes:
        external_ids: as in the profile.
        emails: every user sharing one is meant.
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
        """Braze's key in its singular: `external_id`, `email` or `phone`."""
        if self.external_ids:
            return "external_id"
        return "email" if self.emails else "phone"

    @property
    def values(self) -> list[str]:
        """The identifiers."""
        return [*self.external_ids, *self.emails, *self.phones]

    def params(self) -> tuple[tuple[str, str], ...]:
        """As query parameters: `email=…` for one, `email[]=…` for each of several."""
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
    """Users' states in one group.

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
        statuses: by identifier. For e-mail and phone look-ups Braze does not document the form
            of the key: ask for one user and read `only()`.
        rate_limit: of this call's family.
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
        """The state of the one user asked for; unknown when Braze answers with none, or several."""
        if len(self.statuses) != 1:
            return SubscriptionStatus.UNKNOWN
        return next(iter(self.statuses.values()))


# --- POST /subscription/status/set, v1 and v2 -------------------------------------------------

_SETTABLE: Final = frozenset({SubscriptionStatus.SUBSCRIBED, SubscriptionStatus.UNSUBSCRIBED})


@dataclass(frozen=True, slots=True)
class SubscriptionGroupUpdate:
    """A new state for users in one group.

    Without a profile of that e-mail or phone, Braze keeps the state for up to 30 days and applies
    it to a profile created meanwhile - except with double opt-in, where nothing is updated: then
    the profile must exist first.

    Attributes:
        subscription_group_id: the group.
        subscription_state: subscribed or unsubscribed.
        users: whose.
        use_double_opt_in_logic: for SMS groups: ask the user first, subscribe on their answer.
            None leaves it to Braze, which does not.

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

    def as_json(self, users_key: str) -> dict[str, object]:
        """The object, with the users under a key: singular in v1, plural in v2."""
        document: dict[str, object] = {
            "subscription_group_id": self.subscription_group_id,
            "subscription_state": self.subscription_state.value,
            users_key: self.users.values,
        }
        if self.use_double_opt_in_logic is not None:
            document["use_double_opt_in_logic"] = self.use_double_opt_in_logic
        return document


@dataclass(frozen=True, slots=True)
class SubscriptionStatusSetRequest:
    """One group's update by `/subscription/status/set` (v1)."""

    update: SubscriptionGroupUpdate

    def body(self) -> bytes:
        """The request's JSON."""
        return to_json(self.update.as_json(self.update.users.kind)).encode()


@dataclass(frozen=True, slots=True)
class SubscriptionStatusSetV2Request:
    """Several groups' updates by `/v2/subscription/status/set`.

    Raises:
        InvalidRequestError: there is no group, there are over 50 users in all, or e-mails and
            phones are both there.
    """

    updates: Sequence[SubscriptionGroupUpdate]

    def __post_init__(self) -> None:
        if not self.updates:
            raise InvalidRequestError(
                InvalidReason.REQUEST_EMPTY, "no subscription group to update"
            )
        check_count(sum(len(update.users) for update in self.updates))
        if {"email", "phone"} <= {update.users.kind for update in self.updates}:
            raise InvalidRequestError(
                InvalidReason.IDENTIFIER_COUNT, "emails and phones may not be in one request"
            )

    def body(self) -> bytes:
        """The request's JSON."""
        groups = [update.as_json(f"{update.users.kind}s") for update in self.updates]
        return to_json({"subscription_groups": groups}).encode()


@dataclass(frozen=True, slots=True)
class SubscriptionStatusSetResponse:
    """Braze accepted the update.

    Attributes:
        status: 201; any 2xx counts.
        message: `success`; empty if the body cannot be read.
        rate_limit: of v1 and v2 together.
    """

    status: int
    message: str
    rate_limit: RateLimit | None

    @classmethod
    def of(cls, answer: Answer) -> SubscriptionStatusSetResponse:
        """Read an accepted answer."""
        return cls(answer.status, answer.message, answer.rate_limit)
