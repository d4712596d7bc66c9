"""A key's permissions, found by requests that can change nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.braze.errors import ConnectFailedError
from ops.doctor.braze_probes import (
    INTEGRATIONS,
    NEEDS,
    NO_GROUP,
    PROBES,
    UNKNOWN_ID,
    Verdict,
    client_for,
    probe,
    probe_all,
)
from tests.fakes.clock import FixedClock
from tests.fakes.recording_transport import RecordingTransport, answer

if TYPE_CHECKING:
    from braze_bridge.braze.client import BrazeClient
    from braze_bridge.braze.transport import HttpResponse


def client(*script: HttpResponse | ConnectFailedError) -> tuple[BrazeClient, RecordingTransport]:
    transport = RecordingTransport(*script)
    return client_for("a-key", transport, FixedClock(), "Doctor"), transport


def test_every_permission_that_is_needed_can_be_asked_about() -> None:
    """One probe each, and every need belongs to a known integration."""
    assert PROBES.keys() == NEEDS.keys()
    for need in NEEDS.values():
        assert {*need.integrations, *need.optional} <= set(INTEGRATIONS)


@pytest.mark.parametrize("permission", sorted(PROBES))
def test_a_probe_can_change_nothing(permission: str) -> None:
    """No identifier, an unknown group, or a read: no profile changes, whatever the key may do."""
    asked, transport = client(answer(400, {"message": "no"}))

    probe(asked, permission)

    (request,) = transport.requests
    body: dict[str, Any] = json.loads(request.body or b"{}")
    match request.path:
        case "/users/track":
            (item,) = body["attributes"]
            assert body.keys() == {"attributes"}
            assert item == {"_update_existing_only": True}
        case "/users/export/ids":
            assert body == {"fields_to_export": ["external_id"], "external_ids": [UNKNOWN_ID]}
        case "/subscription/status/set":
            assert body["subscription_group_id"] == NO_GROUP
            assert body["subscription_state"] == "unsubscribed"
            assert body["external_id"] == [UNKNOWN_ID]
        case _:
            assert request.method == "GET"


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (400, Verdict.GRANTED),
        (201, Verdict.GRANTED),
        (401, Verdict.KEY_REFUSED),
        (403, Verdict.MISSING),
        (404, Verdict.STRANGE),
        (429, Verdict.LIMITED),
        (500, Verdict.UNREACHABLE),
        (503, Verdict.UNREACHABLE),
    ],
)
def test_the_status_shows_the_verdict(status: int, verdict: Verdict) -> None:
    """400 is beyond the permission: Braze looked at the body."""
    asked, _ = client(answer(status, {"message": "words"}))

    assert probe(asked, "users.track").verdict is verdict


def test_no_answer_is_no_verdict_on_the_key() -> None:
    """The network may be closed."""
    asked, _ = client(ConnectFailedError("refused"))

    found = probe(asked, "users.track")

    assert (found.verdict, found.detail) == (Verdict.UNREACHABLE, "refused")


def test_a_401_beside_a_success_is_a_missing_permission() -> None:
    """Braze's errors page has "insufficient permissions" under 401, too."""
    asked, _ = client(answer(400), answer(401), answer(403))

    found = probe_all(asked, ["users.track", "users.export.ids", "subscription.status.set"])

    assert [each.verdict for each in found] == [
        Verdict.GRANTED,
        Verdict.MISSING,
        Verdict.MISSING,
    ]


def test_the_key_is_in_no_finding() -> None:
    """A 401 echoes it."""
    asked, _ = client(answer(401, {"message": "Invalid API key: a-key"}))

    assert "a-key" not in repr(probe(asked, "users.track"))
