"""Handlers that no caller waits for: what they get from Lambda, and what they answer."""

from __future__ import annotations

import json
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from braze_bridge.handlers import (
    HandlerFailedError,
    SqsMessage,
    answer_batch,
    background_handler,
)
from braze_bridge.observability import EmfMeter, Metric, logger, metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TWICE = {
    "messageId": "m1",
    "receiptHandle": "h1",
    "body": "one",
    "attributes": {"ApproximateReceiveCount": "3", "SenderId": "AROAIN:ingest"},
}
EVENT = {"Records": [TWICE, {"messageId": "m2", "body": "two"}, TWICE]}


class Context(LambdaContext):
    """An invocation with a minute and a half left."""

    _function_name = "f"
    _memory_limit_in_mb = 512
    _invoked_function_arn = "arn"
    _aws_request_id = "request-1"

    @staticmethod
    def get_remaining_time_in_millis() -> int:
        return 90_500


@pytest.fixture(autouse=True)
def _powertools(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    # A service's logger keeps the output of the test that made it.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", request.node.name)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "BrazeBridge/test")
    for kept in (logger, metrics):
        kept.cache_clear()
    yield
    for kept in (logger, metrics):
        kept.cache_clear()


def test_a_message_that_comes_twice_in_a_batch_is_handled_once() -> None:
    """With its receipt, and how often it was handed out: once if SQS does not say."""
    seen: list[SqsMessage] = []

    def handle(
        received: Sequence[SqsMessage], seconds_left: Callable[[], float], name: str
    ) -> list[str]:
        seen.extend(received)
        assert (seconds_left(), name) == (60, "dependencies")
        return ["m2"]

    answer = answer_batch(EVENT, lambda: 60, handle, "dependencies")

    assert seen == [
        SqsMessage("m1", "one", 3, "h1", sender_id="AROAIN:ingest"),
        SqsMessage("m2", "two", 1, ""),
    ]
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m2"}]}


def test_an_error_s_text_is_neither_logged_nor_raised(capsys: pytest.CaptureFixture[str]) -> None:
    """It may quote a body. The log says which error it was, and where."""

    def run(_event: dict[str, Any], _seconds_left: Callable[[], float]) -> str:
        EmfMeter(metrics()).add(Metric.BRAZE_REQUESTS)
        raise ValueError("the body was: Ada Lovelace, ada@example.com")

    with pytest.raises(HandlerFailedError) as raised:
        background_handler(run)(EVENT, Context())

    line = json.loads(capsys.readouterr().out.splitlines()[0])
    shown = "".join(traceback.format_exception(raised.value))
    assert "Ada" not in shown + json.dumps(line)
    assert str(raised.value) == line["error"] == "ValueError"
    assert line["where"][-1].startswith("run:")


def test_a_handler_knows_the_time_left_and_writes_figures_and_logs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The log's lines have Lambda's request id; the figures are written when the run is done."""

    def run(event: dict[str, Any], seconds_left: Callable[[], float]) -> str:
        EmfMeter(metrics()).add(Metric.BRAZE_REQUESTS, len(event["Records"]))
        logger().info("handled", extra={"left": seconds_left()})
        return "done"

    assert background_handler(run)(EVENT, Context()) == "done"
    line, figures = (json.loads(text) for text in capsys.readouterr().out.splitlines())
    assert (line["left"], line["function_request_id"]) == (90.5, "request-1")
    assert figures["BrazeRequests"] == [3.0]
