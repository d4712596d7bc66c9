"""Each alarm watches a metric that is emitted, has a severity, and links to its instructions."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest

from braze_bridge.observability import Metric
from tests.infra.emitted_metrics import HANDLERS, emitted_metrics
from tests.infra.template import NAMESPACE, ROOT, Template, default_template
from tests.infra.test_documents import slugs

ALARMS: Final = sorted(default_template().of_type("AWS::CloudWatch::Alarm"))
RUNBOOK: Final = ROOT / "docs" / "operations.md"
TOPIC: Final = "arn:aws:sns:eu-west-1:123456789012:ops"
URGENT_TOPIC: Final = "arn:aws:sns:eu-west-1:123456789012:duty"

URGENT: Final = {
    "DoorErrorsAlarm",
    "DoorThrottledAlarm",
    "BrazeKeyRefusedAlarm",
    "DeliveryErrorsAlarm",
    "SendersRefusedAlarm",
}
"""Answers are lost, nothing reaches Braze, or somebody misuses a role."""

NEVER_BY_A_BODY: Final = {
    "BrazeKeyRefused",  # the first refusal closes the gate, so there may be only one
    "QuiklyKeyRefused",
    "SendersRefused",  # a role did it
    "ApproximateNumberOfMessagesVisible",  # of a dead-letter queue: 1,000 tries
    "Invocations",  # below it
    "NamesOverCap",  # a body has at most 250 names, a day takes 500
}
"""Metrics that a single odd body cannot cause: their alarms may fire at 1."""


def dimensions(template: Template, alarm: str) -> dict[str, Any]:
    found = template.properties(alarm).get("Dimensions", [])
    return {item["Name"]: item["Value"] for item in found}


@pytest.mark.parametrize("alarm", ALARMS)
def test_something_emits_what_an_alarm_watches(template: Template, alarm: str) -> None:
    """The metric, under these very dimensions, is one that our code or the AWS service emits."""
    properties = template.properties(alarm)
    found, metric = dimensions(template, alarm), properties["MetricName"]

    match properties["Namespace"]:
        case namespace if namespace == NAMESPACE and found:
            assert found.keys() == {"service"}
            assert metric in emitted_metrics()[found["service"]]
        case namespace if namespace == NAMESPACE:
            assert metric in of_log_filters(template)
        case "AWS/SQS":
            assert metric == "ApproximateNumberOfMessagesVisible"
            queue, attribute = found.pop("QueueName")["Fn::GetAtt"]
            assert attribute == "QueueName"
            assert queue in template.of_type("AWS::SQS::Queue")
            assert found == {}
        case "AWS/Lambda" if found:
            assert metric in {"Errors", "Invocations"}
            assert found.pop("FunctionName")["Ref"] in template.of_type("AWS::Lambda::Function")
            assert found == {}
        case "AWS/Lambda":  # of all functions of the region
            assert metric == "Throttles"
        case "AWS/ApiGateway":
            # The names that a REST API emits; an HTTP API's are others.
            assert metric in {"4XXError", "5XXError"}
            assert found == {
                "ApiName": template.properties("BridgeApi")["Name"],
                "Stage": template.properties("BridgeApiliveStage")["StageName"],
            }
        case other:
            raise AssertionError(f"unknown namespace {other}")


def of_log_filters(template: Template) -> set[str]:
    """Metrics that CloudWatch counts in a log."""
    return {
        each["MetricName"]
        for name in template.of_type("AWS::Logs::MetricFilter")
        for each in template.properties(name)["MetricTransformations"]
        if each["MetricNamespace"] == NAMESPACE
    }


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
def test_missing_data_is_an_alarm_only_for_what_must_run(template: Template, alarm: str) -> None:
    """A sweep that is not called writes nothing; every other metric is silent if all is well."""
    treated = template.properties(alarm)["TreatMissingData"]

    assert treated == ("breaching" if "Stopped" in alarm else "notBreaching")


@pytest.mark.parametrize("schedule", ["QuiklyAcquisitionSweep", "QuiklyWebhookSweep"])
def test_a_sweep_that_does_not_run_rings(template: Template, schedule: str) -> None:
    """Its rule may be off, or its calls throttled: then it has no errors either."""
    [alarm] = [
        properties
        for properties in map(template.properties, ALARMS)
        if properties["MetricName"] == "Invocations"
        and properties["Dimensions"][0]["Value"] == {"Ref": f"{schedule}Function"}
    ]

    assert alarm["ComparisonOperator"] == "LessThanThreshold"
    assert alarm["Threshold"] == 1
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 15 * 60


@pytest.mark.parametrize(
    "service", sorted(name for name, found in emitted_metrics().items() if "JobsAccepted" in found)
)
@pytest.mark.parametrize("metric", ["Unauthorized", "BodyTooLarge", "BodiesParked"])
def test_every_door_rings_for_what_it_refuses(
    template: Template, service: str, metric: str
) -> None:
    """A partner's answers must not be lost in silence."""
    watched = [
        (template.properties(alarm)["MetricName"], dimensions(template, alarm).get("service"))
        for alarm in ALARMS
    ]

    assert (metric, service) in watched


