"""Faults (design §6)."""

from typing import Any

import pytest
import requests

from tests.functional.sandbox.caller import KEY, TIMEOUT, Caller, people

TRACK = "/users/track"
U = {"external_id": "u"}


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ({"status": 503, "body": "no capacity"}, 503, "no capacity"),
        ({"status": 500, "body": {"message": "oops"}}, 500, '{"message":"oops"}'),
        ({"status": 429, "headers": {"Retry-After": "7"}}, 429, ""),
        ({"status": 502, "body": ["a"]}, 502, '["a"]'),
        ({"status": 400}, 400, ""),
        ({"status": 304, "body": "not sent"}, 304, ""),
    ],
    ids=str,
)
def test_status_replaces_processing(
    braze: Caller,
    fault: dict[str, Any],
    status: int,
    text: str,
) -> None:
    """A fault with a failing status is answered as told, and nothing is applied."""
    braze.fault(path=TRACK, times=1, **fault)

    answer = braze.attributes(U)

    assert (answer.status_code, answer.text) == (status, text)
    for name, value in fault.get("headers", {}).items():
        assert answer.headers[name] == value
    assert braze.profiles() == []


def test_times_count_matching_calls(braze: Caller) -> None:
    """A fault hits as many matching calls as told, and then no more."""
    braze.fault(path=TRACK, match="poison", times=2, status=500)

    statuses = [
        braze.attributes({**U, "word": word}).status_code
        for word in ("fine", "poison", "fine", "poison", "poison")
    ]

    assert statuses == [201, 500, 201, 500, 201]


def test_once_by_default(braze: Caller) -> None:
    """Without `times` or `share` a fault hits once."""
    braze.fault(path=TRACK, status=500)

    assert [braze.attributes(U).status_code for _ in range(2)] == [500, 201]


@pytest.mark.parametrize(("share", "expected"), [(0, 0), (1, 40)])
def test_share_of_all_or_none(braze: Caller, share: float, expected: int) -> None:
    """A share of 0 hits nothing and of 1 everything, until cleared."""
    braze.fault(path=TRACK, share=share, status=500)

    hits = [braze.attributes(U).status_code for _ in range(40)].count(500)

    assert hits == expected


def test_share_is_the_same_after_each_reset(braze: Caller) -> None:
    """Chance is seeded: after a reset the same calls are hit."""
    rounds = []
    for _ in range(2):
        braze.control("reset", {})
        braze.fault(path=TRACK, share=0.3, status=500)
        rounds.append([braze.attributes(U).status_code for _ in range(40)])

    assert rounds[0] == rounds[1]
    assert 0 < rounds[0].count(500) < 40


def test_path_and_key_select(braze: Caller) -> None:
    """A fault hits its path only, a prefix with `*`, and one key if told."""
    braze.settings(keys={KEY: ["*"], "other": ["*"]})
    braze.fault(path="/users/*", key="other", share=1, status=500)

    def status(path: str, key: str) -> int:
        return braze.post(path, {}, key=key).status_code

    assert status(TRACK, "other") == status("/users/delete", "other") == 500
    assert status(TRACK, KEY) == 400
    assert status("/subscription/status/set", "other") == 400


def test_named_errors_are_not_applied(braze: Caller) -> None:
    """Objects a fault names come back in a 201's `errors` and are left out; the others apply."""
    braze.fault(
        path=TRACK,
        errors=[{"input_array": "attributes", "index": 1, "type": "no good"}],
    )

    answer = braze.attributes(*people(3))

    assert answer.status_code == 201
    assert answer.json() == {
        "attributes_processed": 2,
        "message": "success",
        "errors": [{"type": "no good", "input_array": "attributes", "index": 1}],
    }
    assert [p["external_id"] for p in braze.profiles()] == ["user-0", "user-2"]


