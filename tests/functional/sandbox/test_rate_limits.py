"""Rate limits and the dialects of their headers (reference §1.9, §2, §3, §4)."""

from typing import Any

import pytest
import requests

from tests.functional.sandbox.caller import NOW, TIMEOUT, Caller

NAMES = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
EXPORT = {"external_ids": ["u"], "fields_to_export": ["email"]}


def told(answer: requests.Response) -> list[str | None]:
    return [answer.headers.get(name) for name in NAMES]


@pytest.mark.parametrize(
    ("path", "limit", "reset"),
    [
        ("/users/export/ids", "250", NOW + 60),
        ("/subscription/status/set", "5000", NOW + 60),
        ("/v2/subscription/status/set", "5000", NOW + 60),
        ("/users/alias/new", "20000", NOW + 60),
        ("/users/identify", "20000", NOW + 60),
        ("/users/merge", "20000", NOW + 60),
        ("/users/delete", "20000", NOW + 60),
    ],
)
def test_normal_endpoints_write_an_epoch(
    braze: Caller,
    path: str,
    limit: str,
    reset: float,
) -> None:
    """Normal endpoints tell their documented limit, what is left, and the reset as an epoch."""
    answer = braze.post(path, {})

    assert told(answer) == [limit, str(int(limit) - 1), str(int(reset))]


@pytest.mark.parametrize(
    "path",
    ["/subscription/status/get", "/subscription/user/status", "/kpi/mau/data_series"],
)
def test_shared_default_limit(braze: Caller, path: str) -> None:
    """The shared default is 250,000 an hour, on the clock hour."""
    assert told(braze.get(path)) == ["250000", "249999", str(int(NOW) + 3_600)]


def test_track_on_mau_contracts_writes_seconds(braze: Caller) -> None:
    """With 75 combined `/users/track` writes the seconds that remain until the reset."""
    braze.clock.advance(1)

    assert told(braze.attributes({"external_id": "u"})) == ["3000", "2999", "2"]


def test_track_on_legacy_contracts_writes_an_epoch(braze: Caller) -> None:
    """With 75 per array `/users/track` writes an epoch, as normal endpoints do."""
    braze.settings(track_limit="per_array")

    assert told(braze.attributes({"external_id": "u"})) == ["3000", "2999", str(int(NOW) + 3)]


@pytest.mark.parametrize(("dialect", "reset"), [("seconds", "3"), ("epoch", str(int(NOW) + 3))])
def test_dialect_can_be_chosen(braze: Caller, dialect: str, reset: str) -> None:
    """The dialect can be set whatever the contract."""
    braze.settings(rate_limit_reset=dialect)

    assert told(braze.attributes({"external_id": "u"}))[2] == reset


def test_documented_limits_are_not_enforced_by_themselves(braze: Caller) -> None:
    """Without a limit in the settings nothing is refused, and what is left stops at zero."""
    answers = [braze.post("/users/export/ids", EXPORT) for _ in range(255)]

    assert {answer.status_code for answer in answers} == {201}
    assert [told(answer)[1] for answer in answers[-6:]] == ["0"] * 6


def test_429_of_track_has_only_retry_after(braze: Caller) -> None:
    """On MAU contracts a 429 lacks the three headers and has `X-Ratelimit-Retry-After` instead."""
    braze.settings(limits={"/users/track": [1, 3_600]})
    braze.clock.advance(600)
    braze.attributes({"external_id": "u"})

    answer = braze.attributes({"external_id": "v"})

    assert answer.status_code == 429
    assert told(answer) == [None, None, None]
    assert answer.headers["X-Ratelimit-Retry-After"] == "3000"
    assert braze.export(external_ids=["v"]) == []


def test_429_of_normal_endpoints_has_an_epoch(braze: Caller) -> None:
    """Elsewhere a 429 keeps the three headers with nothing left."""
    braze.settings(limits={"/users/export/ids": [1, 60]})
    braze.post("/users/export/ids", EXPORT)

    answer = braze.post("/users/export/ids", EXPORT)

    assert (answer.status_code, told(answer)) == (429, ["1", "0", str(int(NOW) + 60)])
    assert "X-Ratelimit-Retry-After" not in answer.headers


