"""The cases under ``events/``, ready to be posted (their format: ``events/outgrow/README.md``)."""

from __future__ import annotations

import base64
import json
import pathlib
from dataclasses import dataclass
from typing import Any, Final

from braze_bridge.clock import iso_millis
from tests.fakes.api_event import TOKEN, proxy_event
from tests.fakes.clock import NOON

EVENTS: Final = pathlib.Path(__file__).parents[2] / "events"


@dataclass(frozen=True)
class EventCase:
    """One file.

    Attributes:
        name: The file's name without its ending.
        body: Text, or bytes that may not be valid text.
        token: ``None`` if no token is sent.
    """

    name: str
    path: str
    body: str | bytes
    token: str | None
    headers: dict[str, str]
    expect: dict[str, Any]

    @property
    def is_good(self) -> bool:
        """Whether the case reaches Braze: some are answered 200 and ignored."""
        return "user" in self.expect

    def event(self) -> dict[str, Any]:
        """The API Gateway event."""
        return proxy_event(self.body, path=self.path, token=self.token, headers=self.headers)


def event_cases(partner: str, names: str = "*") -> list[EventCase]:
    """Every case of a partner, or those whose names match a pattern, by name."""
    return [_case(path) for path in sorted((EVENTS / partner).glob(f"{names}.json"))]


def _case(path: pathlib.Path) -> EventCase:
    case = json.loads(path.read_text(encoding="utf-8"))
    body: str | bytes
    if "raw_body_base64" in case:
        body = base64.b64decode(case["raw_body_base64"])
    elif "raw_body_parts" in case:
        body = "".join(text * times for text, times in case["raw_body_parts"])
    elif "raw_body" in case:
        body = case["raw_body"]
    else:
        # "{now}" is the time of posting: that at which the fakes' clock stands.
        body = json.dumps(case["body"], ensure_ascii=False).replace("{now}", iso_millis(NOON))
    return EventCase(
        name=path.stem,
        path=case["path"],
        body=body,
        token={"valid": TOKEN, "wrong": "a-wrong-token", "none": None}[case.get("token", "valid")],
        headers=case.get("headers", {}),
        expect=case["expect"],
    )
