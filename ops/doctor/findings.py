"""What is wrong with a stack, and what to do about it: pure rules over what was looked at."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.braze.errors import InvalidEndpointError
from braze_bridge.braze.instances import INSTANCES, rest_endpoint
from braze_bridge.clock import iso_millis
from ops.doctor.braze_probes import NEEDS, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from braze_bridge.gate.rules import GateState
    from braze_bridge.partner_config.problems import Problem
    from ops.doctor.braze_probes import Probed
    from ops.stack.access import BrazeTarget
    from ops.stack.queue_looks import QueueLook

LONG_WAIT: Final = 900.0
"""Seconds: as OldestWaitAlarm and AcquisitionsLateAlarm."""

GATE_ACTIONS: Final[Mapping[str, str]] = {
    "rate_limited": "nothing: Braze named the time. If it stays, ask Braze for a higher limit",
    "paced": "nothing: it opens when Braze's limit is renewed",
    "key_refused": "`bridge secrets set braze`, then `bridge gate open all`",
    "permission_missing": (
        "make a key with the missing permission, `bridge secrets set braze`, "
        "then `bridge gate open {gate}`"
    ),
    "requests_refused": (
        "Braze refuses every request alike: look at the newest lines of the delivery function's "
        "log, correct it, then `bridge gate open {gate}`"
    ),
}


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        check: What was looked at, in a word.
        what: What was found.
        do: What to do about it; empty where nothing need be done.
    """

    level: Level
    check: str
    what: str
    do: str = ""


class QueueKind(NamedTuple):
    """One of the stack's queues, with its dead-letter queue.

    Attributes:
        check: What its finding is called.
        dead_check: What the finding of its dead-letter queue is called.
        late: The alarm whose instructions help where something waits long.
        stuck: Where to look if nothing leaves it.
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


class WrongEndpointError(Exception):
    """The stack's endpoint is none of Braze's."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.what)
        self.finding = finding


def endpoint_of(target: BrazeTarget) -> tuple[str, Finding]:
    """Where the key is sent.

    Raises:
        WrongEndpointError: Nowhere that a key may be sent to.
    """
    try:
        endpoint = rest_endpoint(
            target.instance, target.endpoint or None, allow_loopback=target.allow_loopback
        )
    except InvalidEndpointError as error:
        raise WrongEndpointError(
            Finding(
                Level.PROBLEM,
                "endpoint",
                f"not a REST endpoint of Braze: {error.detail}",
                "deploy with the instance that the dashboard's address tells: "
                "dashboard-01.braze.com is US-01, dashboard-01.braze.eu is EU-01",
            )
        ) from None
    name = next((name for name, url in INSTANCES.items() if url == endpoint), None)
    if name is None and endpoint.startswith("http://"):
        return endpoint, Finding(Level.OK, "endpoint", f"{endpoint}, a stand-in on this machine")
    shown = "not in Braze's published list" if name is None else name
    return endpoint, Finding(Level.OK, "endpoint", f"{endpoint} ({shown})")


def key_findings(
    probed: Sequence[Probed], endpoint: str, instance: str, elsewhere: Sequence[str] | None
) -> Iterator[Finding]:
    """Whether Braze takes the key, there.

    Args:
        probed: What was asked there.
        endpoint: Where.
        instance: The stack's.
        elsewhere: Instances that know the key; ``None`` where nobody asked them.
    """
    verdicts = {each.verdict for each in probed}
    if verdicts & {Verdict.GRANTED, Verdict.MISSING}:
        yield Finding(Level.OK, "key", "Braze knows the key")
    elif Verdict.KEY_REFUSED in verdicts:
        what = f"the key is not valid at {endpoint} (401)"
        if elsewhere:
            yield Finding(
                Level.PROBLEM,
                "key",
                f"{what}; it is at {', '.join(elsewhere)}",
                f"the workspace lives there: deploy with BrazeInstance={elsewhere[0]} "
                "(and an empty BrazeEndpoint)",
            )
            return
        known = "at any of Braze's instances" if elsewhere is not None else ""
        yield Finding(
            Level.PROBLEM,
            "key",
            f"{what}{', nor ' + known if known else ''}",
            "the key is wrong or deleted: make one in Braze (Settings > APIs and Identifiers), "
            "`bridge secrets set braze`, `bridge gate open all`. Or the workspace lives on another "
            f"instance{_confused_with(instance)}: the dashboard's address tells "
            "(dashboard-01.braze.com is US-01, dashboard-01.braze.eu is EU-01); "
            "`bridge doctor --find-instance` asks each of them",
        )
    elif Verdict.UNREACHABLE in verdicts:
        yield Finding(
            Level.PROBLEM,
            "key",
            f"Braze does not answer at {endpoint} ({probed[0].detail})",
            "see Braze's status page, and whether this machine may call it",
        )


