"""Findings: the level, the words, what to do."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from braze_bridge.aws.secrets import SecretPair
from braze_bridge.gate.rules import GateState
from braze_bridge.partner_config.problems import Problem
from ops.doctor.braze_probes import GROUPS, INTEGRATIONS, NEEDS, Probed, Verdict
from ops.doctor.findings import (
    ACQUISITIONS,
    DELIVERY,
    FORWARDS,
    GATE_ACTIONS,
    Finding,
    Level,
    QueueKind,
    alarm_findings,
    concurrency_finding,
    config_findings,
    endpoint_of,
    gate_findings,
    key_findings,
    permission_findings,
    queue_findings,
    quikly_address_findings,
    quikly_key_finding,
    rejected_finding,
    secret_finding,
)
from ops.stack.access import BrazeTarget
from ops.stack.queue_counts import QueueCounts
from tests.fakes.clock import NOON
from tests.infra.template import ROOT

URL = "https://rest.fra-01.braze.eu"
EMPTY = QueueCounts(0, 0)


def of(verdict: Verdict) -> list[Probed]:
    return [Probed(permission, verdict) for permission in NEEDS]


@pytest.mark.parametrize(
    ("target", "endpoint", "words"),
    [
        (BrazeTarget("EU-01", "", allow_loopback=False), URL, "EU-01"),
        (BrazeTarget("US-01", URL, allow_loopback=False), URL, "EU-01"),
        (
            BrazeTarget("US-01", "http://127.0.0.1:9", allow_loopback=True),
            "http://127.0.0.1:9",
            "stand-in",
        ),
    ],
)
def test_the_endpoint_is_named_with_its_instance(
    target: BrazeTarget, endpoint: str, words: str
) -> None:
    """People know the instance, programs the address."""
    url, finding = endpoint_of(target)

    assert (url, finding.level) == (endpoint, Level.OK)
    assert words in finding.what


@pytest.mark.parametrize(
    "target",
    [
        BrazeTarget("US-09", "", allow_loopback=False),
        BrazeTarget("US-01", "https://rest.example.com", allow_loopback=False),
        BrazeTarget("US-01", "http://127.0.0.1:9", allow_loopback=False),
    ],
)
def test_a_key_is_sent_nowhere_else(target: BrazeTarget) -> None:
    """Not even to check it."""
    endpoint, finding = endpoint_of(target)

    assert (endpoint, finding.level) == (None, Level.PROBLEM)


def test_a_key_that_braze_knows_is_fine_whatever_it_may_do() -> None:
    """Each missing permission is its own finding."""
    for verdict in (Verdict.GRANTED, Verdict.MISSING):
        (finding,) = key_findings(of(verdict), URL, "EU-01", None)
        assert finding.level is Level.OK


def test_a_refused_key_may_be_a_wrong_region() -> None:
    """It says so, names the instances with the same number, and how to find out."""
    (finding,) = key_findings(of(Verdict.KEY_REFUSED), URL, "EU-01", None)

    assert finding.level is Level.PROBLEM
    assert f"not valid at {URL} (401)" in finding.what
    for words in ("US-01 or AU-01", "--find-instance", "secrets set braze", "gate open all"):
        assert words in finding.do


def test_the_instance_that_knows_the_key_is_named() -> None:
    """The instance that took it is the answer."""
    (finding,) = key_findings(of(Verdict.KEY_REFUSED), URL, "EU-01", ["US-03"])

    assert "it is at US-03" in finding.what
    assert "BrazeInstance=US-03" in finding.do


def test_a_key_that_no_instance_knows_is_no_wrong_region() -> None:
    """Every instance was asked."""
    (finding,) = key_findings(of(Verdict.KEY_REFUSED), URL, "EU-01", [])

    assert "at any of Braze's instances" in finding.what


def test_braze_that_does_not_answer_is_no_fault_of_the_key() -> None:
    """The status page first."""
    probed = [Probed("users.track", Verdict.UNREACHABLE, "503 busy")]
    (finding,) = key_findings(probed, URL, "EU-01", None)

    assert "503 busy" in finding.what
    assert "status page" in finding.do


def test_a_rate_limit_says_nothing_of_the_key() -> None:
    """It is asked for later."""
    assert list(key_findings(of(Verdict.LIMITED), URL, "EU-01", None)) == []
    (finding,) = permission_findings([Probed("users.track", Verdict.LIMITED)], INTEGRATIONS)
    assert finding.level is Level.WARNING


def test_a_missing_permission_names_who_needs_it() -> None:
    """A problem for an integration that stops, a warning if only a part is lost."""
    found = list(permission_findings(of(Verdict.MISSING), ["outgrow", "iterate"]))
    by_check = {each.check.removeprefix("permission "): each for each in found}

    assert by_check["users.track"].level is Level.PROBLEM
    assert "outgrow does not work without it" in by_check["users.track"].what
    assert by_check["users.export.ids"].level is Level.WARNING
    assert "outgrow (`bridge verify`; events whose" in by_check["users.export.ids"].what
    assert by_check["kpi.mau.data_series"].level is Level.WARNING
    assert "in-app" in by_check["kpi.mau.data_series"].what
    assert all("make a new key" in each.do for each in found)


def test_quikly_needs_four() -> None:
    """As its page lists them."""
    found = permission_findings(of(Verdict.MISSING), GROUPS["quikly"])

    assert {each.check for each in found if each.level is Level.PROBLEM} == {
        "permission users.track",
        "permission users.export.ids",
        "permission subscription.status.get",
        "permission subscription.status.set",
    }


def test_webhook_and_events_need_to_write_only() -> None:
    """A brand that only gives rewards needs no subscription permissions."""
    found = permission_findings(of(Verdict.MISSING), ["quikly-webhook", "quikly-events"])

    assert {each.check for each in found if each.level is Level.PROBLEM} == {
        "permission users.track"
    }


@pytest.mark.parametrize(
    ("is_set", "needed_by", "trouble", "level"),
    [
        (True, ["a"], "", Level.OK),
        (False, [], "", Level.OK),
        (False, ["a", "b"], "", Level.WARNING),
        (False, ["a"], "AccessDenied", Level.PROBLEM),
    ],
)
def test_a_missing_quikly_key_is_a_warning_if_something_calls_quikly(
    needed_by: list[str], trouble: str, level: Level, *, is_set: bool
) -> None:
    """It names what waits for the key."""
    finding = quikly_key_finding(is_set=is_set, needed_by=needed_by, trouble=trouble)

    assert finding.level is level
    assert bool(finding.do) is (level is not Level.OK)
    if level is Level.WARNING:
        assert "a, b" in finding.what


@pytest.mark.parametrize("kind", [DELIVERY, ACQUISITIONS, FORWARDS])
def test_every_queue_s_advice_is_in_the_documents(kind: QueueKind) -> None:
    """Late, stuck, dead: each names an alarm that has its section."""
    text = (ROOT / "docs" / "operations.md").read_text()
    waits, look = QueueCounts(9, 0), QueueCounts(1, 0)
    found = [
        *queue_findings(waits, waits, look, 1000.0, gated=False, kind=kind),
        *queue_findings(waits, waits, EMPTY, None, gated=False, kind=kind),
    ]

    assert [each.level for each in found] == ["problem", "problem", "warning", "ok"]
    for alarm in re.findall(r"\w+Alarm", " ".join(each.do for each in found)):
        assert f"\n## {alarm}\n" in text


@pytest.mark.parametrize(
    ("first", "later", "oldest", "gated", "level"),
    [
        (EMPTY, EMPTY, None, False, Level.OK),
        (QueueCounts(9, 0), QueueCounts(4, 0), 3.0, False, Level.OK),
        (QueueCounts(9, 0), QueueCounts(9, 0), 3.0, False, Level.WARNING),
        (QueueCounts(9, 0), QueueCounts(12, 0), None, False, Level.WARNING),
        (QueueCounts(9, 0), QueueCounts(9, 0), 3.0, True, Level.OK),
        (EMPTY, QueueCounts(0, 5), None, True, Level.OK),
        (QueueCounts(9, 0), QueueCounts(4, 0), 900.0, False, Level.PROBLEM),
    ],
)
def test_a_queue_must_drain(
    first: QueueCounts, later: QueueCounts, oldest: float | None, *, gated: bool, level: Level
) -> None:
    """Messages that wait for a closed gate are the gate's finding."""
    queue, dead = queue_findings(first, later, EMPTY, oldest, gated=gated)

    assert queue.level is level
    assert (dead.level, dead.what) == (Level.OK, "none")


