"""The partners' table fits the shipped functions and files."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.mapping.link_signatures import is_signed
from braze_bridge.mapping.outcomes import Mapped, Unmappable
from braze_bridge.partner_config.toml_files import load_quikly
from ops.preview.body_mappings import LOADERS, BodyMappings
from ops.preview.requests import record_of
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.partners import BY_SOURCE, NO_ACQUISITION, PARTNERS, TEST_PERSON, TrialResponse
from ops.stack_secrets.stored_secrets import is_token
from ops.verify.signed_body import add_signatures
from quikly_acquisition.api import ROUTES as ACQUISITION_ROUTES
from quikly_webhook.models import read_call
from tests.fakes.clock import NOON

if TYPE_CHECKING:
    import pathlib

    from braze_bridge.mapping.outcomes import Outcome

TESTED = [name for name, partner in PARTNERS.items() if partner.test_body is not None]


def mapped(name: str, mark: str, score: int) -> dict[str, Any]:
    """The attributes of a test response."""
    partner = PARTNERS[name]
    assert partner.test_body is not None
    body = partner.test_body(TrialResponse(mark, NOON, score), CONFIG_DIRECTORY)
    route = partner.route(None)
    record = record_of(json.dumps(body), source=partner.source, route=route, now=NOON)
    outcome = BodyMappings(CONFIG_DIRECTORY).outcome(record)
    assert isinstance(outcome, Mapped)
    assert outcome.job.user.external_id == TEST_PERSON
    assert mark in outcome.job.job_id
    return dict(outcome.job.attributes)


@pytest.mark.parametrize("name", TESTED)
def test_two_test_responses_differ_in_what_they_leave(name: str) -> None:
    """Otherwise the second one's arrival could not be seen."""
    first, second = mapped(name, "mark-11111111", 41), mapped(name, "mark-22222222", 42)

    assert first
    assert first != second


@pytest.mark.parametrize("order", ['["external_id", "email"', '["email", "external_id"'])
@pytest.mark.parametrize("name", ["outgrow", "iterate"])
def test_a_test_response_passes_where_links_must_be_signed(
    tmp_path: pathlib.Path, name: str, order: str
) -> None:
    """The shipped file with its commented lines switched on; another key does not fit."""
    for file in CONFIG_DIRECTORY.glob("*.toml"):
        text = file.read_text(encoding="utf-8")
        text = text.replace('# trust = "signed"', 'trust = "signed"').replace(
            "# signature = ", "signature = "
        )
        text = text.replace('["external_id", "email"', order) if file.stem == name else text
        (tmp_path / file.name).write_text(text, encoding="utf-8")
    partner = PARTNERS[name]
    assert partner.test_body is not None
    body = partner.test_body(TrialResponse("mark-1", NOON, 41), tmp_path)
    add_signatures(body, partner.person_rules(tmp_path), "the key")
    record = record_of(json.dumps(body), source=partner.source, route=partner.route(None), now=NOON)

    def outcome(key: str) -> Outcome:
        fits = partial(is_signed, [key])
        return BodyMappings(tmp_path, lambda _: fits).outcome(record)

    assert isinstance(outcome("the key"), Mapped)
    assert isinstance(outcome("another"), Unmappable)


def test_every_mapping_has_its_partner() -> None:
    """A partner whose bodies are parked has a preview, and its people can be forgotten."""
    assert LOADERS.keys() <= BY_SOURCE.keys()
    for source in LOADERS:
        assert BY_SOURCE[source].person_rules(CONFIG_DIRECTORY)


def test_every_token_has_its_partner() -> None:
    """Commands show, rotate and retire it by the name of its secret."""
    assert all(is_token(partner.secret) for partner in PARTNERS.values())
    assert {partner.secret for partner in PARTNERS.values()} == PARTNERS.keys()


def test_calls_to_the_webhook_and_acquisitions_are_about_no_real_person() -> None:
    """A readable call of no activation, and an id of an acquisition's form that is never drawn."""
    (call,) = PARTNERS["braze-webhook"].asks
    (status,) = PARTNERS["quikly"].asks

    assert read_call(call.body).q_scope not in load_quikly(CONFIG_DIRECTORY).activations
    assert status.path.removesuffix(NO_ACQUISITION) + "{id}" in {
        route.resource for route in ACQUISITION_ROUTES
    }
