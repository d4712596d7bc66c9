"""Checks bodies and answers against ``docs/openapi.json``."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, Final

from jsonschema_rs import Draft202012Validator

from ops.openapi import document as openapi

if TYPE_CHECKING:
    from collections.abc import Mapping


WORDS: Final = {
    "Acquisition": {"q_scope": ["demo-email", "demo-sms", "demo-double-opt-in", "x"]},
    "ActivationEvent": {
        "q_scope": ["demo-first", "demo-rank", "x"],
        "event": ["entered", "tier_reached", "completed", "x"],
    },
    "WebhookCall": {
        "q_scope": [
            *("demo-first", "demo-speed", "demo-rank", "demo-decay"),
            *("demo-random", "demo-draw", "demo-forward", "x"),
        ],
        "event": ["demo-action", "x"],
    },
}
"""The configuration's words and a wrong one, since random texts would never be these."""


class ApiDocument:
    """The document.

    Attributes:
        content: As parsed.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    @classmethod
    def read(cls) -> ApiDocument:
        """The shipped one."""
        return cls(json.loads(openapi.PATH.read_text(encoding="utf-8")))

    def with_words(self, words: Mapping[str, Mapping[str, list[str]]]) -> ApiDocument:
        """A copy in which fields of some schemas have only these values."""
        content = json.loads(json.dumps(self.content))
        for schema, fields in words.items():
            for field, allowed in fields.items():
                content["components"]["schemas"][schema]["properties"][field]["enum"] = allowed
        return ApiDocument(content)

    def operation(self, resource: str, method: str = "POST") -> dict[str, Any]:
        found: dict[str, Any] = self.content["paths"][resource][method.lower()]
        return found

    def body_problems(self, resource: str, body: object) -> list[str]:
        """Why a body does not fit the route's schema; formats count."""
        content = self.operation(resource)["requestBody"]["content"]["application/json"]
        return [
            f"{'.'.join(map(str, error.instance_path))}: {error.message}"
            for error in self._validator(_key(content["schema"])).iter_errors(body)
        ]

    def answer_problems(
        self,
        resource: str,
        status: int,
        headers: Mapping[str, str],
        body: bytes | str,
        method: str = "POST",
    ) -> list[str]:
        """Why an answer does not fit the document.

        Args:
            resource: The route, as the template names it.
            status: Of the answer.
            headers: Of the answer, whatever the case of their names.
            body: As it came.
            method: Of the call.
        """
        response = self.operation(resource, method)["responses"].get(str(status))
        if response is None:
            return [f"{status} is not documented"]
        if "$ref" in response:
            name = response["$ref"].rpartition("/")[2]
            response = self.content["components"]["responses"][name]
        sent = {name.lower(): value for name, value in headers.items()}
        problems = [
            f"{status} without {name}"
            for name, header in response.get("headers", {}).items()
            if header["required"] and not sent.get(name.lower(), "").isdecimal()
        ]
        if sent.get("content-type") != "application/json":
            problems.append(f"{status} as {sent.get('content-type')}")
        try:
            parsed = json.loads(body)
        except ValueError:
            return [*problems, f"{status} whose body is no JSON"]
        schema = response["content"]["application/json"]["schema"]
        errors = self._validator(_key(schema)).iter_errors(parsed)
        return [*problems, *(f"{status}: {error.message}" for error in errors)]

    @functools.cached_property
    def _validators(self) -> dict[str, Draft202012Validator]:
        return {}

    def _validator(self, schema: str) -> Draft202012Validator:
        if schema not in self._validators:
            whole = json.loads(schema) | {"components": self.content["components"]}
            self._validators[schema] = Draft202012Validator(whole, validate_formats=True)
        return self._validators[schema]


def _key(schema: object) -> str:
    return json.dumps(schema, sort_keys=True)
