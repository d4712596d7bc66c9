"""The dashboard draws metrics that are emitted: an empty graph looks like good news."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from braze_bridge.observability import BY_PARTNER
from tests.infra.emitted_metrics import SHIPPED, emitted_metrics
from tests.infra.template import NAMESPACE, ROOT, STACK, Template, default_template
from tests.infra.test_alarms import of_log_filters

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS: Final = ROOT / "docs"

AWS_METRICS: Final = {
    ("AWS/Lambda", ("FunctionName",)): {"Errors", "Throttles", "Duration"},
    ("AWS/ApiGateway", ("ApiName", "Stage")): {"4XXError", "5XXError", "Latency"},
    ("AWS/SQS", ("QueueName",)): {
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesNotVisible",
    },
}
"""The drawn metrics of these services, by namespace and dimensions
(docs.aws.amazon.com: monitoring-metrics, api-gateway-metrics-and-dimensions,
sqs-available-cloudwatch-metrics)."""

SEARCH: Final = re.compile(
    r"SEARCH\('\{\"(?P<namespace>[^\"]+)\",(?P<dimensions>[a-z,]+)\} MetricName=\"(?P<name>\w+)\"',"
    r" '(Sum|Maximum)'\)"
)


def body(template: Template) -> dict[str, Any]:
    """The dashboard as CloudWatch reads it; references to resources are their names."""
    source = template.plain["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    text = source.replace("${AWS::StackName}", STACK)
    found: dict[str, Any] = json.loads(text)
    return found


def widgets(template: Template, kind: str) -> list[dict[str, Any]]:
    return [each for each in body(template)["widgets"] if each["type"] == kind]


def drawn(template: Template) -> Iterator[tuple[str, dict[str, str], str]]:
    """Namespace, dimensions and name of each metric that is named one by one."""
    for widget in widgets(template, "metric"):
        before: list[str] = []
        for row in widget["properties"]["metrics"]:
            words = [each for each in row if isinstance(each, str)]
            if not words:
                continue
            # A dot repeats the word at that place in the row above.
            full = [before[at] if word == "." else word for at, word in enumerate(words)]
            namespace, name, *rest = before = full
            yield namespace, dict(zip(rest[::2], rest[1::2], strict=True)), name


def searches(template: Template) -> list[re.Match[str]]:
    """The metrics that are searched for."""
    expressions = [
        part["expression"]
        for widget in widgets(template, "metric")
        for row in widget["properties"]["metrics"]
        for part in row
        if isinstance(part, dict) and "expression" in part
    ]
    found = [SEARCH.fullmatch(expression) for expression in expressions]
    assert None not in found, expressions
    return [match for match in found if match is not None]


def test_something_emits_what_is_drawn(template: Template) -> None:
    """Our own metrics by the service's code, those of AWS by the documentation."""
    rows = list(drawn(template))

    assert rows
    for namespace, dimensions, name in rows:
        if namespace == NAMESPACE and not dimensions:
            assert name in of_log_filters(template)
        elif namespace == NAMESPACE:
            assert dimensions.keys() == {"service"}
            assert name in emitted_metrics()[dimensions["service"]]
        else:
            assert name in AWS_METRICS[namespace, tuple(dimensions)]


def test_something_emits_what_is_searched_for(template: Template) -> None:
    """With the dimensions of the search; only delivery's metrics have the partner's."""
    everything = set().union(*emitted_metrics().values())

    for search in searches(template):
        assert search["namespace"] == NAMESPACE
        assert search["name"] in everything
        assert search["dimensions"] in {"service", "partner,service"}
        if search["dimensions"] == "partner,service":
            assert search["name"] in BY_PARTNER


PAGES: Final = ("operations.md", "outgrow.md", "iterate.md", "quikly")
"""Where people are told to look at a metric."""


@pytest.mark.parametrize("service", sorted(emitted_metrics()))
def test_every_metric_is_looked_at(template: Template, service: str) -> None:
    """In an alarm, on the dashboard or in a page of instructions: each costs $0.30 a month."""
    looked_at = {
        template.properties(alarm)["MetricName"]
        for alarm in template.of_type("AWS::CloudWatch::Alarm")
        if {"Name": "service", "Value": service} in template.properties(alarm).get("Dimensions", [])
    }
    looked_at |= {
        name for _, dimensions, name in drawn(template) if dimensions.get("service") == service
    }
    looked_at |= {search["name"] for search in searches(template)}
    pages = [path for name in PAGES for path in (DOCS / name, *(DOCS / name).glob("*.md"))]
    text = "".join(page.read_text() for page in pages if page.is_file())
    looked_at |= set(re.findall(r"`(\w+)`", text))

    assert emitted_metrics()[service] - looked_at - OF_THE_DOOR == set()


