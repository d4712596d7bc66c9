"""Parameters of a deployment: a wrong value is refused early."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from braze_bridge.braze.instances import INSTANCES, UNLISTED_ENDPOINTS
from ops.deployment.deploy import Target, parameters_of
from tests.infra.template import CERTIFICATE, ROOT, Template, default_template

ID = CERTIFICATE[-36:]

PARAMETERS: dict[str, dict[str, Any]] = default_template().source["Parameters"]


def takes(name: str, value: str) -> bool:
    """CloudFormation's own checks of a parameter."""
    rule = PARAMETERS[name]
    if "AllowedValues" in rule and value not in map(str, rule["AllowedValues"]):
        return False
    if "AllowedPattern" in rule and not re.search(rule["AllowedPattern"], value):
        return False
    if rule["Type"] == "Number":
        low, high = rule.get("MinValue", float("-inf")), rule.get("MaxValue", float("inf"))
        return bool(low <= float(value) <= high)
    return True


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("BrazeInstance", "EU-02", True),
        ("BrazeInstance", "US-09", False),
        ("BrazeInstance", "us-01", False),
        ("BrazeEndpoint", "", True),
        ("BrazeEndpoint", "https://rest.fra-03.braze.eu", True),
        ("BrazeEndpoint", "http://127.0.0.1:8080", True),
        ("BrazeEndpoint", "http://localhost:8080", True),
        ("BrazeEndpoint", "http://rest.iad-01.braze.com", False),
        ("BrazeEndpoint", "https://sdk.iad-01.braze.com", False),
        ("BrazeEndpoint", "https://rest.iad-01.braze.com/users/track", False),
        ("BrazeEndpoint", "https://rest.iad-01.braze.com.example.org", False),
        ("BrazeEndpoint", "https://rest.example-braze.com", False),
        ("BrazeEndpoint", "https://example.org/?https://rest.iad-01.braze.com", False),
        ("AllowLoopbackBraze", "yes", False),
        ("OnUnknownOutcome", "park", True),
        ("OnUnknownOutcome", "verify", True),
        ("OnUnknownOutcome", "drop", False),
        ("OnUnverified", "park", True),
        ("OnUnverified", "verify", False),
        ("QuiklyApiUrl", "", True),
        ("QuiklyApiUrl", "https://api.quikly.com/webhook/braze", True),
        ("QuiklyApiUrl", "https://api.quikly.com", True),
        ("QuiklyApiUrl", "http://127.0.0.1:8080/quikly/webhook/braze", True),
        ("QuiklyApiUrl", "http://api.quikly.com/webhook/braze", False),
        ("QuiklyApiUrl", "https://user:word@api.quikly.com/", False),
        ("QuiklyApiUrl", "api.quikly.com", False),
        ("QuiklyApiUrl", "https://api.quikly.com/webhook/braze?key=k", False),
        ("QuiklyApiUrl", "https://api.quikly.com?key=k", False),
        ("MaxTableWrites", "99", False),
        ("MaxTableWrites", "100", True),
        ("ProfileWaitSeconds", "0", True),
        ("ProfileWaitSeconds", "900", True),
        ("ProfileWaitSeconds", "901", False),
        ("ForwardMaximumConcurrency", "1", False),
        ("ForwardMaximumConcurrency", "2", True),
        ("WebhookThrottleRate", "0", False),
        ("DomainName", "", True),
        ("DomainName", "bridge.example.com", True),
        ("DomainName", "https://bridge.example.com", False),
        ("DomainName", "bridge.example.com/quiz", False),
        ("DomainName", "bridge", False),
        ("DomainBasePath", "", True),
        ("DomainBasePath", "partners", True),
        ("DomainBasePath", "/partners", False),
        ("DomainBasePath", "partners/braze", False),
        ("DomainCertificateArn", "", True),
        ("DomainCertificateArn", CERTIFICATE, True),
        ("DomainCertificateArn", CERTIFICATE.replace(":acm:", ":iam:"), False),
        ("AlarmEmail", "", True),
        ("AlarmEmail", "ops@example.com", True),
        ("AlarmEmail", "ops", False),
        ("AlarmEmail", "a@example.com b@example.com", False),
        ("AlarmTopicArn", "", True),
        ("AlarmTopicArn", "arn:aws:sns:eu-west-1:123456789012:alarms", True),
        ("AlarmTopicArn", "arn:aws-cn:sns:cn-north-1:123456789012:alarms", True),
        ("AlarmTopicArn", "arn:aws:sqs:eu-west-1:123456789012:alarms", False),
        ("UrgentAlarmTopicArn", "", True),
        ("UrgentAlarmTopicArn", "arn:aws:sns:eu-west-1:123456789012:duty", True),
        ("UrgentAlarmTopicArn", "duty", False),
        ("RunbookUrl", "docs/operations.md", True),
        ("RunbookUrl", "https://git.example.com/operations.md", True),
        ("RunbookUrl", "https://git.example.com/operations.md#top", False),
        ("RunbookUrl", "", False),
        ("WebAclArn", "", True),
        ("WebAclArn", f"arn:aws:wafv2:eu-west-1:1{'0' * 11}:regional/webacl/a/{ID}", True),
        ("WebAclArn", "arn:aws:wafv2:us-east-1:123456789012:global/webacl/a/1", False),
        ("PermissionsBoundaryArn", "", True),
        ("PermissionsBoundaryArn", "arn:aws:iam::123456789012:policy/teams/edge", True),
        ("PermissionsBoundaryArn", "arn:aws:iam::123456789012:role/edge", False),
        ("WebhookReservedConcurrency", "0", True),
        ("WebhookReservedConcurrency", "-1", False),
        ("DeliveryMemory", "1024", True),
        ("DeliveryMemory", "128", False),
        ("Tracing", "Active", False),
        ("LogLevel", "TRACE", False),
        ("LogRetentionDays", "30", True),
        ("LogRetentionDays", "31", False),
        ("ThrottleRate", "0", False),
        ("DeliveryBatchSize", "4500", True),
        ("DeliveryBatchSize", "1000", False),
        ("DeliveryBatchSize", "10050", False),
        ("DeliveryBatchWindow", "0", False),
        ("DeliveryMaximumConcurrency", "0", False),
        ("DeliveryMaximumConcurrency", "1", False),
        ("DeliveryMaximumConcurrency", "2", True),
        ("DeliveryMaximumConcurrency", "99", True),
        ("DeliveryMaximumConcurrency", "1000", True),
        ("DeliveryMaximumConcurrency", "1001", False),
        ("DeliveryTimeout", "45", False),
        ("SendConcurrency", "0", False),
        ("PythonRuntime", "python3.13", True),
        ("PythonRuntime", "python3.9", False),
        ("PythonRuntime", "nodejs22.x", False),
        ("Architecture", "x86", False),
        ("PartnerConfigDir", "/opt/partner_config", True),
        ("PartnerConfigDir", "partner_config", False),
        ("Canary", "True", False),
    ],
)
def test_a_parameter_accepts_valid_values(name: str, value: str, taken: bool) -> None:
    """A value that would fail later, or send data to a wrong place, is refused at once."""
    assert takes(name, value) is taken


