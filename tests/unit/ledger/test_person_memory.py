"""What the ledger remembers of one person: bytes and rules."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.ledger.erasure import erase
from braze_bridge.ledger.fingerprints import Fingerprints
from braze_bridge.ledger.person_memory import (
    BLANK,
    MAX_MEMORY_BYTES,
    RETENTION_SECONDS,
    Person,
    PersonMemory,
    UnreadableMemoryError,
    apply_update,
    decode,
    drop_expired,
    encode,
    encode_for,
    microseconds,
    retry_after,
    state_for,
    try_lease,
)
from braze_bridge.ledger.port import PersonState, lease_length
from tests.fakes.clock import NOON
from tests.fakes.delivery_jobs import event, job

if TYPE_CHECKING:
    from braze_bridge.jobs.envelope import DeliveryJob

PRINTS = Fingerprints(b"a key")
NOW = microseconds(NOON)
SECONDS = NOW // 1_000_000
OWNER = b"owner-of-12."
LEASE = 65_000_000

names = st.sampled_from(["score", "segment", "école"])
ids = st.sampled_from(["job-1", "job-2", "job-3"])
once_ids = st.sampled_from(["job-1#0", "job-1#1", "event-a"])
shorts = st.integers(0, 2**64 - 1)
jobs = shorts | ids.map(PRINTS.job)
counted = shorts | once_ids.map(PRINTS.once)
seconds = st.integers(SECONDS - 2 * RETENTION_SECONDS, SECONDS)
micros = st.integers(-(2**62), 2**62)
memories = st.builds(
    PersonMemory,
    st.binary(min_size=12, max_size=12),
    st.integers(0, 2**62),
    st.lists(jobs | counted, max_size=4).map(tuple),
    st.dictionaries(shorts, st.tuples(micros, micros), max_size=5),
    st.dictionaries(jobs, seconds, max_size=5),
    st.dictionaries(counted, seconds, max_size=5),
    st.dictionaries(jobs | counted, seconds, max_size=5),
    st.dictionaries(
        jobs,
        st.tuples(seconds, st.integers(0, 65_535)),
        max_size=5,
    ),
    st.booleans(),
)
instants = st.integers(-1_000, 1_000).map(lambda n: NOON + timedelta(microseconds=n))
updates = st.builds(
    PersonState,
    st.frozensets(ids),
    st.dictionaries(names, st.tuples(instants, instants)),
    st.dictionaries(ids, st.integers(0, 9)),
    st.frozensets(once_ids),
    st.dictionaries(once_ids, instants),
    st.booleans(),
)
ASKED = Person(
    "id",
    ("external_id", "ada"),
    [],
    {
        "job-1": (PRINTS.job("job-1"), PRINTS.once("event-a"), PRINTS.once("job-1#1")),
        "job-2": (PRINTS.job("job-2"), PRINTS.once("event-a")),
        "job-3": (PRINTS.job("job-3"),),
    },
)


def recorded(
    memory: PersonMemory,
    update: PersonState,
    owner: bytes = OWNER,
    now: int = NOW,
    ask: Person | None = None,
) -> PersonMemory:
    return apply_update(replace(ask or ASKED, memory=memory), update, owner, now, PRINTS)


def leased(
    memory: PersonMemory, ask: Person, owner: bytes = OWNER, now: int = NOW
) -> PersonMemory | float | str:
    return try_lease(replace(ask, memory=memory, data=encode(memory)), owner, now, LEASE)


def state(memory: PersonMemory, ask: Person) -> PersonState:
    return state_for(replace(ask, memory=memory), PRINTS)


def request(*jobs: str) -> Person:
    return asking([job(each) for each in jobs])


def asking(jobs: list[DeliveryJob]) -> Person:
    marks = {
        each.job_id: (PRINTS.job(each.job_id), *map(PRINTS.once, each.once_ids)) for each in jobs
    }
    return Person("id", ("external_id", "ada"), jobs, marks)


def test_an_erasure_is_told_with_the_state() -> None:
    """To every job of the person, whatever attributes it has; what was newest is forgotten."""
    known = BLANK._replace(newest={PRINTS.names(["score"])[0]: (1, 1)})

    state = state_for(replace(request("1"), memory=erase(known, NOON, PRINTS)), PRINTS)

    assert state == PersonState(erased=NOON)
    assert state.is_erased(job(age=1).received_at)
    assert not state.is_erased(job(age=-1).received_at)


@given(memories)
def test_bytes_read_back_as_what_was_written(memory: PersonMemory) -> None:
    """Whatever a memory holds survives."""
    assert decode(encode(memory)) == memory


@given(memories, memories, st.sampled_from([1, 2, 3]))
def test_a_lease_is_written_like_any_other_memory(
    known: PersonMemory, leased: PersonMemory, version: int
) -> None:
    """The short way for what a lease changes gives the same bytes."""
    data = {1: VERSION_1, 2: VERSION_2, 3: encode(known)}[version]
    person = replace(ASKED, memory=decode(data), data=data)
    after = person.memory._replace(
        owner=leased.owner, until=leased.until, marks=leased.marks, exists=leased.exists
    )
    assert encode_for(person, after) == encode(after)
    assert encode_for(person, leased) == encode(leased)


VERSION_1 = bytes.fromhex(
    "016f776e65722d6f662d31322e00d07837dc60060001000000010000000100000001000000010000"
    "0007000000000000000100000000000000c086fd6a0200000000000000ffffffffffffffff030000"
    "0000000000c186fd6a0400000000000000c286fd6a0500010005"
)


def test_version_1_stays_readable() -> None:
    """These bytes are in tables: whatever comes later must read them."""
    assert decode(VERSION_1) == PersonMemory(
        OWNER,
        1_795_348_800_000_000,
        (7,),
        {2: (-1, -1)},
        {1: 1_795_000_000},
        {4 + 1 + 0: 1_795_000_002, 4 + 1 + 2: 1_795_000_002},
        {3: 1_795_000_001},
        {4: (1_795_000_002, 5)},
        exists=False,
    )


VERSION_2 = bytes.fromhex(
    "026f776e65722d6f662d31322e00d07837dc6006000101000000020000000100000001000000010000000100"
    "0000070000000000000002000000000000000300000000000000010000000000000005000000000000000600"
    "0000000000000400000000000000ffffffffffffffff0500000000000000c086fd6ac286fd6ac186fd6ac286"
    "fd6a0500"
)


def test_version_2_stays_readable() -> None:
    """It had one time of an attribute: any answer with the same time counts as newer."""
    assert decode(VERSION_2) == PersonMemory(
        OWNER,
        1_795_348_800_000_000,
        (7,),
        {2: (-1, -1), 3: (5, 5)},
        {1: 1_795_000_000},
        {5: 1_795_000_002},
        {6: 1_795_000_001},
        {4: (1_795_000_002, 5)},
        exists=True,
    )


def version_1(job_id: str, bitmap: bytes) -> bytes:
    """What version 1 wrote of a job with settled events."""
    head = struct.pack("<B12sq5I", 1, bytes(12), 0, 0, 0, 0, 0, 1)
    return head + struct.pack("<QIHH", PRINTS.job(job_id), SECONDS, 2, len(bitmap)) + bitmap


def test_settled_events_of_version_1_count_under_their_ids() -> None:
    """Also if the job comes back in version 2, as a replay, and after another job's lease."""
    whole = job("1", events=10)
    replayed = whole.sent_by("bridge").model_copy(update={"job_id": "another"})
    other = leased(decode(version_1(whole.job_id, b"\x05\x02")), request("2"))
    assert isinstance(other, PersonMemory)
    memory = decode(encode(recorded(other, PersonState())))

    known = state(memory, asking([whole, replayed]))
    assert known.counted == {whole.once_ids[0], whole.once_ids[2], whole.once_ids[9]}
    assert known.attempts == {whole.job_id: 2}