OF_THE_DOOR: Final = {"Unauthorized", "BodyTooLarge"}
"""The code of the sweep of claims imports the webhook's door, and never calls it."""


def test_the_first_row_is_the_owner_s(template: Template) -> None:
    """Accepted, delivered, rejected, oldest wait."""
    first = [each for each in widgets(template, "metric") if each["y"] == 0]
    text = json.dumps(first)

    assert [
        name
        for name in ("JobsAccepted", "JobsDelivered", "JobsRejected", "BodiesParked", "OldestWait")
        if name not in text
    ] == []


@pytest.mark.parametrize("kind", ["AWS::Lambda::Function", "AWS::SQS::Queue"])
def test_every_function_and_queue_is_drawn(template: Template, kind: str) -> None:
    """Every function has its errors and its time drawn, every queue its length."""
    wanted = {
        "AWS::Lambda::Function": {"Errors", "Throttles", "Duration"},
        "AWS::SQS::Queue": {"ApproximateNumberOfMessagesVisible"},
    }[kind]
    for name in template.of_type(kind):
        shown = {
            metric
            for _, dimensions, metric in drawn(template)
            if {f"${{{name}}}", f"${{{name}.QueueName}}"} & set(dimensions.values())
        }
        assert wanted <= shown, name


def test_every_alarm_is_shown(template: Template) -> None:
    """Their states are in one widget."""
    (widget,) = widgets(template, "alarm")

    assert sorted(widget["properties"]["alarms"]) == sorted(
        f"${{{name}.Arn}}" for name in template.of_type("AWS::CloudWatch::Alarm")
    )


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_the_dashboard_has_a_name_and_an_address_in_each_region(
    template: Template, partition: str
) -> None:
    """Dashboards of all regions of an account share one namespace; consoles have other hosts."""
    name = "${AWS::StackName}-${AWS::Region}"
    address, _ = template.plain["Outputs"]["DashboardUrl"]["Value"]["Fn::Sub"]

    assert template.plain["Resources"]["Dashboard"]["Properties"]["DashboardName"] == {
        "Fn::Sub": name
    }
    assert address.startswith("https://${Host}/")
    assert address.endswith(f"#dashboards:name={name}")
    assert (
        template.source["Mappings"]["Console"][partition]["Host"]
        == {
            "aws": "console.aws.amazon.com",
            "aws-cn": "console.amazonaws.cn",
            "aws-us-gov": "console.amazonaws-us-gov.com",
        }[partition]
    )


def test_widgets_do_not_overlap(template: Template) -> None:
    """CloudWatch's grid is 24 wide."""
    taken: set[tuple[int, int]] = set()
    for widget in body(template)["widgets"]:
        cells = {
            (x, y)
            for x in range(widget["x"], widget["x"] + widget["width"])
            for y in range(widget["y"], widget["y"] + widget["height"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells


def test_queries_are_saved_in_aws_and_look_into_logs_that_exist(template: Template) -> None:
    """The local engine does not know this resource type."""
    queries = template.of_type("AWS::Logs::QueryDefinition")
    groups = template.of_type("AWS::Logs::LogGroup")

    assert queries
    for query in queries.values():
        assert {name["Ref"] for name in query["Properties"]["LogGroupNames"]} <= groups.keys()
    whole = [
        query
        for query in queries.values()
        if len(query["Properties"]["LogGroupNames"]) == len(groups)
    ]
    assert whole, "one query follows a call through every log"
    assert Template(AllowLoopbackBraze="true").of_type("AWS::Logs::QueryDefinition") == {}


def test_queries_ask_for_words_that_are_logged() -> None:
    """A query for a message that no code writes would find nothing."""
    queries = default_template().of_type("AWS::Logs::QueryDefinition").values()
    texts = " ".join(query["Properties"]["QueryString"] for query in queries)
    source = "".join(path.read_text() for root in SHIPPED for path in root.rglob("*.py"))

    for message in re.findall(r'message = "([^"]+)"', texts):
        assert f'"{message}"' in source
