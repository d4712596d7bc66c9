"""The page's routes: its files, what it asks for, and who may not."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests

from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.gate.rules import GateState
from braze_bridge.gate.shared import ALL, SharedGate, StoredGate
from sandbox.page.console import Console
from sandbox.page.gates import Gates
from sandbox.page.links import LedgerLink
from sandbox.page.routes import STATIC
from sandbox.server import Sandbox, running
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.gate import InMemoryGateStore
from tests.fakes.loopback_server import LoopbackServer
from tests.functional.sandbox.caller import KEY, NOW, TIMEOUT, Caller, SteppingClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.loopback_server import Connection

SAMPLE = "outgrow/quiz_flat"


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Sandbox, Caller]]:
    clock = SteppingClock()
    sandbox = Sandbox(key=KEY, clock=clock)
    with running(sandbox) as url:
        caller = Caller(url, clock)
        yield sandbox, caller
        caller.session.close()


@pytest.fixture
def sandbox(served: tuple[Sandbox, Caller]) -> Sandbox:
    """A stand-in without a stack."""
    sandbox, caller = served
    sandbox.reset()
    sandbox.console = Console(caller.clock)
    return sandbox


@pytest.fixture
def page(sandbox: Sandbox, served: tuple[Sandbox, Caller]) -> Caller:
    """For every caller."""
    return served[1]


def ask(page: Caller, route: str, body: Any = None, **options: Any) -> requests.Response:
    url = f"{page.url}/_sandbox/{route}"
    if body is None:
        return page.session.get(url, timeout=TIMEOUT, **options)
    return page.session.post(url, json=body, timeout=TIMEOUT, **options)


def live(page: Caller, search: str = "") -> dict[str, Any]:
    answer = ask(page, "live", params={"search": search})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def introduce(page: Caller, api_url: str, **more: Any) -> requests.Response:
    link = {"api_url": api_url, "tokens": {"outgrow": "the-outgrow-token"}, **more}
    return ask(page, "stack", link)


def accepting(connection: Connection) -> None:
    connection.answer(200, b'{"status": "accepted", "job_id": "outgrow:1"}')


# -- the files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        ("", "text/html"),
        ("page/page.css", "text/css"),
        ("page/page.js", "text/javascript"),
        ("page/icon.svg", "image/svg+xml"),
    ],
)
def test_files_come_with_headers_that_forbid_what_is_inline_or_foreign(
    page: Caller, route: str, kind: str
) -> None:
    """A value from Braze that looks like a script could not run, even if it became markup."""
    answer = ask(page, route)

    policy = answer.headers["Content-Security-Policy"]
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(kind)
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_loads_nothing_from_elsewhere() -> None:
    """No address in any file but the SVG's name space, and nothing inline in the markup."""
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8")
        found = set(re.findall(r"(?:https?:)?//[\w.-]+\.[a-z]{2,}", text))
        assert found <= {"http://www.w3.org"}, path.name
        assert "innerHTML" not in text
    markup = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\son\w+=|\sstyle=|<script(?![^>]*\ssrc=)", markup)


@pytest.mark.parametrize(
    "route", ["page/", "page/nothing.js", "page/../routes.py", "page/%2e%2e/routes.py"]
)
def test_no_other_file_is_served(page: Caller, route: str) -> None:
    """The list of files is fixed when the stand-in starts."""
    assert ask(page, route).status_code == 404


# -- who may ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example.com"},
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("route", ["try", "stack", "reset", "faults", "settings", "gate", "quikly"])
def test_other_sites_reach_no_control_route(
    page: Caller, headers: dict[str, str], route: str
) -> None:
    """403, and nothing has happened."""
    page.attributes({"external_id": "u"})

    answer = ask(page, route, {"path": "/users/track", "status": 500}, headers=headers)

    assert answer.status_code == 403
    assert answer.json()["errors"][0]["field"] in headers
    assert live(page)["counts"]["profiles"] == 1
    assert live(page)["faults"] == []


@pytest.mark.parametrize("route", ["live", "profiles", "stack", ""])
def test_nothing_is_read_under_another_name(page: Caller, route: str) -> None:
    """A name that was made to lead here gets nothing, the page included."""
    answer = ask(page, route, headers={"Host": "rebound.example.com:80"})

    assert answer.status_code == 403