def test_dead_letters_are_a_problem_also_while_they_are_hidden() -> None:
    """Hidden ones count."""
    *_, dead = queue_findings(EMPTY, EMPTY, QueueCounts(1, 2), None, gated=False)

    assert dead.level is Level.PROBLEM
    assert dead.what.startswith("3 message(s)")


@pytest.mark.parametrize(
    ("reason", "level"),
    [
        ("rate_limited", Level.WARNING),
        ("paced", Level.WARNING),
        ("key_refused", Level.PROBLEM),
        ("permission_missing", Level.PROBLEM),
        ("requests_refused", Level.PROBLEM),
    ],
)
def test_a_closed_gate_says_until_when_and_what_opens_it(reason: str, level: Level) -> None:
    """A gate that opens by itself is a warning."""
    state = GateState(closed_until=NOON + timedelta(minutes=5), reason=reason, since=NOON)
    (finding,) = gate_findings({"users.track": state}, NOON)

    assert finding.level is level
    assert "2026-11-22T12:05:00.000Z" in finding.what
    assert finding.do == GATE_ACTIONS[reason].format(gate="users.track")


def test_look_ups_without_the_permission_are_a_warning() -> None:
    """Delivery goes on as `OnUnverified` says."""
    state = GateState(NOON + timedelta(minutes=5), "permission_missing", NOON)
    (finding,) = gate_findings({"users.export.ids.verify": state}, NOON)

    assert finding.level is Level.WARNING
    assert "bridge gate open users.export.ids.verify" in finding.do


