"""``bridge secrets``: the stack's keys and tokens, and what to paste at each partner."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import typer

from braze_bridge.partner_config.problems import ConfigError
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.options import (
    LOCAL_FOLDER,
    Folder,
    Json,
    PartnerName,
    Region,
    Stack,
    echo,
    not_done,
    secrets_access,
    site,
)
from ops.stack.partners import PARTNERS
from ops.stack.screen import as_json, columns
from ops.stack.secret_names import SecretName  # noqa: TC001 - Typer reads the annotations
from ops.stack_secrets.rotation import (
    SecretAccessError,
    current,
    is_token,
    new_token,
    pair,
    retire,
    rotate,
    secret_id,
    set_current,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.stack.access import SecretsAccess

HIDDEN = "<token>"

app = typer.Typer(no_args_is_help=True, help="The stack's keys and tokens.")

ShowToken = Annotated[
    bool, typer.Option("--show-token", help="Print the token too: whoever sees it may post.")
]


@app.command("set")
def set_secret(
    ctx: typer.Context,
    name: SecretName,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    as_json_: Json = False,
) -> None:
    """Set a key. It is asked for, never taken from the command line, where others could read it."""
    opened = secrets_access(ctx, stack, region, folder)
    question = f"New value of {secret_id(opened.stack, name)}"
    value = typer.prompt(question, hide_input=True, err=True).strip()
    if not value:
        not_done("A blank value was not stored.")
    with _ended_well(opened, name, "was not set"):
        set_current(opened.client, opened.stack, name, value)
    done = secret_id(opened.stack, name)
    typer.echo(as_json({"set": done}) if as_json_ else f"{done} is set.")


@app.command("show")
def show_secret(
    ctx: typer.Context,
    name: SecretName,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
) -> None:
    """Print a key or token alone, ready for a pipe."""
    opened = secrets_access(ctx, stack, region, folder)
    with _ended_well(opened, name, "cannot be read"):
        value = current(opened.client, opened.stack, name)
    typer.echo(value)


@app.command("show-url")
def show_url(
    ctx: typer.Context,
    partner: PartnerName,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    show_token: ShowToken = False,
    config_dir: Annotated[
        Path, typer.Option(help="The folder with the partners' TOML files, as deployed.")
    ] = CONFIG_DIRECTORY,
    as_json_: Json = False,
) -> None:
    """Show what to paste at a partner: its URLs, and the header with its token."""
    known = PARTNERS[partner]
    place = site(ctx, stack, region, folder)
    opened = secrets_access(ctx, stack, region, folder)
    with _ended_well(opened, known.secret, "cannot be read"):
        token = current(opened.client, opened.stack, known.secret)
    try:
        in_url = known.door(config_dir).allow_query_token
    except ConfigError as error:
        not_done(*(str(problem) for problem in error.problems))
    shown = token if show_token else HIDDEN
    urls = [(f"{place.api_url}{url.path}", url.purpose) for url in known.urls]
    if in_url:
        urls += [
            (f"{url}?token={shown}", f"{why}; where no header can be set") for url, why in urls
        ]
    header = ("Authorization", f"Bearer {shown}")
    if as_json_:
        typer.echo(
            as_json(
                {
                    "partner": partner,
                    "urls": [{"url": url, "for": why} for url, why in urls],
                    "header": {"name": header[0], "value": header[1]},
                    "token_shown": show_token,
                }
            )
        )
        return
    rows = [("URL", url, why) for url, why in urls]
    rows.append(("header", f"{header[0]}: {header[1]}", ""))
    rows.append(("header", "Content-Type: application/json", ""))
    echo(columns((f"AT {known.title.upper()}", "PASTE", "FOR"), rows))
    if not show_token:
        typer.echo("The token stays hidden: add --show-token to print it.", err=True)


@app.command("rotate")
def rotate_token(
    ctx: typer.Context,
    partner: PartnerName,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    show_token: ShowToken = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json_: Json = False,
) -> None:
    """Give a partner a new token. The old one stays valid until `retire`, or the next rotation."""
    name = PARTNERS[partner].secret
    opened = secrets_access(ctx, stack, region, folder)
    with _ended_well(opened, name, "was not rotated"):
        if not is_token(name):
            raise typer.BadParameter("has no token of ours", param_hint="PARTNER")
        if pair(opened.client, secret_id(opened.stack, name)).previous and not yes:
            typer.confirm(
                f"An older token of {PARTNERS[partner].title} is still valid and would end now. "
                "Does it send the newer one already?",
                abort=True,
                err=True,
            )
        rotated = rotate(opened.client, opened.stack, name, new_token())
    if as_json_:
        shown = {"token": rotated.current} if show_token else {}
        typer.echo(as_json({"partner": partner, "rotated": secret_id(opened.stack, name), **shown}))
        return
    if show_token:
        typer.echo(rotated.current)
    where = "" if stack is None else f" --stack {stack}"
    typer.echo(
        f"{secret_id(opened.stack, name)} has a new token; the old one stays valid. Next:\n"
        f"  1. bridge secrets show-url {partner} --show-token{where}, and paste it at "
        f"{PARTNERS[partner].title}\n"
        f"  2. bridge verify {partner}{where}\n"
        f"  3. when it sends the new one: bridge secrets retire {partner}{where}",
        err=True,
    )


@app.command("retire")
def retire_token(
    ctx: typer.Context,
    partner: PartnerName,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    as_json_: Json = False,
) -> None:
    """End a partner's previous token. Functions forget it within five minutes."""
    name = PARTNERS[partner].secret
    opened = secrets_access(ctx, stack, region, folder)
    with _ended_well(opened, name, "was not changed"):
        retired = retire(opened.client, opened.stack, name)
    if as_json_:
        typer.echo(as_json({"partner": partner, "retired": retired}))
    else:
        typer.echo(
            "The previous token ends within five minutes."
            if retired
            else "There was no previous token."
        )


@contextmanager
def _ended_well(opened: SecretsAccess, name: SecretName, what: str) -> Iterator[None]:
    """End the program with a word where the secret is not to be had."""
    try:
        yield
    except SecretAccessError as error:
        not_done(f"{secret_id(opened.stack, name)} {what}: {error}")
