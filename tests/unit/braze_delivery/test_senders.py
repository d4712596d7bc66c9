"""Only the role of a source's own function may send its jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from braze_bridge.handlers import SqsMessage
from braze_bridge.observability import Metric
from braze_delivery.delivery import deliver
from braze_delivery.reporting import BatchResult, report
from braze_delivery.senders import REFUSED, UNKNOWN, Senders
from tests.fakes.clock import NOON
from tests.fakes.delivery_jobs import job
from tests.fakes.log import RecordingLog
from tests.fakes.meter import RecordingMeter
from tests.unit.braze_delivery.test_delivery import Harness

if TYPE_CHECKING:
    from collections.abc import Sequence

FUNCTIONS = {"AROAOUTGROW": {"outgrow"}, "AROAITERATE": {"iterate"}}
IN_THE_LOCAL_ENGINE = "000000000000"


@pytest.mark.parametrize(
    ("operators", "sender_id", "is_taken"),
    [
        ((), "AROAOUTGROW:outgrow-ingest", True),
        ((), "AROAITERATE:iterate-responses", False),
        (("AROAITERATE",), "AROAITERATE:iterate-responses", False),
        ((), "AROAOPERATOR:ana", True),
        ((), IN_THE_LOCAL_ENGINE, True),
        ((), "", True),
        (("AROAOPERATOR", "AIDAANA"), "AROAOPERATOR:ana", True),
        (("AROAOPERATOR", "AIDAANA"), "AIDAANA", True),
        (("AROAOPERATOR",), "AROAELSE:ben", False),
        (("AROAOPERATOR",), "", False),
    ],
)
def test_who_may_send_a_job_of_outgrow(
    operators: Sequence[str], sender_id: str, is_taken: bool
) -> None:
    """A function: only of its sources. Another identity: unless operators are named."""
    refusal = Senders(FUNCTIONS, operators).refusal(job(source="outgrow"), sender_id)

    assert (refusal is None) is is_taken


def test_a_forged_job_is_parked_beside_the_job_s_own_row_and_never_sent() -> None:
    """Iterate's role sends a job as Outgrow's function would; Outgrow's own job is delivered."""
    harness = Harness()
    forged, genuine = job("1", "ana"), job("2", "ben")
    messages = [
        SqsMessage("m1", forged.to_json(), sender_id="AROAITERATE:iterate-responses"),
        SqsMessage("m2", genuine.to_json(), sender_id="AROAOUTGROW:outgrow-ingest"),
    ]

    result = deliver(messages, replace(harness.ports, senders=Senders(FUNCTIONS)), lambda: 60.0)

    assert (result.delivered, result.rejected, result.retried) == (1, 1, 0)
    assert [item["external_id"] for _, item in harness.braze.taken] == ["ben"]
    record = harness.rejected.records[f"{forged.job_id}~sender"]
    assert record.reasons == (REFUSED,)
    assert record.payload == forged.to_json()


def test_a_job_of_an_unknown_sender_waits_until_the_settings_name_it() -> None:
    """A new role of a function, as during a canary or after a rollback, or a replaced one."""
    harness = Harness()
    named = Senders(FUNCTIONS, ("AROAOPERATOR",))
    message = SqsMessage("m", job().to_json(), sender_id="AROANEW:outgrow-ingest")

    result = deliver([message], replace(harness.ports, senders=named), lambda: 60.0)

    assert (result.retried, result.rejected, harness.braze.taken) == (1, 0, [])
    assert result.held_up == {UNKNOWN: 1}
    later = Senders({"AROANEW": {"outgrow"}}, ("AROAOPERATOR",))
    assert deliver([message], replace(harness.ports, senders=later), lambda: 60.0).delivered == 1


def test_only_its_age_parks_a_job_of_an_unknown_sender() -> None:
    """The time of the message counts too, since the sender chose the job's."""
    harness = Harness()
    named = Senders(FUNCTIONS, ("AROAOPERATOR",))
    sent_at = NOON.timestamp() - 3 * 86_400 - 1
    message = SqsMessage("m", job().to_json(), sender_id="AROANEW:a", sent_at=sent_at)

    result = deliver([message], replace(harness.ports, senders=named), lambda: 60.0)

    assert (result.rejected, harness.braze.taken) == (1, [])
    (record,) = harness.rejected.records.values()
    assert record.reasons[0].code == "expired"


def test_every_sender_may_send_where_none_is_configured() -> None:
    """As in the tests of the other rules."""
    assert Harness().deliver(job()).delivered == 1


def test_a_refused_and_an_unknown_sender_alarm() -> None:
    """Each job counts."""
    result = BatchResult(received=2, held_up={UNKNOWN: 1}, parked=[("c", "id", REFUSED.code)])
    meter = RecordingMeter()

    report(result, meter, RecordingLog().logger, unhidden=0)

    assert meter.totals[Metric.SENDERS_REFUSED] == 2
