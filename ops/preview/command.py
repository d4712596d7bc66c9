"""``bridge preview``: the exact requests to Braze for a captured body."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from braze_bridge.clock import SystemClock
from braze_bridge.mapping.link_signatures import any_signature_fits
from ops.preview.body_mappings import LOADERS, BodyMappings
from ops.preview.requests import preview
from ops.stack.command import Json, PartnerName, not_done, reported_errors, route_of
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.partners import PARTNERS
from ops.stack.screen import as_json, harmless
from sandbox.event_files import event_cases

if TYPE_CHECKING:
    from braze_bridge.reasons import Reason
    from ops.preview.requests import Preview

STDIN = "-"


def preview_body(
    partner: PartnerName,
    body: Annotated[
        str | None,
        typer.Argument(help="A file with a body as the partner sent it; - for standard input."),
    ] = None,
    content: Annotated[
        str | None, typer.Option(help="What follows the partner's name in the URL.")
    ] = None,
    sample: Annotated[
        str | None, typer.Option(help="Instead of a file: the name of one in events/PARTNER.")
    ] = None,
    config_dir: Annotated[
        Path, typer.Option(help="The folder with the partners' TOML files to try.")
    ] = CONFIG_DIRECTORY,
    as_json_: Json = False,
) -> None:
    """Show what a body would become at Braze, and what was left out and why. Sends nothing.

    For Quikly it shows activation events. What an acquisition or a claim becomes depends on Braze
    and the stack's tables.

    A signature is not checked: any counts as right.

    It prints what is in the body. Exit 1 if the body, or a part of it, would not become a job.
    """
    if (body is None) == (sample is None):
        raise typer.BadParameter("give a file (or -), or --sample")
    if sample is not None and content is not None:
        raise typer.BadParameter("a sample knows its own content", param_hint="--content")
    source = PARTNERS[partner].source
    if source not in LOADERS:
        raise typer.BadParameter(
            "has no mapping: what a call is awarded depends on what others claimed",
            param_hint="PARTNER",
        )
    raw, route = _sample(partner, sample) if sample is not None else _captured(body or STDIN)
    route = route or route_of(partner, content)
    with reported_errors():
        found = preview(
            raw,
            source=source,
            route=route,
            mappings=BodyMappings(config_dir, lambda _: any_signature_fits),
            now=SystemClock().now(),
        )
    if as_json_:
        typer.echo(as_json(_json(found, route)))
    else:
        _print(found, route)
    if found.reasons:
        not_done()


def _sample(partner: str, name: str) -> tuple[bytes, str]:
    here = PARTNERS[partner].urls[0].path
    cases = {case.name: case for case in event_cases(partner) if case.path.startswith(here)}
    if name not in cases:
        known = ", ".join(cases)
        raise typer.BadParameter(f"is none of: {known}", param_hint="--sample")
    return cases[name].sent_bytes(), cases[name].path


def _captured(where: str) -> tuple[bytes, None]:
    try:
        return (sys.stdin.buffer.read() if where == STDIN else Path(where).read_bytes()), None
    except OSError as error:
        raise typer.BadParameter(
            f"cannot be read ({type(error).__name__})", param_hint="BODY"
        ) from None


def _print(found: Preview, route: str) -> None:
    job = "" if found.job_id is None else f", as job {found.job_id}"
    typer.echo(f"POST {harmless(route)}: {found.status.value} {found.result}{job}")
    for number, request in enumerate(found.requests, start=1):
        typer.echo(
            f"\nrequest {number} of {len(found.requests)}: POST {request.path}, "
            f"{request.objects} object(s), {len(request.body)} bytes"
        )
        typer.echo(harmless(json.dumps(json.loads(request.body), indent=2, ensure_ascii=False)))
    for title, reasons in (
        ("left out", found.skipped),
        ("not sent" if found.requests else "why", found.reasons),
    ):
        if reasons:
            typer.echo(f"\n{title}")
        for reason in reasons:
            typer.echo(harmless(f"  {_words(reason)}"))


def _words(reason: Reason) -> str:
    said = [part for part in (reason.field, reason.code, reason.detail) if part is not None]
    return ": ".join(said)


def _json(found: Preview, route: str) -> dict[str, object]:
    return {
        "route": route,
        "status": found.status.value,
        "result": found.result,
        "job_id": found.job_id,
        "requests": [
            {
                "method": "POST",
                "path": request.path,
                "objects": request.objects,
                "body": json.loads(request.body),
            }
            for request in found.requests
        ],
        "skipped": [reason.model_dump() for reason in found.skipped],
        "reasons": [reason.model_dump() for reason in found.reasons],
    }
