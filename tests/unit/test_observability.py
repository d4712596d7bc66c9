"""The last check for personal data in logs, and the shape of metrics."""

from __future__ import annotations

import io
import json

import pytest
from aws_lambda_powertools import Logger, Metrics
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.mapping.identities import loggable
from braze_bridge.observability import BY_PARTNER, EmfMeter, Metric, ScrubbingFormatter, scrub


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("mail ada.lovelace+quiz@example.co.uk now", "mail *** now"),
        ("call +15555550100", "call ***"),
        ("Authorization: Bearer abc.def-123", "Authorization: ***"),
        ("bearer  abc", "***"),
        (f"job outgrow:quiz:{loggable('ada@example.com')} sent", "job outgrow:quiz:*** sent"),
        ("job outgrow:quiz:1234567890123 took +5 tries at 12:30", None),
        ("a@b", None),
        ("2026-11-22T10:00:00+0100", None),
    ],
)
def test_what_looks_personal_is_scrubbed(text: str, clean: str | None) -> None:
    """Addresses, E.164 numbers and tokens are removed; ids, times and counts stay."""
    assert scrub(text) == (text if clean is None else clean)


@given(st.emails())
def test_no_address_survives(address: str) -> None:
    """Any address that RFC 5322 allows is removed with its domain."""
    assert address not in scrub(f"to {address} from here")


def test_a_log_line_is_scrubbed_wherever_the_address_stands() -> None:
    """Message, key and nested value alike."""
    stream = io.StringIO()
    log = Logger(
        service="scrubbed", stream=stream, level="INFO", logger_formatter=ScrubbingFormatter()
    )

    log.info("two\nada@example.com", extra={"people": {"first": ["ada@example.com"]}})

    line = json.loads(stream.getvalue())
    assert (line["message"], line["people"]) == ("two\n***", {"first": ["***"]})


def test_metrics_are_written_in_the_projects_namespace(capsys: pytest.CaptureFixture[str]) -> None:
    """Embedded metric format: namespace, dimension ``service``, seconds for the wait."""
    metrics = Metrics(namespace="BrazeBridge", service="braze-delivery")
    meter = EmfMeter(metrics)

    meter.add(Metric.JOBS_DELIVERED, 3)
    meter.add(Metric.OLDEST_WAIT, 1.5)
    metrics.flush_metrics()

    line = json.loads(capsys.readouterr().out)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("BrazeBridge", [["service"]])
    assert {each["Name"]: each["Unit"] for each in directive["Metrics"]} == {
        "JobsDelivered": "Count",
        "OldestWait": "Seconds",
    }
    assert (line["service"], line["JobsDelivered"]) == ("braze-delivery", [3.0])


def test_a_partner_s_figures_are_a_line_of_their_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With both dimensions, at once, and apart from the totals."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "braze-delivery")
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "BrazeBridge/bridge")
    meter = EmfMeter(Metrics())

    meter.add_for("outgrow", dict.fromkeys(BY_PARTNER, 3))
    meter.add_for("iterate", {Metric.JOBS_DELIVERED: 1})

    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    (shape,) = first["_aws"]["CloudWatchMetrics"]
    assert shape["Namespace"] == "BrazeBridge/bridge"
    assert [sorted(names) for names in shape["Dimensions"]] == [["partner", "service"]]
    assert (first["partner"], first["service"]) == ("outgrow", "braze-delivery")
    assert {metric["Name"] for metric in shape["Metrics"]} == BY_PARTNER
    assert (second["partner"], second["JobsDelivered"]) == ("iterate", [1])
    assert "JobsRejected" not in second