@given(st.lists(st.text(), unique=True), st.integers(0, 500))
def test_different_ids_have_different_hashes(texts: list[str], position: int) -> None:
    """An id that only looks like a position's is another one."""
    texts += [f"a#{position}", f"a#0{position}", "a#²", f"b#{position}", "a#", f"a!{position}"]
    assert len(set(map(PRINTS.once, texts))) == len(set(texts))


@pytest.mark.parametrize(
    "data",
    [b"", b"\x04" + encode(BLANK)[1:], encode(BLANK)[:-1], encode(BLANK) + b"x", VERSION_1[:-1]],
)
def test_bytes_of_another_version_or_damaged_are_refused(data: bytes) -> None:
    """They must not pass for an empty memory: that would forget in silence."""
    with pytest.raises(UnreadableMemoryError):
        decode(data)


@given(st.text(), st.text(), st.text())
def test_different_people_have_different_ids(first: str, second: str, third: str) -> None:
    """Also where the parts of an alias run together alike."""
    keys = {
        ("external_id", first),
        ("email", first),
        ("user_alias", first, second + third),
        ("user_alias", first + second, third),
        ("user_alias", second, first),
    }
    assert len({PRINTS.person(key) for key in keys}) == len(keys)


def test_ids_depend_on_the_key_and_show_nothing() -> None:
    """Without the key, addresses cannot be tried against the table."""
    person = ("email", "ada@example.com")
    mine, other = PRINTS.person(person), Fingerprints(b"another key").person(person)
    assert mine != other
    assert len(mine) == 32
    assert "ada" not in mine
    assert PRINTS.job("ada@example.com") != Fingerprints(b"another key").job("ada@example.com")


