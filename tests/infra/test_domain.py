"""A domain of one's own, so that the URLs at the partners outlive a stack."""

from __future__ import annotations

import pytest

from tests.infra.template import CERTIFICATE, Template

DOMAIN = "bridge.example.com"
PASTED = {
    "ApiUrl": "",
    "OutgrowUrl": "/outgrow",
    "OutgrowContentUrl": "/outgrow/CONTENT",
    "IterateUrl": "/iterate",
    "QuiklyAcquisitionsUrl": "/quikly/acquisitions",
    "QuiklyEventsUrl": "/quikly/events",
    "QuiklyWebhookUrl": "/quikly/webhook",
}
"""Outputs that people paste, and the routes they end in."""


def of_a_domain(template: Template) -> set[str]:
    """The resources of a domain that a deployment has."""
    return {
        *template.of_type("AWS::ApiGateway::DomainName"),
        *template.of_type("AWS::ApiGateway::BasePathMapping"),
    }


@pytest.mark.parametrize(
    ("parameters", "made"),
    [
        ({}, set()),
        ({"DomainCertificateArn": CERTIFICATE, "DomainBasePath": "partners"}, set()),
        ({"DomainName": DOMAIN}, {"BridgeDomainMapping"}),
        (
            {"DomainName": DOMAIN, "DomainCertificateArn": CERTIFICATE},
            {"BridgeDomain", "BridgeDomainMapping"},
        ),
    ],
    ids=["none", "no name", "one that is there", "a new one"],
)
def test_only_what_is_missing_is_made(parameters: dict[str, str], made: set[str]) -> None:
    """A certificate makes the domain; a name alone uses one that is there already."""
    assert of_a_domain(Template(**parameters)) == made


@pytest.mark.parametrize(
    ("parameters", "base"),
    [
        (
            {},
            "https://${BridgeApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/live",
        ),
        ({"DomainBasePath": "partners"}, "https://${BridgeApi}.execute-api"),
        ({"DomainName": DOMAIN}, f"https://{DOMAIN}"),
        ({"DomainName": DOMAIN, "DomainBasePath": "partners"}, f"https://{DOMAIN}/partners"),
    ],
    ids=["none", "a path alone", "a domain", "a path of a domain"],
)
def test_outputs_are_what_partners_are_to_be_given(parameters: dict[str, str], base: str) -> None:
    """The domain where there is one; without the stage, which its mapping names."""
    template = Template(**parameters)

    for output, route in PASTED.items():
        url = template.resolve(template.plain["Outputs"][output]["Value"])
        assert url.startswith(base)
        assert url.endswith(route)
        if "DomainName" in parameters:
            assert url == base + route


def test_a_mapping_leads_to_the_stage() -> None:
    """And waits for it: an API without a stage cannot be mapped."""
    template = Template(DomainName=DOMAIN, DomainCertificateArn=CERTIFICATE)
    at_root = template.properties("BridgeDomainMapping")
    below = Template(DomainName=DOMAIN, DomainBasePath="partners").properties("BridgeDomainMapping")

    assert at_root["DomainName"] == {"Ref": "BridgeDomain"}
    assert at_root["RestApiId"] == {"Ref": "BridgeApi"}
    assert at_root["Stage"] == {"Ref": "BridgeApiliveStage"}
    assert "BasePath" not in at_root
    assert (below["DomainName"], below["BasePath"]) == (DOMAIN, "partners")


def test_a_domain_is_of_today_and_stays_when_its_stack_goes() -> None:
    """TLS 1.2 at least, in the stack's region; partners keep posting to it."""
    parameters = {"DomainName": DOMAIN, "DomainCertificateArn": CERTIFICATE}
    for template, policy in (
        (Template(**parameters), "Retain"),
        (Template(**parameters, DeleteDataWithStack="true"), "Delete"),
    ):
        domain = template.plain["Resources"]["BridgeDomain"]
        assert template.resolve(domain["DeletionPolicy"]) == policy
        assert template.resolve(domain["UpdateReplacePolicy"]) == policy
        properties = template.properties("BridgeDomain")
        assert properties["SecurityPolicy"] == "TLS_1_2"
        assert properties["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
        assert properties["RegionalCertificateArn"] == CERTIFICATE


def test_the_stack_tells_where_dns_must_lead() -> None:
    """Only where it made the domain: of another one it does not know."""
    outputs = Template().plain["Outputs"]

    assert outputs["DomainTarget"]["Condition"] == "MakesDomain"
    assert outputs["DomainTarget"]["Value"] == {
        "Fn::GetAtt": ["BridgeDomain", "RegionalDomainName"]
    }
