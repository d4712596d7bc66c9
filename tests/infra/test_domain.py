"""A custom domain, so that the partners' URLs stay the same if a stack is replaced."""

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
"""Outputs that people paste, and the routes at their ends."""


def of_a_domain(template: Template) -> set[str]:
    """A deployment's resources of a domain."""
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
    ids=["none", "no name", "an existing one", "a new one"],
)
def test_only_what_is_missing_is_made(parameters: dict[str, str], made: set[str]) -> None:
    """A certificate creates the domain; a name without one uses an existing domain."""
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
    ids=["none", "only a path", "a domain", "a path of a domain"],
)
def test_outputs_are_the_urls_for_partners(parameters: dict[str, str], base: str) -> None:
    """With a domain they have no stage, which its mapping names."""
    template = Template(**parameters)

    for output, route in PASTED.items():
        url = template.resolve(template.plain["Outputs"][output]["Value"])
        assert url.startswith(base)
        assert url.endswith(route)
        if "DomainName" in parameters:
            assert url == base + route


def test_a_mapping_leads_to_the_stage() -> None:
    """And waits for it, since an API without a stage cannot be mapped."""
    template = Template(DomainName=DOMAIN, DomainCertificateArn=CERTIFICATE)
    at_root = template.properties("BridgeDomainMapping")
    below = Template(DomainName=DOMAIN, DomainBasePath="partners").properties("BridgeDomainMapping")

    assert at_root["DomainName"] == {"Ref": "BridgeDomain"}
    assert at_root["RestApiId"] == {"Ref": "BridgeApi"}
    assert at_root["Stage"] == {"Ref": "BridgeApiliveStage"}
    assert "BasePath" not in at_root
    assert (below["DomainName"], below["BasePath"]) == (DOMAIN, "partners")


def test_a_domain_has_tls_1_2() -> None:
    """It is in the stack's region."""
    template = Template(DomainName=DOMAIN, DomainCertificateArn=CERTIFICATE)
    properties = template.properties("BridgeDomain")

    assert properties["SecurityPolicy"] == "TLS_1_2"
    assert properties["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    assert properties["RegionalCertificateArn"] == CERTIFICATE


@pytest.mark.parametrize(
    ("parameters", "closed"),
    [
        ({}, False),
        ({"KeepDefaultAddress": "true"}, False),
        ({"DomainName": DOMAIN}, True),
        ({"DomainName": DOMAIN, "KeepDefaultAddress": "true"}, False),
    ],
)
def test_a_domain_closes_api_gateway_s_own_address(
    parameters: dict[str, str], closed: bool
) -> None:
    """Callers cannot go around the domain, which has TLS 1.2; while partners move, they may."""
    servers = Template(**parameters).properties("BridgeApi")["Body"].get("servers", [])
    found = [each["x-amazon-apigateway-endpoint-configuration"] for each in servers]

    assert found == ([{"disableExecuteApiEndpoint": True}] if closed else [])


def test_an_output_is_the_target_of_the_dns_record() -> None:
    """Only if the stack created the domain: it does not know another's target."""
    outputs = Template().plain["Outputs"]

    assert outputs["DomainTarget"]["Condition"] == "MakesDomain"
    assert outputs["DomainTarget"]["Value"] == {
        "Fn::GetAtt": ["BridgeDomain", "RegionalDomainName"]
    }
