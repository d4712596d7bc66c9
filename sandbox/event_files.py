"""The sample bodies under ``events/``, ready to be posted (format: ``events/outgrow/README.md``).

Used by the demo and by the tests.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

NOW: Final = "{now}"
"""Stands in a body for the time of posting."""

EVENTS: Final = Path(__file__).parents[1] / "events"

NOT_POSTED: Final = frozenset({"sqs"})
"""Folders of what arrives otherwise than through the API."""


@dataclass(frozen=True)
class EventCase:
    """One file.

    Attributes:
        name: The file's, without its ending.
        description: What it shows, in a sentence.
        path: What is posted to, without the stage.
        body: What is posted: text, or bytes that may be no text.
        token: Whether the right token, a wrong one or none is sent.
        headers: The content type, and whatever else the file gives.
        expect: As in the file.
        profile: The external id of a profile that Braze knows before, as in the file. Where the
            event names a person by ``braze_id``, it is this profile's, which only Braze can tell.
        answers_opt_in: Group and number of a double opt-in that the person answers.
        is_for_the_function_only: It shows what the function makes of it; API Gateway, or the local
            engine in its place, answers or alters such a request before the function sees it.
    """

    name: str
    description: str
    path: str
    body: str | bytes
    token: Literal["valid", "wrong", "none"]
    headers: dict[str, str]
    expect: dict[str, Any]
    profile: dict[str, str] | None = None
    answers_opt_in: dict[str, str] | None = None
    is_for_the_function_only: bool = False

    @property
    def is_good(self) -> bool:
        """Whether it reaches Braze: some are refused, and some are answered 200 and ignored."""
        return "user" in self.expect

    def about(self, braze_id: str) -> EventCase:
        """The same event about the profile that has this ``braze_id``."""
        placeholder = self.expect["user"]["braze_id"]
        body = self.sent_bytes().decode().replace(placeholder, braze_id)
        return replace(self, body=body, expect={**self.expect, "user": {"braze_id": braze_id}})

    @property
    def partner(self) -> str:
        """The first part of the path: `outgrow`, `iterate` or `quikly`."""
        return self.path.strip("/").split("/", maxsplit=1)[0]

    @property
    def token_name(self) -> str:
        """The name, in the stack's file, of the token it is posted with."""
        return "braze_webhook" if self.path == "/quikly/webhook" else self.partner

    def posted_at(self, now: datetime) -> EventCase:
        """The same event as it is posted at a time, which it may name."""
        if isinstance(self.body, bytes):
            return self
        return replace(self, body=self.body.replace(NOW, now.isoformat()))

    def sent_headers(self, token: str) -> dict[str, str]:
        """The headers to post it with, where ``token`` is the right one."""
        sent = {"valid": f"Bearer {token}", "wrong": "Bearer a-wrong-token"}.get(self.token)
        authorization = {} if sent is None else {"Authorization": sent}
        return {"Content-Type": "application/json"} | authorization | self.headers

    def sent_bytes(self) -> bytes:
        """Return the body's bytes."""
        return self.body if isinstance(self.body, bytes) else self.body.encode()


def fits(expected: object, found: object) -> bool:
    """Whether a value is as a file expects it: 87 is not "87", nor is 1 true.

    Args:
        expected: A JSON value; ``{"any": "string"}`` or ``{"any": "number"}`` stands for a
            value that differs from run to run, such as a time.
    """
    if isinstance(expected, dict) and isinstance(found, dict):
        return expected.keys() == found.keys() and all(
            fits(value, found[name]) for name, value in expected.items()
        )
    if isinstance(expected, list) and isinstance(found, list):
        return len(expected) == len(found) and all(map(fits, expected, found))
    if isinstance(expected, dict) and expected.keys() == {"any"}:
        kinds: tuple[type, ...] = {"string": (str,), "number": (int, float)}[expected["any"]]
        return isinstance(found, kinds) and not isinstance(found, bool)
    return type(expected) is type(found) and expected == found


def event_cases(partner: str, names: str = "*") -> list[EventCase]:
    """Every case of a partner, or those whose names match a pattern, by name."""
    return [_case(path) for path in sorted((EVENTS / partner).glob(f"{names}.json"))]


def samples() -> list[tuple[str, EventCase]]:
    """What may be posted through the API now, as ``partner/name``: a partner's good ones first."""
    now = datetime.now(UTC)
    partners = sorted(folder.name for folder in EVENTS.iterdir() if folder.name not in NOT_POSTED)
    found = [
        (f"{partner}/{case.name}", case.posted_at(now))
        for partner in partners
        for case in event_cases(partner)
        if not case.is_for_the_function_only
    ]
    return sorted(found, key=lambda each: (each[0].split("/")[0], not each[1].is_good, each[0]))


def sample(name: str) -> EventCase:
    """One of :func:`samples`.

    Raises:
        KeyError: There is none of that name.
    """
    return dict(samples())[name]


def _case(path: Path) -> EventCase:
    case = json.loads(path.read_text(encoding="utf-8"))
    return EventCase(
        name=path.stem,
        description=case["description"],
        path=case["path"],
        body=_body(case),
        token=case.get("token", "valid"),
        headers=case.get("headers", {}),
        expect=case["expect"],
        profile=case.get("profile"),
        answers_opt_in=case.get("answers_opt_in"),
        is_for_the_function_only=case.get("function_only", False),
    )


def _body(case: dict[str, Any]) -> str | bytes:
    if "raw_body_base64" in case:
        return base64.b64decode(case["raw_body_base64"])
    if "raw_body_parts" in case:
        return "".join(text * times for text, times in case["raw_body_parts"])
    if "raw_body" in case:
        return str(case["raw_body"])
    return json.dumps(case["body"], ensure_ascii=False)