def _confused_with(instance: str) -> str:
    """Instances of the same number elsewhere: the usual mistake."""
    alike = [name for name in INSTANCES if name != instance and name[-2:] == instance[-2:]]
    return f", such as {' or '.join(alike)}" if instance in INSTANCES and alike else ""


def permission_findings(
    probed: Sequence[Probed], integrations: Collection[str]
) -> Iterator[Finding]:
    """What a key that Braze knows may do, and who needs what it may not."""
    for each in probed:
        need = NEEDS[each.permission]
        needed = [name for name in need.integrations if name in integrations]
        optional = [
            f"{name} ({what})" for name, what in need.optional.items() if name in integrations
        ]
        check = f"permission {each.permission}"
        match each.verdict:
            case Verdict.GRANTED:
                yield Finding(Level.OK, check, "granted")
            case Verdict.MISSING:
                who = [f"{name} does not work without it" for name in needed]
                who += [f"{name} lacks it" for name in optional]
                yield Finding(
                    Level.PROBLEM if needed else Level.WARNING,
                    check,
                    f"missing: {', '.join(who)}",
                    "permissions of a key cannot be changed: make a new key with "
                    f"{each.permission} besides the others, then `bridge secrets set braze`",
                )
            case Verdict.LIMITED:
                yield Finding(
                    Level.WARNING, check, "cannot be told: the rate limit is spent", "ask later"
                )
            case Verdict.KEY_REFUSED:
                pass  # told of the key, once
            case Verdict.UNREACHABLE | Verdict.STRANGE:
                yield Finding(
                    Level.WARNING, check, f"cannot be told: {each.detail}", "ask again later"
                )


def queue_findings(
    first: QueueLook,
    later: QueueLook,
    dead: QueueLook,
    oldest_wait: float | None,
    *,
    gated: bool,
    kind: QueueKind = DELIVERY,
) -> Iterator[Finding]:
    """Whether what is in a queue leaves it.

    Args:
        kind: Which queue.
        first: The queue.
        later: The same, some seconds after.
        dead: Its dead-letter queue.
        oldest_wait: Seconds, the longest of the last quarter of an hour; ``None`` without a figure.
        gated: Whether a gate is closed: then they wait for it.
    """
    left = first.waiting - later.waiting
    counts = f"{later.waiting} waiting, {later.hidden} in flight or hidden"
    if oldest_wait is not None and oldest_wait >= LONG_WAIT:
        yield Finding(
            Level.PROBLEM,
            kind.check,
            f"{counts}; the oldest waited {oldest_wait:.0f} s",
            f"docs/operations.md, {kind.late}",
        )
    elif later.waiting and left <= 0 and not gated:
        yield Finding(
            Level.WARNING,
            kind.check,
            f"{counts}, and none fewer than a moment ago",
            f"ask again; if it stays so, see {kind.stuck} in docs/operations.md",
        )
    else:
        yield Finding(Level.OK, kind.check, "empty" if later == (0, 0) else counts)
    if dead.waiting or dead.hidden:
        yield Finding(
            Level.PROBLEM,
            kind.dead_check,
            f"{dead.waiting + dead.hidden} message(s) could not even be settled",
            kind.dead_do,
        )
    else:
        yield Finding(Level.OK, kind.dead_check, "none")


