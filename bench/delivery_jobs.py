"""The jobs of the delivery benchmark, and the same as ready-made bodies for Braze."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from braze_bridge.jobs.envelope import DeliveryJob, JobEvent, JobUser
from braze_bridge.ledger.fingerprints import Fingerprints
from braze_bridge.ledger.person_memory import BLANK, encode

SECRET: Final = "a-key-of-the-benchmark"  # noqa: S105 - it keys nothing
OBJECTS_PER_REQUEST: Final = 75
EARLIER_JOBS: Final = 3
EARLIER_NAMES: Final = 5
"""Beside the names of the jobs."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What kinds of jobs a batch has. The kinds are independent of each other.

    Attributes:
        table: Name of the ledger's table, which tells the server who returns.
        emails: Every so many-th person has an e-mail address instead of an external id.
        events: Every so many-th job has an event.
    """

    name: str
    says: str
    table: str
    emails: int = 0
    events: int = 0

    def has_email(self, number: int) -> bool:
        """Tell how the person of a job is identified."""
        return bool(self.emails) and number % self.emails == 0

    def has_event(self, number: int) -> bool:
        """Tell whether a job has an event."""
        return bool(self.events) and number // max(self.emails, 1) % self.events == 0


NEW: Final = Scenario("new", "new people with external ids, five attributes each", "ledger-new")
MIX: Final = Scenario(
    "mix",
    "half returning people; a third with e-mails; a third with an event",
    "ledger-half",
    emails=3,
    events=3,
)


@dataclass(frozen=True, slots=True)
class Jobs:
    """One batch.

    Attributes:
        event: As Lambda hands it over.
        bodies: Of the messages.
        requests: The same as ready-made bodies of `/users/track`: as few as possible.
        objects: In all requests.
    """

    event: dict[str, Any]
    bodies: tuple[str, ...]
    requests: tuple[bytes, ...]
    objects: int


def make_jobs(scenario: Scenario, size: int, offset: int) -> Jobs:
    """Make a batch of jobs, each about another person."""
    now = datetime.now(UTC) - timedelta(seconds=5)
    bodies: list[str] = []
    objects: list[tuple[str, dict[str, Any]]] = []
    for number in range(offset, offset + size):
        user = {"external_id": f"person-{number}"}
        if scenario.has_email(number):
            user = {"email": f"person-{number}@example.com"}
        properties = {"score": number % 100, "segment": f"segment-{number % 7}"}
        events = (
            (JobEvent(name="outgrow_quiz_completed", time=now, properties=properties),)
            if scenario.has_event(number)
            else ()
        )
        job = DeliveryJob(
            job_id=f"outgrow:quiz:{number}",
            source="outgrow",
            occurred_at=now,
            received_at=now,
            correlation_id=f"correlation-{number}",
            user=JobUser(**user),
            attributes=_attributes(number),
            events=events,
        )
        bodies.append(job.to_json())
        objects.append(("attributes", {**user, **_attributes(number)}))
        objects += [("events", {**user, **json.loads(each.model_dump_json())}) for each in events]
    return Jobs(_sqs_event(bodies), tuple(bodies), _requests(objects), len(objects))


def _attributes(number: int) -> dict[str, Any]:
    """Answers that make a job of about 600 bytes."""
    return {
        "outgrow_quiz_score": number % 100,
        "outgrow_custom_segment": f"segment-{number % 7}",
        "outgrow_skin_type": "combination",
        "outgrow_newsletter": number % 2 == 0,
        "outgrow_products": ["cleanser", "serum", "cream"],
    }


def _requests(objects: list[tuple[str, dict[str, Any]]]) -> tuple[bytes, ...]:
    requests = []
    for start in range(0, len(objects), OBJECTS_PER_REQUEST):
        arrays: dict[str, list[dict[str, Any]]] = {}
        for array, item in objects[start : start + OBJECTS_PER_REQUEST]:
            arrays.setdefault(array, []).append(item)
        requests.append(json.dumps(arrays, separators=(",", ":"), ensure_ascii=False).encode())
    return tuple(requests)


def _sqs_event(bodies: list[str]) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"059f36b4-87a3-44ab-83d2-{number:012d}",
                "receiptHandle": f"{number:0400d}",  # about as long as SQS's
                "body": body,
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": str(int(time.time() * 1000)),
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": "1545082649185",
                },
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:delivery",
                "awsRegion": "eu-central-1",
            }
            for number, body in enumerate(bodies)
        ]
    }


def known_memory() -> str:
    """Encode what the ledger knows of a returning person, in base64.

    Three earlier answers, of yesterday, and ten attributes, among them those of the jobs.
    """
    earlier = datetime.now(UTC) - timedelta(days=1)
    others = [f"outgrow_other_{number}" for number in range(EARLIER_NAMES)]
    at = int(earlier.timestamp())
    prints = Fingerprints(SECRET.encode())
    delivered = [prints.job(f"outgrow:quiz:earlier-{number}") for number in range(EARLIER_JOBS)]
    newest = prints.names([*_attributes(0), *others])
    memory = encode(
        BLANK._replace(
            delivered=dict.fromkeys(delivered, at),
            newest=dict.fromkeys(newest, (at * 1_000_000,) * 2),
        )
    )
    return base64.b64encode(memory).decode()
