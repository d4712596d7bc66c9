"""Choosing among profiles that share an address, and merging two into one (reference §4)."""

from collections.abc import Callable, Collection, Sequence

from pydantic import JsonValue

from sandbox.braze.profiles import Profile, ProfileStore, Tally

_NARROW: dict[str, Callable[[list[Profile]], list[Profile]]] = {
    "identified": lambda found: [each for each in found if each.external_id is not None],
    "unidentified": lambda found: [each for each in found if each.external_id is None],
    "most_recently_updated": lambda found: sorted(found, key=lambda each: each.updated)[-1:],
    "least_recently_updated": lambda found: sorted(found, key=lambda each: each.updated)[:1],
}
PRIORITIES = frozenset(_NARROW)
DELETE_PRIORITIES = PRIORITIES - {"least_recently_updated"}
"""The delete page does not list `least_recently_updated`."""


def read_prioritization(
    value: JsonValue, allowed: Collection[str] = PRIORITIES
) -> tuple[str, ...] | None:
    """Read a `prioritization` array.

    Returns:
        The priorities in order, or None if it is no such array: empty, another value in it, or
        `identified` and `unidentified` together, which exclude each other.
    """
    if not isinstance(value, list) or not value:
        return None
    chosen = tuple(item for item in value if isinstance(item, str) and item in allowed)
    if len(chosen) != len(value) or {"identified", "unidentified"} <= set(chosen):
        return None
    return chosen


def choose(profiles: Sequence[Profile], priorities: Sequence[str]) -> Profile | None:
    """Choose the profile that an e-mail or phone means under a prioritization.

    Args:
        priorities: As read. Each one narrows what the one before it left.

    Returns:
        The profile, or None if none is left, or more than one: Braze acts on none then.
    """
    left = list(profiles)
    for priority in priorities:
        left = _NARROW[priority](left)
    return left[0] if len(left) == 1 else None


def _absorb(kept: dict[str, Tally], gone: dict[str, Tally]) -> None:
    for name, tally in gone.items():
        if name in kept:
            kept[name].absorb(tally)
        else:
            kept[name] = tally


def merge_profiles(store: ProfileStore, keep: Profile, gone: Profile, now: float) -> None:
    """Merge one profile into another and deletes it.

    The documentation says that the profiles are combined, not which value wins. Here the kept
    profile keeps its values and takes only what it lacks. Events and purchases add up.
    """
    standard, email, phone = dict(gone.standard), gone.email, gone.phone
    aliases, external_id = dict(gone.aliases), gone.external_id
    store.remove(gone)
    if external_id is not None and keep.external_id is None:
        store.set_external_id(keep, external_id)
    for label, name in aliases.items():
        if label not in keep.aliases:
            store.add_alias(keep, label, name)
    if email is not None and keep.email is None:
        store.set_address(keep, "email", email)
    if phone is not None and keep.phone is None:
        store.set_address(keep, "phone", phone)
    keep.standard.update(
        {
            name: value
            for name, value in standard.items()
            if name not in keep.standard and name not in {"email", "phone"}
        },
    )
    keep.custom.update({k: v for k, v in gone.custom.items() if k not in keep.custom})
    keep.origins.update({k: v for k, v in gone.origins.items() if k not in keep.origins})
    keep.memberships.update(
        {k: v for k, v in gone.memberships.items() if k not in keep.memberships},
    )
    keep.events.extend(gone.events)
    keep.dropped.extend(gone.dropped)
    keep.total_revenue += gone.total_revenue
    _absorb(keep.tallies, gone.tallies)
    _absorb(keep.purchases, gone.purchases)
    store.touch(keep, now)
