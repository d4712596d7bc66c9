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
"""A placeholder in a body for the time of posting."""

EVENTS: Final = Path(__file__).parents[1] / "events"

NOT_POSTED: Final = frozenset({"sqs"})
"""Folders of messages that do not arrive through the API."""


@dataclass(frozen=True)
class EventCase:
    """One file.

    Attributes:
        name: The file's name without its ending.
        description: One sentence.
        path: The path to post to, without the stage.
        body: Text, or bytes that may not be valid text.
        headers: The content type and the file's own headers.
        earlier_body: What was posted before it, with the same path: the first form of a response
            that comes twice.
        profile: The external id of a profile that Braze knows already. An event with a
            ``braze_id`` is about this profile; only Braze can give that id.
        answers_opt_in: Group and number of a double opt-in that the person confirms.
        is_for_the_function_only: API Gateway, or the local engine, answers or changes the request
            before the function sees it.
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
    earlier_body: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether it reaches Braze: some are refused, and some are answered 200 and ignored."""
        return "user" in self.expect

    def about(self, braze_id: str) -> EventCase:
        """Return the same event about the profile with this ``braze_id``."""
        placeholder = self.expect["user"]["braze_id"]
        body = self.sent_bytes().decode().replace(placeholder, braze_id)
        return replace(self, body=body, expect={**self.expect, "user": {"braze_id": braze_id}})

    @property
    def earlier(self) -> EventCase | None:
        """The event that was posted before, if there is one."""
        return None if self.earlier_body is None else replace(self, body=self.earlier_body)

    @property
    def partner(self) -> str:
        """The first part of the path: `outgrow`, `iterate` or `quikly`."""
        return self.path.strip("/").split("/", maxsplit=1)[0]

    @property
    def token_name(self) -> str:
        """The name, in the stack's file, of the token it is posted with."""
        return "braze_webhook" if self.path == "/quikly/webhook" else self.partner

    def posted_at(self, now: datetime) -> EventCase:
        """Return the event with the time of posting filled in."""
        if isinstance(self.body, bytes):
            return self
        return replace(self, body=self.body.replace(NOW, now.isoformat()))

    def sent_headers(self, token: str) -> dict[str, str]:
        """Return the headers to post it with; ``token`` is the valid one."""
        sent = {"valid": f"Bearer {token}", "wrong": "Bearer a-wrong-token"}.get(self.token)
        authorization = {} if sent is None else {"Authorization": sent}
        return {"Content-Type": "application/json"} | authorization | self.headers

    def sent_bytes(self) -> bytes:
        """Return the body's bytes."""
        return self.body if isinstance(self.body, bytes) else self.body.encode()


def fits(expected: object, found: object) -> bool:
    """Check that a value is what a file expects, with its type: 87 is not "87", 1 is not true.

    Args:
        expected: A JSON value; ``{"any": "string"}`` or ``{"any": "number"}`` accepts any
            value of that type, for values that differ from run to run, such as a time.
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
    """Return the cases of a partner whose names match the pattern, sorted by name."""
    return [_case(path) for path in sorted((EVENTS / partner).glob(f"{names}.json"))]


def samples() -> list[tuple[str, EventCase]]:
    """Return the cases that the API gets, as ``partner/name``; a partner's good ones first."""
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
    """Return one of :func:`samples`.

    Raises:
        KeyError: No case has this name.
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
        earlier_body=json.dumps(case["earlier_body"]) if "earlier_body" in case else None,
    )


def _body(case: dict[str, Any]) -> str | bytes:
    if "raw_body_base64" in case:
        return base64.b64decode(case["raw_body_base64"])
    if "raw_body_parts" in case:
        return "".join(text * times for text, times in case["raw_body_parts"])
    if "raw_body" in case:
        return str(case["raw_body"])
    return json.dumps(case["body"], ensure_ascii=False)
