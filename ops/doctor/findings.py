"""What is wrong with a stack, and what to do about it: pure rules over what the checks read."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.braze.errors import InvalidEndpointError
from braze_bridge.braze.instances import INSTANCES, rest_endpoint
from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.clock import iso_millis
from ops.doctor.braze_probes import NEEDS, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from braze_bridge.aws.secrets import SecretPair
    from braze_bridge.gate.rules import GateState
    from braze_bridge.mapping.people import PersonRule
    from braze_bridge.partner_config.problems import Problem
    from ops.doctor.braze_probes import Probed
    from ops.stack.access import BrazeTarget
    from ops.stack.queue_counts import QueueCounts

LONG_WAIT: Final = 900.0
"""Seconds; the threshold of OldestWaitAlarm and AcquisitionsLateAlarm."""

GATE_ACTIONS: Final[Mapping[str, str]] = {
    "rate_limited": "nothing: Braze named the time. If it stays, ask Braze for a higher limit",
    "paced": "nothing: it opens when Braze's limit is renewed",
    "key_refused": "`bridge secrets set braze`, then `bridge gate open all`",
    "permission_missing": (
        "make a key with the missing permission, `bridge secrets set braze`, "
        "then `bridge gate open {gate}`"
    ),
    "requests_refused": (
        "Braze refuses every request: look at the newest lines of the delivery function's "
        "log, correct it, then `bridge gate open {gate}`"
    ),
}


API_EXECUTIONS: Final = 10
"""Concurrent executions of the functions behind the API and of the sweeps."""

RIGHTS: Final = "is this the right stack, and may you read its secrets?"


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """The result of one check.

    Attributes:
        check: What was checked, in a word or two.
        what: What was found.
        do: What to do about it; empty if nothing.
    """

    level: Level
    check: str
    what: str
    do: str = ""


ok = partial(Finding, Level.OK)
warning = partial(Finding, Level.WARNING)
problem = partial(Finding, Level.PROBLEM)


class QueueKind(NamedTuple):
    """How findings name one of the stack's queues and its dead-letter queue.

    Attributes:
        check: Name of the queue's finding.
        dead_check: Name of the dead-letter queue's finding.
        late: The alarm whose instructions help if a message waits long.
        stuck: The alarm whose instructions help if no message leaves the queue.
        dead_do: What to do about dead letters.
    """

    check: str
    dead_check: str
    late: str
    stuck: str
    dead_do: str


DELIVERY: Final = QueueKind(
    "queue",
    "dead letters",
    "OldestWaitAlarm",
    "DeliveryErrorsAlarm",
    "find the cause in the delivery function's log, correct it, then `bridge dlq replay`",
)
ACQUISITIONS: Final = QueueKind(
    "acquisition queue",
    "acquisition dead letters",
    "AcquisitionsLateAlarm",
    "AcquisitionWorkerErrorsAlarm",
    "docs/operations.md, AcquisitionDeadLetterAlarm",
)
FORWARDS: Final = QueueKind(
    "forward queue",
    "forward dead letters",
    "ForwardKeyRefusedAlarm",
    "ForwardErrorsAlarm",
    "docs/operations.md, ForwardDeadLetterAlarm",
)


def endpoint_of(target: BrazeTarget) -> tuple[str | None, Finding]:
    """Return the endpoint that the key may be sent to; ``None`` if it is none of Braze's."""
    try:
        endpoint = rest_endpoint(
            target.instance, target.endpoint or None, allow_loopback=target.allow_loopback
        )
    except InvalidEndpointError as error:
        return None, problem(
            "endpoint",
            f"not a REST endpoint of Braze: {error.detail}",
            "deploy with the instance that the dashboard's address shows: "
            "dashboard-01.braze.com is US-01, dashboard-01.braze.eu is EU-01",
        )
    name = next((name for name, url in INSTANCES.items() if url == endpoint), None)
    if name is None and endpoint.startswith("http://"):
        return endpoint, ok("endpoint", f"{endpoint}, a stand-in on this machine")
    shown = "not in Braze's published list" if name is None else name
    return endpoint, ok("endpoint", f"{endpoint} ({shown})")


