"""The other control routes (design §6)."""

from typing import Any

import pytest

from tests.functional.sandbox.caller import KEY, NOW, TIMEOUT, Caller, people

ROUTES = (
    "health",
    "faults",
    "settings",
    "requests",
    "profiles",
    "dropped",
    "double_opt_in",
    "quikly",
    "openapi.json",
)


def test_requests_are_logged_whole(braze: Caller) -> None:
    """Each call has its row, in the agreed shape, numbered from 1; control routes have none."""
    braze.track(attributes=people(2), events=[{}])
    braze.get("/subscription/status/get", phone="+15555550123")
    braze.post("/nothing", {})
    braze.post("/users/track", {"attributes": people(3)}, key="wrong")

    assert braze.logged() == [
        {"n": 1, "at": NOW, "method": "POST", "path": "/users/track", "status": 201, "objects": 3},
        {
            "n": 2,
            "at": NOW,
            "method": "GET",
            "path": "/subscription/status/get",
            "status": 400,
            "objects": 0,
        },
        {"n": 3, "at": NOW, "method": "POST", "path": "/nothing", "status": 404, "objects": 0},
        {"n": 4, "at": NOW, "method": "POST", "path": "/users/track", "status": 401, "objects": 3},
    ]


def test_requests_since(braze: Caller) -> None:
    """`since=N` gives the rows after the N-th."""
    for _ in range(3):
        braze.attributes({"external_id": "u"})

    rows = [
        braze.session.get(
            f"{braze.url}/_sandbox/requests",
            params={"since": since},
            timeout=TIMEOUT,
        ).json()
        for since in (0, 2, 3, 99)
    ]

    assert [[row["n"] for row in part] for part in rows] == [[1, 2, 3], [3], [], []]


@pytest.mark.parametrize("since", ["-1", "x", "1.5", "9" * 5_000])
def test_bad_since_is_422(braze: Caller, since: str) -> None:
    """A since that is no number is refused."""
    answer = braze.session.get(
        f"{braze.url}/_sandbox/requests",
        params={"since": since},
        timeout=TIMEOUT,
    )

    assert answer.status_code == 422


def test_reset_forgets_everything(braze: Caller) -> None:
    """After a reset everything is as after a start."""
    fresh = {name: braze.control(name) for name in ROUTES}
    braze.settings(
        read_delay_ms=5,
        limits={"/users/track": [1, 1]},
        track_limit="per_array",
        keys={"other": ["*"]},
        subscription_groups={},
        attribute_types={"score": "string"},
        blocklisted_attributes=["x"],
    )
    braze.fault(path="/users/track", share=1, status=500)
    braze.control("quikly", {"key": "new"})
    braze.post("/users/track", {"attributes": people(2)}, key="other")

    braze.control("reset", {})

    assert {name: braze.control(name) for name in ROUTES} == fresh
    assert braze.attributes({"external_id": "u", "score": 1}).status_code == 201
    assert braze.custom("u") == {"score": 1}


def test_defaults(braze: Caller) -> None:
    """The defaults are those of the design: no delay, no limits, 75 combined, the demo groups."""
    settings = braze.control("settings")

    assert settings["read_delay_ms"] == 0
    assert settings["limits"] == {}
    assert settings["track_limit"] == "combined"
    assert settings["keys"] == {KEY: ["*"]}
    assert {
        name: (group["channel"], group["double_opt_in"])
        for name, group in settings["subscription_groups"].items()
    } == {
        "demo-sms-group": ("sms", False),
        "demo-sms-doi-group": ("sms", True),
        "demo-email-group": ("email", False),
    }


def test_settings_replace_only_what_is_named(braze: Caller) -> None:
    """Each setting posted replaces that whole setting and leaves the others."""
    braze.settings(limits={"/users/track": [1, 60]}, read_delay_ms=0)
    braze.settings(limits={"/users/export/ids": [2, 60]})
    braze.settings(subscription_groups={"g": {"channel": "email", "double_opt_in": False}})

    settings = braze.control("settings")

    assert settings["limits"] == {"/users/export/ids": [2, 60.0]}
    assert list(settings["subscription_groups"]) == ["g"]
    assert settings["keys"] == {KEY: ["*"]}


@pytest.mark.parametrize(
    "bad",
    [
        {"unknown": 1},
        {"read_delay_ms": -1},
        {"limits": {"/nothing": [1, 1]}},
        {"limits": {"/users/track": [1]}},
        {"limits": {"/users/track": [1, 0]}},
        {"track_limit": "per_user"},
        {"keys": {"k": ["users.everything"]}},
        {"subscription_groups": {"g": {"channel": "push"}}},
        {"attribute_types": {"a": "colour"}},
        [],
        5,
    ],
    ids=str,
)
def test_bad_settings_are_422_and_change_nothing(braze: Caller, bad: Any) -> None:
    """Settings that make no sense are refused with reasons, and the old ones stay."""
    before = braze.control("settings")

    answer = braze.session.post(f"{braze.url}/_sandbox/settings", json=bad, timeout=TIMEOUT)

    assert answer.status_code == 422
    assert answer.json()["errors"]
    assert braze.control("settings") == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_sandbox/nothing"),
        ("POST", "/_sandbox/"),
        ("POST", "/_sandbox/health"),
        ("DELETE", "/_sandbox/profiles"),
        ("PUT", "/_sandbox/reset"),
    ],
)
def test_unknown_control_routes_are_404_and_not_logged(
    braze: Caller,
    method: str,
    path: str,
) -> None:
    """What is under `/_sandbox/` is never taken for a call to Braze."""
    answer = braze.session.request(method, braze.url + path, timeout=TIMEOUT)

    assert answer.status_code == 404
    assert braze.logged() == []


def test_broken_json_to_control_routes_is_422(braze: Caller) -> None:
    """A body that is not JSON is refused at every control route that takes one."""
    for name in ("faults", "settings", "double_opt_in", "quikly"):
        answer = braze.session.post(
            f"{braze.url}/_sandbox/{name}",
            data=b'{"\xff',
            timeout=TIMEOUT,
        )

        assert answer.status_code == 422