@given(memories, updates)
def test_recording_twice_is_recording_once(memory: PersonMemory, update: PersonState) -> None:
    """A lost answer may be followed by the same recording."""
    once = recorded(memory, update)
    assert recorded(once, update) == once


@given(memories, updates, updates)
def test_two_recordings_have_the_same_result_in_either_order(
    memory: PersonMemory, first: PersonState, second: PersonState
) -> None:
    """After a lost lease either Lambda may record first."""
    one = recorded(recorded(memory, first), second)
    two = recorded(recorded(memory, second), first)
    assert one == two


@given(memories, updates)
def test_recording_never_forgets_and_never_goes_back(
    memory: PersonMemory, update: PersonState
) -> None:
    """Delivered jobs of 30 days stay, and moments only grow, to the microsecond."""
    after = recorded(memory, update)
    limit = SECONDS - RETENTION_SECONDS
    assert {each for each, at in memory.delivered.items() if at > limit} <= after.delivered.keys()
    assert {PRINTS.job(each) for each in update.delivered} <= after.delivered.keys()
    assert all(after.newest[name] >= at for name, at in memory.newest.items())
    for name, (occurred, received) in update.newest.items():
        known = after.newest[PRINTS.names([name])[0]]
        assert known >= (microseconds(occurred), microseconds(received))


def test_recording_ends_its_own_lease_only() -> None:
    """Another Lambda's lease stays."""
    memory = BLANK._replace(owner=OWNER, until=NOW + 1, marks=(1,))
    assert recorded(memory, PersonState()) == BLANK
    assert recorded(memory, PersonState(), b"another one.") == memory


def test_attempts_only_grow_and_end_with_the_job() -> None:
    """What must not be sent again stays; the rest ends when the job is delivered."""
    whole = job("1", events=3)
    ask, (first, middle, last) = asking([whole]), whole.once_ids
    failed = PersonState(attempts={whole.job_id: 2}, counted=frozenset({first}))
    stopped = PersonState(
        attempts={whole.job_id: 1}, counted=frozenset({last}), doubtful={middle: NOON, last: NOON}
    )
    memory = recorded(recorded(BLANK, failed, ask=ask), stopped, ask=ask)

    assert state(memory, ask) == PersonState(
        attempts={whole.job_id: 2},
        counted=frozenset({first, last}),
        doubtful={middle: NOON},
    )

    done = recorded(memory, PersonState(delivered=frozenset({whole.job_id})), ask=ask)
    assert state(done, ask) == PersonState(
        delivered=frozenset({whole.job_id}), counted=frozenset({first, last})
    )
    assert recorded(done, stopped, ask=ask) == done


@pytest.mark.parametrize(
    ("age", "kept"), [(RETENTION_SECONDS - 1, True), (RETENTION_SECONDS, False)]
)
def test_a_delivered_job_is_remembered_for_30_days(age: int, kept: bool) -> None:
    """By the stored time, not by the store's deletion."""
    at = SECONDS - age
    memory = BLANK._replace(
        delivered={1: at},
        newest={2: (at, at)},
        counted={3: at},
        doubtful={4: at},
        attempts={5: (at, 1)},
        exists=True,
    )
    after = drop_expired(memory, NOW)
    assert after == (memory if kept else BLANK._replace(newest={2: (at, at)}, exists=True))


def test_an_expired_lease_leaves_its_events_doubtful_until_their_jobs_are_delivered() -> None:
    """Also those that are not in the next holder's batch."""
    one, two, three = (job(name, events=1) for name in "123")
    memory = leased(BLANK, asking([one, two]))
    assert isinstance(memory, PersonMemory)
    late = NOW + LEASE

    memory = leased(memory, asking([two, three]), b"another one.", late)
    assert isinstance(memory, PersonMemory)
    assert state(memory, asking([two, three])).doubtful.keys() == set(two.once_ids)

    update = PersonState(delivered=frozenset({two.job_id}))
    memory = recorded(memory, update, b"another one.", late, asking([two, three]))
    assert state(memory, asking([one, two, three])).doubtful.keys() == set(one.once_ids)


