"""Subscription groups: states, orphaned states, double opt-in (reference §1.5, §3, §7.7)."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from sandbox.braze.profiles import Membership, Profile, ProfileStore, SubscriptionState

Channel = Literal["email", "sms"]
AddressKind = Literal["email", "phone"]

_DAY = 86_400.0
ORPHAN_SECONDS = 30 * _DAY
"""How long a state set for an address without a profile waits for one (reference §3.2)."""
CONFIRM_SECONDS = 30 * _DAY
"""How long a double opt-in may be confirmed (reference §7.7)."""
PROMPT_SECONDS = _DAY
"""At most one opt-in prompt in this time (reference §7.7)."""
ADDRESS_OF: dict[Channel, AddressKind] = {"email": "email", "sms": "phone"}


@dataclass(frozen=True, slots=True)
class Group:
    """A subscription group.

    Attributes:
        group_id: What the API calls it by.
        channel: `email` or `sms`.
        double_opt_in: Whether the group's opt-in method is Double Opt-In.
        opt_in_event: A custom event that starts the double opt-in, as a customer's
            action-triggered campaign would.
    """

    group_id: str
    channel: Channel
    double_opt_in: bool = False
    opt_in_event: str | None = None


DEMO_GROUPS = (
    Group("demo-sms-group", "sms"),
    Group("demo-sms-doi-group", "sms", double_opt_in=True, opt_in_event="quikly_sms_opt_in"),
    Group("demo-email-group", "email"),
)
"""The groups of the demo activations, there after every reset."""


class _Orphan(NamedTuple):
    state: SubscriptionState
    expires_at: float


class Prompt(NamedTuple):
    """An opt-in prompt that Braze would have sent by SMS."""

    at: float
    subscription_group_id: str
    phone: str


class SubscriptionBook:
    """States of addresses without a profile, and the opt-in prompts that were sent."""

    def __init__(self) -> None:
        self._orphans: dict[tuple[AddressKind, str], dict[str, _Orphan]] = {}
        self.prompts: list[Prompt] = []

    def set_state(self, profile: Profile, group: Group, state: SubscriptionState) -> None:
        """Set a profile's state; a double opt-in that waited is over."""
        prompted = profile.memberships.get(group.group_id)
        profile.memberships[group.group_id] = Membership(
            state,
            prompted_at=None if prompted is None else prompted.prompted_at,
        )

    def begin_double_opt_in(self, profile: Profile, group: Group, now: float) -> None:
        """Let a profile wait for its confirmation.

        It stays Unsubscribed until then; one already subscribed stays so. A prompt goes out unless
        one did within the last 24 hours.
        """
        if profile.phone is None:
            return
        membership = profile.memberships.setdefault(group.group_id, Membership("Unsubscribed"))
        if membership.state == "Subscribed":
            return
        membership.pending_until = now + CONFIRM_SECONDS
        if membership.prompted_at is None or now >= membership.prompted_at + PROMPT_SECONDS:
            membership.prompted_at = now
            self.prompts.append(Prompt(now, group.group_id, profile.phone))

    def set_by_address(
        self,
        store: ProfileStore,
        group: Group,
        address: tuple[AddressKind, str],
        state: SubscriptionState,
        now: float,
    ) -> list[Profile]:
        """Set the state of everyone with an address, or keep it for a profile within 30 days.

        Returns:
            The profiles that were updated; none when the state is an orphan.
        """
        sharing = store.sharing(*address)
        for profile in sharing:
            self.set_state(profile, group, state)
        if not sharing:
            waiting = self._orphans.setdefault(address, {})
            waiting[group.group_id] = _Orphan(state, now + ORPHAN_SECONDS)
        return sharing

    def adopt(self, profile: Profile, now: float, *, is_new: bool) -> None:
        """Use up the states that were set for a profile's addresses before it had them.

        An address with a profile has no orphaned state. So no later profile inherits one, whatever
        became of the first one (reference §3.2 and the corrections of 2026-11-28).

        Args:
            is_new: Whether the profile was just created. Only such a profile inherits.
        """
        if not self._orphans:
            return
        addresses: list[tuple[AddressKind, str | None]] = [
            ("email", profile.email),
            ("phone", profile.phone),
        ]
        for kind, value in addresses:
            waiting = {} if value is None else self._orphans.pop((kind, value), {})
            for group_id, orphan in waiting.items():
                if is_new and now < orphan.expires_at:
                    profile.memberships[group_id] = Membership(orphan.state)


def confirm(profile: Profile, group_id: str, now: float) -> bool:
    """Confirm a double opt-in, as the user's `Y` would.

    Returns:
        Whether one was waiting and within its 30 days.
    """
    membership = profile.memberships.get(group_id)
    if membership is None or membership.pending_until is None or now > membership.pending_until:
        return False
    membership.state = "Subscribed"
    membership.pending_until = None
    return True
