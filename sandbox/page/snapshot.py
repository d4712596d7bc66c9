"""What the page shows, as one JSON value: people, the request log, limits, faults, tries."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from sandbox.braze.control import show_profile
from sandbox.braze.limits import FAMILIES, Bound, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pydantic import JsonValue

    from sandbox.braze.exchange import JsonObject
    from sandbox.braze.profiles import Origin, Profile
    from sandbox.braze.workspace import LoggedRequest, Workspace
    from sandbox.page.console import Try

ROWS: Final = 100
PEOPLE: Final = 12
EVENTS: Final = 50
DROPS: Final = 50
MESSAGES: Final = 50

_SUCCESS: Final = range(200, 300)
_TRACK: Final = "/users/track"
_REFUSED: Final = 400

State = Literal[
    "refused", "answered", "waiting", "retrying", "rejected", "under_way", "taken", "arrived"
]


class Left(NamedTuple):
    """An attribute or event that a request wrote to a profile."""

    profile: Profile
    kind: Literal["attribute", "event"]
    name: str
    value: JsonValue


@dataclass(frozen=True, slots=True)
class Journey:
    """The progress of a try.

    Attributes:
        attempt: The try.
        state: `refused` by the door; `answered` without a job; `waiting` for the first request to
            Braze; `retrying` after one that failed; `rejected` by Braze; `under_way`, for an
            acquisition; `taken` by Braze, not to be seen yet; `arrived`.
        rows: The requests about its person since, up to the one that succeeded.
        values: What the last of them left on a profile: values of attributes, properties of events.
    """

    attempt: Try
    state: State
    rows: Sequence[LoggedRequest]
    values: Sequence[Left]


def journey_of(attempt: Try, log: Sequence[LoggedRequest]) -> Journey:
    """Follow a try through the request log, by the identifiers in its body.

    Requests to Braze carry no job id. So another answer about the same person at the same time
    looks like this one.

    Args:
        log: The requests, oldest first; those before the try are passed over.
    """
    if attempt.status >= _REFUSED:
        return Journey(attempt, "refused", (), ())
    has_job = attempt.job_id is not None or '"accepted"' in attempt.answer
    rows: list[LoggedRequest] = []
    for row in log:
        if row.n <= attempt.since or not attempt.names_any(row.people):
            continue
        rows.append(row)
        if not attempt.is_acquisition and row.path == _TRACK and row.status in _SUCCESS:
            break
    last = rows[-1] if rows else None
    values: list[Left] = []
    state: State = "waiting" if has_job else "answered"
    if last is not None:
        state = "retrying"
        if last.status in _SUCCESS:
            values = [
                left
                for profile in _once(last.applied)
                if attempt.names_any(_identifiers(profile))
                for left in _left_by(profile, last.n)
            ]
            is_rejected = attempt.names_any(last.refused)
            state = "rejected" if is_rejected else "arrived" if values else "taken"
            if attempt.is_acquisition:
                state = "under_way"
    return Journey(attempt, state, rows, values)


def search(profiles: Iterable[Profile], text: str) -> tuple[int, list[Profile]]:
    """Find profiles by a part of an e-mail, phone, external id, alias or Braze id.

    Args:
        text: The text, in any case; empty finds all profiles.

    Returns:
        The number found, and the most recently updated of them.
    """
    wanted = text.strip().casefold()
    found = [
        profile
        for profile in profiles
        if not wanted or any(wanted in name.casefold() for name in _identifiers(profile))
    ]
    return len(found), heapq.nlargest(PEOPLE, found, key=lambda profile: profile.updated)


def snapshot(
    workspace: Workspace,
    tries: Iterable[Try],
    partners: Mapping[str, str],
    text: str,
) -> JsonObject:
    """Gather what the page shows.

    Args:
        partners: Which partner writes an attribute or event, by its name.
    """
    log = workspace.requests[-ROWS:]
    journeys = [journey_of(attempt, log) for attempt in tries]
    jobs = {
        (left.profile.braze_id, journey.rows[-1].n): journey.attempt
        for journey in journeys
        for left in journey.values
    }
    found, people = search(workspace.profiles, text)
    now = workspace.clock()
    return {
        "now": now,
        "counts": {
            "profiles": len(workspace.profiles),
            "requests": len(workspace.requests),
            "pending": workspace.pending,
            "dropped": len(workspace.dropped),
            "messages": len(workspace.messages),
        },
        "found": found,
        "people": [_person(profile, now, partners, jobs) for profile in people],
        "requests": [_row(row) for row in reversed(log)],
        "tries": [_journey(journey) for journey in reversed(journeys)],
        "faults": workspace.faults.listed(),
        "limits": [
            _limit(family, bound, standing)
            for family, standings in workspace.standings().items()
            for bound, standing in standings
        ],
        "messages": [
            {
                "n": message.n,
                "at": message.at,
                "path": message.path,
                "what": message.what,
                "recipients": list(message.recipients),
                "unknown": len(message.unknown),
            }
            for message in reversed(workspace.messages[-MESSAGES:])
        ],
        "dropped": [
            {
                "n": drop.n,
                "place": f"{drop.input_array}[{drop.index}]",
                "field": drop.field,
                "reason": drop.reason,
            }
            for drop in reversed(workspace.dropped[-DROPS:])
        ],
    }


def _identifiers(profile: Profile) -> tuple[str, ...]:
    given = (profile.external_id, profile.email, profile.phone, *profile.aliases.values())
    return (*(name for name in given if name), profile.braze_id)


def _left_by(profile: Profile, n: int) -> Iterator[Left]:
    values = profile.standard | profile.custom
    for name, origin in profile.origins.items():
        if origin.n == n and name in values:
            yield Left(profile, "attribute", name, values[name])
    for event in profile.events:
        if event.origin.n == n:
            yield Left(profile, "event", event.name, event.properties)


def _once(profiles: Iterable[Profile]) -> list[Profile]:
    return list({profile.braze_id: profile for profile in profiles}.values())


def _person(
    profile: Profile,
    now: float,
    partners: Mapping[str, str],
    jobs: Mapping[tuple[str, int], Try],
) -> JsonObject:
    def told(name: str, origin: Origin) -> JsonObject:
        attempt = jobs.get((profile.braze_id, origin.n))
        partner = attempt.path.split("/")[1] if attempt is not None else partners.get(name)
        job_id = None if attempt is None else attempt.job_id
        return {"n": origin.n, "at": origin.at, "partner": partner, "job_id": job_id}

    shown = show_profile(profile, now)
    events = shown["events"]
    latest = profile.events[-EVENTS:]
    return {
        **shown,
        "standard": {
            name: value
            for name, value in profile.standard.items()
            if name not in {"email", "phone"} or name in profile.origins
        },
        "updated_at": profile.updated_at,
        "origins": {name: told(name, origin) for name, origin in profile.origins.items()},
        "events": [
            {**event, "origin": told(known.name, known.origin)}
            for event, known in zip(
                events[-EVENTS:] if isinstance(events, list) else [], latest, strict=True
            )
            if isinstance(event, dict)
        ],
        "events_in_all": len(profile.events),
    }


def _row(row: LoggedRequest) -> JsonObject:
    return {
        **row.public(),
        "ms": row.ms,
        "met_fault": row.met_fault,
        "refused": len(row.refused),
    }


def _journey(journey: Journey) -> JsonObject:
    attempt = journey.attempt
    return {
        "k": attempt.k,
        "at": attempt.at,
        "path": attempt.path,
        "status": attempt.status,
        "ms": attempt.ms,
        "answer": attempt.answer,
        "job_id": attempt.job_id,
        "state": journey.state,
        "requests": [_row(row) for row in journey.rows],
        "values": [
            {
                "braze_id": left.profile.braze_id,
                "kind": left.kind,
                "name": left.name,
                "value": left.value,
            }
            for left in journey.values
        ],
    }


def _limit(family: str, bound: Bound, standing: Standing) -> JsonObject:
    return {
        "family": family,
        "paths": [path for path, its in FAMILIES.items() if its == family],
        "requests": bound.limit.requests,
        "seconds": bound.limit.seconds,
        "remaining": standing.remaining,
        "resets_at": standing.resets_at,
        "is_enforced": bound.is_enforced,
    }
