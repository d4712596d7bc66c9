"""Monthly active users."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest

from braze_bridge.braze.client import BrazeClient
from braze_bridge.braze.errors import InvalidRequestError, UnexpectedResponseError
from braze_bridge.braze.kpi import MauDataSeriesRequest, MauPoint
from tests.fakes.recording_transport import RecordingTransport, answer

END = datetime(2018, 6, 28, 23, 59, 59, tzinfo=timezone(timedelta(hours=-5)))


def client_of(*script: Any) -> tuple[BrazeClient, RecordingTransport]:
    """A client on a scripted transport."""
    transport = RecordingTransport(*script)
    client = BrazeClient(lambda: "key", transport, "partner-Acme-Bridge/1", lambda: 0.0, (1.0, 1.0))
    return client, transport


@pytest.mark.parametrize(
    ("request_", "params"),
    [
        (MauDataSeriesRequest(1), (("length", "1"),)),
        (
            MauDataSeriesRequest(7, END, "app"),
            (("length", "7"), ("ending_at", "2018-06-28T23:59:59-05:00"), ("app_id", "app")),
        ),
    ],
)
def test_query(request_: MauDataSeriesRequest, params: tuple[tuple[str, str], ...]) -> None:
    """Length always, end and app when given, the end as in Braze's example."""
    client, transport = client_of(answer(200, {"data": []}))

    client.mau_data_series(request_)

    (request,) = transport.requests
    assert (request.method, request.path) == ("GET", "/kpi/mau/data_series")
    assert request.params == params


@pytest.mark.parametrize(
    "arguments",
    [(0,), (101,), (7, datetime(2018, 6, 28))],  # noqa: DTZ001  # that is the case
)
def test_refused(arguments: tuple[Any, ...]) -> None:
    """1 to 100 days, ending at a moment with a zone."""
    with pytest.raises(InvalidRequestError):
        MauDataSeriesRequest(*arguments)


def test_the_series_in_brazes_order() -> None:
    """Each day with its figure; a time of day is left away."""
    client, _ = client_of(
        answer(
            200,
            {"data": [{"time": "2018-06-28", "mau": 123}, {"time": "2018-06-27T00:00Z", "mau": 0}]},
        )
    )

    response = client.mau_data_series(MauDataSeriesRequest(2, datetime(2018, 6, 28, tzinfo=UTC)))

    assert response.data == (MauPoint(date(2018, 6, 28), 123), MauPoint(date(2018, 6, 27), 0))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"data": {}},
        {"data": [1]},
        {"data": [{"time": "soon", "mau": 1}]},
        {"data": [{"time": "2018-06-28"}]},
        {"data": [{"time": "2018-06-28", "mau": "1"}]},
    ],
)
def test_unreadable(document: Any) -> None:
    """A series that cannot be read is an error, not a shorter series."""
    client, _ = client_of(answer(200, document))

    with pytest.raises(UnexpectedResponseError):
        client.mau_data_series(MauDataSeriesRequest(1))
