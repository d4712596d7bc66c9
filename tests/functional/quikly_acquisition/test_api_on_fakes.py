"""The API's handler on fakes: what Quikly gets for any body."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braze_bridge.mapping.names import none_over_cap
from braze_bridge.observability import Metric
from braze_bridge.partner_config.toml_files import load_quikly
from braze_bridge.web.door import Door
from braze_bridge.web.edge import lambda_handler_of
from quikly_acquisition.api import ROUTES, AcquisitionApi
from tests.fakes.acquisitions import InMemoryRecords, InMemoryStepQueue
from tests.fakes.api_event import TOKEN, proxy_event
from tests.fakes.clock import FixedClock
from tests.fakes.event_files import EventCase, event_cases
from tests.fakes.json_bodies import json_values
from tests.fakes.log import RecordingLog
from tests.fakes.meter import RecordingMeter
from tests.fakes.outgrow import PARTNER_CONFIG, answered
from tests.fakes.secret import FixedSecret

if TYPE_CHECKING:
    from braze_bridge.mapping.names import NamesOverCap
    from braze_bridge.web.door import ProxyResponse

PATH = "/quikly/acquisitions"
CASES = event_cases("quikly", "acquisition*")
CONFIG = load_quikly(PARTNER_CONFIG)
BODY = {
    "q_scope": "demo-email",
    "channel": "email",
    "email": "ada@example.com",
    "consent": {"given_at": "2026-11-22T11:00:00Z", "method": "checkbox", "text": "v1"},
}


class ApiBench:
    """The handler as Lambda would call it, and everything it touches."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.records = InMemoryRecords(self.clock)
        self.queue = InMemoryStepQueue(self.clock)
        self.meter = RecordingMeter()
        self.secret = FixedSecret(TOKEN)
        self.log = RecordingLog()
        self.names_over_cap: NamesOverCap = none_over_cap
        self._made = 0
        self.handler = lambda_handler_of(
            self._compose, log=lambda: self.log.logger, flush=lambda: None
        )

    def _compose(self) -> AcquisitionApi:
        return AcquisitionApi(
            door=Door(routes=ROUTES, secret=self.secret, meter=self.meter, clock=self.clock),
            acquisitions=CONFIG.acquisitions,
            records=self.records,
            queue=self.queue,
            meter=self.meter,
            log=self.log.logger,
            new_id=self._new_id,
            names_over_cap=self.names_over_cap,
        )

    def _new_id(self) -> str:
        self._made += 1
        return f"acquisition-{self._made:012d}"

    def post(self, body: object) -> ProxyResponse:
        return self.handler(proxy_event(json.dumps(body), path=PATH), None)

    def state(self, acquisition_id: str) -> ProxyResponse:
        event = proxy_event(
            None,
            method="GET",
            path=f"{PATH}/x",
            resource=f"{PATH}/{{id}}",
            path_parameters={"id": acquisition_id},
        )
        return self.handler(event, None)

    def queued(self) -> int:
        return len(self.queue.take(100))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_sample_is_answered_as_its_file_says(case: EventCase) -> None:
    """A good one is stored and queued once; of a bad one nothing is stored or quoted."""
    bench = ApiBench()

    status, body = answered(bench.handler(case.event(), None))

    assert case.expect["status"] == status
    assert case.expect.get("reasons", []) == [
        {key: reason[key] for key in ("field", "code") if key in reason}
        for reason in body.get("reasons", [])
    ]
    good = int(case.is_good)
    assert (bench.queued(), bench.meter.totals[Metric.ACQUISITIONS_ACCEPTED]) == (good, good)


def test_shipped_samples_cover_every_demo_path() -> None:
    """Both channels, with and without an e-mail address, and a double opt-in."""
    good = [json.loads(case.body) for case in CASES if case.is_good]

    assert {body["q_scope"] for body in good} == {"demo-email", "demo-sms", "demo-double-opt-in"}
    assert any("email" not in body for body in good)


@pytest.mark.parametrize(
    "acquisition_id", ["A" * 24, "", "x", "a" * 3000, "a#b", "k#0123456789abcdef", "no such id é"]
)
def test_an_unknown_id_is_404(acquisition_id: str) -> None:
    """For any text; the ids of other rows are unknown here, too."""
    status, answer = answered(ApiBench().state(acquisition_id))

    assert (status, answer["reasons"]) == (404, [{"code": "not_found", "field": "id"}])


def test_a_token_that_cannot_be_checked_is_neither_right_nor_wrong() -> None:
    """503 for both routes, and nothing is stored."""
    bench = ApiBench()
    bench.secret.unavailable = True

    assert bench.post(BODY)["statusCode"] == bench.state("A" * 24)["statusCode"] == 503
    assert bench.queued() == 0


def test_a_body_that_is_too_large_is_413_and_counted() -> None:
    """The alarm on it rings for callers with the token only."""
    bench = ApiBench()

    assert bench.post(BODY | {"attributes": {"a": "x" * 300_000}})["statusCode"] == 413
    assert bench.meter.totals[Metric.BODY_TOO_LARGE] == 1


BENCH = ApiBench()


@given(st.one_of(json_values(), json_values().map(lambda value: BODY | {"attributes": value})))
def test_any_json_is_accepted_or_refused(body: Any) -> None:
    """202 or a clear 4xx, never a 5xx."""
    status, answer = answered(BENCH.post(body))

    # 1e400 written by Python is Infinity, and no JSON.
    assert status in (202, 422) or (status == 400 and "Infinity" in json.dumps(body))
    assert answer["status"] == ("accepted" if status == 202 else "error")


@given(st.one_of(st.text(), st.binary()))
def test_any_bytes_are_refused(body: str | bytes) -> None:
    """For any bytes, the answer is a clear 4xx."""
    event = proxy_event(body, path=PATH)

    assert BENCH.handler(event, None)["statusCode"] in (400, 422)
