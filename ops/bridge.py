"""``bridge``: commands for a deployed stack and for the configuration."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import Annotated

import typer

from braze_bridge.partner_config.toml_files import check_partner_config
from ops.acquisitions import commands as acquisition_commands
from ops.activations import commands as activation_commands
from ops.dead_letters import commands as dead_letter_commands
from ops.doctor.command import doctor
from ops.forget.command import forget
from ops.gate import commands as gate_commands
from ops.links import commands as link_commands
from ops.preview.command import preview_body
from ops.rejected import commands as rejected_commands
from ops.stack.command import Json  # noqa: TC001 - Typer reads it, too
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.errors import NOT_DONE
from ops.stack.screen import as_json
from ops.stack_secrets import commands as secret_commands
from ops.verify.command import verify

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=__doc__,
    rich_markup_mode=None,  # its boxes fold long names
    pretty_exceptions_enable=False,  # they can print variables: keys and answers
)
app.add_typer(secret_commands.app, name="secrets")
app.add_typer(link_commands.app, name="link")
app.add_typer(rejected_commands.app, name="rejected")
app.add_typer(dead_letter_commands.app, name="dlq")
app.add_typer(gate_commands.app, name="gate")
app.add_typer(acquisition_commands.app, name="acquisition")
app.add_typer(activation_commands.app, name="activation")
app.command("doctor")(doctor)
app.command("verify")(verify)
app.command("forget")(forget)
app.command("preview")(preview_body)


@app.callback()
def bridge() -> None:
    """Take a command for a deployed stack or for the configuration."""


@app.command("check-config")
def check_config(
    config_dir: Annotated[
        Path, typer.Option(help="The folder with the partners' TOML files.")
    ] = CONFIG_DIRECTORY,
    as_json_: Json = False,
) -> None:
    """Check every partner's TOML file, naming each mistake by its key; exit 1 if there is one."""
    problems = check_partner_config(config_dir)
    if as_json_:
        typer.echo(as_json({"problems": [problem._asdict() for problem in problems]}))
    else:
        for problem in problems:
            typer.echo(str(problem), err=True)
    if problems:
        raise typer.Exit(NOT_DONE)
    if not as_json_:
        typer.echo(f"{config_dir.name}: no mistakes")


if __name__ == "__main__":
    app(prog_name="bridge")
