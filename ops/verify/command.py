"""``bridge verify``: post a test response and check that it reaches the profile."""

from __future__ import annotations

import json
import secrets
import time
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import requests
import typer

from braze_bridge.braze.errors import BrazeError, PermissionDeniedError
from braze_bridge.braze.transport import PooledTransport
from braze_bridge.clock import SystemClock
from braze_bridge.mapping.link_signatures import is_signed
from braze_bridge.mapping.outcomes import Mapped
from braze_bridge.mapping.profile_fields import STANDARD_FIELDS
from ops.doctor.braze_probes import client_for
from ops.doctor.checks import flow_findings
from ops.doctor.findings import Level, endpoint_of
from ops.links.link_keys import key_of
from ops.preview.body_mappings import BodyMappings
from ops.preview.requests import of_outcome, record_of
from ops.rejected.rows import DynamoRejectedRows, RowsUnavailableError, UnreadableRowError
from ops.stack.command import (
    ConfigDir,
    OpenStack,
    PartnerName,
    not_done,
    on_stack,
    route_of,
    unavailable,
)
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.errors import NOT_DONE
from ops.stack.partners import PARTNERS, TrialResponse
from ops.stack.screen import harmless
from ops.stack_secrets.stored_secrets import SecretAccessError, current, secret_id
from ops.verify.profile_check import (
    HIGHEST_SCORE,
    compare,
    is_there,
    look_up,
    score_of,
    value_on,
    wait_for,
)
from ops.verify.signed_body import add_signatures

if TYPE_CHECKING:
    from pathlib import Path

    from braze_bridge.braze.client import BrazeClient
    from braze_bridge.braze.models import ExportedUser
    from braze_bridge.jobs.envelope import DeliveryJob
    from ops.stack.access import Site, StackAccess
    from ops.stack.secret_names import SecretName
    from ops.verify.profile_check import Arrival

CALL_SECONDS: Final = 30
"""API Gateway itself gives up after 29."""

_NO_PROXIES: Final = {"http": ""}
"""A proxy set in the environment cannot reach this machine's loopback."""


class Answer(NamedTuple):
    """An answer of the API."""

    status: int
    body: dict[str, object]


@on_stack
def verify(
    stack: OpenStack,
    partner: PartnerName,
    content: Annotated[
        str | None, typer.Option(help="Post to this content of the partner's.")
    ] = None,
    config_dir: ConfigDir = CONFIG_DIRECTORY,
    unless_new: Annotated[
        bool, typer.Option(help="If no Braze key is set yet, say so and end with exit code 0.")
    ] = False,
) -> None:
    """Post a test response and check that it reaches the profile.

    It uses one test profile, always the same, which stays in Braze. It signs no person up and
    claims nothing: for acquisitions and the webhook it checks only that the API takes the token.
    Exit 1 if something did not arrive as it was sent.
    """
    route = route_of(partner, content)
    site = stack.site
    token = _secret(stack, PARTNERS[partner].secret)
    if PARTNERS[partner].test_body is None:
        stack.show({"partner": partner, "asked": _asked(site, partner, token)}, ())
        return
    opened = stack.access
    key = _secret(stack, "braze")
    if not key:
        first = f"no Braze key is set: bridge secrets set braze{stack.option}"
        typer.echo(f"{first}, then bridge verify {partner}{stack.option}", err=True)
        raise typer.Exit(0 if unless_new else NOT_DONE)
    client = _client(site, key)
    asked = _asked(site, partner, token)
    body, job = _test(partner, route, config_dir, client, _link_key(stack, partner, config_dir))
    if job.attributes and is_there(_look(client, job)):
        typer.echo(
            "note: the test profile has all of these values already, so this test cannot show that "
            "they arrived now: give this mapping a value that differs from answer to answer",
            err=True,
        )
    job_id = _accepted(site, route, body, token)
    kind, *name = job.user.key
    typer.echo(
        f"posted to {site.api_url}{route}: accepted, as job {job_id}\n"
        f"test profile: {kind} {' '.join(name)} (it stays in Braze)",
        err=True,
    )
    seen, waited = wait_for(lambda: _look(client, job), time.sleep, _report)
    lines = [harmless(str(each)) for each in seen]
    if job.events:
        lines.append(f"{len(job.events)} event(s) were sent, too; exports do not show single ones")
    stack.show(
        {
            "partner": partner,
            "job_id": job_id,
            "profile": {"kind": kind, "value": name},
            "seconds": waited,
            "arrived": is_there(seen),
            "asked": asked,
            "attributes": [{**each._asdict(), "said": str(each)} for each in seen],
        },
        lines,
    )
    if not is_there(seen):
        not_done(*_why(stack, opened, job))


def _asked(site: Site, partner: str, token: str) -> list[str]:
    """Make the calls that change nothing; what each shows, or the end of the program."""
    shown = []
    for ask in PARTNERS[partner].asks:
        body = None if ask.body is None else json.dumps(ask.body).encode()
        answer = _call(site, ask.path, body, token)
        reasons = answer.body.get("reasons")
        first = reasons[0] if isinstance(reasons, list) and reasons else {}
        if (answer.status, first.get("code")) != (ask.status, ask.code):
            said = harmless(json.dumps(reasons))
            not_done(f"{site.api_url}{ask.path} answered {answer.status}: {said}")
        typer.echo(f"{site.api_url}{ask.path}: {ask.proves}", err=True)
        shown.append(ask.proves)
    return shown


