"""A look takes no dead letter out, and a replay loses none."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from braze_bridge.jobs.envelope import parse_job
from ops.dead_letters.queue import (
    DeadLettersUnavailableError,
    Outgoing,
    Progress,
    batches,
    peek,
    replay_dead_letters,
    summary_of,
)
from tests.fakes.clock import NOON
from tests.fakes.dead_letters import InMemoryDeadLetters, InMemoryDeliverySender
from tests.fakes.delivery_jobs import job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.dead_letters.queue import DeadLetter


def bodies(count: int) -> list[str]:
    return [job(str(n), f"user-{n}", age=5 * 86_400).to_json() for n in range(count)]


class Run:
    """A dead-letter queue, the delivery queue, and the reports of a replay."""

    def __init__(self, count: int) -> None:
        self.letters = InMemoryDeadLetters(bodies(count))
        self.sender = InMemoryDeliverySender()
        self.reports: list[Progress] = []

    def replay(self, limit: int = 1_000) -> Progress:
        return replay_dead_letters(
            self.letters,
            self.sender,
            limit=limit,
            report=self.reports.append,
        )

    def sent_ids(self) -> list[str]:
        return [parse_job(message.body).job_id for message in self.sender.taken]


def test_looking_takes_nothing_out_and_hides_nothing() -> None:
    """All are seen, and all can be received again at once."""
    run = Run(25)

    seen = peek(run.letters, 100)

    assert len(seen) == len(run.letters.bodies) == 25
    assert run.letters.hidden == set()


def test_looking_is_bounded() -> None:
    """Also if the limit is no multiple of ten."""
    assert len(peek(Run(25).letters, 13)) == 13


def test_looking_releases_what_it_held_when_sqs_stops_answering() -> None:
    """The error is raised, and the messages are visible again."""
    run = Run(25)
    run.letters.failing_after = 1

    with pytest.raises(DeadLettersUnavailableError):
        peek(run.letters, 100)

    assert run.letters.hidden == set()


def test_a_summary_names_the_job_and_no_person() -> None:
    """Readable or not, nothing of the body is in it."""
    good = InMemoryDeadLetters([job("1", "ada@example.com").to_json()])
    bad = InMemoryDeadLetters(['{"email": "ada@example.com"}'])

    (readable,) = map(summary_of, peek(good, 10))
    (unreadable,) = map(summary_of, peek(bad, 10))

    assert (readable.job_id, readable.source) == ("outgrow:default:1", "outgrow")
    assert unreadable.job_id is None
    assert "ada@" not in repr((readable, unreadable, peek(good, 10), peek(bad, 10)))


def test_every_message_goes_back_once_as_the_same_job() -> None:
    """Its id and times are its own: a person who was erased meanwhile stays erased."""
    run = Run(25)

    progress = run.replay()

    assert progress == Progress(sent=25, is_empty=True)
    assert run.letters.bodies == {}
    assert run.sent_ids() == [f"outgrow:default:{n}" for n in range(25)]
    back = parse_job(run.sender.taken[0].body)
    assert (back.received_at, back.occurred_at) == (NOON - timedelta(days=5),) * 2
    assert {message.group for message in run.sender.taken} == {"outgrow"}


def test_progress_is_reported_after_every_round() -> None:
    """Ten, twenty, twenty-five, and the end."""
    run = Run(25)

    run.replay()

    assert [progress.sent for progress in run.reports] == [10, 20, 25, 25]
    assert [progress.is_empty for progress in run.reports] == [False, False, False, True]


def test_an_unreadable_message_goes_back_as_it_is() -> None:
    """Delivery parks it with the reason."""
    run = Run(0)
    run.letters.bodies["m"] = "{"

    assert run.replay().sent == 1
    assert run.sender.taken == [Outgoing("{", "dead-letter")]


def test_what_is_not_taken_stays_and_can_be_received_again() -> None:
    """The others are sent; the refused ones are counted."""
    run = Run(25)
    run.sender.refused = ('"user-3"', '"user-14"')

    progress = run.replay()

    assert progress == Progress(sent=23, not_taken=2, is_empty=True)
    assert set(run.letters.bodies) == {"m-003", "m-014"}
    assert run.letters.hidden == set()


def test_a_queue_that_takes_nothing_ends_the_run_with_everything_in_place() -> None:
    """Three rounds, then it gives up."""
    run = Run(100)
    run.sender.refused = ("user",)

    assert run.replay() == Progress(not_taken=30)
    assert len(run.letters.bodies) == 100
    assert run.letters.hidden == set()


def test_a_crash_between_send_and_removal_loses_nothing_and_keeps_the_job_s_id() -> None:
    """The second run sends the same jobs: duplicates, which the ledger drops."""
    run = Run(5)
    run.letters.keeping = True

    assert run.replay().sent_and_kept == 5
    assert len(run.letters.bodies) == 5
    run.letters.hidden.clear()
    run.letters.keeping = False
    assert run.replay().sent == 5

    assert run.sent_ids() == [f"outgrow:default:{n}" for n in range(5)] * 2


class RemovesFirst(InMemoryDeadLetters):
    """Flawed on purpose: a receive removes the messages."""

    def receive(self, most: int, hidden_for: int) -> list[DeadLetter]:
        received = super().receive(most, hidden_for)
        self.remove(received)
        return received

    def release(self, letters: object) -> None:
        """Too late."""


@pytest.mark.parametrize(("queue", "left"), [(InMemoryDeadLetters, 5), (RemovesFirst, 0)])
def test_a_failing_send_keeps_the_messages(queue: type[InMemoryDeadLetters], left: int) -> None:
    """The negative control removes first, and loses them."""
    run = Run(0)
    run.letters = queue(bodies(5))
    run.sender.refused = ("user",)

    assert run.replay().not_taken == 5
    assert len(run.letters.bodies) == left


def test_a_replay_is_bounded_and_the_next_one_goes_on() -> None:
    """Thirteen, then the other twelve."""
    run = Run(25)

    first, second = run.replay(13), run.replay(13)

    assert (first.sent, first.is_empty) == (13, False)
    assert (second.sent, second.is_empty) == (12, True)
    assert len(set(run.sent_ids())) == len(run.sent_ids()) == 25


def test_what_was_sent_but_not_removed_is_not_sent_again_in_the_same_run() -> None:
    """When it is received again, it is only removed."""
    run = Run(3)

    class ComesUpAgain(InMemoryDeadLetters):
        def remove(self, letters: Sequence[DeadLetter]) -> frozenset[str]:
            if not self.keeping:
                return super().remove(letters)
            self.keeping = False
            self.release(letters)
            return frozenset()

    run.letters = ComesUpAgain(bodies(3))
    run.letters.keeping = True

    assert run.replay() == Progress(sent=3, is_empty=True)
    assert len(run.sent_ids()) == 3


def test_a_batch_has_at_most_ten_messages_and_one_mebibyte() -> None:
    """Sizes are bytes; one message over the margin goes alone."""
    small = [Outgoing("x", "outgrow")] * 10
    large = [Outgoing("ä" * 300_000, "outgrow")] * 2
    huge = [Outgoing("x" * 1_040_000, "outgrow")]

    assert batches(small) == [list(range(10))]
    assert batches(large) == [[0], [1]]
    assert batches([*huge, *small[:2]]) == [[0], [1, 2]]
    assert batches([]) == []
