"""Make ``docs/openapi.json`` from `prose.yaml`, the code's models and the partners' files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml

from braze_bridge.partner_config.toml_files import load_iterate, load_outgrow, load_quikly
from braze_bridge.web.door import MAX_BODY_BYTES
from iterate_responses.mapping import MOST_RESPONSES
from ops.openapi import bodies
from ops.openapi.answers import ANSWERS
from ops.openapi.examples import read_examples
from ops.openapi.schemas import components
from ops.stack.config_directory import CONFIG_DIRECTORY
from quikly_webhook.models import WebhookCall

if TYPE_CHECKING:
    from braze_bridge.partner_config.iterate import IterateConfig
    from braze_bridge.partner_config.outgrow import OutgrowConfig
    from braze_bridge.partner_config.quikly import QuiklyConfig
    from ops.openapi.examples import Example

ROOT: Final = Path(__file__).parents[2]
PATH: Final = ROOT / "docs" / "openapi.json"
EVENTS: Final = ROOT / "events"
API: Final = ROOT / "templates" / "api.yaml"
PROSE: Final = Path(__file__).with_name("prose.yaml")


class Configs(NamedTuple):
    """The partners' files. The names of the fields are also those of the partners' tokens."""

    outgrow: OutgrowConfig
    iterate: IterateConfig
    quikly: QuiklyConfig


class RoutesDifferError(Exception):
    """A route of the template has no entry in `prose.yaml`, or an entry has no route."""


def shipped_configs() -> Configs:
    """Read the partners' files of this working copy."""
    found = load_outgrow(CONFIG_DIRECTORY), load_iterate(CONFIG_DIRECTORY)
    return Configs(*found, load_quikly(CONFIG_DIRECTORY))


def document(configs: Configs, examples: list[Example], *, api: Path = API) -> dict[str, Any]:
    """Build the document: OpenAPI 3.1, the same for the same code and arguments.

    Args:
        configs: Name the well-known fields, and whether a token may stand in the address.
        examples: Bodies to show, each under its route.
        api: The template's file of routes.

    Raises:
        RoutesDifferError: The template and `prose.yaml` have not the same routes.
    """
    made = _read(PROSE)
    if differing := _routes(made) ^ _routes(_read(api)):
        raise RoutesDifferError(f"in only one of {api.name} and {PROSE.name}: {sorted(differing)}")
    for resource, item in made["paths"].items():
        for operation in item.values():
            if "requestBody" in operation:
                operation["requestBody"]["content"]["application/json"]["examples"] = {
                    each.name: {"summary": each.description, "value": each.body}
                    for each in examples
                    if each.resource == resource
                }
    _add_tokens_in_addresses(made, configs)
    made["components"]["schemas"] = _schemas(made["components"]["schemas"], configs)
    return made


def text() -> str:
    """Return the document of this working copy, as its file holds it."""
    made = document(shipped_configs(), read_examples(EVENTS))
    return json.dumps(made, ensure_ascii=False, indent=2) + "\n"


def _read(path: Path) -> dict[str, Any]:
    content = path.read_text(encoding="utf-8")
    content = content.replace("MAX_BODY_BYTES", str(MAX_BODY_BYTES))
    content = content.replace("MOST_RESPONSES", str(MOST_RESPONSES))
    # Through JSON, since what YAML aliases is one object in several places.
    unshared: dict[str, Any] = json.loads(json.dumps(yaml.safe_load(content)))
    return unshared


def _routes(content: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method, path) for path, item in content["paths"].items() for method in item}


def _schemas(prose: dict[str, Any], configs: Configs) -> dict[str, Any]:
    """Merge the models' schemas, the prose about them, and the fields of the partners' files."""
    response, answer = bodies.iterate_fields(configs.iterate)
    responses = {"responses": {"items": {"properties": answer}}}
    fields = {
        "OutgrowResponse": {"properties": bodies.outgrow_fields(configs.outgrow)},
        "IterateEvent": {
            "properties": response,
            "then": {"properties": {"survey_response": {"properties": responses}}},
        },
        "ActivationEvent": {"properties": bodies.activation_event_fields(configs.quikly)},
    }
    models = components((bodies.Acquisition, WebhookCall), "validation")
    made = _merged(_merged(fields, models | components(ANSWERS, "serialization")), prose)
    for schema, field, about, words in (
        ("Acquisition", "q_scope", "Configured", configs.quikly.acquisitions),
        ("ActivationEvent", "event", "With a rule", configs.quikly.events.rules),
    ):
        known = ", ".join(f"`{word}`" for word in sorted(words)) or "none"
        made[schema]["properties"][field]["description"] += f" {about}: {known}."
    return made


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Merge objects at every depth; if both have a value that is no object, the other's counts."""
    made = dict(one)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(one.get(key), dict)
        made[key] = _merged(one[key], value) if both else value
    return made


def _add_tokens_in_addresses(made: dict[str, Any], configs: Configs) -> None:
    schemes = made["components"]["securitySchemes"]
    for caller, config in configs._asdict().items():
        if config.door.allow_query_token:
            about = f"{schemes[caller]['description']} Counts if the header is missing."
            query = {"type": "apiKey", "in": "query", "name": "token", "description": about}
            schemes[f"{caller}_query"] = query
            for item in made["paths"].values():
                for operation in item.values():
                    if {caller: []} in operation["security"]:
                        operation["security"].append({f"{caller}_query": []})


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{PATH.relative_to(ROOT)} is up to date\n")