@pytest.mark.parametrize("foreign", [{"Host": "braze.test"}, {"Origin": "https://a.b"}], ids=str)
def test_other_sites_do_not_reach_braze_either(page: Caller, foreign: dict[str, str]) -> None:
    """A stand-in that was started by hand has a key that everybody knows."""
    answer = page.session.post(
        f"{page.url}/users/track",
        json={"attributes": [{"external_id": "u"}]},
        headers={"Authorization": f"Bearer {KEY}", **foreign},
        timeout=TIMEOUT,
    )

    assert answer.status_code == 403


# -- what it shows ---------------------------------------------------------------------------------


def test_values_say_which_request_they_came_from(page: Caller) -> None:
    """The last that changed each; the address a person was found by is no news."""
    page.attributes({"email": "ada@example.com", "score": 1, "segment": "new"})
    page.attributes({"email": "ada@example.com", "score": 2})
    page.event(email="ada@example.com")

    (ada,) = live(page)["people"]

    assert {name: origin["n"] for name, origin in ada["origins"].items()} == {
        "email": 1,
        "score": 2,
        "segment": 1,
    }
    assert ada["origins"]["score"]["at"] == NOW
    assert [(event["name"], event["origin"]["n"]) for event in ada["events"]] == [("answered", 3)]


def test_a_mapped_attribute_names_its_partner(page: Caller) -> None:
    """By the partner's own file; a name in no file has no partner."""
    page.attributes({"external_id": "u", "outgrow_quiz_score": 87, "own": 1})

    (user,) = live(page)["people"]

    assert user["origins"]["outgrow_quiz_score"]["partner"] == "outgrow"
    assert user["origins"]["own"]["partner"] is None


def test_a_value_that_was_dropped_keeps_the_older_origin(page: Caller) -> None:
    """What is on the profile came from where it came from; the drop is shown beside it."""
    page.attributes({"external_id": "u", "score": 1})
    page.attributes({"external_id": "u", "score": "one"})

    shown = live(page)

    assert shown["people"][0]["custom_attributes"] == {"score": 1}
    assert shown["people"][0]["origins"]["score"]["n"] == 1
    assert [(drop["n"], drop["field"]) for drop in shown["people"][0]["dropped"]] == [(2, "score")]
    assert [(drop["n"], drop["place"]) for drop in shown["dropped"]] == [(2, "attributes[0]")]


def test_a_merged_profile_keeps_the_origins_of_what_it_took_over(page: Caller) -> None:
    """As it keeps the values."""
    page.attributes({"external_id": "gone", "old": 1}, {"external_id": "kept", "new": 2})
    page.post(
        "/users/merge",
        {
            "merge_updates": [
                {
                    "identifier_to_merge": {"external_id": "gone"},
                    "identifier_to_keep": {"external_id": "kept"},
                }
            ]
        },
    )

    (kept,) = live(page)["people"]

    assert kept["origins"].keys() == {"old", "new"}


def test_the_log_has_the_newest_first_with_its_timing(page: Caller) -> None:
    """A fault is marked, an answer still on its way has no time yet, a reset no status."""
    page.fault(path="/users/track", status=503)
    page.attributes({"external_id": "u"})
    page.fault(path="/users/track", reset="before")
    with pytest.raises(requests.ConnectionError):
        page.attributes({"external_id": "u"})
    page.attributes({"external_id": "u"}, {"external_id": None})

    rows = live(page)["requests"]

    assert [(row["n"], row["status"], row["met_fault"], row["refused"]) for row in rows] == [
        (3, 201, False, 0),
        (2, 0, True, 0),
        (1, 503, True, 0),
    ]
    assert [row["ms"] for row in rows] == [0.0, 0.0, 0.0]


def test_limits_show_what_is_left_and_asking_costs_nothing(page: Caller) -> None:
    """Those set are enforced, the others as documented."""
    page.settings(limits={"/users/track": [2, 60]})
    page.attributes({"external_id": "u"})

    limits = {limit["family"]: limit for limit in (live(page), live(page))[1]["limits"]}

    assert limits["users.track"] == {
        "family": "users.track",
        "paths": ["/users/track"],
        "requests": 2,
        "seconds": 60,
        "remaining": 1,
        "resets_at": NOW + 60,
        "is_enforced": True,
    }
    assert limits["users.export.ids"]["requests"] == 250
    assert not limits["users.export.ids"]["is_enforced"]


def test_search_counts_all_and_shows_some(page: Caller) -> None:
    """The last to change, at most a dozen."""
    page.attributes(*({"external_id": f"user-{n}"} for n in range(30)))

    shown = live(page, "USER-")

    assert (shown["found"], len(shown["people"])) == (30, 12)
    assert shown["people"][0]["external_id"] == "user-29"
    assert live(page, "user-7")["found"] == 1


