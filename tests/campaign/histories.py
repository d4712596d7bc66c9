"""What happened to one person in a campaign, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.campaign.answers import ATTRIBUTES, BEGIN, POISON_KEY, marker_of
from tests.campaign.lambdas import fingerprints_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.campaign.braze_model import Sent
    from tests.campaign.campaign import Campaign
    from tests.campaign.invocations import Invocation

Line = tuple[float, str]
"""When, and what."""


def history_of(campaign: Campaign, person: str) -> list[str]:
    """Tell what happened to a person, in order; times are seconds since the campaign's begin."""
    lines = [
        *_messages(campaign, person),
        *(line for sent in campaign.braze.sent for line in _request(sent, person)),
        *(line for each in campaign.invocations for line in _invocation(campaign, each, person)),
    ]
    return [f"{at - BEGIN:12.3f}  {text}" for at, text in sorted(lines)]


def _messages(campaign: Campaign, person: str) -> Iterator[Line]:
    for message in campaign.plan.messages:
        answer = message.answer
        if answer is not None and answer.person.name == person:
            events = [
                each.marker + f"({each.poison})" * bool(each.poison) for each in answer.events
            ]
            attributes = [*answer.attributes, *([f"({answer.poison})"] if answer.poison else [])]
            what = f"attributes {attributes}, events {events}"
            yield message.sent_at, f"queue: {message.name}, of {answer.at - BEGIN:.3f}; {what}"


def _request(sent: Sent, person: str) -> Iterator[Line]:
    shown = ATTRIBUTES | {POISON_KEY}
    objects = [
        marker_of(item) or {name: value for name, value in item.items() if name in shown}
        for each, _, item in sent.objects
        if each == person
    ]
    if objects:
        arrived = f"arrives {sent.arrived_at - BEGIN:.3f}" if sent.arrived_at else "never arrives"
        end = f"status {sent.status}" if sent.answered else "no answer"
        where = f"request {sent.number} of invocation {sent.invocation.number} {arrived}"
        yield sent.started_at, f"  {where}: {objects}; fault {sent.fault or 'none'}, {end}"


def _invocation(campaign: Campaign, invocation: Invocation, person: str) -> Iterator[Line]:
    messages = []
    for each in invocation.messages:
        message = campaign.queue.messages[each.message_id].message
        if message.answer is not None and message.answer.person.name == person:
            messages.append((message, each.receive_count))
    if not messages:
        return
    name = f"invocation {invocation.number}"
    received = ", ".join(f"{message.name} (receive {count})" for message, count in messages)
    yield invocation.began_at, f"{name} on {invocation.environment}: {received}"
    notes = ["killed"] * invocation.killed + ["frozen"] * invocation.frozen
    result = invocation.result
    if result is None:
        notes.append(invocation.failure or "no result")
    else:
        outcomes = {
            each: outcome
            for figures in result.by_partner.values()
            for outcome, names in figures.jobs.items()
            for each in names
        }
        notes += [f"{message.name} {outcomes.get(message.name)}" for message, _ in messages]
        if result.held_up or result.unrecorded:
            notes.append(f"{result.unrecorded} unrecorded, held up: {result.held_up}")
    people = {each.name: each.user.key for each in campaign.plan.people}
    if fingerprints_of({person: people[person]})[person] in invocation.link.doubtful:
        notes.append("a write of the person failed")
    yield invocation.ended_at or 0.0, f"{name} ends: {', '.join(notes)}"