def test_each_table_has_a_limit_of_writes(template: Template) -> None:
    """A flood costs at most so much: 12,000 writes a second are 27 USD an hour and table."""
    tables = template.of_type("AWS::DynamoDB::Table")

    assert len(tables) == 4
    for table in tables.values():
        throughput = template.resolve(table["Properties"]["OnDemandThroughput"])
        assert int(throughput["MaxWriteRequestUnits"]) == 12_000


def test_every_default_is_valid() -> None:
    """The defaults pass their own rules."""
    defaults = {
        name: str(rule["Default"]) for name, rule in PARAMETERS.items() if "Default" in rule
    }

    assert [name for name, value in defaults.items() if not takes(name, value)] == []


def test_only_the_instance_has_no_default() -> None:
    """Data must not go to a wrong instance; every other parameter has a default."""
    assert [name for name, rule in PARAMETERS.items() if "Default" not in rule] == ["BrazeInstance"]


def test_every_parameter_says_what_it_is_and_has_a_place_in_the_console() -> None:
    """A guided deployment shows the descriptions; the console shows the groups."""
    interface = default_template().source["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]

    assert all(rule.get("Description") for rule in PARAMETERS.values())
    assert sorted(grouped) == sorted(PARAMETERS)


def test_the_instances_are_those_the_client_knows() -> None:
    """There is one table of Braze's instances."""
    assert PARAMETERS["BrazeInstance"]["AllowedValues"] == list(INSTANCES)


@pytest.mark.parametrize("endpoint", sorted({*INSTANCES.values(), *UNLISTED_ENDPOINTS}))
def test_every_endpoint_the_client_takes_may_be_an_override(endpoint: str) -> None:
    """The template accepts every endpoint that the client accepts."""
    assert takes("BrazeEndpoint", endpoint)


def test_the_layer_is_built_for_the_template_s_defaults() -> None:
    """`make deploy` and the layer's Makefile have the same defaults."""
    makefile = (ROOT / "layers" / "braze_bridge" / "Makefile").read_text()
    template = Target(PARAMETERS["PythonRuntime"]["Default"], PARAMETERS["Architecture"]["Default"])
    assumed = dict(re.findall(r"^(PYTHON_RUNTIME|ARCHITECTURE) \?= (\S+)$", makefile, re.MULTILINE))

    assert template == Target()
    assert assumed == {"PYTHON_RUNTIME": template.runtime, "ARCHITECTURE": template.architecture}


@pytest.mark.parametrize("environment", ["local", "dev", "prod"])
def test_the_template_accepts_the_values_of_samconfig(environment: str) -> None:
    """No name is misspelt, and no value is refused."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())

    for name, value in parameters_of(config, environment).items():
        assert takes(name, value)
