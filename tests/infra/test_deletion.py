"""What outlives a stack, and what a failed first deployment leaves behind."""

from __future__ import annotations

import json
from typing import Final

import pytest

from tests.infra.template import CERTIFICATE, ROOT, Template

DOMAIN: Final = {"DomainName": "bridge.example.com", "DomainCertificateArn": CERTIFICATE}
TABLES: Final = ("RejectedTable", "LedgerTable", "AcquisitionTable", "ClaimsTable")
KEYS: Final = ("LedgerSecret", "ClaimsSecret")
"""With another key each person could win again, no draw is verifiable, and resends count twice."""

UNALTERABLE: Final = {f"LogicalResourceId/{name}" for name in KEYS}


@pytest.fixture(scope="module")
def kept() -> Template:
    return Template(**DOMAIN)


@pytest.fixture(scope="module")
def thrown_away() -> Template:
    return Template(**DOMAIN, DeleteDataWithStack="true")


@pytest.mark.parametrize("name", [*TABLES, *KEYS, "BridgeDomain"])
def test_what_must_outlive_the_stack_does(kept: Template, thrown_away: Template, name: str) -> None:
    """But not a failed first deployment: the next one would find the name taken."""
    for template, deletion, replacement in (
        (kept, "RetainExceptOnCreate", "Retain"),
        (thrown_away, "Delete", "Delete"),
    ):
        resource = template.plain["Resources"][name]
        assert template.resolve(resource["DeletionPolicy"]) == deletion
        assert template.resolve(resource["UpdateReplacePolicy"]) == replacement


def test_everything_else_goes_with_the_stack(kept: Template) -> None:
    """API Gateway's logging role stays: other APIs of the account may use it meanwhile."""
    policies = {
        name: kept.resolve(resource["DeletionPolicy"])
        for name, resource in kept.plain["Resources"].items()
        if "DeletionPolicy" in resource and resource["Type"] != "AWS::Lambda::Version"
    }
    staying = {name for name, policy in policies.items() if policy != "Delete"}
    layers = {name for name in staying if name.startswith(("BrazeBridgeLayer", "PartnerConfig"))}

    assert staying - layers == {
        *TABLES,
        *KEYS,
        "BridgeDomain",
        "ApiLoggingAccount",
        "ApiLoggingRole",
    }


def test_no_table_is_protected_from_deletion(kept: Template) -> None:
    """A failed first deployment could not delete a protected table, and would stay half built."""
    for name in TABLES:
        assert "DeletionProtectionEnabled" not in kept.properties(name)


def test_the_language_extensions_are_not_used(kept: Template) -> None:
    """They refuse RetainExceptOnCreate (aws-cloudformation/cfn-language-discussion issue 139)."""
    assert kept.source["Transform"] == "AWS::Serverless-2016-10-31"


def test_the_stack_policy_refuses_new_keys_and_new_tables(kept: Template) -> None:
    """A change under GenerateSecretString makes a new key, and CloudFormation asks nothing."""
    policy = json.loads((ROOT / "templates" / "stack-policy.json").read_text())
    allowed, keys, tables = policy["Statement"]

    assert allowed == {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"}
    assert (keys["Effect"], keys["Action"], set(keys["Resource"])) == (
        "Deny",
        "Update:*",
        UNALTERABLE,
    )
    assert (tables["Effect"], tables["Action"]) == ("Deny", ["Update:Replace", "Update:Delete"])
    assert set(tables["Resource"]) == {f"LogicalResourceId/{name}" for name in TABLES}
    assert kept.of_type("AWS::DynamoDB::Table").keys() == set(TABLES)


def test_the_template_warns_where_a_change_makes_a_new_key() -> None:
    """The warning is right above the block that all secrets share."""
    text = (ROOT / "template.yaml").read_text()
    before = text.partition("GenerateSecretString: &generated")[0].splitlines()[-6:]

    assert "Never change anything under GenerateSecretString" in " ".join(before)
