"""``docs/openapi.json`` is right about the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from jsonschema_rs import meta

from braze_bridge.partner_config.rules import DoorConfig
from ops.openapi import document as openapi
from quikly_acquisition.api_models import FIELDS
from quikly_acquisition.models import parse_record, status_document
from quikly_webhook.models import WebhookCall
from tests.api_document import ApiDocument
from tests.fakes.api_event import TOKEN, proxy_event
from tests.fakes.bridge_api import BridgeApi
from tests.fakes.event_files import EventCase, event_cases
from tests.infra.template import default_template

DOCUMENT = ApiDocument.read()
SCHEMAS: dict[str, Any] = DOCUMENT.content["components"]["schemas"]

CASES = [case for partner in ("outgrow", "iterate", "quikly") for case in event_cases(partner)]

ALLOWED_BUT_REFUSED = {
    # Which scopes, events and channels there are is the configuration's business.
    "acquisition_bad_activation": "the activation is not configured",
    "events_bad_event": "the event has no rule",
    "events_bad_scope": "the activation is not configured",
    "webhook_bad_event": "the activation does not take the event",
    "webhook_bad_scope": "the activation is not configured",
    # Where person and answers stand is the configuration's business, too: no field is needed.
    "bad_answers_elsewhere": "the answers are not where the survey's rule looks",
    "bad_identifiers": "no identifier can be used",
    "bad_no_identity": "no person is named",
    "bad_nothing_fits": "no answer has the type that the rule wants",
    "bad_nothing_to_send": "the rule finds no answer",
    "bad_responses_of_another_shape": "entries that are no objects are left out, here all",
    "bad_unrendered_link": "the identifier is a Liquid tag",
    "events_bad_nobody": "no identifier can be used",
}
"""Refused samples whose bodies the document allows, and why no schema can tell."""


STATUS = "/quikly/acquisitions/{id}"
SAMPLES = Path(__file__).parent / "samples"
JSON = {"Content-Type": "application/json"}


def parsed(case: EventCase) -> Any:
    return json.loads(case.body)


def resource(case: EventCase) -> str:
    return str(case.event()["resource"])


def test_the_file_is_what_the_code_says() -> None:
    """After a change of a route, a model or a partner's file: `make openapi`."""
    assert openapi.text() == openapi.PATH.read_text(encoding="utf-8"), "run `make openapi`"


def test_it_is_openapi_3_1() -> None:
    """By the specification's own schema, and every schema in it by JSON Schema's."""
    schemathesis.openapi.from_dict(DOCUMENT.content).validate()

    for schema in SCHEMAS.values():
        meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_an_invalid_document_is_found() -> None:
    """A negative control: a response without a description."""
    broken = json.loads(json.dumps(DOCUMENT.content))
    del broken["components"]["responses"]["400"]["description"]

    with pytest.raises(Exception, match="description"):
        schemathesis.openapi.from_dict(broken).validate()


def test_it_has_every_route_and_no_other() -> None:
    """As the functions and the template have them."""
    paths = default_template().properties("BridgeApi")["Body"]["paths"]
    deployed = {(method, path) for path, item in paths.items() for method in item}

    assert deployed == {
        (method, path) for path, item in DOCUMENT.content["paths"].items() for method in item
    }


@pytest.mark.parametrize(
    ("route", "renamed"),
    [("/quikly/events:", "/quikly/moved:"), ("  /iterate:\n    post:", "  /iterate:\n    put:")],
)
def test_a_route_without_an_entry_fails_the_build(tmp_path: Path, route: str, renamed: str) -> None:
    """And so does an entry without a route."""
    api = tmp_path / "api.yaml"
    api.write_text(openapi.API.read_text().replace(route, renamed))

    with pytest.raises(openapi.RoutesDifferError, match=renamed.strip(" :").split(":")[0]):
        openapi.document(openapi.shipped_configs(), [], api=api)


def test_each_route_names_the_token_that_its_function_reads() -> None:
    """The template names the secret; the document uses the name of `bridge secrets`."""
    template = default_template()
    secrets: dict[str, str] = {}
    for name, function in template.source["Resources"].items():
        for event in function.get("Properties", {}).get("Events", {}).values():
            if event["Type"] == "Api":
                variables = template.properties(name)["Environment"]["Variables"]
                secret = variables["PARTNER_SECRET"].rpartition("/")[2]
                secrets[event["Properties"]["Path"]] = secret.replace("-", "_")

    assert secrets == {
        path: next(iter(operation["security"][0]))
        for path, item in DOCUMENT.content["paths"].items()
        for operation in item.values()
    }


def test_a_token_in_the_address_is_documented_where_it_counts() -> None:
    """A switch of the partner's file; a campaign's token never counts there."""
    configs = openapi.shipped_configs()
    allowed = DoorConfig(allow_query_token=True)
    made = openapi.document(
        configs._replace(
            outgrow=configs.outgrow._replace(door=allowed),
            quikly=configs.quikly._replace(door=allowed),
        ),
        [],
    )

    security = {
        path: [next(iter(each)) for each in operation["security"]]
        for path, item in made["paths"].items()
        for operation in item.values()
    }
    assert security["/outgrow"] == ["outgrow", "outgrow_query"]
    assert security["/quikly/events"] == ["quikly", "quikly_query"]
    assert (security["/iterate"], security["/quikly/webhook"]) == (["iterate"], ["braze_webhook"])
    assert made["components"]["securitySchemes"]["outgrow_query"]["name"] == "token"


