"""The requests to Braze that a captured body would become, byte for byte. Pure: no network.

It runs the functions' own code: the partner's mapping, then delivery's merging and packing. The
person has no earlier answers.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.braze.limits import USERS_TRACK
from braze_bridge.jobs.envelope import split_job
from braze_bridge.jobs.rejected import RejectedRecord
from braze_bridge.ledger.port import PersonState
from braze_bridge.mapping.attributes import DETAILS
from braze_bridge.mapping.outcomes import Ignored, Mapped, Unmappable
from braze_bridge.reasons import Reason
from braze_bridge.web.door import MAX_BODY_BYTES
from braze_bridge.web.json_text import whole_text
from braze_delivery.entry import BatchEntry, Chunk
from braze_delivery.merging import merge
from braze_delivery.packing import pack
from braze_delivery.reading import read_job

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from braze_bridge.jobs.envelope import DeliveryJob
    from braze_bridge.mapping.attributes import Skip
    from braze_bridge.mapping.outcomes import Outcome
    from braze_delivery.packing import RequestPlan, TrackObject
    from ops.preview.body_mappings import BodyMappings

CORRELATION_ID: Final = "preview"

_TOO_LARGE: Final = Reason(code="too_large", detail=f"more than {MAX_BODY_BYTES} bytes")


class BrazeRequest(NamedTuple):
    """One request as it would be sent, without the headers (they hold the key).

    Attributes:
        objects: Attributes and events together.
        body: The JSON, byte for byte.
    """

    path: str
    objects: int
    body: bytes

    def __repr__(self) -> str:
        # Tracebacks print a repr; they must not hold a body.
        return f"BrazeRequest({self.path}, {self.objects} object(s))"


class Preview(NamedTuple):
    """What would happen to a body.

    Attributes:
        status: The answer to the partner.
        result: ``accepted``, ``ignored``, ``parked`` (answered 422 and kept) or ``refused``.
        requests: To Braze, in order.
        skipped: Names of values that would be left out or replaced, and of unusable identifiers.
        reasons: Why there is no job, or why a part is missing.
    """

    status: HTTPStatus
    result: str
    job_id: str | None = None
    requests: tuple[BrazeRequest, ...] = ()
    skipped: tuple[Reason, ...] = ()
    reasons: tuple[Reason, ...] = ()


def preview(
    body: bytes, *, source: str, route: str, mappings: BodyMappings, now: datetime
) -> Preview:
    """Work out what would happen to a body with the right token.

    Args:
        body: As captured.
        source: The partner.
        route: The route of the call, such as ``/outgrow/CONTENT``.
        mappings: The partners' mappings, by the files to try.
        now: The time of the call.

    Raises:
        ConfigError: The partner's file has mistakes.
    """
    if len(body) > MAX_BODY_BYTES:
        return Preview(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "refused", reasons=(_TOO_LARGE,))
    try:
        text, _ = whole_text(body.decode("utf-8-sig", "surrogatepass"))
    except UnicodeDecodeError:
        detail = "the body is not JSON in UTF-8"
        return Preview(
            HTTPStatus.BAD_REQUEST, "refused", reasons=(Reason(code="not_json", detail=detail),)
        )
    return of_outcome(mappings.outcome(record_of(text, source=source, route=route, now=now)))


def record_of(text: str, *, source: str, route: str, now: datetime) -> RejectedRecord:
    """Make a record of a body, as if it was parked just now; the mappings take such records."""
    return RejectedRecord(
        id=f"body:{hashlib.sha256(text.encode()).hexdigest()}",
        kind="body",
        source=source,
        route=route,
        payload=text,
        reasons=(Reason(code="previewed"),),
        correlation_id=CORRELATION_ID,
        first_seen=now,
        last_seen=now,
    )


def of_outcome(outcome: Outcome) -> Preview:
    """Work out what would happen to a body with this outcome of its mapping."""
    match outcome:
        case Mapped(job, skips, notes):
            requests, refused = requests_for(job)
            skipped = (*_explained(skips), *notes)
            return Preview(HTTPStatus.OK, "accepted", job.job_id, requests, skipped, refused)
        case Ignored(code):
            return Preview(HTTPStatus.OK, "ignored", reasons=(Reason(code=code),))
        case Unmappable(reasons, skips):
            if any(reason.code == "not_json" for reason in reasons):
                return Preview(HTTPStatus.BAD_REQUEST, "refused", reasons=reasons)
            return Preview(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "parked",
                skipped=_explained(skips),
                reasons=reasons,
            )


def requests_for(job: DeliveryJob) -> tuple[tuple[BrazeRequest, ...], tuple[Reason, ...]]:
    """Build the requests of a single job, and the reasons for parts that can never be sent."""
    requests: list[BrazeRequest] = []
    refused: list[Reason] = []
    for part in split_job(job):
        entry = BatchEntry(0, read_job(part.to_json()), part.user.key, Chunk({}))
        merged = merge(entry.key, [entry], PersonState())
        requests += [
            BrazeRequest(USERS_TRACK, len(each.objects), each.request().body())
            for each in _requests(merged.pieces)
        ]
        refused += [reason for _, reason in entry.refused]
    return tuple(requests), tuple(refused)


def _requests(pieces: Sequence[Sequence[TrackObject]]) -> Iterator[RequestPlan]:
    """Pack the objects; those of a person that do not fit into a request are a later batch's."""
    while pieces:
        sent: set[int] = set()
        for plan in pack(pieces):
            sent.update(map(id, plan.objects))
            yield plan
        left = [[item for item in piece if id(item) not in sent] for piece in pieces]
        pieces = [piece for piece in left if piece]


def _explained(skips: Iterable[Skip]) -> tuple[Reason, ...]:
    return tuple(
        Reason(
            code=skip.code,
            field=skip.name,
            detail=DETAILS.get(skip.code, skip.code)
            + ("; the configured default is sent instead" if skip.default_used else ""),
        )
        for skip in skips
    )
