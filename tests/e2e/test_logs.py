"""No address, number, key or answer in any log line of the whole run; and a call can be followed.

Collected last (see conftest.py): it reads what every other test of this room made the stack write.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import requests

from braze_bridge.partner_config.toml_files import load_quikly
from ops.stack.config_directory import CONFIG_DIRECTORY
from sandbox.event_files import event_cases
from sandbox.stack.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sandbox.stack.stack_file import StackFile

CALL_SECONDS: Final = 30
SHORTEST_NEEDLE: Final = 5
SHORTEST_NUMBER: Final = 8
"""Shorter values stand in logs by chance: counts, times, parts of ids."""

SHIPPED: Final = (ROOT / "functions", ROOT / "layers" / "braze_bridge" / "python")

LOOKS_PERSONAL: Final = re.compile(
    r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z]{2,}|(?<![\w:.])\+[1-9]\d{6,14}\b|(?i:bearer)\s+\w+"
)


def post(stack: StackFile, body: object, path: str, token: str | None) -> requests.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return requests.post(f"{stack.api_url}{path}", json=body, headers=headers, timeout=CALL_SECONDS)


def lines_in_cloudwatch(stack: StackFile) -> list[tuple[str, str]]:
    """Every line of every log group, with the group's name."""
    client = stack.session().client("logs", **stack.client_options())
    found: list[tuple[str, str]] = []
    for name, group in stack.log_groups.items():
        arguments: dict[str, Any] = {"logGroupName": group}
        while True:
            try:
                page = client.filter_log_events(**arguments)
            except client.exceptions.ResourceNotFoundException:
                break
            for event in page["events"]:
                found += [(name, line) for line in event["message"].splitlines()]
            if not page.get("nextToken"):
                break
            arguments["nextToken"] = page["nextToken"]
    return found


def lines_in_files(stack: StackFile) -> Iterator[tuple[str, str]]:
    """What the engine and the stand-in wrote themselves."""
    for path in sorted(Path(stack.logs).glob("*.log")):
        for line in path.read_text(errors="replace").splitlines():
            yield path.name, line


def strings_of(value: object) -> Iterator[str]:
    match value:
        case dict():
            for each in value.values():
                yield from strings_of(each)
        case list():
            for each in value:
                yield from strings_of(each)
        case str():
            yield value


def needles(stack: StackFile) -> set[str]:
    """What the sample events say about people, and every key and token of the stack."""
    personal = {
        text
        for partner in stack.tokens
        for case in event_cases(partner)
        for text in strings_of([case.expect.get("user"), case.expect.get("attributes")])
    }
    keeper = stack.session().client("secretsmanager", **stack.client_options())
    secret = {
        half
        for page in keeper.get_paginator("list_secrets").paginate()
        for each in page["SecretList"]
        for half in json.loads(
            keeper.get_secret_value(SecretId=each["Name"])["SecretString"]
        ).values()
    }
    words = "".join(path.read_text().lower() for root in SHIPPED for path in root.rglob("*.py"))
    return {
        each
        for each in (personal - configured_names()) | secret
        if len(each) >= (SHORTEST_NUMBER if each.isdigit() else SHORTEST_NEEDLE)
        # "second" may be an answer, but is a word of ours as well.
        and each.lower() not in words
    }


def configured_names() -> set[str]:
    """Activations, tiers and events: a brand's own words, which a line and a job's id may have."""
    config = load_quikly(CONFIG_DIRECTORY)
    tiers = {tier.name for rule in config.activations.values() for tier in rule.tiers}
    return {*config.activations, *config.events.rules} | tiers


def leaks(lines: Iterable[tuple[str, str]], forbidden: Iterable[str]) -> list[str]:
    """Where a line holds what it must not; the value itself is not repeated."""
    found = []
    words = [each.lower() for each in forbidden]
    for where, line in lines:
        lowered = line.lower()
        if LOOKS_PERSONAL.search(line) or any(word in lowered for word in words):
            found.append(f"{where}: {line[:80]}…")
    return found


def wait_for(check: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.5)
    return False


def test_no_log_line_names_a_person_and_a_call_can_be_followed(stack: StackFile) -> None:
    """A good answer, one that cannot be mapped, one without the token: found by the call's id."""
    mark = uuid.uuid4().hex
    person = {
        "email": f"ada.{mark}@logs.example.com",
        "phone": "+4915112340987",
        "name": f"Ada {mark[:12]}",
    }
    answers = {"score": 41, "segment": f"secretly-{mark}", "note": f"private-{mark[::-1]}"}
    token = stack.tokens["outgrow"]
    requests.post(f"{stack.braze_url}/_sandbox/reset", json={}, timeout=CALL_SECONDS)

    taken = post(stack, {"id": f"r-{mark[:8]}", **person, **answers}, "/outgrow/logs", token)
    parked = post(stack, {"name": person["name"], **answers}, "/outgrow/logs", token)
    refused = post(stack, {**person, **answers}, f"/outgrow/logs?token={token}x", None)
    assert [each.status_code for each in (taken, parked, refused)] == [200, 422, 401]

    job = taken.json()["job_id"]

    def calls_accepted() -> set[str]:
        return {
            entry["correlation_id"]
            for entry in entries(stack)
            if entry.get("job_id") == job and entry["message"] == "job accepted"
        }

    def followed() -> bool:
        return any(
            calls & set(entry.get("correlation_ids", ()))
            for entry in entries(stack)
            if entry["message"] == "jobs delivered"
        )

    assert wait_for(lambda: bool(calls_accepted()))
    calls = calls_accepted()
    assert wait_for(followed), "no delivery line names the call at the door"

    lines = lines_in_cloudwatch(stack)
    assert {name for name, _ in lines} >= {"outgrow_ingest", "braze_delivery"}
    forbidden = needles(stack) | set(strings_of([person, answers]))
    assert leaks(lines, forbidden) == []
    assert leaks(lines_in_files(stack), forbidden) == []


def entries(stack: StackFile) -> list[dict[str, Any]]:
    """The structured lines."""
    found = []
    for _, line in lines_in_cloudwatch(stack):
        if line.startswith("{"):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and "message" in entry:
                found.append(entry)
    return found


def test_a_leak_would_be_found() -> None:
    """The search itself: by value in any case, and by the looks of addresses, numbers, tokens."""
    for line in (
        "Segment: Early ADOPTER",
        "mail somebody@example.org",
        "call +4930123456 now",
        "Authorization: Bearer abc",
    ):
        assert leaks([("door", line)], {"early adopter"}) != []
    assert leaks([("door", '{"at":"2026-11-22T10:00:00+0100","job":"r-1"}')], {"x" * 9}) == []