@pytest.mark.parametrize("alarm", ALARMS)
def test_one_odd_body_does_not_ring(template: Template, alarm: str) -> None:
    """An alarm at 1 is for what no body can cause."""
    properties = template.properties(alarm)

    assert properties["Threshold"] >= 2 or properties["MetricName"] in NEVER_BY_A_BODY


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_links_to_its_instructions(template: Template, alarm: str) -> None:
    """The text ends with the page and the anchor of a section that names the alarm."""
    text = template.properties(alarm)["AlarmDescription"]
    page, _, anchor = text.split()[-1].partition("#")
    section = sections().get(anchor, "")

    assert page == "docs/operations.md"
    assert anchor in slugs(RUNBOOK)
    assert alarm in section
    assert "**Means:**" in section
    assert "**Do:**" in section


def test_the_link_leads_to_your_own_copy_of_the_page() -> None:
    """A message on a telephone needs a whole address."""
    template = Template(RunbookUrl="https://git.example.com/operations.md")
    text = template.properties("DoorErrorsAlarm")["AlarmDescription"]

    assert text.endswith(" https://git.example.com/operations.md#doorerrorsalarm")


def test_every_section_of_an_alarm_has_one() -> None:
    """Instructions for an alarm that is gone would be looked for in vain."""
    assert {name for text in sections().values() for name in re.findall(r"\w+Alarm\b", text)} <= {
        *ALARMS
    }


def sections() -> dict[str, str]:
    """The sections of docs/operations.md, heading included, by their anchors."""
    text = RUNBOOK.read_text()
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"): f"{heading}\n{body}"
        for heading, body in re.findall(
            r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
        )
    }


@pytest.mark.parametrize("alarm", ALARMS)
def test_a_severity_is_in_the_text(template: Template, alarm: str) -> None:
    """With one address for all alarms, only the text says if it can wait."""
    text = template.properties(alarm)["AlarmDescription"]

    assert text.startswith("Urgent. " if alarm in URGENT else "Can wait until the morning. ")


MAIL: Final = {"AlarmEmail": "ops@example.com"}
BY_TOPIC: Final = {"AlarmTopicArn": TOPIC}
DUTY: Final = {"UrgentAlarmTopicArn": URGENT_TOPIC}
MAILED: Final = [{"Ref": "AlarmTopic"}]


@pytest.mark.parametrize(
    ("parameters", "told", "woken", "makes_topic"),
    [
        ({}, None, None, False),
        (MAIL, MAILED, MAILED, True),
        (BY_TOPIC, [TOPIC], [TOPIC], False),
        (MAIL | BY_TOPIC, [TOPIC], [TOPIC], False),
        (DUTY, None, [URGENT_TOPIC], False),
        (MAIL | DUTY, MAILED, [URGENT_TOPIC], True),
        (BY_TOPIC | DUTY, [TOPIC], [URGENT_TOPIC], False),
    ],
    ids=["nobody", "mail", "topic", "mail, topic", "duty", "mail, duty", "topic, duty"],
)
def test_alarms_go_where_their_severity_goes(
    parameters: dict[str, str], told: list[Any] | None, woken: list[Any] | None, makes_topic: bool
) -> None:
    """A topic comes before an address; urgent alarms have a topic of their own, if it is given."""
    template = Template(**parameters)

    for alarm in ALARMS:
        properties = template.properties(alarm)
        expected = woken if alarm in URGENT else told
        assert properties.get("AlarmActions") == expected, alarm
        assert properties.get("OKActions") in {None, expected} if expected is None else True
    assert bool(template.of_type("AWS::SNS::Topic")) is makes_topic


def test_throttled_calls_are_counted_in_the_access_log(template: Template) -> None:
    """The filter's field is one of the log's format."""
    filter_ = template.properties("DoorThrottledFilter")
    format_ = template.properties("BridgeApiliveStage")["AccessLogSetting"]["Format"]

    assert filter_["LogGroupName"] == {"Ref": "ApiAccessLogGroup"}
    assert filter_["FilterPattern"] == '{ $.status = "429" }'
    assert '"status":"$context.status"' in format_