def key_findings(
    probed: Sequence[Probed], endpoint: str, instance: str, elsewhere: Sequence[str] | None
) -> Iterator[Finding]:
    """Report whether Braze accepts the key.

    Args:
        probed: The answers of the endpoint.
        endpoint: Braze's.
        instance: The stack's.
        elsewhere: Other instances that know the key; ``None`` if they were not asked.
    """
    verdicts = {each.verdict for each in probed}
    if verdicts & {Verdict.GRANTED, Verdict.MISSING}:
        yield ok("key", "Braze knows the key")
    elif Verdict.KEY_REFUSED in verdicts:
        what = f"the key is not valid at {endpoint} (401)"
        if elsewhere:
            yield problem(
                "key",
                f"{what}; it is at {', '.join(elsewhere)}",
                f"the workspace lives there: deploy with BrazeInstance={elsewhere[0]} "
                "(and an empty BrazeEndpoint)",
            )
            return
        known = "" if elsewhere is None else ", nor at any of Braze's instances"
        yield problem(
            "key",
            f"{what}{known}",
            "the key is wrong or deleted: make one in Braze (Settings > APIs and Identifiers), "
            "`bridge secrets set braze`, `bridge gate open all`. Or the workspace lives on another "
            f"instance{_confused_with(instance)}: the dashboard's address shows it "
            "(dashboard-01.braze.com is US-01, dashboard-01.braze.eu is EU-01); "
            "`bridge doctor --find-instance` asks each of them",
        )
    elif Verdict.UNREACHABLE in verdicts:
        yield problem(
            "key",
            f"Braze does not answer at {endpoint} ({probed[0].detail})",
            "see Braze's status page, and whether this machine may call it",
        )


def _confused_with(instance: str) -> str:
    """Name instances with the same number in another region: the usual mistake."""
    others = [name for name in INSTANCES if name != instance and name[-2:] == instance[-2:]]
    return f", such as {' or '.join(others)}" if instance in INSTANCES and others else ""


def permission_findings(
    probed: Sequence[Probed], integrations: Collection[str]
) -> Iterator[Finding]:
    """Report a known key's permissions, and the integrations that need a missing one."""
    for each in probed:
        need = NEEDS[each.permission]
        check = f"permission {each.permission}"
        match each.verdict:
            case Verdict.GRANTED:
                yield ok(check, "granted")
            case Verdict.MISSING:
                needed = [
                    f"{name} does not work without it"
                    for name in need.integrations
                    if name in integrations
                ]
                optional = [
                    f"{name} ({what}) lacks it"
                    for name, what in need.optional.items()
                    if name in integrations
                ]
                yield (problem if needed else warning)(
                    check,
                    f"missing: {', '.join(needed + optional)}",
                    "permissions of a key cannot be changed: make a new key with "
                    f"{each.permission} besides the others, then `bridge secrets set braze`",
                )
            case Verdict.LIMITED:
                yield warning(check, "unknown: the rate limit is used up", "ask later")
            case Verdict.KEY_REFUSED:
                pass  # the key's finding says it once
            case Verdict.UNREACHABLE | Verdict.STRANGE:
                yield warning(check, f"unknown: {each.detail}", "ask again later")


def queue_findings(
    first: QueueCounts,
    later: QueueCounts,
    dead: QueueCounts,
    oldest_wait: float | None,
    *,
    gated: bool,
    kind: QueueKind = DELIVERY,
) -> Iterator[Finding]:
    """Report whether messages leave a queue.

    Args:
        kind: The queue's names.
        first: The queue.
        later: The same, some seconds after.
        dead: Its dead-letter queue.
        oldest_wait: The longest wait of the last 15 minutes, in seconds; ``None`` if unknown.
        gated: Whether a gate is closed, so that messages wait for it.
    """
    counts = f"{later.waiting} waiting, {later.hidden} in flight or hidden"
    if oldest_wait is not None and oldest_wait >= LONG_WAIT:
        what = f"{counts}; the oldest waited {oldest_wait:.0f} s"
        yield problem(kind.check, what, f"docs/operations.md, {kind.late}")
    elif later.waiting and later.waiting >= first.waiting and not gated:
        yield warning(
            kind.check,
            f"{counts}, and none fewer than a moment ago",
            f"ask again; if it stays so, see {kind.stuck} in docs/operations.md",
        )
    else:
        yield ok(kind.check, "empty" if later == (0, 0) else counts)
    if any(dead):
        yield problem(
            kind.dead_check, f"{sum(dead)} message(s) could not even be settled", kind.dead_do
        )
    else:
        yield ok(kind.dead_check, "none")


def gate_findings(states: Mapping[str, GateState], now: datetime) -> Iterator[Finding]:
    """Report the closed gates, with their end and reason."""
    closed = {
        name: (state, state.closed_until)
        for name, state in states.items()
        if state.closed_until is not None and state.is_closed(now)
    }
    if not closed:
        yield ok("gate", "open")
    for name, (state, until) in closed.items():
        # Without the look-ups delivery works, as `OnUnverified` says.
        is_minor = state.reason in {"rate_limited", "paced"} or name == EndpointFamily.VERIFY
        yield (warning if is_minor else problem)(
            "gate",
            f"{name} is closed until {iso_millis(until)}: {state.reason}",
            GATE_ACTIONS.get(state.reason, "see docs/operations.md, the gate").format(gate=name),
        )


