"""Options and endings that the commands on a stack share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from ops.stack.access import SecretsAccess, Site, StackAccess, Stacks, StackUnavailableError
from ops.stack.partners import PARTNERS

if TYPE_CHECKING:
    from collections.abc import Sequence

NOT_DONE: Final = 1
"""Exit code: something that was asked for is not there, or is not done."""

UNAVAILABLE: Final = 3
"""Exit code: the stack or AWS did not answer. (2 is Typer's own: asked in a wrong way.)"""

LOCAL_FOLDER: Final = Path(__file__).parents[2] / ".local"


def _known_partner(name: str) -> str:
    if name not in PARTNERS:
        raise typer.BadParameter(f"is none of: {', '.join(PARTNERS)}")
    return name


Stack = Annotated[
    str | None, typer.Option(help="The CloudFormation stack in AWS. Left out: the local stack.")
]
Region = Annotated[str | None, typer.Option(help="Its region, if not your default one.")]
Folder = Annotated[Path, typer.Option("--dir", help="Folder of the local stack.")]
PartnerName = Annotated[
    str, typer.Argument(callback=_known_partner, help=f"One of: {', '.join(PARTNERS)}.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]


def access(
    context: typer.Context, stack: str | None, region: str | None, folder: Path
) -> StackAccess:
    """The stack, or the end of the program.

    Args:
        context: Of the command; a :class:`Stacks` in it is asked instead of AWS.
        stack: As for :meth:`Stacks.open`, like the rest.
        region: Of the stack.
        folder: Of the local stack.
    """
    stacks = context.find_object(Stacks) or Stacks()
    try:
        return stacks.open(stack, region, folder)
    except StackUnavailableError as error:
        unavailable(str(error))


def route_of(partner: str, content: str | None) -> str:
    """Where a partner's body is posted to, or a usage error for a content where there are none."""
    if content is not None and not PARTNERS[partner].has_contents:
        raise typer.BadParameter(f"{partner} has no contents", param_hint="--content")
    return PARTNERS[partner].route(content)


def secrets_access(
    context: typer.Context, stack: str | None, region: str | None, folder: Path
) -> SecretsAccess:
    """The stack's secrets, or the end of the program; arguments as of :func:`access`."""
    stacks = context.find_object(Stacks) or Stacks()
    try:
        return stacks.open_secrets(stack, region, folder)
    except StackUnavailableError as error:
        unavailable(str(error))


def site(context: typer.Context, stack: str | None, region: str | None, folder: Path) -> Site:
    """Where the stack is reached, or the end of the program; arguments as of :func:`access`."""
    stacks = context.find_object(Stacks) or Stacks()
    try:
        return stacks.open_site(stack, region, folder)
    except StackUnavailableError as error:
        unavailable(str(error))


def unavailable(text: str) -> NoReturn:
    """End: something did not answer."""
    typer.echo(text, err=True)
    raise typer.Exit(UNAVAILABLE)


def not_done(*lines: str) -> NoReturn:
    """End: something is not there, or not done."""
    for line in lines:
        typer.echo(line, err=True)
    raise typer.Exit(NOT_DONE)


def echo(lines: Sequence[str]) -> None:
    """Print lines."""
    for line in lines:
        typer.echo(line)