@pytest.mark.parametrize("was_lost", [False, True])
def test_all_events_of_a_job_that_earlier_code_left_in_doubt_are_doubtful(was_lost: bool) -> None:
    """It wrote the job's own hash, in version 1 only that one. Those that count are not."""
    whole = job("1", events=3)
    first, *others = whole.once_ids
    own = PRINTS.job(whole.job_id)
    old = BLANK._replace(counted={PRINTS.once(first): SECONDS}, until=NOW - 1)
    old = old._replace(doubtful={own: SECONDS}) if was_lost else old._replace(marks=(own,))

    memory = leased(old, asking([whole]))

    assert isinstance(memory, PersonMemory)
    assert state(memory, asking([whole])).doubtful.keys() == set(others)


def test_a_lease_stands_to_its_last_microsecond() -> None:
    """It can be taken after it, not before."""
    memory = leased(BLANK, request("1"))
    assert isinstance(memory, PersonMemory)
    almost = NOW + LEASE - 1
    over = NOW + LEASE

    assert leased(memory, request("1"), b"another one.", almost) == 1.0
    assert isinstance(leased(memory, request("1"), b"another one.", over), PersonMemory)


def test_no_person_is_leased_if_all_jobs_are_delivered() -> None:
    """A resend costs no write, and does not wait for another Lambda's lease."""
    delivered = {PRINTS.job("outgrow:default:1"): 5}
    busy = BLANK._replace(owner=OWNER, until=2**62, delivered=delivered)
    assert leased(busy, request("1")) == "delivered"
    assert isinstance(leased(busy, request("1", "2")), float)


@pytest.mark.parametrize(("left", "seconds"), [(65, 2), (62, 3), (45, 20), (20, 20), (0.2, 1)])
def test_the_first_retry_comes_soon_then_later_never_after_the_lease(
    left: float, seconds: float
) -> None:
    """Two seconds after a new lease, later after the lease's age, at most at its end."""
    assert retry_after(round(left * 1e6), LEASE) == seconds


def test_a_person_who_needs_more_than_an_item_is_refused_before_anything_is_sent() -> None:
    """Nothing is dropped to make room."""
    crowded = BLANK._replace(newest=dict.fromkeys(range(MAX_MEMORY_BYTES // 24 - 20), (1, 1)))
    big = job("2", attributes={f"attribute {n}": n for n in range(100)})
    ask = asking([big])

    assert isinstance(leased(crowded, request("1")), PersonMemory)
    assert leased(crowded, ask) == "full"


@given(st.integers(0, 5), st.integers(0, 40), st.integers(0, 40))
def test_what_was_leased_fits_with_any_outcome(jobs: int, attributes: int, events: int) -> None:
    """The check counts what each job can add at most."""
    batch = [
        job(
            f"{n}",
            attributes={f"{n}-{k}": k for k in range(attributes)} or None,
            events=[event("answered")] * events,
        )
        for n in range(jobs + 1)
    ]
    each_job = attributes * 24 + events * 32 + 50
    room = each_job * len(batch) + 100
    crowded = BLANK._replace(newest=dict.fromkeys(range((MAX_MEMORY_BYTES - room) // 24), (1, 1)))
    ask = asking(batch)
    memory = leased(crowded, ask)
    if not isinstance(memory, PersonMemory):
        return
    update = PersonState(
        newest={name: (NOON, NOON) for each in batch for name in each.attributes},
        attempts={each.job_id: 1 for each in batch},
        counted=frozenset(id_ for each in batch for id_ in each.once_ids),
        doubtful={id_: NOON for each in batch for id_ in each.once_ids},
    )
    after = recorded(memory, update, b"", ask=ask)
    assert len(encode(after)) <= MAX_MEMORY_BYTES


def test_expired_entries_make_room() -> None:
    """A person who was busy last month is not full this month."""
    old = SECONDS - RETENTION_SECONDS
    crowded = BLANK._replace(delivered=dict.fromkeys(range(MAX_MEMORY_BYTES // 12), old))
    assert isinstance(leased(crowded, request("1")), PersonMemory)


@pytest.mark.parametrize(("timeout", "visibility"), [(20, 180), (60, 420), (300, 1860)])
def test_a_lease_outlives_its_holder_and_ends_before_its_messages_return(
    timeout: float, visibility: float
) -> None:
    """With some seconds to spare on both sides, for clocks that differ."""
    assert timeout + 2 < lease_length(timeout, visibility) < visibility - 2


def test_a_visibility_that_leaves_no_room_is_refused() -> None:
    """A mistake of the template shows at the first start."""
    with pytest.raises(ValueError, match="no lease fits"):
        lease_length(60, 65)
