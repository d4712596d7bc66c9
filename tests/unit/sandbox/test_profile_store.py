"""The store of profiles: look-ups, precedence, merging."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sandbox.braze.merging import choose, merge_profiles, read_prioritization
from sandbox.braze.profiles import Identifier, Profile, ProfileStore

EMAILS = st.sampled_from(["a@example.com", "b@example.com"])


def person(store: ProfileStore, email: str, external_id: str | None = None) -> Profile:
    profile = store.create(0)
    store.set_address(profile, "email", email)
    if external_id is not None:
        store.set_external_id(profile, external_id)
    return profile


@given(st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), EMAILS)), max_size=30))
def test_addresses_find_exactly_who_has_them(changes: list[tuple[int, str | None]]) -> None:
    """However addresses change, a look-up finds exactly the profiles that have the address."""
    store = ProfileStore(Random(1))
    people = [store.create(0) for _ in range(4)]
    for who, email in changes:
        if email is None:
            store.remove_address(people[who], "email")
        else:
            store.set_address(people[who], "email", email)

    for email in ("a@example.com", "b@example.com"):
        assert {p.braze_id for p in store.sharing("email", email)} == {
            p.braze_id for p in people if p.email == email
        }


@given(st.lists(st.tuples(EMAILS, st.booleans()), min_size=1, max_size=8), EMAILS)
def test_precedence_among_sharers(people: list[tuple[str, bool]], email: str) -> None:
    """The latest with an external id is meant, else the latest."""
    store = ProfileStore(Random(1))
    made = [
        person(store, address, f"id-{n}" if has_id else None)
        for n, (address, has_id) in enumerate(people)
    ]
    sharing = [p for p in made if p.email == email]
    expected = [p for p in sharing if p.external_id] or sharing

    assert store.find(Identifier("email", email)) is (expected[-1] if expected else None)


def test_merging_leaves_no_trace_of_the_gone() -> None:
    """After a merge every identifier of the gone profile finds the kept one, or none."""
    store = ProfileStore(Random(1))
    keep, gone = person(store, "a@example.com", "keep"), person(store, "b@example.com", "gone")
    store.add_alias(gone, "label", "name")

    merge_profiles(store, keep, gone, 0)

    assert list(store) == [keep]
    assert store.find(Identifier("user_alias", "name", "label")) is keep
    assert store.find(Identifier("external_id", "gone")) is None
    assert store.find(Identifier("braze_id", gone.braze_id)) is None
    assert store.sharing("email", "b@example.com") == []
    assert keep.email == "a@example.com"


def test_merging_keeps_the_alias_of_a_label() -> None:
    """If both have an alias of one label, the kept one's stays and the other finds none."""
    store = ProfileStore(Random(1))
    keep, gone = person(store, "a@example.com", "keep"), person(store, "b@example.com")
    store.add_alias(keep, "label", "kept")
    store.add_alias(gone, "label", "lost")

    merge_profiles(store, keep, gone, 0)

    assert keep.aliases == {"label": "kept"}
    assert store.find(Identifier("user_alias", "lost", "label")) is None


def test_same_seed_same_ids() -> None:
    """Ids come from the randomness that was given."""
    first, second = (ProfileStore(Random(7)).create(1_000).braze_id for _ in range(2))

    assert first == second


def test_priorities() -> None:
    """Each priority narrows what the one before it left; more than one left is none."""
    store = ProfileStore(Random(1))
    old = person(store, "a@example.com", "old")
    anonymous = person(store, "a@example.com")
    new = person(store, "a@example.com", "new")
    people = [old, anonymous, new]

    assert choose(people, ["unidentified"]) is anonymous
    assert choose(people, ["identified"]) is None
    assert choose(people, ["identified", "least_recently_updated"]) is old
    assert choose(people, ["identified", "most_recently_updated"]) is new
    assert choose(people, ["most_recently_updated", "unidentified"]) is None
    assert choose(people, []) is None
    assert choose([old], []) is old
    assert choose([], ["most_recently_updated"]) is None


def test_priorities_exclude_each_other() -> None:
    """`identified` and `unidentified` together are no prioritization, nor is nothing or another."""
    assert read_prioritization(["identified", "most_recently_updated"]) is not None
    assert read_prioritization(["identified", "unidentified"]) is None
    assert read_prioritization(["newest"]) is None
    assert read_prioritization([5]) is None
    assert read_prioritization("identified") is None
    assert read_prioritization([]) is None
    assert read_prioritization(["identified"], {"unidentified"}) is None