def test_windows_are_fixed_on_the_clock(braze: Caller) -> None:
    """A window ends on the clock, not a fixed time after its first request."""
    braze.settings(limits={"/users/export/ids": [1, 60]})
    braze.clock.advance(59)
    braze.post("/users/export/ids", EXPORT)
    refused = braze.post("/users/export/ids", EXPORT).status_code
    braze.clock.advance(1)

    assert (refused, braze.post("/users/export/ids", EXPORT).status_code) == (429, 201)


@pytest.mark.parametrize(
    ("limited", "other"),
    [
        ("/users/alias/new", "/users/delete"),
        ("/users/merge", "/users/identify"),
        ("/subscription/status/set", "/v2/subscription/status/set"),
    ],
)
def test_families_share_a_limit(braze: Caller, limited: str, other: str) -> None:
    """Endpoints that share a limit at Braze share it here, whichever one it is set for."""
    braze.settings(limits={limited: [1, 60]})
    braze.post(other, {})

    assert braze.post(limited, {}).status_code == 429


def test_read_family_shares_a_limit(braze: Caller) -> None:
    """The three read endpoints share the default limit."""
    braze.settings(limits={"/kpi/mau/data_series": [1, 60]})
    braze.get("/subscription/user/status")

    assert braze.get("/subscription/status/get").status_code == 429


def test_hourly_and_burst_limits_together(braze: Caller) -> None:
    """Two limits hold at once, and the headers tell of the longer one."""
    braze.settings(limits={"/users/track": [[3, 3_600], [2, 3]]})
    answers = [braze.attributes({"external_id": "u"}) for _ in range(3)]
    braze.clock.advance(3)
    later = [braze.attributes({"external_id": "u"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert told(answers[0])[:2] == ["3", "2"]
    assert answers[2].headers["X-Ratelimit-Retry-After"] == "3"
    assert [answer.status_code for answer in later] == [201, 429]
    assert later[1].headers["X-Ratelimit-Retry-After"] == "3597"


def test_workspace_limit_counts_all_keys(braze: Caller) -> None:
    """A limit by path counts the calls of every key together."""
    braze.settings(keys={"a": ["*"], "b": ["*"]}, limits={"/users/track": [1, 60]})
    body = {"attributes": [{"external_id": "u"}]}

    assert braze.post("/users/track", body, key="a").status_code == 201
    assert braze.post("/users/track", body, key="b").status_code == 429


def test_key_limit_counts_one_key(braze: Caller) -> None:
    """A limit of one key does not limit the others."""
    braze.settings(
        keys={"a": ["*"], "b": ["*"]},
        key_limits={"a": {"/users/track": [1, 60]}},
    )
    body = {"attributes": [{"external_id": "u"}]}

    statuses = [braze.post("/users/track", body, key=key).status_code for key in "aabb"]

    assert statuses == [201, 429, 201, 201]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"key": "wrong"}, 401),
        ({"key": "narrow"}, 403),
        ({"data": b"not json"}, 429),
    ],
)
def test_limit_comes_after_key_and_permission(
    braze: Caller,
    options: dict[str, Any],
    status: int,
) -> None:
    """Refused keys do not use the limit up; past it a body is not looked at."""
    braze.settings(keys={"the-key": ["*"], "narrow": []}, limits={"/users/track": [1, 60]})
    braze.post("/users/track", {}, key="wrong")
    braze.post("/users/track", {}, key="narrow")
    first = braze.attributes({"external_id": "u"}).status_code

    assert (first, braze.post("/users/track", {}, **options).status_code) == (201, status)


def test_refused_requests_are_logged(braze: Caller) -> None:
    """A 429 is in the request log like any other answer."""
    braze.settings(limits={"/users/track": [0, 60]})
    braze.session.post(f"{braze.url}/users/track", timeout=TIMEOUT)
    braze.attributes({"external_id": "u"})

    assert [(row["status"], row["objects"]) for row in braze.logged()] == [(401, 0), (429, 1)]