def _client(site: Site, key: str) -> BrazeClient:
    endpoint, finding = endpoint_of(site.braze)
    if endpoint is None:
        not_done(f"{finding.what}: {finding.do}")
    return client_for(key, PooledTransport(endpoint, 1), SystemClock(), "Verify")


def _accepted(site: Site, route: str, body: bytes, token: str) -> str:
    """Post the body; the answered job id, or the end of the program."""
    answer = _call(site, route, body, token)
    if answer.status != HTTPStatus.OK or answer.body.get("status") != "accepted":
        reasons = json.dumps(answer.body.get("reasons", answer.body))
        not_done(f"{site.api_url}{route} answered {answer.status}: {harmless(reasons)}")
    return str(answer.body.get("job_id"))


def _look(client: BrazeClient, job: DeliveryJob) -> list[Arrival]:
    return compare(job.attributes, frozenset(STANDARD_FIELDS), _profile(client, job))


def _profile(client: BrazeClient, job: DeliveryJob) -> ExportedUser | None:
    try:
        return client.export_ids(look_up(job.user, job.attributes)).preferred()
    except PermissionDeniedError:
        not_done("the profile cannot be read back: the key lacks users.export.ids")
    except BrazeError as error:
        not_done(f"the profile cannot be read back: {error}", "`bridge doctor` says more")


def _report(waited: float, seen: list[Arrival]) -> None:
    if not is_there(seen):
        typer.echo(f"after {waited:.0f} s: not there yet", err=True)


def _link_key(stack: OpenStack, partner: str, config_dir: Path) -> str:
    """Read the key that signs the partner's links; empty if no link needs one."""
    if not any(rule.signature for rule in PARTNERS[partner].person_rules(config_dir)):
        return ""
    try:
        return key_of(stack.secrets, partner)
    except SecretAccessError as error:
        not_done(
            f"{partner}.toml wants signed links, and their key cannot be read: {error}",
            f"bridge link new-key {partner}{stack.option}",
        )


def _test(
    partner: str, route: str, config_dir: Path, client: BrazeClient, link_key: str
) -> tuple[bytes, DeliveryJob]:
    """Make a body with a score that is not on the profile yet, and the job that it becomes."""
    now = SystemClock().now()
    mark = f"bridge-verify-{secrets.token_hex(8)}"
    seed = secrets.randbelow(HIGHEST_SCORE)

    def made(seed: int) -> tuple[bytes, DeliveryJob]:
        response = TrialResponse(mark, now, score_of(seed))
        return _mapped(partner, route, config_dir, response, link_key)

    body, job = made(seed)
    user = _profile(client, job)
    if user is not None and score_of(seed) in [value_on(user, name) for name in job.attributes]:
        return made(seed + 1)
    return body, job


def _mapped(
    partner: str, route: str, config_dir: Path, response: TrialResponse, link_key: str
) -> tuple[bytes, DeliveryJob]:
    """Make a test body, and the job that it becomes by the files of this working copy."""
    make = PARTNERS[partner].test_body
    if make is None:
        raise AssertionError(partner)  # the command ended earlier
    made = make(response, config_dir)
    if link_key:
        add_signatures(made, PARTNERS[partner].person_rules(config_dir), link_key)
    text = json.dumps(made)
    source = PARTNERS[partner].source
    record = record_of(text, source=source, route=route, now=response.at)
    fits = partial(is_signed, [link_key])
    outcome = BodyMappings(config_dir, lambda _: fits).outcome(record)
    if not isinstance(outcome, Mapped):
        reasons = [
            ": ".join(part for part in (reason.field, reason.code, reason.detail) if part)
            for reason in of_outcome(outcome).reasons
        ]
        not_done(
            "the test response does not fit this mapping, so nothing was posted:",
            *reasons,
            f"post one of your own; this shows what it becomes: bridge preview {partner} FILE",
        )
    return text.encode(), outcome.job


def _secret(stack: OpenStack, name: SecretName) -> str:
    try:
        return current(stack.secrets, name)
    except SecretAccessError as error:
        not_done(f"{secret_id(stack.secrets.stack, name)} cannot be read: {error}")


def _call(site: Site, path: str, body: bytes | None, token: str) -> Answer:
    """Post a body, or read the path if there is none."""
    is_local = site.api_url.startswith("http://")
    try:
        answer = requests.request(
            "GET" if body is None else "POST",
            f"{site.api_url}{path}",
            data=body,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            timeout=CALL_SECONDS,
            allow_redirects=False,
            proxies=_NO_PROXIES if is_local else None,
        )
    except requests.RequestException as error:
        unavailable(f"{site.api_url} does not answer: {type(error).__name__}")
    try:
        found = answer.json()
    except requests.JSONDecodeError:
        found = None
    return Answer(answer.status_code, found if isinstance(found, dict) else {})


def _why(stack: OpenStack, opened: StackAccess, job: DeliveryJob) -> list[str]:
    """Collect what is known about a job that did not arrive."""
    now = SystemClock().now()
    said: list[str] = []
    try:
        parked = DynamoRejectedRows(opened.dynamodb, opened.rejected_table, now).find(job.job_id)
    except (RowsUnavailableError, UnreadableRowError):
        parked = None
    if parked is not None:
        said.append(f"Braze refused it: bridge rejected show {job.job_id}{stack.option}")
    said += [
        f"{finding.check}: {finding.what} -> {finding.do}"
        for finding in flow_findings(opened, stack.site, now, time.sleep)
        if finding.level is not Level.OK
    ]
    return said or [f"no cause found: it may be late. bridge doctor{stack.option}"]
