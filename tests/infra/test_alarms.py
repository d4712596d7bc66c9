"""Each alarm watches a metric that is emitted, and has instructions."""

from __future__ import annotations

import re
from typing import Any

import pytest

from braze_bridge.observability import Metric
from tests.infra.emitted_metrics import HANDLERS, emitted_metrics
from tests.infra.template import NAMESPACE, ROOT, Template, default_template

ALARMS = sorted(default_template().of_type("AWS::CloudWatch::Alarm"))


def dimensions(template: Template, alarm: str) -> dict[str, Any]:
    return {item["Name"]: item["Value"] for item in template.properties(alarm)["Dimensions"]}


@pytest.mark.parametrize("alarm", ALARMS)
def test_something_emits_what_an_alarm_watches(template: Template, alarm: str) -> None:
    """The metric, under these very dimensions, is one that our code or the AWS service emits."""
    properties = template.properties(alarm)
    found, metric = dimensions(template, alarm), properties["MetricName"]

    match properties["Namespace"]:
        case namespace if namespace == NAMESPACE:
            assert found.keys() == {"service"}
            assert metric in emitted_metrics()[found["service"]]
        case "AWS/SQS":
            assert metric == "ApproximateNumberOfMessagesVisible"
            queue, attribute = found.pop("QueueName")["Fn::GetAtt"]
            assert attribute == "QueueName"
            assert queue in template.of_type("AWS::SQS::Queue")
            assert found == {}
        case "AWS/Lambda":
            assert metric in {"Errors", "Throttles"}
            assert found.pop("FunctionName")["Ref"] in template.of_type("AWS::Lambda::Function")
            assert found == {}
        case "AWS/ApiGateway":
            # The names that a REST API emits; an HTTP API's are others.
            assert metric in {"4XXError", "5XXError"}
            assert found == {
                "ApiName": template.properties("BridgeApi")["Name"],
                "Stage": template.properties("BridgeApiliveStage")["StageName"],
            }
        case other:
            raise AssertionError(f"unknown namespace {other}")


def test_the_services_are_called_as_the_functions_say(template: Template) -> None:
    """The dimension `service` is the one that each function's Powertools writes."""
    functions = [template.properties(name) for name in template.of_type("AWS::Lambda::Function")]
    found = {
        function["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]: function["Handler"]
        for function in functions
    }

    assert found == {name: f"{module}.lambda_handler" for name, module in HANDLERS.items()}


def test_every_metric_is_emitted() -> None:
    """A name that no code uses would stay empty in CloudWatch."""
    assert set().union(*emitted_metrics().values()) == {metric.value for metric in Metric}


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_is_quiet_without_data_and_names_its_instructions(
    template: Template, alarm: str
) -> None:
    """Missing data is no alarm, and the message names the page of instructions."""
    properties = template.properties(alarm)

    assert properties["TreatMissingData"] == "notBreaching"
    assert "docs/operations.md" in properties["AlarmDescription"]


def test_every_alarm_has_instructions_and_every_instruction_an_alarm() -> None:
    """The sections of docs/operations.md are the alarms."""
    text = (ROOT / "docs" / "operations.md").read_text()
    sections = dict(re.findall(r"^## (\w+Alarm)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))

    assert sorted(sections) == ALARMS
    for section in sections.values():
        assert "**Means:**" in section
        assert "**Do:**" in section


@pytest.mark.parametrize(
    ("parameters", "told", "makes_topic"),
    [
        ({}, None, False),
        ({"AlarmEmail": "ops@example.com"}, [{"Ref": "AlarmTopic"}], True),
        ({"AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:ops"}, ["TOPIC"], False),
        (
            {
                "AlarmEmail": "ops@example.com",
                "AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:ops",
            },
            ["TOPIC"],
            False,
        ),
    ],
    ids=["neither", "an address", "a topic", "both"],
)
def test_alarms_go_to_the_topic_or_the_address(
    parameters: dict[str, str], told: list[Any] | None, makes_topic: bool
) -> None:
    """An existing topic comes before an address; without both, alarms only show in CloudWatch."""
    template = Template(**parameters)
    expected = [parameters.get("AlarmTopicArn")] if told == ["TOPIC"] else told

    for alarm in ALARMS:
        assert template.properties(alarm).get("AlarmActions") == expected
    assert bool(template.of_type("AWS::SNS::Topic")) is makes_topic
