"""``bridge verify``: a marked test response through the real door, until it is on the profile."""

from __future__ import annotations

import json
import secrets
import time
from http import HTTPStatus
from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import requests
import typer

from braze_bridge.braze.errors import BrazeError, PermissionDeniedError
from braze_bridge.braze.transport import RequestsTransport
from braze_bridge.clock import SystemClock
from braze_bridge.mapping.outcomes import Mapped
from braze_bridge.mapping.profile_fields import STANDARD_FIELDS
from braze_bridge.partner_config.problems import ConfigError
from ops.doctor.braze_probes import client_for
from ops.doctor.command import flow_findings
from ops.doctor.findings import Level, WrongEndpointError, endpoint_of
from ops.preview.body_mappings import BodyMappings
from ops.preview.requests import of_outcome, record_of
from ops.rejected.rows import DynamoRejectedRows, RowsUnavailableError, UnreadableRowError
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.options import (
    LOCAL_FOLDER,
    NOT_DONE,
    Folder,
    Json,
    PartnerName,
    Region,
    Stack,
    access,
    not_done,
    route_of,
    secrets_access,
    site,
    unavailable,
)
from ops.stack.partners import PARTNERS, TrialResponse
from ops.stack.screen import as_json, harmless
from ops.stack_secrets.rotation import SecretAccessError, current, secret_id
from ops.verify.profile_check import (
    HIGHEST_SCORE,
    compare,
    is_there,
    look_up,
    score_of,
    value_on,
    wait_for,
)

if TYPE_CHECKING:
    from datetime import datetime

    from braze_bridge.braze.client import BrazeClient
    from braze_bridge.braze.models import ExportedUser
    from braze_bridge.jobs.envelope import DeliveryJob
    from ops.stack.access import SecretsAccess, Site, StackAccess
    from ops.stack.secret_names import SecretName
    from ops.verify.profile_check import Arrival

DOOR_SECONDS: Final = 30
"""API Gateway itself gives up after 29."""

_NO_PROXIES: Final = {"http": ""}
"""A proxy set in the environment cannot reach this machine's loopback."""


class Posted(NamedTuple):
    """The door's answer."""

    status: int
    body: dict[str, object]


def verify(  # noqa: PLR0913, PLR0917 - each argument is an option
    ctx: typer.Context,
    partner: PartnerName,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    content: Annotated[
        str | None, typer.Option(help="Post to this content of the partner's.")
    ] = None,
    config_dir: Annotated[
        Path, typer.Option(help="The folder with the partners' TOML files, as deployed.")
    ] = CONFIG_DIRECTORY,
    unless_new: Annotated[
        bool, typer.Option(help="Where no Braze key is set yet, say so and end with exit code 0.")
    ] = False,
    as_json_: Json = False,
) -> None:
    """Post a marked test response to the real door, and wait for it on the Braze profile.

    It is about one test profile, always the same, which stays in Braze. Nobody is signed up and
    nothing is claimed: of acquisitions and the webhook only the door is tried. Exit 1 where
    something did not arrive as it was sent.
    """
    route = route_of(partner, content)
    place = site(ctx, stack, region, folder)
    keys = secrets_access(ctx, stack, region, folder)
    token = _secret(keys, PARTNERS[partner].secret)
    if PARTNERS[partner].test_body is None:
        asked = _asked(place, partner, token)
        if as_json_:
            typer.echo(as_json({"partner": partner, "asked": asked}))
        return
    opened = access(ctx, stack, region, folder)
    where = "" if stack is None else f" --stack {stack}"
    key = _secret(keys, "braze")
    if not key:
        first = f"no Braze key is set: bridge secrets set braze{where}"
        typer.echo(f"{first}, then bridge verify {partner}{where}", err=True)
        raise typer.Exit(0 if unless_new else NOT_DONE)
    client = _client(place, key)
    asked = _asked(place, partner, token)
    body, job = _test(partner, route, config_dir, client)
    if job.attributes and is_there(_look(client, job)):
        typer.echo(
            "note: the test profile has all of these values already, so that they arrived now "
            "cannot be told: give this mapping a value that differs from answer to answer",
            err=True,
        )
    job_id = _accepted(place, route, body, token)
    kind, *name = job.user.key
    typer.echo(
        f"posted to {place.api_url}{route}: accepted, as job {job_id}\n"
        f"test profile: {kind} {' '.join(name)} (it stays in Braze)",
        err=True,
    )
    seen, waited = wait_for(lambda: _look(client, job), time.sleep, _report)
    if as_json_:
        typer.echo(
            as_json(
                {
                    "partner": partner,
                    "job_id": job_id,
                    "profile": {"kind": kind, "value": name},
                    "seconds": waited,
                    "arrived": is_there(seen),
                    "asked": asked,
                    "attributes": [{**each._asdict(), "said": str(each)} for each in seen],
                }
            )
        )
    else:
        _print(seen, job)
    if not is_there(seen):
        not_done(*_why(opened, place, job, where))


def _asked(place: Site, partner: str, token: str) -> list[str]:
    """Make the calls that change nothing; what each shows, or the end of the program."""
    shown = []
    for ask in PARTNERS[partner].asks:
        body = None if ask.body is None else json.dumps(ask.body).encode()
        answered = _call(place, ask.path, body, token)
        reasons = answered.body.get("reasons")
        first = reasons[0] if isinstance(reasons, list) and reasons else {}
        if (answered.status, first.get("code")) != (ask.status, ask.code):
            said = harmless(json.dumps(reasons))
            not_done(f"{place.api_url}{ask.path} answered {answered.status}: {said}")
        typer.echo(f"{place.api_url}{ask.path}: {ask.proves}", err=True)
        shown.append(ask.proves)
    return shown


