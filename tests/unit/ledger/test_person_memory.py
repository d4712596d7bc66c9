"""What the ledger remembers of one person: bytes and rules."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.ledger.erasure import erase
from braze_bridge.ledger.person_memory import (
    BLANK,
    MAX_MEMORY_BYTES,
    RETENTION_SECONDS,
    Fingerprints,
    Lease,
    LeaseRequest,
    Moment,
    NoLease,
    PersonMemory,
    StoredProgress,
    UnreadableMemoryError,
    apply_update,
    decode,
    drop_expired,
    encode,
    retry_after,
    state_for,
    try_lease,
)
from braze_bridge.ledger.port import JobProgress, PersonState, lease_length
from tests.fakes.clock import NOON
from tests.fakes.delivery_jobs import event, job

PRINTS = Fingerprints(b"a key")
NOW = Moment.of(NOON)
OWNER = b"owner-of-12."
LEASE = 65_000_000

shorts = st.integers(0, 2**64 - 1)
seconds = st.integers(NOW.seconds - 2 * RETENTION_SECONDS, NOW.seconds)
memories = st.builds(
    PersonMemory,
    st.none()
    | st.builds(
        Lease,
        st.binary(min_size=12, max_size=12).filter(any),
        st.integers(0, 2**62),
        st.lists(shorts, max_size=4).map(tuple),
    ),
    st.dictionaries(shorts, seconds, max_size=5),
    st.dictionaries(shorts, st.integers(-(2**62), 2**62), max_size=5),
    st.dictionaries(shorts, seconds, max_size=5),
    st.dictionaries(
        shorts,
        st.builds(StoredProgress, seconds, st.integers(0, 65_535), st.binary(max_size=40)),
        max_size=5,
    ),
)
names = st.sampled_from(["score", "segment", "école"])
ids = st.sampled_from(["job-1", "job-2", "job-3"])
instants = st.integers(-1_000, 1_000).map(lambda n: NOON + timedelta(microseconds=n))
updates = st.builds(
    PersonState,
    st.frozensets(ids),
    st.dictionaries(names, instants),
    st.dictionaries(
        ids, st.builds(JobProgress, st.integers(0, 9), st.frozensets(st.integers(0, 99)))
    ),
)


def request(*jobs: str) -> LeaseRequest:
    return LeaseRequest(("external_id", "ada"), [job(each) for each in jobs], _shorts(*jobs))


def _shorts(*jobs: str) -> dict[str, int]:
    return {f"outgrow:default:{each}": PRINTS.job(f"outgrow:default:{each}") for each in jobs}


def test_an_erasure_is_told_with_the_state() -> None:
    """To every job of the person, whatever attributes it has; what was newest is forgotten."""
    known = BLANK._replace(newest={PRINTS.names(["score"])[0]: 1})

    state = state_for(erase(known, NOON, PRINTS), request("1"), PRINTS)

    assert state == PersonState(erased=NOON)
    assert state.is_erased(job(age=1))
    assert not state.is_erased(job(age=-1))


@given(memories)
def test_bytes_read_back_as_what_was_written(memory: PersonMemory) -> None:
    """Whatever a memory holds survives."""
    assert decode(encode(memory)) == memory


VERSION_1 = bytes.fromhex(
    "016f776e65722d6f662d31322e00d07837dc60060001000000010000000100000001000000010000"
    "0007000000000000000100000000000000c086fd6a0200000000000000ffffffffffffffff030000"
    "0000000000c186fd6a0400000000000000c286fd6a0500010005"
)


def test_version_1_stays_readable() -> None:
    """These bytes are in tables: whatever comes later must read them."""
    assert decode(VERSION_1) == PersonMemory(
        Lease(OWNER, 1_795_348_800_000_000, (7,)),
        {1: 1_795_000_000},
        {2: -1},
        {3: 1_795_000_001},
        {4: StoredProgress(1_795_000_002, 5, b"\x05")},
    )


@pytest.mark.parametrize(
    "data",
    [b"", b"\x02" + encode(BLANK)[1:], encode(BLANK)[:-1], encode(BLANK) + b"x", VERSION_1[:-1]],
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
    once = apply_update(memory, update, OWNER, NOW, PRINTS)
    assert apply_update(once, update, OWNER, NOW, PRINTS) == once


@given(memories, updates, updates)
def test_two_recordings_have_the_same_result_in_either_order(
    memory: PersonMemory, first: PersonState, second: PersonState
) -> None:
    """After a lost lease either Lambda may record first."""
    one = apply_update(apply_update(memory, first, OWNER, NOW, PRINTS), second, OWNER, NOW, PRINTS)
    two = apply_update(apply_update(memory, second, OWNER, NOW, PRINTS), first, OWNER, NOW, PRINTS)
    assert one == two


@given(memories, updates)
def test_recording_never_forgets_and_never_goes_back(
    memory: PersonMemory, update: PersonState
) -> None:
    """Delivered jobs of 30 days stay, and times only grow, to the microsecond."""
    after = apply_update(memory, update, OWNER, NOW, PRINTS)
    limit = NOW.seconds - RETENTION_SECONDS
    assert {each for each, at in memory.delivered.items() if at > limit} <= after.delivered.keys()
    assert {PRINTS.job(each) for each in update.delivered} <= after.delivered.keys()
    assert all(after.newest[name] >= at for name, at in memory.newest.items())
    for name, at in update.newest.items():
        assert after.newest[PRINTS.names([name])[0]] >= Moment.of(at).microseconds


def test_recording_ends_its_own_lease_only() -> None:
    """Another Lambda's lease stays."""
    lease = Lease(OWNER, NOW.microseconds + 1, (1,))
    memory = BLANK._replace(lease=lease)
    assert apply_update(memory, PersonState(), OWNER, NOW, PRINTS).lease is None
    assert apply_update(memory, PersonState(), b"another one.", NOW, PRINTS).lease == lease


