"""Keys and tokens are in Secrets Manager, and nowhere else."""

from __future__ import annotations

import json
import re
import string
from typing import TYPE_CHECKING

import pytest

from braze_bridge.aws.secrets import SecretPair
from ops.stack_secrets.stored_secrets import secret_id
from tests.infra.template import STACK, Template

if TYPE_CHECKING:
    from ops.stack.secret_names import SecretName


@pytest.mark.parametrize(
    ("resource", "name"), [("BrazeSecret", "braze"), ("QuiklyApiSecret", "quikly-api")]
)
def test_the_key_of_another_service_is_created_empty(
    template: Template, resource: str, name: SecretName
) -> None:
    """A person sets it once; until then no value is accepted."""
    secret = template.properties(resource)

    assert secret["Name"] == secret_id(STACK, name)
    assert SecretPair.model_validate_json(secret["SecretString"]).accepted == ()


PARTNERS: dict[SecretName, tuple[str, tuple[str, ...]]] = {
    "outgrow": ("Outgrow", ("OutgrowIngestFunction",)),
    "iterate": ("Iterate", ("IterateResponsesFunction",)),
    "quikly": ("Quikly", ("QuiklyAcquisitionApiFunction", "QuiklyEventsFunction")),
    "braze-webhook": ("BrazeWebhook", ("QuiklyWebhookFunction",)),
}
"""The prefix of their resources' names, and the functions that read the token."""


@pytest.mark.parametrize("partner", PARTNERS)
def test_a_partner_s_token_is_generated(template: Template, partner: SecretName) -> None:
    """It is long, it needs no escaping in a header or a URL, and no person chose it."""
    secret = template.properties(f"{PARTNERS[partner][0]}Secret")
    rule = secret["GenerateSecretString"]
    made = {**json.loads(rule["SecretStringTemplate"]), rule["GenerateStringKey"]: "generated"}

    assert secret["Name"] == secret_id(STACK, partner)
    assert "SecretString" not in secret
    assert SecretPair.model_validate(made).accepted == ("generated",)
    assert rule["PasswordLength"] >= 40
    assert set(rule["ExcludeCharacters"]) == set(string.punctuation)


def test_functions_are_given_names_and_no_secret(template: Template) -> None:
    """The right to describe a function must not reveal a key."""
    for function in template.of_type("AWS::Lambda::Function"):
        variables = template.properties(function)["Environment"]["Variables"]
        assert not re.search(r"resolve:|SecretString", json.dumps(variables))
    delivery = template.properties("BrazeDeliveryFunction")["Environment"]["Variables"]
    assert delivery["BRAZE_SECRET"] == secret_id(STACK, "braze")
    for partner, (_, functions) in PARTNERS.items():
        for function in functions:
            ingest = template.properties(function)["Environment"]["Variables"]
            assert ingest["PARTNER_SECRET"] == secret_id(STACK, partner)
    worker = template.properties("QuiklyAcquisitionWorkerFunction")["Environment"]["Variables"]
    forward = template.properties("QuiklyForwardFunction")["Environment"]["Variables"]
    assert worker["BRAZE_SECRET"] == secret_id(STACK, "braze")
    assert worker["QUIKLY_API_SECRET"] == secret_id(STACK, "quikly-api")
    assert forward["QUIKLY_API_SECRET"] == secret_id(STACK, "quikly-api")


def test_outputs_name_secrets_and_do_not_tell_them(template: Template) -> None:
    """Each person who may see the stack may read its outputs."""
    outputs = template.resolve(template.plain["Outputs"])

    assert "resolve:" not in json.dumps(outputs)
    assert outputs["BrazeSecretName"]["Value"] == secret_id(STACK, "braze")
    for partner, (name, _) in PARTNERS.items():
        assert outputs[f"{name}SecretName"]["Value"] == secret_id(STACK, partner)
    assert outputs["QuiklyApiSecretName"]["Value"] == secret_id(STACK, "quikly-api")