def test_a_gate_whose_time_is_over_is_open() -> None:
    """The item stays in the table."""
    state = GateState(closed_until=NOON, reason="paced", since=NOON)

    assert list(gate_findings({"all": state}, NOON)) == [Finding(Level.OK, "gate", "open")]


@pytest.mark.parametrize(
    ("unreserved", "queues", "level"),
    [
        (10, 22, Level.PROBLEM),
        (31, 22, Level.PROBLEM),
        (32, 22, Level.OK),
        (1000, 22, Level.OK),
        (1000, 995, Level.PROBLEM),
    ],
    ids=["a new account", "one too few", "enough", "the usual quota", "raised parameters"],
)
def test_full_queues_must_leave_executions_for_the_api(
    unreserved: int, queues: int, level: Level
) -> None:
    """Ten are for the functions behind the API and the sweeps."""
    finding = concurrency_finding(unreserved, queues)

    assert finding.level is level
    assert f"has {unreserved}" in finding.what
    assert ("Service Quotas" in finding.do) is (level is Level.PROBLEM)


def test_an_alarm_leads_to_its_instructions() -> None:
    """CloudFormation's name for it holds the logical id."""
    (finding,) = alarm_findings(["bridge-dev-OldestWaitAlarm-1ABC"], "bridge-dev")

    assert (finding.level, finding.what) == (Level.PROBLEM, "OldestWaitAlarm is on")
    assert finding.do == "docs/operations.md, OldestWaitAlarm"
    (quiet,) = alarm_findings([], "bridge-dev")
    assert quiet.level is Level.OK


@pytest.mark.parametrize(
    ("token", "level"),
    [
        (SecretPair(current="token", previous=""), Level.OK),
        (SecretPair(current="token", previous="older"), Level.WARNING),
        (SecretPair(current="", previous=""), Level.PROBLEM),
        (None, Level.PROBLEM),
    ],
)
def test_a_token_is_there_or_not(token: SecretPair | None, level: Level) -> None:
    """A valid older token is a warning; an unreadable one is a problem."""
    assert secret_finding("outgrow", "Outgrow", token, "AccessDenied").level is level


def test_a_key_in_quikly_s_address_is_a_problem() -> None:
    """Only a stack of an older version can have one. The finding does not repeat it."""
    (finding,) = quikly_address_findings("https://api.quikly.com/webhook/braze?key=the-key")

    assert finding.level is Level.PROBLEM
    assert "the-key" not in str(finding)
    assert list(quikly_address_findings("https://api.quikly.com/webhook/braze")) == []


@pytest.mark.parametrize(("days", "level"), [(6, Level.OK), (7, Level.WARNING)])
def test_a_rotation_that_takes_too_long_is_warned_of(days: int, level: Level) -> None:
    """Until it ends, a leaked old token works."""
    token = SecretPair(current="new", previous="old")
    age, overlap = timedelta(days=days), timedelta(days=7)
    finding = secret_finding("outgrow", "Outgrow", token, age=age, overlap=overlap)

    assert finding.level is level
    assert f"for {days} days" in finding.what


@pytest.mark.parametrize(("text", "command"), [("token", "retire"), ("", "rotate")])
def test_what_to_do_about_a_token_can_be_typed_as_it_stands(text: str, command: str) -> None:
    """It names the partner as the command does."""
    token = SecretPair(current=text, previous=text)
    finding = secret_finding("braze-webhook", "Braze's webhook campaigns", token)

    assert f"`bridge secrets {command} braze-webhook`" in finding.do


def test_what_is_parked_is_counted_the_most_frequent_first() -> None:
    """A warning: it is kept."""
    finding = rejected_finding(["a", "b", "b"], more=True)

    assert finding.level is Level.WARNING
    assert finding.what == "at least 3 row(s) parked: 2 b, 1 a"
    assert rejected_finding([], more=False).level is Level.OK


def test_each_mistake_in_a_file_is_a_finding() -> None:
    """With its key."""
    mistake = Problem("outgrow.toml", "default.attributes", "is wrong")

    (finding,) = config_findings([mistake])
    assert (finding.level, finding.what) == (Level.PROBLEM, str(mistake))
    (fine,) = config_findings([])
    assert fine.level is Level.OK
