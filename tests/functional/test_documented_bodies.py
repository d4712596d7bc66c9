"""A body that the document allows is taken, unless for something that no schema says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from tests.api_document import WORDS, ApiDocument
from tests.fakes.api_event import proxy_event
from tests.fakes.bridge_api import BridgeApi

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

API = BridgeApi()
SCHEMA = schemathesis.openapi.from_dict(ApiDocument.read().with_words(WORDS).content)

NO_SCHEMA_SAYS = {
    "unknown": "the configuration's scopes and events",
    "unknown_activation": "the same",
    "channel_not_configured": "the activation's channels",
    "in_the_future": "a consent is compared with the clock",
    "in_future": "and so is the time since when a person could respond",
    "invalid_phone": "lengths differ from country to country",
    "invalid_email": "formats of e-mail addresses vary; Braze's is narrower",
    "no_email": "the same",
    "unrendered_liquid": "a tag in any text",
    "blank": "Python's blanks are more than JavaScript's",
    "no_time": "leap seconds",
    "invalid_time": "the same",
    "attribute_name": "Braze's own fields and identifiers",
    "looks_like_date": "a text that Braze would turn into a date",
    "too_long": "standard fields have lengths of their own",
    "out_of_range": "Braze's integers have 64 bits",
    "not_allowed": "standard fields have values of their own",
    "wrong_type": "standard fields have types of their own",
}


def bodies(path: str) -> SearchStrategy[Any]:
    operation = SCHEMA[path]["POST"]
    positive = schemathesis.GenerationMode.POSITIVE
    return operation.as_strategy(generation_mode=positive).map(lambda case: case.body)


@pytest.mark.parametrize("path", ["/quikly/webhook", "/quikly/acquisitions"])
def test_what_is_documented_is_taken(path: str) -> None:
    """Of the two routes whose bodies are checked field by field."""

    # Drawing by a schema is slow and discards much; neither is a fault of the code.
    @settings(
        max_examples=25,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(bodies(path))
    def sent(body: Any) -> None:
        answer = API.call(proxy_event(json.dumps(body), path=path))
        told = json.loads(answer["body"])
        if answer["statusCode"] not in {200, 202}:
            assert answer["statusCode"] == 422, body
            assert {reason["code"] for reason in told["reasons"]} <= NO_SCHEMA_SAYS.keys(), body

    sent()
