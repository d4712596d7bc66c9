"""The answers of a campaign: who answers what and when, and the messages that carry it.

Some parts of some answers are poison: Braze refuses them, each kind in its own way.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from braze_bridge.jobs.envelope import DeliveryJob, JobEvent, JobObject, JobUser, UserAlias

if TYPE_CHECKING:
    from random import Random

BEGIN: Final = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
"""The first message may come then."""

SECONDS: Final = 10_800.0
"""Three hours of answers and faults. Then everything must drain."""

Poison = Literal["", "named", "nameless", "uncounted", "too_long"]
"""How a part is refused: Braze names it, refuses the whole request, takes the others and names
none, or our own client finds it too long."""

POISONS: Final[tuple[Poison, ...]] = ("named", "nameless", "uncounted", "too_long")
ATTRIBUTES: Final = frozenset({"score", "city", "plan", "step", "level"})
EVENTS: Final = ("answered", "finished", "won")

POISON_KEY: Final = "poison"
MARKER_KEY: Final = "marker"


@dataclass(frozen=True)
class Person:
    """One person, known by one identifier.

    Attributes:
        creates: Whether answers may create the person: each, some or none.
    """

    number: int
    user: JobUser
    creates: Literal["always", "sometimes", "never"]

    @property
    def name(self) -> str:
        """The identifier's kind and value."""
        return ":".join(self.user.key)


@dataclass(frozen=True)
class PlannedEvent:
    """An event, or a purchase. It is known at Braze by its marker.

    Attributes:
        marker: A property of the event, or the purchase's product.
        is_purchase: The job has it as an object, which is sent at most once.
    """

    marker: str
    name: str
    at: float
    poison: Poison = ""
    is_purchase: bool = False


@dataclass(frozen=True)
class Answer:
    """One answer of one person. Each of its attributes has the answer's number as its value.

    Attributes:
        at: When the person answered, epoch seconds.
        poison: Of its attributes.
        version: Of its job.
        response: The number of the first answer with these events: the vendor sent this one again
            with other attributes.
    """

    number: int
    person: Person
    at: float
    attributes: tuple[str, ...]
    events: tuple[PlannedEvent, ...]
    may_create: bool
    poison: Poison = ""
    version: Literal[1, 2] = 2
    response: int = -1

    @property
    def first(self) -> int:
        """The number of the first answer of its response."""
        return self.number if self.response < 0 else self.response

    @property
    def job_id(self) -> str:
        """Of its job."""
        response = f"outgrow:quiz:{self.first}"
        return response if self.version == 1 else f"{response}:{self.number:08x}"


@dataclass(frozen=True)
class Message:
    """A message for the queue.

    Attributes:
        sent_at: Epoch seconds.
        name: Its correlation id.
        answer: What it carries; ``None`` for a message that delivery cannot read.
        kind: ``later`` is a job of a version that does not exist yet.
    """

    sent_at: float
    name: str
    body: str
    answer: Answer | None = None
    kind: Literal["job", "unreadable", "later"] = "job"


@dataclass
class Plan:
    """Everything that enters the queue."""

    people: list[Person] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)


