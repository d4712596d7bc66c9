"""Judges a campaign by what Braze took, and tells the history of a person."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from braze_bridge.observability import Metric
from braze_delivery.batch import DEADLINE_MARGIN
from sandbox.braze.api import TRACK
from sandbox.braze.profiles import Identifier
from tests.campaign.answers import BEGIN, MARKER_KEY, POISON_KEY, SECONDS, marker_of
from tests.campaign.aws_models import GATE
from tests.campaign.braze_model import CLEAR
from tests.campaign.histories import history_of
from tests.campaign.lambdas import FUNCTION_TIMEOUT, audit, fingerprints_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from braze_bridge.jobs.rejected import RejectedRecord
    from braze_delivery.reporting import BatchResult
    from tests.campaign.answers import Answer, Person, PlannedEvent
    from tests.campaign.braze_model import Sent
    from tests.campaign.campaign import Campaign
    from tests.campaign.invocations import Invocation

GATE_SECONDS: Final = 1.1
"""No request starts later after a closing is written (:mod:`braze_bridge.gate.shared`)."""

SKEW_SECONDS: Final = 1.1
"""Clocks of two Lambdas differ by less."""

NETWORK_SECONDS: Final = 0.2

LONGEST_END: Final = 4 * 3_600.0
"""Seconds after the last fault in which every job ends."""

MOST_COMPARED: Final = 30
"""The shortest history is looked for among so many of a kind."""


@dataclass(frozen=True)
class Violation:
    """A broken promise."""

    kind: str
    person: str
    text: str


@dataclass
class Verdict:
    """What a campaign found.

    Attributes:
        figures: Of the run, by name.
        histories: One for each kind of violation.
    """

    violations: list[Violation]
    figures: dict[str, int]
    histories: list[str] = field(default_factory=list)

    @property
    def kinds(self) -> Counter[str]:
        """How often each promise was broken."""
        return Counter(each.kind for each in self.violations)

    def __str__(self) -> str:
        """The verdict for people."""
        lines = [", ".join(f"{value} {name}" for name, value in self.figures.items())]
        lines += [f"BROKEN {kind}: {count}" for kind, count in self.kinds.items()]
        return "\n".join(lines + self.histories)


class Judge:
    """Notes what is wrong during a run, and looks at the record at its end."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._violations: list[Violation] = []
        self._answers = {each.name: each.answer for each in campaign.plan.messages}
        self._received: dict[int, list[float]] = {}
        for each in campaign.plan.messages:
            if each.answer is not None:
                self._received.setdefault(each.answer.number, []).append(each.sent_at)
        self._outcomes: dict[str, str] = {}
        self._events: Counter[str] = Counter()

    def broken(self, kind: str, person: str, text: str) -> None:
        """Note a broken promise."""
        self._violations.append(Violation(kind, person, text))

    # -- after each batch ------------------------------------------------------------------------

    def check_batch(self, invocation: Invocation, result: BatchResult) -> None:
        """Compare a batch's figures with the truth."""
        outcomes = {
            "delivered": result.delivered,
            "duplicate": result.duplicate,
            "rejected": result.rejected,
            "retried": result.retried,
        }
        where = f"invocation {invocation.number}: {outcomes}"
        if not len(invocation.messages) == result.received == sum(outcomes.values()):
            self.broken("sum of a batch", "", f"{where}, of {len(invocation.messages)}")
        truth = {
            "requests": (result.requests, invocation.requests),
            "rate_limited": (result.rate_limited, invocation.limited),
            Metric.JOBS_DELIVERED: (
                sum(
                    count
                    for (_, metric), count in invocation.meter.by_partner.items()
                    if metric is Metric.JOBS_DELIVERED
                ),
                result.delivered,
            ),
        }
        for name, (told, true) in truth.items():
            if told != true:
                self.broken("figure", "", f"{where}: {name} is {told}, not {true}")
        for _, row, _ in result.parked:
            if row not in self._campaign.rejected.records:
                self.broken("parked without a row", "", f"{where}: {row}")
        for figures in result.by_partner.values():
            for outcome, names in figures.jobs.items():
                for name in names:
                    self._check_claim(invocation, name, outcome)

    def _check_claim(self, invocation: Invocation, name: str, outcome: str) -> None:
        """Check that a job whose message is deleted is where the batch says."""
        answer = self._answers[name]
        assert answer is not None
        if outcome == "retried":
            return
        self._outcomes[name] = outcome
        kept = self._campaign.braze.taken.keys() | self._campaign.rejected.markers
        missing = [
            each.marker for each in answer.events if not each.poison and each.marker not in kept
        ]
        if missing and self._comes_with_another(answer):
            missing = []
        if outcome == "delivered" and (missing or self._missing_attributes(answer)):
            text = f"invocation {invocation.number} says that {name} is delivered; missing: "
            self.broken("delivered", answer.person.name, f"{text}{missing or 'attributes'}")

    def _comes_with_another(self, answer: Answer) -> bool:
        """Check that a job of the same response with other content still waits."""
        waiting = (
            each.message.answer for each in self._campaign.queue.messages.values() if not each.ended
        )
        return any(
            each is not None and each.number != answer.number and each.first == answer.first
            for each in waiting
        )

    def _missing_attributes(self, answer: Answer) -> bool:
        if answer.poison:
            return False
        answers = self._campaign.plan.answers
        return any(
            all(
                answers[value].at < answer.at
                for value in self._campaign.braze.values.get((answer.person.name, name), ())
            )
            for name in answer.attributes
        )

    # -- at the end ------------------------------------------------------------------------------

    def verdict(self) -> Verdict:
        """Judge the whole run."""
        campaign = self._campaign
        campaign.braze.workspace.settle()
        self._events = Counter(
            str(event.properties[MARKER_KEY])
            for profile in campaign.braze.workspace.profiles
            for event in profile.events
        )
        for profile in campaign.braze.workspace.profiles:
            self._events.update({name: each.count for name, each in profile.purchases.items()})
        rows = [_content(each) for each in campaign.rejected.records.values()]
        self._check_queue()
        self._check_invocations()
        self._check_requests()
        doubled = self._check_events(rows)
        self._check_rejections(rows)
        valid: dict[Person, list[Answer]] = {}
        for answer in campaign.plan.answers:
            if not answer.poison:
                valid.setdefault(answer.person, []).append(answer)
        for person, answers in valid.items():
            self._check_attributes(person, answers)
        self._check_memory()
        self._check_log()
        outcomes = Counter(self._outcomes.values())
        figures = {
            "messages": len(campaign.queue.messages),
            "delivered": outcomes["delivered"],
            "duplicate": outcomes["duplicate"],
            "rejected": outcomes["rejected"],
            "invocations": len(campaign.invocations),
            "killed": sum(each.killed for each in campaign.invocations),
            "unrecorded": sum(
                each.result.unrecorded for each in campaign.invocations if each.result
            ),
            "requests": len(campaign.braze.sent),
            "events": sum(len(each.events) for each in campaign.plan.answers),
            "events doubled after an unknown outcome": doubled,
            "minutes until the last message ended": round((campaign.ended_at - BEGIN) / 60),
            "gates opened by hand": len(self._campaign.opened_by_hand),
        }
        return Verdict(self._violations, figures, self._histories())

    def _check_queue(self) -> None:
        """Check that each message ends, and each job soon after the last fault."""
        for queued in self._campaign.queue.messages.values():
            message = queued.message
            person = "" if message.answer is None else message.answer.person.name
            if queued.ended != "done":
                where = queued.ended or "still in the queue"
                text = f"{message.name} is {where} after {queued.receives} receives"
                self.broken("message does not end", person, text)
            elif message.kind == "job" and queued.ended_at > BEGIN + SECONDS + LONGEST_END:
                text = f"{message.name} ends after {queued.receives} receives"
                self.broken("job ends too late", person, text)

    def _check_invocations(self) -> None:
        for each in self._campaign.invocations:
            if each.failure:
                self.broken("exception", "", f"invocation {each.number}: {each.failure}")

    def _check_requests(self) -> None:
        table = self._campaign.table
        closings = self._closings()
        for sent in self._campaign.braze.sent:
            where = f"request {sent.number} of invocation {sent.invocation.number}"
            person = sent.objects[0][0] if sent.objects else ""
            begin, end = sent.started_at - GATE_SECONDS, sent.started_at + SKEW_SECONDS
            if sent.path == TRACK and table.closed_throughout(begin, end):
                self.broken("behind a closed gate", person, f"{where}: the gate says so")
            for closing in closings:
                if (
                    sent.path == closing.path == TRACK
                    and closing.answered_at <= begin
                    and end < closing.closed_until
                ):
                    text = f"{where}: {closing.status} to request {closing.number}"
                    self.broken("behind a closed gate", person, text)
                    break
            end = sent.invocation.began_at + FUNCTION_TIMEOUT - DEADLINE_MARGIN + NETWORK_SECONDS
            if sent.arrived_at > end:
                text = f"{where} arrives {sent.arrived_at - end:.1f} s after its deadline"
                self.broken("late request", person, text)

    def _closings(self) -> list[Sent]:
        """Find the answers that all Lambdas must know of, cut where an operator opened the gate.

        A Lambda that dies, or whose write fails, cannot tell the others.
        """
        closings = []
        for sent in self._campaign.braze.sent:
            invocation = sent.invocation
            is_told = not invocation.is_interrupted and GATE not in invocation.link.doubtful
            if sent.closed_until and sent.answered and is_told:
                opened = [at for at in self._campaign.opened_by_hand if at > sent.answered_at]
                sent.closed_until = min([sent.closed_until, *opened])
                closings.append(sent)
        return closings

    def _check_events(self, rows: list[RowContent]) -> int:
        """Check that each event counts once, or is parked; return how many doubles are excused."""
        campaign = self._campaign
        doubts, parkable = self._doubts()
        parked = {
            marker for row in rows if "unknown_outcome" in row.codes for marker in row.markers
        }
        excused = 0
        for answer, event in self._valid_events():
            taken = self._events[event.marker]
            person = answer.person.name
            # Braze drops an event that may not create the person if there is none yet.
            if answer.person.creates == "always":
                is_lost = not taken
            else:
                is_lost = not campaign.braze.taken[event.marker]
            if is_lost and event.marker not in parked:
                self.broken("lost event", person, event.marker)
            may_double = campaign.may_double and not event.is_purchase
            most = 1 + (doubts[event.marker] if may_double else 0)
            if taken > most:
                text = f"{event.marker} counts {taken} times, {doubts[event.marker]} in doubt"
                self.broken("doubled event", person, text)
            elif taken > 1:
                excused += 1
            if event.marker in parked and event.marker not in parkable:
                self.broken("parked without a doubt", person, event.marker)
        return excused

    def _valid_events(self) -> Iterator[tuple[Answer, PlannedEvent]]:
        """List each event once, also if several answers have it."""
        found: dict[str, tuple[Answer, PlannedEvent]] = {}
        for answer in self._campaign.plan.answers:
            for event in answer.events:
                if not event.poison:
                    found.setdefault(event.marker, (answer, event))
        yield from found.values()

    def _doubts(self) -> tuple[Counter[str], set[str]]:
        """Find the events whose outcome delivery could not know.

        Returns:
            Marker to how often; and those that may be parked, also since nobody knows whether they
            were sent.
        """
        campaign = self._campaign
        ids = fingerprints_of({each.name: each.user.key for each in campaign.plan.people})
        doubts: Counter[str] = Counter()
        parkable: set[str] = set()
        for sent in campaign.braze.sent:
            invocation = sent.invocation
            unclear = not sent.answered or sent.fault not in CLEAR or _has_uncounted(sent)
            for person, array, item in sent.objects:
                if array != "attributes":
                    marker = marker_of(item)
                    is_forgotten = ids[person] in invocation.link.doubtful
                    if unclear or invocation.is_interrupted or is_forgotten:
                        doubts[marker] += 1
        parkable |= doubts.keys()
        for invocation in campaign.invocations:
            for message in invocation.messages:
                held = campaign.queue.messages[message.message_id].message.answer
                if held is not None and (
                    invocation.is_interrupted or ids[held.person.name] in invocation.link.doubtful
                ):
                    parkable |= {event.marker for event in held.events}
        return doubts, parkable

    def _check_rejections(self, rows: list[RowContent]) -> None:
        """Check that exactly the poison is rejected."""
        events = {
            each.marker: (answer, each)
            for answer in self._campaign.plan.answers
            for each in answer.events
        }
        refused: set[str] = set()
        for row in rows:
            refused |= set(row.markers)
            for marker in () if "unknown_outcome" in row.codes else row.markers:
                answer, event = events[marker]
                if not event.poison:
                    self.broken("innocent rejected", answer.person.name, f"{marker}: {row.codes}")
            if row.number is not None:
                answer = self._campaign.plan.answers[row.number]
                refused.add(f"attributes of {row.number}")
                if not answer.poison:
                    text = f"attributes of {row.number}: {row.codes}"
                    self.broken("innocent rejected", answer.person.name, text)
        for answer in self._campaign.plan.answers:
            parts = [(f"attributes of {answer.number}", answer.poison)]
            parts += [(each.marker, each.poison) for each in answer.events]
            for name, poison in parts:
                if poison and name not in refused:
                    self.broken("poison without a row", answer.person.name, f"{name} ({poison})")

    def _check_attributes(self, person: Person, answers: list[Answer]) -> None:
        """Check that each attribute has the newest value, of the same time the last received."""
        profile = self._profile(person)
        wanted: dict[str, Answer] = {}
        for answer in answers:
            for name in answer.attributes if answer.may_create else ():
                if name not in wanted or self._first(answer) > self._first(wanted[name]):
                    wanted[name] = answer
        for name, newest in wanted.items():
            # Braze drops a value that may not create the person if there is none yet. Of an answer
            # that the vendor repeats, any message may be the one that is delivered.
            allowed = {
                each.number
                for each in answers
                if name in each.attributes and self._last(each) >= self._first(newest)
            }
            if profile.get(name) not in allowed:
                text = f"{name} is {profile.get(name)}, not {newest.number}"
                self.broken("older value", person.name, text)

    def _first(self, answer: Answer) -> tuple[float, float]:
        return answer.at, min(self._received[answer.number])

    def _last(self, answer: Answer) -> tuple[float, float]:
        return answer.at, max(self._received[answer.number])

    def _check_memory(self) -> None:
        """Check that the ledger remembers the newest times of each delivered job."""
        answers = [
            answer
            for name, outcome in self._outcomes.items()
            if outcome == "delivered" and (answer := self._answers[name]) is not None
        ]
        received = {number: min(times) for number, times in self._received.items()}
        for answer in audit(self._campaign, answers, received):
            text = f"the ledger forgot the times of answer {answer.number}"
            self.broken("forgotten times", answer.person.name, text)

    def _profile(self, person: Person) -> dict[str, Any]:
        kind, *label, value = person.user.key
        name = Identifier(kind, value, *label)  # type: ignore[arg-type]  # one of the kinds
        profile = self._campaign.braze.workspace.profiles.find(name)
        return {} if profile is None else dict(profile.custom)

    def _check_log(self) -> None:
        text = self._campaign.log.text
        for secret in ("@example.com", "+1555", "the-key-of-the-campaign", '"score"'):
            if secret in text:
                self.broken("personal data in the log", "", secret)

    # -- histories -------------------------------------------------------------------------------

    def _histories(self) -> list[str]:
        """Tell the shortest history of each kind of broken promise."""
        told = []
        for kind in dict.fromkeys(each.kind for each in self._violations):
            some = [each for each in self._violations if each.kind == kind][:MOST_COMPARED]
            found = [
                (history_of(self._campaign, each.person) if each.person else [], each)
                for each in some
            ]
            lines, each = min(found, key=lambda pair: len(pair[0]))
            told.append("\n".join([f"--- {kind}: {each.text} ({each.person})", *lines]))
        return told


@dataclass(frozen=True)
class RowContent:
    """What a row of the rejected table holds.

    Attributes:
        markers: Of its events.
        number: Of the answer whose attributes it holds.
        codes: Of its reasons.
    """

    markers: tuple[str, ...]
    number: int | None
    codes: tuple[str, ...]


def _content(record: RejectedRecord) -> RowContent:
    codes = tuple(each.code for each in record.reasons)
    if record.kind != "objects":
        return RowContent((), None, codes)
    job = json.loads(record.payload)
    number = int(job["correlation_id"].partition(".")[0]) if job["attributes"] else None
    return RowContent(
        tuple(
            map(marker_of, [*job["events"], *(each["object"] for each in job.get("objects", ()))])
        ),
        number,
        codes,
    )


def _has_uncounted(sent: Sent) -> bool:
    return any(
        "uncounted" in {item.get(POISON_KEY), item.get("properties", {}).get(POISON_KEY)}
        for _, _, item in sent.objects
    )
