"""What is tried from the page, and how it is followed through the request log."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from sandbox.braze.profiles import Event, Origin, Profile
from sandbox.braze.workspace import LoggedRequest
from sandbox.event_files import samples
from sandbox.page.console import Console, ConsoleError, Try, WantedTry, comparable, names_in
from sandbox.page.links import StackLink
from sandbox.page.mapped_names import partners_by_name
from sandbox.page.snapshot import journey_of, search

if TYPE_CHECKING:
    from pathlib import Path

BODY = {"id": "r-1", "lead": {"email": " Ada@Example.com "}, "score": 87}


def attempt(body: Any = None, **changes: Any) -> Try:
    values: dict[str, Any] = {
        "k": 1,
        "at": 0.0,
        "since": 3,
        "path": "/outgrow",
        "names": frozenset(names_in(json.dumps(BODY if body is None else body).encode())),
        "status": 200,
        "ms": 5.0,
        "content_type": "application/json",
        "retry_after": None,
        "answer": '{"status": "accepted", "job_id": "outgrow:r-1"}',
        "job_id": "outgrow:r-1",
    }
    return Try(**(values | changes))


def row(n: int, status: int, people: tuple[str, ...] = ("ada@example.com",), **more: Any) -> Any:
    return LoggedRequest(n, 0.0, "POST", "/users/track", status, people=people, **more)


def profile(n: int, **custom: Any) -> Profile:
    made = Profile("braze-1", 0, 0, 0, 0, standard={"email": "ada@example.com"}, custom=custom)
    made.origins = {name: Origin(n, 0.0) for name in custom}
    return made


def test_a_post_that_braze_never_heard_of_waits() -> None:
    """Requests before it, and those about others, are none of its."""
    log = [row(3, 201), row(4, 201, ("somebody@example.com",))]

    journey = journey_of(attempt(), log)

    assert (journey.state, list(journey.rows)) == ("waiting", [])


def test_it_is_followed_up_to_its_first_success() -> None:
    """A failure, a lost connection, then 201: later requests belong to another post."""
    ada = profile(6, score=87)
    ada.custom["older"], ada.origins["older"] = 1, Origin(2, 0.0)
    ada.events.append(Event("done", datetime(2026, 11, 22, tzinfo=UTC), {"a": 1}, Origin(6, 0.0)))
    log = [row(4, 503), row(5, 0), row(6, 201, applied=[ada, ada]), row(7, 503)]

    journey = journey_of(attempt(), log)

    assert [each.n for each in journey.rows] == [4, 5, 6]
    assert journey.state == "arrived"
    assert [left[1:] for left in journey.values] == [
        ("attribute", "score", 87),
        ("event", "done", {"a": 1}),
    ]


@pytest.mark.parametrize(
    ("changes", "log", "state"),
    [
        ({"status": 422, "job_id": None}, [row(4, 201)], "refused"),
        ({"answer": '{"status": "ignored"}', "job_id": None}, [], "answered"),
        ({"answer": '{"status": "awarded"}', "job_id": None}, [row(4, 201)], "taken"),
        ({}, [row(4, 0)], "retrying"),
        ({}, [row(4, 429)], "retrying"),
        ({}, [row(4, 201)], "taken"),
        ({}, [row(4, 201, refused=("ada@example.com",))], "rejected"),
        ({}, [row(4, 201, refused=("somebody@example.com",))], "taken"),
    ],
)
def test_how_far_it_has_come(changes: dict[str, Any], log: list[Any], state: str) -> None:
    """Each word of the page, by what was answered on the way."""
    assert journey_of(attempt(**changes), log).state == state


def test_an_acquisition_takes_several_calls() -> None:
    """All of them are shown; the bridge itself knows the outcome."""
    log = [row(4, 201), row(5, 0), row(6, 201)]
    tried = attempt(path="/quikly/acquisitions", status=202, job_id=None)

    journey = journey_of(tried, log)

    assert ([each.n for each in journey.rows], journey.state) == ([4, 5, 6], "under_way")


def test_values_of_others_in_the_same_request_are_not_its() -> None:
    """A batch carries up to 75 people."""
    other = Profile("braze-2", 0, 0, 0, 0, external_id="other", custom={"score": 1})
    other.origins = {"score": Origin(4, 0.0)}
    log = [row(4, 201, ("other", "ada@example.com"), applied=[other, profile(4, score=87)])]

    journey = journey_of(attempt(), log)

    assert [left.value for left in journey.values] == [87]


@pytest.mark.parametrize(
    ("sent", "at_braze", "is_same"),
    [
        ("Ada@Example.com", "ada@example.com", True),
        (" ada@example.com ", "ada@example.com", True),
        ("+49 (30) 123-4567", "+49301234567", True),
        ("4711", "4711", True),
        (4711, "4711", True),
        (True, "True", False),
        ("ada@example.com", "a", False),
        ("12", "+12", False),
        ("", "", False),
    ],
)
def test_one_person_in_two_spellings(sent: object, at_braze: str, is_same: bool) -> None:
    """The mapping lower-cases addresses and strips numbers; parts of texts match nothing."""
    assert attempt({"person": [sent]}).names_any((at_braze,)) is is_same


def test_a_body_that_is_no_json_names_no_person() -> None:
    """It is refused by the door anyway."""
    assert list(names_in(b"\xff")) == []
    assert list(comparable("  ")) == []


@pytest.mark.parametrize(
    ("path", "token"),
    [
        ("/outgrow", "outgrow"),
        ("/outgrow/demo", "outgrow"),
        ("/iterate", "iterate"),
        ("/quikly/acquisitions", "quikly"),
        ("/quikly/acquisitions/abc", "quikly"),
        ("/quikly/events", "quikly"),
        ("/quikly/webhook", "braze_webhook"),
    ],
)
def test_each_route_has_its_token(path: str, token: str) -> None:
    """As the design lists them."""
    assert WantedTry(path=path).case().token_name == token


def test_every_sample_can_be_posted() -> None:
    """Each has a path with a token, and a name by which the page asks for it."""
    for name, case in samples():
        assert case.token_name in {"outgrow", "iterate", "quikly", "braze_webhook"}
        # The body may name the time of posting.
        assert replace(WantedTry(sample=name).case(), body=case.body) == case
        assert WantedTry(path=case.path, body="{}").case().path == case.path


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"sample": "outgrow/quiz_flat", "path": "/outgrow"},
        {"path": "outgrow"},
        {"path": "//example.com/outgrow"},
        {"path": "/../../secrets"},
        {"path": "/outgrow/.."},
        {"path": "/outgrow?token=x"},
        {"path": "/outgrow#x"},
        {"path": "/@example.com"},
        {"path": "/outgrow\r\nX: y"},
        {"path": "/outgrow\n"},
        {"path": "/" + "a" * 300},
        {"path": "/outgrow", "token": "mine"},
        {"path": "/outgrow", "method": "DELETE"},
        {"path": "/outgrow", "url": "http://example.com"},
    ],
    ids=str,
)
def test_nothing_is_posted_but_to_a_path_of_the_stack(bad: dict[str, Any]) -> None:
    """The tokens travel along: no other host, no way up."""
    with pytest.raises(ValidationError):
        WantedTry.model_validate(bad)


@pytest.mark.parametrize(
    "url",
    ["http://example.com/live", "https://127.0.0.1/live", "http://127.0.0.1.example.com", "live"],
)
def test_a_stack_lives_on_this_machine(url: str) -> None:
    """Tokens are sent nowhere else, whatever stack the stand-in is given."""
    with pytest.raises(ValidationError):
        StackLink(api_url=url, tokens={})


def test_tokens_are_not_in_a_link_s_own_text() -> None:
    """Whatever writes it into a log."""
    assert "secret" not in repr(StackLink(api_url="http://127.0.0.1:1", tokens={"a": "secret"}))


@pytest.mark.parametrize(
    "wanted",
    [WantedTry(sample="outgrow/nothing"), WantedTry(path="/elsewhere"), WantedTry(path="/iterate")],
)
def test_what_is_not_there_is_told_in_a_sentence(wanted: WantedTry) -> None:
    """No sample, no route, no token of this stack."""
    console = Console(lambda: 0.0)
    console.introduce(StackLink(api_url="http://127.0.0.1:1", tokens={"outgrow": "t"}))

    with pytest.raises(ConsoleError, match="nothing called"):
        console.attempt(wanted, 0)


def test_partners_are_known_by_what_their_files_map(tmp_path: Path) -> None:
    """Attributes and events, wherever they stand; a name that two partners write tells nothing."""
    (tmp_path / "outgrow.toml").write_text(
        '[default.attributes]\nscore = {from = ["a"]}\nboth = {from = ["b"]}\n'
        '[content."x".attributes.deep]\nfrom = ["c"]\n[content."x".event]\nname = "done"\n'
    )
    (tmp_path / "quikly.toml").write_text('[attributes]\nboth = {from = ["d"]}\nrank = {}\n')

    assert partners_by_name(tmp_path) == {
        "score": "outgrow",
        "deep": "outgrow",
        "done": "outgrow",
        "rank": "quikly",
    }
    assert partners_by_name()["outgrow_quiz_score"] == "outgrow"


def test_people_are_found_by_a_part_of_any_identifier() -> None:
    """In any case, the last to change first; nothing finds everybody."""
    ada = Profile("b1", 0, 0, 1, 0, external_id="Customer-7", aliases={"quiz": "adaline"})
    bob = Profile("b2", 0, 0, 2, 0, standard={"email": "bob@example.com", "phone": "+4930"})

    assert search([ada, bob], " ") == (2, [bob, ada])
    assert search([ada, bob], "customer") == (1, [ada])
    assert search([ada, bob], "LINE") == (1, [ada])
    assert search([ada, bob], "4930") == (1, [bob])
    assert search([ada, bob], "b2") == (1, [bob])
    assert search([ada, bob], "nobody") == (0, [])
