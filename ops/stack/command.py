"""One way to declare a command: the options that commands share, its output, its errors."""

from __future__ import annotations

import functools
import inspect
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from braze_bridge.partner_config.problems import ConfigError
from ops.stack.access import Stacks
from ops.stack.errors import NOT_DONE, UNAVAILABLE, CommandError
from ops.stack.partners import PARTNERS
from ops.stack.screen import as_json, harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ops.stack.access import SecretsAccess, Site, StackAccess

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
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Limit = Annotated[int, typer.Option(min=1, help="At most this many.")]
ConfigDir = Annotated[
    Path, typer.Option(help="The folder with the partners' TOML files, as deployed.")
]
PartnerName = Annotated[
    str, typer.Argument(callback=_known_partner, help=f"One of: {', '.join(PARTNERS)}.")
]

_SHARED: Final[dict[str, tuple[object, object]]] = {
    "stack": (Stack, None),
    "region": (Region, None),
    "folder": (Folder, LOCAL_FOLDER),
}
"""Options of every command on a stack: annotation and default by name."""


@dataclass
class OpenStack:
    """The stack that the options name, and the command's output. Each part opens on first use.

    Attributes:
        stack: As given; ``None`` is the local stack.
        as_json: Whether the command prints JSON.
    """

    stacks: Stacks
    stack: str | None
    region: str | None
    folder: Path
    as_json: bool

    @cached_property
    def access(self) -> StackAccess:
        """Its queues and tables."""
        return self.stacks.open(self.stack, self.region, self.folder)

    @cached_property
    def secrets(self) -> SecretsAccess:
        """Its secrets."""
        return self.stacks.open_secrets(self.stack, self.region, self.folder)

    @cached_property
    def site(self) -> Site:
        """Its address, its Braze and its alarms."""
        return self.stacks.open_site(self.stack, self.region, self.folder)

    @property
    def name(self) -> str:
        """Shown to people."""
        return self.access.name

    @property
    def option(self) -> str:
        """`` --stack NAME`` for a command that people copy; empty for the local stack."""
        return "" if self.stack is None else f" --stack {self.stack}"

    def show(self, value: object, lines: Iterable[str]) -> None:
        """Print a value as JSON, or lines for people."""
        if self.as_json:
            typer.echo(as_json(value))
        else:
            echo(lines)

    def note(self, line: str) -> None:
        """Print a line on stderr, for people only."""
        if not self.as_json:
            typer.echo(line, err=True)


def on_stack(command: Callable[..., None], *, has_json: bool = True) -> Callable[..., None]:
    """Give a command the options that name a stack, and report its known errors.

    Args:
        command: Takes an :class:`OpenStack` first, then its own arguments and options.
        has_json: Whether it has ``--json``, too.

    Returns:
        The command as Typer reads and runs it.
    """
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    @functools.wraps(command)
    def run(
        ctx: typer.Context,
        stack: str | None,
        region: str | None,
        folder: Path,
        as_json_: bool = False,
        **given: Any,  # noqa: ANN401 - the command's own
    ) -> None:
        stacks = ctx.find_object(Stacks) or Stacks()
        opened = OpenStack(stacks, stack, region, folder, as_json_)
        with reported_errors(opened):
            command(opened, **given)

    def option(name: str, annotation: object, default: object) -> Parameter:
        return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)

    parameters = [
        option("ctx", typer.Context, Parameter.empty),
        *(option(name, *declared) for name, declared in _SHARED.items()),
        *(each.replace(kind=Parameter.KEYWORD_ONLY) for each in own),
        *([option("as_json_", Json, False)] if has_json else []),
    ]
    run.__dict__["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


@contextmanager
def reported_errors(opened: OpenStack | None = None) -> Iterator[None]:
    """End the program with a line and an exit code if a known error is raised.

    Args:
        opened: The stack, for errors that name it.
    """
    try:
        yield
    except CommandError as error:
        typer.echo(harmless(error.line.format(error, stack=opened)), err=True)
        raise typer.Exit(error.exit_code) from None
    except ConfigError as error:
        not_done(*map(str, error.problems))


def route_of(partner: str, content: str | None) -> str:
    """Return the route of a partner's body; a usage error if the partner has no contents."""
    if content is not None and not PARTNERS[partner].has_contents:
        raise typer.BadParameter(f"{partner} has no contents", param_hint="--content")
    return PARTNERS[partner].route(content)


def unavailable(text: str) -> NoReturn:
    """End the program: something did not answer."""
    typer.echo(text, err=True)
    raise typer.Exit(UNAVAILABLE)


def not_done(*lines: str) -> NoReturn:
    """End the program: something does not exist, or could not be done."""
    for line in lines:
        typer.echo(line, err=True)
    raise typer.Exit(NOT_DONE)


def echo(lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        typer.echo(line)