def secret_finding(
    partner: str,
    title: str,
    token: SecretPair | None,
    trouble: str = "",
    *,
    age: timedelta = timedelta(0),
    overlap: timedelta = timedelta(0),
) -> Finding:
    """Report whether a partner's token is set, and whether an older one is valid too long.

    Args:
        partner: As commands name it.
        title: As people write it.
        token: Both tokens; ``None`` if they could not be read.
        trouble: Why they could not be read.
        age: Of the current token.
        overlap: How long a rotation may take.
    """
    check = f"token of {title}"
    if token is None:
        return problem(check, f"cannot be read: {trouble}", RIGHTS)
    if not token.current:
        do = f"`bridge secrets rotate {partner}`"
        return problem(check, "empty: everything is answered 401", do)
    if token.previous:
        what = f"set; an older one is valid, too, for {age.days} days now"
        do = f"when {title} sends the new one: `bridge secrets retire {partner}`"
        return ok(check, what) if age < overlap else warning(check, what, do)
    return ok(check, "set")


def trust_finding(partner: str, rules: Sequence[PersonRule]) -> Finding:
    """Check that respondents cannot say that they are somebody else.

    Args:
        partner: Its name, which is its file's.
        rules: The person rules of its file.
    """
    if all(rule.signature for rule in rules):
        return ok("trust", f"{partner}: only signed identifiers count")
    return warning(
        "trust",
        f"{partner}: a respondent can name any person, who then gets the answers",
        f'sign the links and set trust = "signed" in {partner}.toml, or let no answer decide '
        "something that matters (docs/security.md)",
    )


def quikly_key_finding(*, is_set: bool, needed_by: Sequence[str], trouble: str = "") -> Finding:
    """Report whether calls to Quikly's API have a key.

    Args:
        is_set: Whether there is a key.
        needed_by: The activations and acquisitions that call Quikly.
        trouble: Why the key could not be read.
    """
    check = "key of Quikly's API"
    if trouble:
        return problem(check, f"cannot be read: {trouble}", RIGHTS)
    if is_set:
        return ok(check, "set")
    if not needed_by:
        return ok(check, "not set, and nothing in quikly.toml calls Quikly")
    return warning(
        check,
        f"not set: credits and calls of {', '.join(needed_by)} wait",
        "ask Quikly for it, `bridge secrets set quikly-api`, and deploy with QuiklyApiUrl",
    )


def quikly_address_findings(url: str) -> Iterator[Finding]:
    """Report a query in the address of Quikly's API, which older versions allowed."""
    if "?" in url:
        yield problem(
            "address of Quikly's API",
            "has a query: whoever may see the stack reads a key in it",
            "put the key into the secret: `bridge secrets set quikly-api`, take the query out of "
            "QuiklyApiUrl, deploy, and ask Quikly for another key",
        )


def concurrency_finding(unreserved: int, queues: int) -> Finding:
    """Report whether the account's quota leaves executions for the API when the queues are full.

    A new account may have 10, until a person asks for more.
    https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html

    Args:
        unreserved: Concurrent executions that the account's functions share.
        queues: How many of them the stack's queues can use.
    """
    what = f"the account has {unreserved}; the stack's queues can use {queues}"
    if unreserved >= queues + API_EXECUTIONS:
        return ok("concurrency", what)
    return problem(
        "concurrency",
        f"{what}, so under load the API answers 5xx",
        "in Service Quotas ask for 1,000 concurrent executions of Lambda (L-B99A9384). It is "
        "free. Until then lower DeliveryMaximumConcurrency and ForwardMaximumConcurrency, deploy",
    )


def alarm_findings(firing: Collection[str], stack: str) -> Iterator[Finding]:
    """Report the alarms that are on.

    Args:
        firing: Their names in CloudWatch.
        stack: The stack; CloudFormation begins those names with it.
    """
    for name in firing:
        logical = name.removeprefix(f"{stack}-").partition("-")[0]
        yield problem("alarm", f"{logical} is on", f"docs/operations.md, {logical}")
    if not firing:
        yield ok("alarms", "none is on")


def rejected_finding(reasons: Sequence[str], *, more: bool) -> Finding:
    """Report what is parked.

    Args:
        reasons: The code of each row that was read.
        more: Whether there are more rows.
    """
    if not reasons:
        return ok("rejected", "nothing is parked")
    by_count = sorted(set(reasons), key=lambda code: (-reasons.count(code), code))
    counts = ", ".join(f"{reasons.count(code)} {code}" for code in by_count)
    return warning(
        "rejected",
        f"{'at least ' if more else ''}{len(reasons)} row(s) parked: {counts}",
        "`bridge rejected list` and `show` say why; `bridge preview` shows what a body becomes; "
        "correct the mapping or Braze, then `bridge rejected replay`",
    )


def config_findings(problems: Sequence[Problem]) -> Iterator[Finding]:
    """Report mistakes in the partners' files of this working copy."""
    if not problems:
        yield ok("configuration", "no mistakes in this working copy's files")
    for each in problems:
        yield problem("configuration", str(each), "correct it, `bridge check-config`, deploy")
