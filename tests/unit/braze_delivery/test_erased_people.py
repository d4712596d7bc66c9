"""A job that was received before its person was erased is dropped; a later one is delivered."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from braze_bridge.handlers import SqsMessage
from braze_bridge.ledger.erasure import erase, is_only_erased
from braze_bridge.ledger.fingerprints import Fingerprints
from braze_bridge.ledger.person_memory import BLANK, decode, encode
from braze_bridge.ledger.port import Leases, PersonState
from braze_bridge.ledger.shared import Stored
from braze_delivery.delivery import deliver
from ops.rejected.replay import SENDER
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.delivery_jobs import job
from tests.fakes.ledger import InMemoryLedger, InMemoryMemoryStore, NoLedger
from tests.unit.braze_delivery.test_delivery import Harness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from braze_bridge.jobs.envelope import DeliveryJob

PRINTS = Fingerprints(b"the key of tests")


class ErasedLedger(NoLedger):
    """A ledger in which every person was erased at one time."""

    def lease(self, jobs: Sequence[DeliveryJob]) -> Leases:
        states = {each.user.key: PersonState(erased=NOON - timedelta(minutes=2)) for each in jobs}
        return Leases(states=states, busy={})


def test_a_job_of_before_is_dropped_and_a_later_one_is_delivered() -> None:
    """Nothing of the first one is sent or parked: it would make the deleted profile again."""
    harness = Harness()
    harness.ports = replace(harness.ports, ledger=ErasedLedger())

    result = harness.deliver(job("1", age=180, events=1), job("2", age=60, events=1))

    assert (result.delivered, result.duplicate, result.erased) == (1, 1, 1)
    assert len(harness.braze.taken) == 1
    assert not harness.rejected.records


def test_a_replayed_job_of_before_is_dropped_although_its_message_is_new() -> None:
    """A replay keeps the job's times; only its age in the queue begins again."""
    harness = Harness()
    harness.ports = replace(harness.ports, ledger=ErasedLedger())
    old = job("1", age=20 * 86_400)
    message = SqsMessage("m", old.sent_by(SENDER).to_json(), sent_at=NOON.timestamp() - 5)

    result = deliver([message], harness.ports, lambda: 60.0)

    assert (result.duplicate, result.erased, result.oldest_wait) == (1, 1, 5.0)
    assert not harness.rejected.records


def test_a_dropped_job_is_remembered_so_that_a_resend_of_it_is_a_duplicate() -> None:
    """The vendor sends it again after the erasure: the same id, received later."""
    harness = Harness()
    clock = FixedClock()
    store = InMemoryMemoryStore()
    ledger = InMemoryLedger(clock, store)
    harness.ports = replace(harness.ports, ledger=ledger, clock=clock)
    old, later = job("1", age=180), job("1", age=-600)
    person = later.user.key
    id_ = PRINTS.person(person)
    store.items[id_] = Stored(b"r", encode(erase(BLANK, NOON, PRINTS)), 2**40)

    first = harness.deliver(old)
    clock.advance(700)
    second = harness.deliver(later)

    assert (first.duplicate, first.erased) == (1, 1)
    assert (second.duplicate, second.erased, harness.braze.taken) == (1, 0, [])


def test_an_erasure_keeps_its_time_and_the_settled_jobs_and_nothing_else() -> None:
    """A vendor's resend of a settled job stays a duplicate."""
    known = BLANK._replace(
        delivered={7: 1}, counted={5: 1}, newest={8: (2, 2), 9: (3, 3)}, exists=True
    )

    erased = erase(known, NOON, PRINTS)

    assert (erased.delivered, erased.counted, erased.exists) == ({7: 1}, {5: 1}, False)
    assert len(erased.newest) == 1
    assert not is_only_erased(known, PRINTS)
    assert is_only_erased(decode(encode(erased)), PRINTS)
