"""The API: its routes, their limits, and what it answers and logs by itself."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from iterate_responses import app as iterate
from outgrow_ingest import app as outgrow
from quikly_acquisition import api as acquisition
from quikly_events import app as events
from quikly_webhook import app as webhook
from tests.infra.template import CERTIFICATE, Template

ROUTES = (
    *outgrow.ROUTES,
    *iterate.ROUTES,
    *acquisition.ROUTES,
    *webhook.ROUTES,
    *events.ROUTES,
)

RESPONSES = "x-amazon-apigateway-gateway-responses"


def responses(template: Template) -> dict[str, Any]:
    found: dict[str, Any] = template.properties("BridgeApi")["Body"][RESPONSES]
    return found


def test_the_routes_are_those_the_functions_answer(template: Template) -> None:
    """A route that no function knows would answer 404; one that the API lacks is never called."""
    paths = template.properties("BridgeApi")["Body"]["paths"]
    routed = {(method.upper(), path) for path, item in paths.items() for method in item}

    assert routed == {(route.method, route.resource) for route in ROUTES}


def test_every_route_has_an_allowance_of_its_own(template: Template) -> None:
    """One noisy content must not use up the others' limits."""
    settings = template.properties("BridgeApiliveStage")["MethodSettings"]
    limited = {(item["HttpMethod"], item["ResourcePath"]) for item in settings}

    # API Gateway writes "/" as "~1" inside a method setting's path.
    assert limited == {(route.method, "/" + route.resource.replace("/", "~1")) for route in ROUTES}
    for item in settings:
        assert item["ThrottlingRateLimit"] >= 1
        assert item["ThrottlingBurstLimit"] >= item["ThrottlingRateLimit"]


@pytest.mark.parametrize(
    ("response", "status", "waits"),
    [
        ("THROTTLED", "429", True),
        ("QUOTA_EXCEEDED", "429", True),
        ("REQUEST_TOO_LARGE", "413", False),
        ("MISSING_AUTHENTICATION_TOKEN", "404", False),
        ("DEFAULT_4XX", None, False),
        ("DEFAULT_5XX", None, True),
    ],
)
def test_the_api_s_own_answers_look_like_ours(
    template: Template, response: str, status: str | None, waits: bool
) -> None:
    """The same JSON, `Retry-After` if a retry helps, and no detail of the call."""
    given = responses(template)[response]
    bodies = given["responseTemplates"]
    headers = given.get("responseParameters", {})

    assert bodies.keys() == {"application/json"}
    body = json.loads(bodies["application/json"])
    assert body["status"] == "error"
    assert [reason.keys() for reason in body["reasons"]] == [{"code"}]
    assert "$" not in bodies["application/json"]
    assert given.get("statusCode") == status
    assert ("gatewayresponse.header.Retry-After" in headers) is waits


def test_the_api_answers_nothing_else_by_itself(template: Template) -> None:
    """Every answer of its own is in the table above."""
    assert responses(template).keys() == {
        "THROTTLED",
        "QUOTA_EXCEEDED",
        "REQUEST_TOO_LARGE",
        "MISSING_AUTHENTICATION_TOKEN",
        "DEFAULT_4XX",
        "DEFAULT_5XX",
    }


def test_access_logs_are_json_without_queries_bodies_or_callers(template: Template) -> None:
    """A query may hold a token; an address or a user agent identifies the caller."""
    logging = template.properties("BridgeApiliveStage")["AccessLogSetting"]
    fields = json.loads(logging["Format"])
    variables = set(re.findall(r"\$context\.([\w.]+)", logging["Format"]))

    assert logging["DestinationArn"] == {"Fn::GetAtt": ["ApiAccessLogGroup", "Arn"]}
    assert "request_id" in fields
    assert variables == {
        "requestId",
        "requestTimeEpoch",
        "httpMethod",
        "resourcePath",
        "status",
        "responseLatency",
        "integration.latency",
        "error.responseType",  # a name such as THROTTLED or WAF_FILTERED
        "integration.error",
    }


def test_the_stage_is_not_traced(template: Template) -> None:
    """A stage's trace holds the whole URL, tokens in queries included, and the caller's address.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html, `http`.
    """
    assert not template.properties("BridgeApiliveStage").get("TracingEnabled", False)


def test_nothing_else_of_a_call_is_logged(template: Template) -> None:
    """API Gateway's execution logs hold whole bodies: they stay off."""
    for item in template.properties("BridgeApiliveStage")["MethodSettings"]:
        assert "DataTraceEnabled" not in item
        assert "LoggingLevel" not in item


def test_there_is_one_stage_and_its_urls_are_outputs(template: Template) -> None:
    """SAM would add a stage "Stage". People paste the URLs at the partners."""
    stages = template.of_type("AWS::ApiGateway::Stage")

    assert [stage["Properties"]["StageName"] for stage in stages.values()] == ["live"]
    for output, route in (
        ("OutgrowUrl", "/outgrow"),
        ("IterateUrl", "/iterate"),
        ("QuiklyAcquisitionsUrl", "/quikly/acquisitions"),
        ("QuiklyWebhookUrl", "/quikly/webhook"),
        ("QuiklyEventsUrl", "/quikly/events"),
    ):
        url = template.resolve(template.plain["Outputs"][output]["Value"])
        assert url.startswith("https://${BridgeApi}.execute-api.")
        assert url.endswith(f"/live{route}")


def test_the_account_s_logging_role_is_left_alone_unless_asked(template: Template) -> None:
    """There is one per account and region: CloudFormation would replace another stack's."""
    asked = Template(ManageApiLoggingRole="true")

    assert asked.of_type("AWS::ApiGateway::Account").keys() == {"ApiLoggingAccount"}
    assert "ApiLoggingRole" in asked.of_type("AWS::IAM::Role")
    assert template.of_type("AWS::ApiGateway::Account") == {}
    assert "ApiLoggingRole" not in template.of_type("AWS::IAM::Role")


CIDRS = "203.0.113.0/24,2001:db8::/32"
WEB_ACL = f"arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/a/{CERTIFICATE[-36:]}"


def test_other_networks_can_be_kept_out(template: Template) -> None:
    """By default nobody is: partners' addresses change."""
    policy = "x-amazon-apigateway-policy"
    limited = Template(AllowedCidrs=CIDRS).properties("BridgeApi")["Body"][policy]
    allow, deny = limited["Statement"]

    assert policy not in template.properties("BridgeApi")["Body"]
    assert (allow["Effect"], deny["Effect"]) == ("Allow", "Deny")
    assert "Condition" not in allow
    assert deny["Condition"] == {"NotIpAddress": {"aws:SourceIp": CIDRS.split(",")}}


def test_a_changed_policy_reaches_the_stage(template: Template) -> None:
    """SAM names a deployment by the document, where a parameter is still a reference."""
    assert template.source["Resources"]["BridgeApi"]["Properties"]["AlwaysDeploy"] is True


def test_a_web_acl_can_be_put_before_the_stage(template: Template) -> None:
    """It is associated with the stage, and so waits for it."""
    guarded = Template(WebAclArn=WEB_ACL).properties("WebAclAssociation")
    arn, variables = Template(WebAclArn=WEB_ACL).plain["Resources"]["WebAclAssociation"][
        "Properties"
    ]["ResourceArn"]["Fn::Sub"]

    assert template.of_type("AWS::WAFv2::WebACLAssociation") == {}
    assert guarded["WebACLArn"] == WEB_ACL
    assert arn.endswith("::/restapis/${BridgeApi}/stages/${Stage}")
    assert variables == {"Stage": {"Ref": "BridgeApiliveStage"}}