def test_progress_only_grows_and_ends_with_the_job() -> None:
    """Settled events are never sent again."""
    first = PersonState(progress={"j": JobProgress(2, frozenset({0, 9}))})
    second = PersonState(progress={"j": JobProgress(1, frozenset({3}))})
    memory = apply_update(
        apply_update(BLANK, first, OWNER, NOW, PRINTS), second, OWNER, NOW, PRINTS
    )
    ask = LeaseRequest(("external_id", "ada"), [], {"j": PRINTS.job("j")})

    assert state_for(memory, ask, PRINTS).progress == {"j": JobProgress(2, frozenset({0, 3, 9}))}

    done = apply_update(memory, PersonState(delivered=frozenset({"j"})), OWNER, NOW, PRINTS)
    assert state_for(done, ask, PRINTS) == PersonState(delivered=frozenset({"j"}))
    assert apply_update(done, first, OWNER, NOW, PRINTS) == done


@pytest.mark.parametrize(
    ("age", "kept"), [(RETENTION_SECONDS - 1, True), (RETENTION_SECONDS, False)]
)
def test_a_delivered_job_is_remembered_for_30_days(age: int, kept: bool) -> None:
    """By the stored time, not by the store's deletion."""
    memory = BLANK._replace(delivered={1: NOW.seconds - age}, interrupted={2: NOW.seconds - age})
    after = drop_expired(memory, NOW)
    assert (1 in after.delivered, 2 in after.interrupted) == (kept, kept)