def test_samples_are_listed_as_they_are_posted(page: Caller) -> None:
    """Text is shown; a body that is not text, or needs its own headers, is posted unseen."""
    found = {sample["id"]: sample for sample in ask(page, "samples").json()}

    assert found[SAMPLE]["path"].startswith("/outgrow/")
    assert '"score": 87' in found[SAMPLE]["body"]
    assert found["outgrow/bad_form"]["body"] is None
    assert found["outgrow/bad_too_large"]["body"] is None
    assert found["outgrow/bad_no_token"]["token"] == "none"


def test_a_sample_that_needs_a_braze_id_gets_its_profile(page: Caller) -> None:
    """Asked for twice, it is about one profile."""
    wanted = next(each for each in ask(page, "samples").json() if each["needs_profile"])
    ready = [ask(page, "samples", {"id": wanted["id"]}).json() for _ in range(2)]

    (person,) = live(page)["people"]
    assert person["braze_id"] in ready[0]["body"]
    assert person["braze_id"] not in wanted["body"]
    assert ready[0] == ready[1]
    assert ask(page, "samples", {"id": "nothing/there"}).status_code == 409


# -- posting ---------------------------------------------------------------------------------------


def test_without_a_stack_nothing_can_be_posted(page: Caller) -> None:
    """409 and a sentence that says what to do."""
    answer = ask(page, "try", {"sample": SAMPLE})

    assert answer.status_code == 409
    assert "make up" in answer.json()["errors"][0]["reason"]
    assert [ask(page, route).json() for route in ("stack", "gate")] == [None, None]


def test_a_sample_goes_through_the_door_with_the_right_token(page: Caller) -> None:
    """As it lies in its file; the token stays on the server's side."""
    with LoopbackServer(accepting) as api:
        told = introduce(page, f"{api.url}/live")
        answer = ask(page, "try", {"sample": SAMPLE})

    assert told.json() == {"api_url": f"{api.url}/live", "tokens": ["outgrow"]}
    assert answer.json()["status"] == 200
    assert answer.json()["job_id"] == "outgrow:1"
    (seen,) = api.seen
    assert seen.head.startswith("POST /live/outgrow/6512bd43d9caa6e02c990b0a HTTP/1.1")
    assert "Bearer the-outgrow-token" in seen.head
    assert b"Ada.Winter@Example.com" in seen.body
    assert "the-outgrow-token" not in told.text + answer.text + str(live(page))


@pytest.mark.parametrize(
    ("token", "sent"), [("valid", "Bearer the-"), ("wrong", "Bearer a-wrong"), ("none", None)]
)
def test_a_body_of_one_s_own_goes_with_the_chosen_token(
    page: Caller, token: str, sent: str | None
) -> None:
    """Byte by byte as it was written."""
    with LoopbackServer(accepting) as api:
        introduce(page, api.url)
        ask(page, "try", {"path": "/outgrow", "body": '{ "a":1 }', "token": token})

    (seen,) = api.seen
    assert seen.body == b'{ "a":1 }'
    assert ("Authorization" in seen.head) is (sent is not None)
    assert sent is None or sent in seen.head


def test_what_arrives_is_tied_to_what_was_posted(page: Caller) -> None:
    """The profile's values name the partner and the job; the try shows them, too."""
    with LoopbackServer(accepting) as api:
        introduce(page, api.url)
        page.attributes({"email": "ada.winter@example.com", "score": 1})
        ask(page, "try", {"sample": SAMPLE})
        page.fault(path="/users/track", status=503)
        page.attributes({"email": "ada.winter@example.com", "score": 87})
        page.attributes({"email": "ada.winter@example.com", "score": 87})

    shown = live(page)

    (tried,) = shown["tries"]
    assert tried["state"] == "arrived"
    assert [row["status"] for row in tried["requests"]] == [503, 201]
    assert [(value["name"], value["value"]) for value in tried["values"]] == [("score", 87)]
    assert shown["people"][0]["origins"]["score"] == {
        "n": 3,
        "at": NOW,
        "partner": "outgrow",
        "job_id": "outgrow:1",
    }


def test_a_look_at_a_status_is_a_get_and_leaves_no_try(page: Caller) -> None:
    """As the page follows an acquisition."""
    with LoopbackServer(lambda connection: connection.answer(200, b'{"state": "pending"}')) as api:
        introduce(page, api.url, tokens={"quikly": "the-quikly-token"})
        answer = ask(page, "try", {"path": "/quikly/acquisitions/abc", "method": "GET"})

    (seen,) = api.seen
    assert seen.head.startswith("GET /quikly/acquisitions/abc")
    assert answer.json()["body"] == '{"state": "pending"}'
    assert live(page)["tries"] == []