def test_every_field_that_the_code_knows_is_described() -> None:
    """Of the bodies whose fields are fixed: neither more nor fewer, each with a sentence."""
    fields = {"Acquisition": set(FIELDS), "WebhookCall": set(WebhookCall.model_fields)}

    assert fields == {name: set(SCHEMAS[name]["properties"]) for name in fields}
    for name in fields:
        assert all("description" in each for each in SCHEMAS[name]["properties"].values())


def test_every_good_sample_is_an_example() -> None:
    """The document shows the cases that the demo posts."""
    shown = {
        name
        for path in DOCUMENT.content["paths"]
        for item in DOCUMENT.content["paths"][path].values()
        if "requestBody" in item
        for name in item["requestBody"]["content"]["application/json"]["examples"]
    }

    written_out = {
        "duplicate_keys",
        "half_an_emoji",
        "infinite_score",
    }  # JSON that a JSON value cannot show
    assert shown == {case.name for case in CASES if case.is_good} - written_out


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.expect.get("status", 200) < 300], ids=lambda c: c.name
)
def test_a_body_that_is_taken_is_documented(case: EventCase) -> None:
    """Every good sample fits its route's schema, and so does one that is ignored."""
    assert DOCUMENT.body_problems(resource(case), parsed(case)) == []


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.expect.get("status") == 422], ids=lambda c: c.name
)
def test_a_body_that_is_refused_is_not_documented(case: EventCase) -> None:
    """Except where only the configuration can tell: those are listed, each with its reason."""
    problems = DOCUMENT.body_problems(resource(case), parsed(case))

    assert (problems == []) is (case.name in ALLOWED_BUT_REFUSED)


def test_the_list_of_exceptions_is_no_longer_than_needed() -> None:
    """Each name in it is a sample that is refused."""
    refused = {case.name for case in CASES if case.expect.get("status") == 422}

    assert ALLOWED_BUT_REFUSED.keys() <= refused


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name != "bad_path"], ids=lambda c: c.name
)
def test_every_sample_is_answered_as_documented(case: EventCase) -> None:
    """Status, `Retry-After` and shape; `bad_path` has no route that could document it."""
    answer = BridgeApi().call(case.event())

    assert case.expect.get("status", 200) == answer["statusCode"]
    assert (
        DOCUMENT.answer_problems(
            resource(case), answer["statusCode"], answer["headers"], answer["body"]
        )
        == []
    )


@pytest.mark.parametrize("sample", ["new", "awaiting_opt_in", "failed"])
def test_every_state_is_answered_as_documented(sample: str) -> None:
    """The sample records, as the status route returns them."""
    text = (SAMPLES / f"acquisition_record_v1_{sample}.json").read_text(encoding="utf-8")
    told = json.dumps(status_document(parse_record(text)))

    assert DOCUMENT.answer_problems(STATUS, 200, JSON, told, "GET") == []


@pytest.mark.parametrize(("token", "status"), [(TOKEN, 404), ("another", 401)])
def test_an_unknown_acquisition_is_answered_as_documented(token: str, status: int) -> None:
    """A route without a body has fewer answers."""
    event = proxy_event(
        None, method="GET", resource=STATUS, path_parameters={"id": "A" * 24}, token=token
    )
    answer = BridgeApi().call(event)

    assert answer["statusCode"] == status
    assert DOCUMENT.answer_problems(STATUS, status, answer["headers"], answer["body"], "GET") == []


@pytest.mark.parametrize(
    ("status", "headers", "body", "problem"),
    [
        (200, {}, '{"status": "accepted", "job_id": "a"}', "200 as None"),
        (200, {"x": "y"}, '{"status": "accepted"}', "not valid under"),
        (200, {}, '{"status": "ignored", "why": 1}', "not valid under"),
        (200, {}, "<html>", "no JSON"),
        (401, {}, '{"status": "error", "reasons": [{"code": "why"}]}', "reasons"),
        (422, {}, '{"status": "error", "reasons": []}', "[]"),
        (422, {}, '{"status": "error", "reasons": [{"code": "a", "value": 1}]}', "value"),
        (503, {}, '{"status": "error", "reasons": [{"code": "unavailable"}]}', "Retry-After"),
        (418, {}, "{}", "418 is not documented"),
        (500, {}, "{}", "500 is not documented"),
    ],
)
def test_an_answer_that_is_not_documented_is_found(
    status: int, headers: dict[str, str], body: str, problem: str
) -> None:
    """A negative control for every check by the document."""
    if problem != "200 as None":
        headers = headers | JSON

    assert problem in "; ".join(DOCUMENT.answer_problems("/iterate", status, headers, body))