def gate_findings(states: Mapping[str, GateState], now: datetime) -> Iterator[Finding]:
    """Which gates are closed, until when and why."""
    closed = {
        name: state
        for name, state in states.items()
        if state.closed_until is not None and state.is_closed(now)
    }
    if not closed:
        yield Finding(Level.OK, "gate", "open")
    for name, state in closed.items():
        until = "" if state.closed_until is None else iso_millis(state.closed_until)
        passes = state.reason in {"rate_limited", "paced"}
        yield Finding(
            Level.WARNING if passes else Level.PROBLEM,
            "gate",
            f"{name} is closed until {until}: {state.reason}",
            GATE_ACTIONS.get(state.reason, "see docs/operations.md, the gate").format(gate=name),
        )


def secret_finding(
    partner: str, title: str, *, is_set: bool, has_previous: bool, trouble: str = ""
) -> Finding:
    """Whether a partner's token is there.

    Args:
        partner: As the commands name it.
        title: As people write it.
        is_set: Whether there is a current one.
        has_previous: Whether an older one is valid, too.
        trouble: Why it could not be read, if it could not.
    """
    check = f"token of {title}"
    if trouble:
        return Finding(
            Level.PROBLEM, check, f"cannot be read: {trouble}", "is it this stack, and your right?"
        )
    if not is_set:
        return Finding(
            Level.PROBLEM,
            check,
            "empty: everything is answered 401",
            f"`bridge secrets rotate {partner}`",
        )
    if has_previous:
        return Finding(
            Level.WARNING,
            check,
            "set; an older one is valid, too",
            f"when {title} sends the new one: `bridge secrets retire {partner}`",
        )
    return Finding(Level.OK, check, "set")


def quikly_key_finding(*, is_set: bool, needed_by: Sequence[str], trouble: str = "") -> Finding:
    """Whether Quikly's API can be told anything.

    Args:
        is_set: Whether there is a key.
        needed_by: The activations and acquisitions that tell Quikly something.
        trouble: Why it could not be read, if it could not.
    """
    check = "key of Quikly's API"
    if trouble:
        what = f"cannot be read: {trouble}"
        return Finding(Level.PROBLEM, check, what, "is it this stack, and your right?")
    if is_set:
        return Finding(Level.OK, check, "set")
    if not needed_by:
        return Finding(Level.OK, check, "not set, and quikly.toml tells Quikly nothing")
    return Finding(
        Level.WARNING,
        check,
        f"not set: credits and calls of {', '.join(needed_by)} wait",
        "ask Quikly for it, `bridge secrets set quikly-api`, and deploy with QuiklyApiUrl",
    )


def alarm_findings(firing: Iterable[str], stack: str) -> Iterator[Finding]:
    """Which alarms are on.

    Args:
        firing: Their names in CloudWatch.
        stack: The stack, with which CloudFormation begins those names.
    """
    found = False
    for name in firing:
        found = True
        logical = name.removeprefix(f"{stack}-").partition("-")[0]
        yield Finding(Level.PROBLEM, "alarm", f"{logical} is on", f"docs/operations.md, {logical}")
    if not found:
        yield Finding(Level.OK, "alarms", "none is on")


def rejected_finding(reasons: Sequence[str], *, more: bool) -> Finding:
    """What is parked.

    Args:
        reasons: The code of each row that was looked at.
        more: Whether there are others.
    """
    if not reasons:
        return Finding(Level.OK, "rejected", "nothing is parked")
    by_count = sorted(set(reasons), key=lambda code: (-reasons.count(code), code))
    counts = ", ".join(f"{reasons.count(code)} {code}" for code in by_count)
    return Finding(
        Level.WARNING,
        "rejected",
        f"{'at least ' if more else ''}{len(reasons)} row(s) parked: {counts}",
        "`bridge rejected list` and `show` tell why; `bridge preview` shows what a body becomes; "
        "correct the mapping or Braze, then `bridge rejected replay`",
    )


def config_findings(problems: Sequence[Problem]) -> Iterator[Finding]:
    """Mistakes in the partners' files of this working copy."""
    if not problems:
        yield Finding(Level.OK, "configuration", "no mistakes in this working copy's files")
    for problem in problems:
        yield Finding(
            Level.PROBLEM,
            "configuration",
            str(problem),
            "correct it, `bridge check-config`, deploy",
        )
