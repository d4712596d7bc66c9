"""What CloudWatch would make of figures: metrics out of log lines, and an alarm's state."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

STATISTICS: Final[dict[str, Callable[[Sequence[float]], float]]] = {"Sum": sum, "Maximum": max}


class Figure(NamedTuple):
    """One data point.

    Attributes:
        dimensions: Names and values; a resource's value is its reference in the template.
        at: Seconds after the rehearsal's begin.
    """

    namespace: str
    metric: str
    dimensions: frozenset[tuple[str, str]]
    value: float
    at: float


def dimensions_of(pairs: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Make dimensions that can be compared; a value may be a reference."""
    return frozenset((name, json.dumps(value, sort_keys=True)) for name, value in pairs.items())


def figures_in(lines: Iterable[str], at: float) -> list[Figure]:
    """Read log lines as CloudWatch does, by the embedded metric format.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    found = []
    for line in lines:
        content = json.loads(line)
        for directive in content.get("_aws", {}).get("CloudWatchMetrics", []):
            for names in directive["Dimensions"]:
                dimensions = dimensions_of({name: content[name] for name in names})
                for metric in directive["Metrics"]:
                    values = content[metric["Name"]]
                    found += [
                        Figure(directive["Namespace"], metric["Name"], dimensions, value, at)
                        for value in (values if isinstance(values, list) else [values])
                    ]
    return found


def filtered(filter_: Mapping[str, Any], lines: Iterable[str], at: float) -> list[Figure]:
    """Read log lines as a metric filter does whose pattern compares one field with one text."""
    pattern = re.fullmatch(r'\{ \$\.(\w+) = "([^"]+)" \}', filter_["FilterPattern"])
    assert pattern, filter_["FilterPattern"]
    field, wanted = pattern.groups()
    [to] = filter_["MetricTransformations"]
    return [
        Figure(to["MetricNamespace"], to["MetricName"], frozenset(), float(to["MetricValue"]), at)
        for line in lines
        if json.loads(line).get(field) == wanted
    ]


def is_on(alarm: Mapping[str, Any], figures: Sequence[Figure]) -> bool:
    """Whether an alarm is on at the end of its evaluation periods.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html

    Args:
        alarm: The template's properties, resolved.
        figures: Of the time since the first of the periods began.
    """
    dimensions = dimensions_of(
        {item["Name"]: item["Value"] for item in alarm.get("Dimensions", [])}
    )
    watched = (alarm["Namespace"], alarm["MetricName"], dimensions)
    mine = [each for each in figures if each[:3] == watched]
    breaching = 0
    for number in range(alarm["EvaluationPeriods"]):
        begin = number * alarm["Period"]
        values = [each.value for each in mine if begin <= each.at < begin + alarm["Period"]]
        breaching += _is_breaching(alarm, values)
    return bool(breaching >= alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]))


def _is_breaching(alarm: Mapping[str, Any], values: Sequence[float]) -> bool:
    if not values:
        return bool(alarm["TreatMissingData"] == "breaching")
    value = STATISTICS[alarm["Statistic"]](values)
    match alarm["ComparisonOperator"]:
        case "GreaterThanOrEqualToThreshold":
            return bool(value >= alarm["Threshold"])
        case "LessThanThreshold":
            return bool(value < alarm["Threshold"])
    raise AssertionError(f"an operator that this reader does not know: {alarm}")
