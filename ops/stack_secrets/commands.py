"""``bridge secrets``: the stack's keys and tokens, and what to paste at each partner."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ops.stack.command import ConfigDir, OpenStack, PartnerName, Yes, not_done, on_stack
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.partners import PARTNERS
from ops.stack.screen import columns
from ops.stack.secret_names import SecretName  # noqa: TC001 - Typer reads the annotations
from ops.stack_secrets.stored_secrets import (
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

HIDDEN = "<token>"

app = typer.Typer(no_args_is_help=True, help="The stack's keys and tokens.")

ShowToken = Annotated[
    bool, typer.Option("--show-token", help="Also print the token, which lets its reader post.")
]


@app.command("set")
@on_stack
def set_secret(stack: OpenStack, name: SecretName) -> None:
    """Set a key. The command asks for it: other users could read a command line."""
    id_ = secret_id(stack.secrets.stack, name)
    value = typer.prompt(f"New value of {id_}", hide_input=True, err=True).strip()
    if not value:
        not_done("A blank value was not stored.")
    with _named_errors(stack, name, "was not set"):
        set_current(stack.secrets, name, value)
    stack.show({"set": id_}, [f"{id_} is set."])


@app.command("show")
@partial(on_stack, has_json=False)
def show_secret(stack: OpenStack, name: SecretName) -> None:
    """Print a key or token and nothing else, ready for a pipe."""
    with _named_errors(stack, name, "cannot be read"):
        typer.echo(current(stack.secrets, name))


@app.command("show-url")
@on_stack
def show_url(
    stack: OpenStack,
    partner: PartnerName,
    show_token: ShowToken = False,
    config_dir: ConfigDir = CONFIG_DIRECTORY,
) -> None:
    """Show what to paste at a partner: its URLs, and the header with its token."""
    known = PARTNERS[partner]
    api_url = stack.site.api_url
    with _named_errors(stack, known.secret, "cannot be read"):
        token = current(stack.secrets, known.secret)
    shown = token if show_token else HIDDEN
    urls = [(f"{api_url}{url.path}", url.purpose) for url in known.urls]
    if known.door(config_dir).allow_query_token:
        urls += [(f"{url}?token={shown}", f"{why}; if no header can be set") for url, why in urls]
    name, value = "Authorization", f"Bearer {shown}"
    rows = [
        *(("URL", url, why) for url, why in urls),
        ("header", f"{name}: {value}", ""),
        ("header", "Content-Type: application/json", ""),
    ]
    stack.show(
        {
            "partner": partner,
            "urls": [{"url": url, "for": why} for url, why in urls],
            "header": {"name": name, "value": value},
            "token_shown": show_token,
        },
        columns((f"AT {known.title.upper()}", "PASTE", "FOR"), rows),
    )
    if not show_token:
        stack.note("The token stays hidden: add --show-token to print it.")


@app.command("rotate")
@on_stack
def rotate_token(
    stack: OpenStack, partner: PartnerName, show_token: ShowToken = False, yes: Yes = False
) -> None:
    """Give a partner a new token. The old one stays valid until `retire`, or the next rotation."""
    name, title = PARTNERS[partner].secret, PARTNERS[partner].title
    secrets = stack.secrets
    with _named_errors(stack, name, "was not rotated"):
        if not is_token(name):
            raise typer.BadParameter("has no token of ours", param_hint="PARTNER")
        if pair(secrets, name).previous and not yes:
            typer.confirm(
                f"An older token of {title} is still valid and would end now. "
                "Does it send the newer one already?",
                abort=True,
                err=True,
            )
        rotated = rotate(secrets, name, new_token())
    id_ = secret_id(secrets.stack, name)
    shown = {"token": rotated.current} if show_token else {}
    stack.show({"partner": partner, "rotated": id_, **shown}, shown.values())
    stack.note(
        f"{id_} has a new token; the old one stays valid. Next:\n"
        f"  1. bridge secrets show-url {partner} --show-token{stack.option}, and paste it at "
        f"{title}\n"
        f"  2. bridge verify {partner}{stack.option}\n"
        f"  3. when it sends the new one: bridge secrets retire {partner}{stack.option}"
    )


@app.command("retire")
@on_stack
def retire_token(stack: OpenStack, partner: PartnerName) -> None:
    """End a partner's previous token. Functions forget it within a minute."""
    name = PARTNERS[partner].secret
    with _named_errors(stack, name, "was not changed"):
        retired = retire(stack.secrets, name)
    stack.show(
        {"partner": partner, "retired": retired},
        ["The previous token ends within a minute." if retired else "There was no previous token."],
    )


@app.command("revoke")
@on_stack
def revoke_token(
    stack: OpenStack, partner: PartnerName, show_token: ShowToken = False, yes: Yes = False
) -> None:
    """Replace a leaked token. No old one stays valid; functions forget them within a minute."""
    name, title = PARTNERS[partner].secret, PARTNERS[partner].title
    if not yes:
        typer.confirm(
            f"{title} is answered 401 until it sends the new token. Revoke the old ones?",
            abort=True,
            err=True,
        )
    token = new_token()
    with _named_errors(stack, name, "was not revoked"):
        set_current(stack.secrets, name, token)
    shown = {"token": token} if show_token else {}
    id_ = secret_id(stack.secrets.stack, name)
    stack.show({"partner": partner, "revoked": id_, **shown}, shown.values())
    stack.note(
        f"{id_} has a new token; the old ones end within a minute. Next:\n"
        f"  1. bridge secrets show-url {partner} --show-token{stack.option}, and paste it at "
        f"{title}\n"
        f"  2. bridge verify {partner}{stack.option}"
    )


@contextmanager
def _named_errors(stack: OpenStack, name: SecretName, what: str) -> Iterator[None]:
    """End the program with a line if the secret cannot be read or written."""
    try:
        yield
    except SecretAccessError as error:
        not_done(f"{secret_id(stack.secrets.stack, name)} {what}: {error}")