def test_a_refusal_is_shown_as_it_was_answered(page: Caller) -> None:
    """Status, reasons and the wait that was asked for."""

    def busy(connection: Connection) -> None:
        connection.answer(503, b'{"reasons": []}', Retry_After="7")

    with LoopbackServer(busy) as api:
        introduce(page, api.url)
        answer = ask(page, "try", {"sample": SAMPLE}).json()

    assert (answer["status"], answer["headers"]["retry-after"]) == (503, "7")
    assert live(page)["tries"][0]["state"] == "refused"


def test_an_api_that_is_down_is_told_in_a_sentence(page: Caller) -> None:
    """Nothing of what went wrong inside is shown, nor is a try kept."""
    with LoopbackServer(accepting) as api:
        url = api.url
    introduce(page, url)

    answer = ask(page, "try", {"sample": SAMPLE})

    assert answer.status_code == 409
    assert answer.json()["errors"][0]["reason"] == "The stack's API did not answer at all."
    assert live(page)["tries"] == []


def test_a_reset_forgets_tries_and_remembers_the_stack(page: Caller) -> None:
    """Requests are numbered from 1 again, the stack is the same."""
    with LoopbackServer(accepting) as api:
        introduce(page, api.url)
        ask(page, "try", {"sample": SAMPLE})
        page.control("reset", {})

    assert live(page)["tries"] == []
    assert ask(page, "stack").json()["api_url"] == api.url


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("try", {"path": "//example.com"}),
        ("stack", {"api_url": "http://example.com", "tokens": {}}),
        ("stack", {"api_url": "http://127.0.0.1:1", "tokens": "secret-token"}),
        ("stack", []),
    ],
)
def test_bad_bodies_are_422_and_not_echoed(page: Caller, route: str, body: Any) -> None:
    """A reason per field, no value."""
    answer = ask(page, route, body)

    assert answer.status_code == 422
    assert answer.json()["errors"]
    assert "secret-token" not in answer.text


# -- the gate --------------------------------------------------------------------------------------


@pytest.fixture
def gates(sandbox: Sandbox, page: Caller) -> InMemoryGateStore:
    """A stack with gates in memory, one of them closed for a minute."""
    store, clock = InMemoryGateStore(), FixedClock()
    gate = SharedGate(store, clock, 1)
    gate.close(EndpointFamily.TRACK, NOON + timedelta(seconds=60), "rate_limited")
    sandbox.console.make_gates = lambda _: Gates(gate, clock)
    ledger = LedgerLink(
        endpoint_url="http://127.0.0.1:1",
        access_key_id="id",
        secret_access_key="secret",
        region="r",
        table="t",
    )
    introduce(page, "http://127.0.0.1:1", ledger=ledger.model_dump())
    return store


def closed(page: Caller) -> dict[str, Any]:
    return {gate["name"]: gate for gate in ask(page, "gate").json() if gate["state"] != "open"}


def test_a_closed_gate_is_shown_and_can_be_opened(page: Caller, gates: InMemoryGateStore) -> None:
    """Until when and why; then it is open, in the store that the Lambdas read."""
    assert closed(page) == {
        "users.track": {
            "name": "users.track",
            "state": "closed",
            "until": NOON.timestamp() + 60,
            "reason": "rate_limited",
        }
    }

    opened = ask(page, "gate", {"open": "users.track"})

    assert opened.status_code == 200
    assert closed(page) == {}
    assert gates.items["users.track"].state.closed_until is None


def test_a_gate_that_waits_for_a_fix(page: Caller, gates: InMemoryGateStore) -> None:
    """Its time is over, and one request will show whether it may open."""
    waiting = GateState(closed_until=NOON, reason="key_refused", seconds=60.0)
    gates.items = {ALL: StoredGate(waiting, b"1")}
    assert closed(page) == {
        ALL: {"name": ALL, "state": "probed next", "until": None, "reason": "key_refused"}
    }


def test_no_such_gate(page: Caller, gates: InMemoryGateStore) -> None:
    """409 and a sentence."""
    answer = ask(page, "gate", {"open": "garden"})

    assert answer.status_code == 409
    assert answer.json()["errors"][0]["reason"] == "There is no such gate."


def test_a_table_that_does_not_answer(page: Caller, gates: InMemoryGateStore) -> None:
    """503: the page goes on without the gate."""
    gates.refusing = True

    assert ask(page, "gate").status_code == 503