def _client(place: Site, key: str) -> BrazeClient:
    try:
        endpoint, _ = endpoint_of(place.braze)
    except WrongEndpointError as wrong:
        not_done(f"{wrong.finding.what}: {wrong.finding.do}")
    return client_for(key, RequestsTransport(endpoint, 1), SystemClock(), "Verify")


def _accepted(place: Site, route: str, body: bytes, token: str) -> str:
    """Post the body; the job's id as the door gave it, or the end of the program."""
    posted = _call(place, route, body, token)
    if posted.status != HTTPStatus.OK or posted.body.get("status") != "accepted":
        reasons = json.dumps(posted.body.get("reasons", posted.body))
        not_done(f"{place.api_url}{route} answered {posted.status}: {harmless(reasons)}")
    return str(posted.body.get("job_id"))


def _look(client: BrazeClient, job: DeliveryJob) -> list[Arrival]:
    return compare(job.attributes, frozenset(STANDARD_FIELDS), _profile(client, job))


def _profile(client: BrazeClient, job: DeliveryJob) -> ExportedUser | None:
    try:
        return client.export_ids(look_up(job.user, job.attributes)).preferred()
    except PermissionDeniedError:
        not_done("the profile cannot be read back: the key lacks users.export.ids")
    except BrazeError as error:
        not_done(f"the profile cannot be read back: {error}", "`bridge doctor` tells more")


def _report(waited: float, seen: list[Arrival]) -> None:
    if not is_there(seen):
        typer.echo(f"after {waited:.0f} s: not there yet", err=True)


def _print(seen: list[Arrival], job: DeliveryJob) -> None:
    for each in seen:
        typer.echo(harmless(str(each)))
    if job.events:
        typer.echo(f"{len(job.events)} event(s) went along; exports do not show single ones")


def _test(
    partner: str, route: str, config_dir: Path, client: BrazeClient
) -> tuple[bytes, DeliveryJob]:
    """A body with a score that is not on the profile yet, and the job that it becomes."""
    now = SystemClock().now()
    mark = f"bridge-verify-{secrets.token_hex(8)}"
    seed = secrets.randbelow(HIGHEST_SCORE)

    def made(seed: int) -> tuple[bytes, DeliveryJob]:
        return _mapped(partner, route, config_dir, TrialResponse(mark, now, score_of(seed)))

    body, job = made(seed)
    user = _profile(client, job)
    if user is not None and score_of(seed) in [value_on(user, name) for name in job.attributes]:
        return made(seed + 1)
    return body, job


def _mapped(
    partner: str, route: str, config_dir: Path, response: TrialResponse
) -> tuple[bytes, DeliveryJob]:
    """A test body, and the job that it is by the files of this working copy."""
    make = PARTNERS[partner].test_body
    if make is None:
        raise AssertionError(partner)  # the command ended before
    try:
        text = json.dumps(make(response, config_dir))
        source = PARTNERS[partner].source
        record = record_of(text, source=source, route=route, now=response.at)
        outcome = BodyMappings(config_dir).outcome(record)
    except ConfigError as error:
        not_done(*(str(problem) for problem in error.problems))
    if not isinstance(outcome, Mapped):
        reasons = [
            ": ".join(part for part in (reason.field, reason.code, reason.detail) if part)
            for reason in of_outcome(outcome).reasons
        ]
        not_done(
            "the test response does not fit this mapping, so nothing was posted:",
            *reasons,
            f"post one of your own, and see it by: bridge preview {partner} FILE",
        )
    return text.encode(), outcome.job


def _secret(keys: SecretsAccess, name: SecretName) -> str:
    try:
        return current(keys.client, keys.stack, name)
    except SecretAccessError as error:
        not_done(f"{secret_id(keys.stack, name)} cannot be read: {error}")


def _call(place: Site, path: str, body: bytes | None, token: str) -> Posted:
    """Post a body, or read where there is none."""
    is_local = place.api_url.startswith("http://")
    try:
        answer = requests.request(
            "GET" if body is None else "POST",
            f"{place.api_url}{path}",
            data=body,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            timeout=DOOR_SECONDS,
            allow_redirects=False,
            proxies=_NO_PROXIES if is_local else None,
        )
    except requests.RequestException as error:
        unavailable(f"{place.api_url} does not answer: {type(error).__name__}")
    try:
        found = answer.json()
    except requests.JSONDecodeError:
        found = None
    return Posted(answer.status_code, found if isinstance(found, dict) else {})


def _why(opened: StackAccess, place: Site, job: DeliveryJob, where: str) -> list[str]:
    """What is known about a job that did not arrive."""
    now: datetime = SystemClock().now()
    said: list[str] = []
    try:
        parked = DynamoRejectedRows(opened.dynamodb, opened.rejected_table, now).find(job.job_id)
    except (RowsUnavailableError, UnreadableRowError):
        parked = None
    if parked is not None:
        said.append(f"Braze refused it: bridge rejected show {job.job_id}{where}")
    said += [
        f"{finding.check}: {finding.what} -> {finding.do}"
        for finding in flow_findings(opened, place, now, time.sleep)
        if finding.level is not Level.OK
    ]
    return said or [f"nothing is known against it: it may be late. bridge doctor{where}"]