def test_naming_every_object_is_400(braze: Caller) -> None:
    """When a fault leaves no valid object the answer is Braze's 400."""
    braze.fault(path=TRACK, errors=[{"input_array": "attributes", "index": 0}])

    answer = braze.attributes(U)

    assert answer.status_code == 400
    assert [error["index"] for error in answer.json()["errors"]] == [0]


def test_errors_that_name_no_object_are_left_out(braze: Caller) -> None:
    """An index that the call does not have is not answered."""
    braze.fault(path=TRACK, errors=[{"input_array": "attributes", "index": 9}])

    assert braze.attributes(U).json() == {"attributes_processed": 1, "message": "success"}


def test_maintenance_is_processed(braze: Caller) -> None:
    """A fault with a 2xx status changes the answer of a call that is processed."""
    braze.fault(path=TRACK, status=202, body={"message": "queued"})

    answer = braze.attributes(U)

    assert (answer.status_code, answer.json()) == (202, {"message": "queued"})
    assert len(braze.profiles()) == 1


def test_refusals_stay_refusals(braze: Caller) -> None:
    """A 2xx fault does not turn a refused call into a success."""
    braze.fault(path=TRACK, status=202, body={"message": "queued"})

    assert braze.attributes({}).status_code == 400


@pytest.mark.parametrize(("reset", "profiles"), [("before", 0), ("after", 1)])
def test_reset_cuts_the_connection(braze: Caller, reset: str, profiles: int) -> None:
    """The connection is reset without an answer, before or after processing."""
    braze.fault(path=TRACK, reset=reset)

    with pytest.raises(requests.ConnectionError):
        braze.attributes(U)

    assert len(braze.profiles()) == profiles
    assert [(row["path"], row["status"], row["objects"]) for row in braze.logged()] == [
        (TRACK, 0, 1),
    ]
    assert braze.attributes(U).status_code == 201


def test_delay_lets_the_caller_give_up(braze: Caller) -> None:
    """A delayed answer comes after processing: a caller that gave up does not know it was."""
    braze.fault(path=TRACK, delay_ms=400)

    with pytest.raises(requests.ReadTimeout):
        braze.session.post(
            braze.url + TRACK,
            json={"attributes": [U]},
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=(2, 0.1),
        )

    assert len(braze.profiles()) == 1


def test_faults_come_before_the_key(braze: Caller) -> None:
    """A fault stands in front of Braze, where proxies fail: it needs no good key."""
    braze.fault(path=TRACK, status=502)

    assert braze.post(TRACK, {}, key="wrong").status_code == 502


def test_faults_can_be_listed_and_cleared(braze: Caller) -> None:
    """The faults in force are listed with the calls left, and taken back together."""
    braze.fault(path=TRACK, times=3, status=500)
    braze.attributes(U)
    listed = braze.control("faults")

    braze.session.delete(f"{braze.url}/_sandbox/faults", timeout=TIMEOUT)

    assert listed == [{"path": TRACK, "times": 2, "status": 500}]
    assert braze.control("faults") == []
    assert braze.attributes(U).status_code == 201


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"path": TRACK, "times": 0},
        {"path": TRACK, "share": 2},
        {"path": TRACK, "times": 1, "share": 0.5},
        {"path": TRACK, "status": 99},
        {"path": TRACK, "reset": "during"},
        {"path": TRACK, "unknown": 1},
        {"path": TRACK, "headers": {"X-Bad": "a\r\nb"}},
        {"path": TRACK, "headers": {"X-Bad": "é"}},
        {"path": TRACK, "headers": {"X Bad": "a"}},
        {"path": TRACK, "errors": [{"input_array": "people", "index": 0}]},
    ],
    ids=str,
)
def test_bad_faults_are_422(braze: Caller, bad: dict[str, Any]) -> None:
    """A fault that makes no sense is refused with a reason per field."""
    answer = braze.session.post(f"{braze.url}/_sandbox/faults", json=bad, timeout=TIMEOUT)

    assert answer.status_code == 422
    assert {"field", "reason"} == set(answer.json()["errors"][0])
