"""Subscription states of addresses without a profile (reference §3.2)."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sandbox.braze.profiles import ProfileStore, SubscriptionState
from sandbox.braze.subscriptions import ORPHAN_SECONDS, Group, SubscriptionBook

SMS = Group("sms", "sms")
PHONE = "+15555550123"
STATES: dict[str, SubscriptionState] = {
    "subscribe": "Subscribed",
    "unsubscribe": "Unsubscribed",
}
STEPS = st.sampled_from([*STATES, "create", "take", "leave", "wait"])


@given(st.lists(STEPS, max_size=12))
def test_an_orphaned_state_is_used_once(steps: list[str]) -> None:
    """The first profile that gets the address uses the state up, and inherits it if it is new.

    In the model one orphan at most waits for the number, and only while no profile has it.
    """
    store, book, now = ProfileStore(Random(1)), SubscriptionBook(), 0.0
    orphan: tuple[str, float] | None = None
    for step in steps:
        if step in STATES:
            sharing = book.set_by_address(store, SMS, ("phone", PHONE), STATES[step], now)
            assert all(p.memberships["sms"].state == STATES[step] for p in sharing)
            orphan = orphan if sharing else (STATES[step], now)
        elif step == "wait":
            now += ORPHAN_SECONDS / 2
        elif step == "leave":
            for profile in store.sharing("phone", PHONE):
                store.remove(profile)
        else:
            is_new = step == "create"
            profile = store.create(now)
            store.set_address(profile, "phone", PHONE)
            book.adopt(profile, now, is_new=is_new)
            inherits = orphan is not None and is_new and now < orphan[1] + ORPHAN_SECONDS
            states = [membership.state for membership in profile.memberships.values()]
            assert states == ([orphan[0]] if orphan is not None and inherits else [])
            orphan = None