def plan_answers(random: Random, count: int, begin: float, seconds: float) -> Plan:
    """Plan about so many messages.

    Args:
        random: The seed's.
        count: Of messages. A tenth are repeats.
        begin: When the first arrives.
        seconds: Between the first and the last.
    """
    plan = Plan()
    plan.people = [_person(random, number) for number in range(max(count // 4, 2))]
    hot = plan.people[: max(len(plan.people) // 100, 1)]
    while len(plan.messages) < count:
        person = random.choice(hot if random.random() < 0.05 else plan.people)
        received = begin + random.random() * seconds
        occurred: float | None = None
        for at in [
            received,
            *([received + random.random() * 300] if random.random() < 0.1 else []),
        ]:
            # The second one, which is older, newer or of the same time, comes soon after the first.
            answer = _answer(random, len(plan.answers), person, at)
            if occurred is not None and random.random() < 0.3:
                answer = replace(answer, at=occurred)
            occurred = answer.at
            plan.answers.append(answer)
            plan.messages += _messages(random, answer, at)
            if answer.version > 1 and random.random() < 0.05:
                again = at + random.choice((1, 30, 600)) * random.random()
                changed = _changed(random, answer, len(plan.answers), again)
                plan.answers.append(changed)
                plan.messages += _messages(random, changed, again)
        if random.random() < 0.002:
            plan.messages.append(_odd_message(random, len(plan.messages), received))
    plan.messages.sort(key=lambda each: (each.sent_at, each.name))
    return plan


def _person(random: Random, number: int) -> Person:
    kind = random.choices(("external_id", "email", "alias", "phone"), (70, 15, 10, 5))[0]
    user = {
        "external_id": lambda: JobUser(external_id=f"user-{number}"),
        "email": lambda: JobUser(email=f"user{number}@example.com"),
        "alias": lambda: JobUser(
            user_alias=UserAlias(alias_name=f"user-{number}", alias_label="outgrow")
        ),
        "phone": lambda: JobUser(phone=f"+1555{number:07}"),
    }[kind]()
    return Person(number, user, random.choices(("always", "sometimes", "never"), (85, 12, 3))[0])


def _answer(random: Random, number: int, person: Person, received: float) -> Answer:
    at = received - random.choice((1, 60, 3_600)) * random.random() - 0.001
    kinds: list[Poison] = [
        random.choice(("named", *POISONS)) if random.random() < 0.02 else "" for _ in "ae"
    ]
    most = 90 if random.random() < 0.001 else random.choice((0, 0, 1, 1, 2, 4))
    events = tuple(
        PlannedEvent(
            f"a{number}e{position}",
            random.choice(EVENTS),
            at - position / 1000,
            kinds[1] if position == 0 else "",
        )
        for position in range(most)
    )
    attributes = random.sample(
        sorted(ATTRIBUTES), random.choice((1, 2, 3) if not events else (0, 1, 2, 3))
    )
    version: Literal[1, 2] = 2 if random.random() < 0.9 else 1
    if version > 1 and random.random() < 0.05:
        events += (PlannedEvent(f"a{number}p", "", at, is_purchase=True),)
    may_create = {"always": True, "never": False}.get(person.creates, random.random() < 0.5)
    return Answer(
        number,
        person,
        round(at, 3),
        tuple(attributes),
        events,
        may_create,
        kinds[0] if attributes else "",
        version,
    )


def _changed(random: Random, answer: Answer, number: int, received: float) -> Answer:
    """Make the answer that the vendor sends again with other attributes and the same events."""
    attributes = tuple(random.sample(sorted(ATTRIBUTES), 2))
    at = round(received - 0.001, 3)
    return replace(
        answer,
        number=number,
        at=at,
        attributes=attributes,
        events=tuple(each for each in answer.events if not each.is_purchase),
        poison="",
        response=answer.first,
    )


def _messages(random: Random, answer: Answer, received: float) -> list[Message]:
    """Make the message of an answer, and those of the vendor's repeats."""
    times = [received]
    while random.random() < 0.1:
        times.append(received + random.choice((1, 30, 600, 7_200)) * random.random())
    return [
        Message(at, name, job_of(answer, at, name).to_json(), answer)
        for name, at in ((f"{answer.number}.{n}", at) for n, at in enumerate(times))
    ]


def _odd_message(random: Random, number: int, received: float) -> Message:
    name = f"odd-{number}"
    if random.random() < 0.5:
        body = random.choice(("{", "[2]", '{"schema_version": 0}', json.dumps({"job_id": name})))
        return Message(received, name, body + " " * number, None, "unreadable")
    later = {"schema_version": 9, "job_id": name, "received_at": _instant(received).isoformat()}
    return Message(received, name, json.dumps(later), None, "later")


def job_of(answer: Answer, received: float, correlation_id: str) -> DeliveryJob:
    """Make the job that an ingest function makes of an answer."""
    attributes: dict[str, Any] = dict.fromkeys(answer.attributes, answer.number)
    if answer.poison == "too_long":
        attributes["x" * 300] = 1
    elif answer.poison:
        attributes[POISON_KEY] = answer.poison
    return DeliveryJob(
        schema_version=answer.version,
        sender=None if answer.version == 1 else "outgrow_ingest",
        job_id=answer.job_id,
        source="outgrow" if answer.number % 3 else "iterate",
        occurred_at=_instant(answer.at),
        received_at=_instant(received),
        correlation_id=correlation_id,
        user=answer.person.user.model_copy(update={"may_create": answer.may_create}),
        attributes=attributes,
        events=tuple(_event(answer, each) for each in answer.events if not each.is_purchase),
        objects=tuple(_purchase(each) for each in answer.events if each.is_purchase),
    )


def _event(answer: Answer, planned: PlannedEvent) -> JobEvent:
    properties: dict[str, Any] = {MARKER_KEY: planned.marker}
    if planned.poison:
        properties[POISON_KEY] = planned.poison
    name = "x" * 300 if planned.poison == "too_long" else planned.name
    id_ = None if answer.version == 1 else f"outgrow:quiz:{planned.marker}"
    return JobEvent(id=id_, name=name, time=_instant(planned.at), properties=properties)


def _purchase(planned: PlannedEvent) -> JobObject:
    price: dict[str, Any] = {
        "currency": "EUR",
        "price": 1,
        "time": _instant(planned.at).isoformat(),
    }
    return JobObject(array="purchases", object={"product_id": planned.marker, **price})


def marker_of(item: dict[str, Any]) -> str:
    """Find the marker of an event or a purchase, at Braze or in a job; empty for attributes."""
    return str(item.get("product_id") or item.get("properties", {}).get(MARKER_KEY, ""))


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(round(seconds, 3), UTC)