def test_an_expired_lease_marks_its_jobs_as_interrupted_until_they_are_delivered() -> None:
    """Also those that are not in the next holder's batch."""
    memory = try_lease(BLANK, request("1", "2"), OWNER, NOW, LEASE)
    assert isinstance(memory, PersonMemory)
    late = Moment(NOW.seconds + 65, NOW.microseconds + LEASE)

    memory = try_lease(memory, request("2", "3"), b"another one.", late, LEASE)
    assert isinstance(memory, PersonMemory)
    assert state_for(memory, request("2", "3"), PRINTS).interrupted == {"outgrow:default:2"}

    update = PersonState(delivered=frozenset({"outgrow:default:2"}))
    memory = apply_update(memory, update, b"another one.", late, PRINTS)
    state = state_for(memory, request("1", "2", "3"), PRINTS)
    assert state.interrupted == {"outgrow:default:1"}


def test_a_lease_stands_to_its_last_microsecond() -> None:
    """It can be taken after it, not before."""
    memory = try_lease(BLANK, request("1"), OWNER, NOW, LEASE)
    assert isinstance(memory, PersonMemory)
    almost = Moment(NOW.seconds + 64, NOW.microseconds + LEASE - 1)
    over = Moment(NOW.seconds + 65, NOW.microseconds + LEASE)

    assert try_lease(memory, request("1"), b"another one.", almost, LEASE) == 1.0
    assert isinstance(try_lease(memory, request("1"), b"another one.", over, LEASE), PersonMemory)


def test_no_person_is_leased_if_all_jobs_are_delivered() -> None:
    """A resend costs no write, and does not wait for another Lambda's lease."""
    busy = PersonMemory(
        Lease(OWNER, 2**62, ()), dict.fromkeys(_shorts("1").values(), 5), {}, {}, {}
    )
    assert try_lease(busy, request("1"), OWNER, NOW, LEASE) is NoLease.ALL_DELIVERED
    assert isinstance(try_lease(busy, request("1", "2"), OWNER, NOW, LEASE), float)


@pytest.mark.parametrize(("left", "seconds"), [(65, 2), (62, 3), (45, 20), (20, 20), (0.2, 1)])
def test_the_first_retry_comes_soon_then_later_never_after_the_lease(
    left: float, seconds: float
) -> None:
    """Two seconds after a new lease, later after the lease's age, at most at its end."""
    assert retry_after(round(left * 1e6), LEASE) == seconds


def test_a_person_who_needs_more_than_an_item_is_refused_before_anything_is_sent() -> None:
    """Nothing is dropped to make room."""
    crowded = BLANK._replace(newest=dict.fromkeys(range(MAX_MEMORY_BYTES // 16 - 20), 1))
    big = job("2", attributes={f"attribute {n}": n for n in range(100)})
    ask = LeaseRequest(("external_id", "ada"), [big], {big.job_id: 1})

    assert isinstance(try_lease(crowded, request("1"), OWNER, NOW, LEASE), PersonMemory)
    assert try_lease(crowded, ask, OWNER, NOW, LEASE) is NoLease.FULL


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
    room = sum(len(each.attributes) for each in batch) * 16 + len(batch) * 60
    crowded = BLANK._replace(newest=dict.fromkeys(range((MAX_MEMORY_BYTES - room) // 16), 1))
    ask = LeaseRequest(
        ("external_id", "ada"), batch, {each.job_id: PRINTS.job(each.job_id) for each in batch}
    )
    memory = try_lease(crowded, ask, OWNER, NOW, LEASE)
    if not isinstance(memory, PersonMemory):
        return
    newest = {name: NOON for each in batch for name in each.attributes}
    unsettled = {each.job_id: JobProgress(1, frozenset(range(len(each.events)))) for each in batch}
    after = apply_update(memory, PersonState(newest=newest, progress=unsettled), b"", NOW, PRINTS)
    assert len(encode(after)) <= MAX_MEMORY_BYTES


def test_expired_entries_make_room() -> None:
    """A person who was busy last month is not full this month."""
    old = NOW.seconds - RETENTION_SECONDS
    crowded = BLANK._replace(delivered=dict.fromkeys(range(MAX_MEMORY_BYTES // 12), old))
    assert isinstance(try_lease(crowded, request("1"), OWNER, NOW, LEASE), PersonMemory)


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
