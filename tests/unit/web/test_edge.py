"""The outer layer: it answers the caller whatever happens inside."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from braze_bridge.observability import flush_metrics, metrics
from braze_bridge.partner_config.problems import ConfigError, Problem
from braze_bridge.reasons import Reason
from braze_bridge.settings import SettingsError
from braze_bridge.web.door import DoorError, answer
from braze_bridge.web.edge import lambda_handler_of
from tests.fakes.api_event import proxy_event
from tests.fakes.log import RecordingLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.web.door import ProxyResponse

OK = answer(HTTPStatus.OK, {})


class Function:
    """A function whose composition and answering can be made to fail."""

    def __init__(
        self, composing: Exception | None = None, answering: Exception | None = None
    ) -> None:
        self.composing = composing
        self.answering = answering
        self.compositions = 0
        self.flushes = 0
        self.log = RecordingLog()
        self.handler = lambda_handler_of(
            self.compose, log=lambda: self.log.logger, flush=self.flush
        )

    def compose(self) -> Callable[[object], ProxyResponse]:
        self.compositions += 1
        if self.composing is not None:
            raise self.composing
        return self.answer

    def answer(self, event: object) -> ProxyResponse:
        if self.answering is not None:
            raise self.answering
        return OK

    def flush(self) -> None:
        self.flushes += 1


def test_composed_once_and_only_when_called() -> None:
    """Nothing is composed before the first call, or twice."""
    function = Function()
    assert function.compositions == 0

    assert [function.handler({}, None) for _ in range(3)] == [OK, OK, OK]
    assert (function.compositions, function.flushes) == (1, 3)


def test_refusal_is_answered_and_logged_by_code() -> None:
    """A refusal inside becomes its answer; the log has status, codes and the id, no more."""
    refusal = DoorError(HTTPStatus.UNPROCESSABLE_ENTITY, [Reason(code="no_identity")])
    function = Function(answering=refusal)

    response = function.handler(proxy_event("{}"), None)

    assert response == refusal.response()
    [line] = function.log.lines
    assert (line["status"], line["codes"]) == (422, ["no_identity"])
    assert line["correlation_id"] == "c0ffee00-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConfigError((Problem("outgrow.toml", "default.x", "is wrong"),)), "default.x: is wrong"),
        (SettingsError("environment variables missing: X"), "missing: X"),
    ],
)
def test_broken_configuration_is_503_until_it_is_right(error: Exception, words: str) -> None:
    """A function that cannot be composed takes no call, logs why, and tries again."""
    function = Function(composing=error)

    response = function.handler(proxy_event("{}"), None)

    assert response["statusCode"] == 503
    assert "Retry-After" in response["headers"]
    [line] = function.log.lines
    assert line["level"] == "CRITICAL"
    assert words in function.log.text
    function.composing = None
    assert function.handler(proxy_event("{}"), None) == OK
    assert function.compositions == 2


@pytest.mark.parametrize(
    "function",
    [
        Function(composing=RuntimeError("about ada@example.com")),
        Function(answering=KeyError("about ada@example.com")),
    ],
    ids=["composing", "answering"],
)
def test_unexpected_error_is_503_and_logged_without_its_message(function: Function) -> None:
    """The answer to a bug makes the sender try again; the log has only its type and place."""
    response = function.handler(proxy_event("{}"), None)

    assert response["statusCode"] == 503
    assert response["headers"]["Retry-After"] == "30"
    [line] = function.log.lines
    assert line["error"] in ("RuntimeError", "KeyError")
    assert any(place.startswith(("compose:", "answer:")) for place in line["where"])
    assert "ada" not in function.log.text


def test_failing_flush_is_503() -> None:
    """A failure to write the figures must not lose the answer."""
    log = RecordingLog()

    def flush() -> None:
        raise OSError("disk")

    handler = lambda_handler_of(lambda: lambda _: OK, log=lambda: log.logger, flush=flush)

    assert handler({}, None)["statusCode"] == 503


def test_figures_are_written_once_and_only_if_there_are_any(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flushing without figures writes nothing and warns of nothing."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "test")
    metrics.cache_clear()
    flush_metrics()
    assert capsys.readouterr().out == ""

    metrics().add_metric("JobsAccepted", "Count", 1)
    flush_metrics()
    flush_metrics()

    assert capsys.readouterr().out.count("JobsAccepted") == 2  # its definition and its figure
    metrics.cache_clear()
