"""``bridge``: what people do with a deployed stack and with the configuration."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import Annotated

import typer

from braze_bridge.partner_config import check_partner_config
from ops import (
    acquisition_commands,
    activation_commands,
    dead_letter_commands,
    gate_commands,
    rejected_commands,
    secret_commands,
)
from ops.body_mappings import CONFIG_DIRECTORY
from ops.doctor_command import doctor
from ops.forget_command import forget
from ops.preview_command import preview_body
from ops.screen import as_json
from ops.stack_options import NOT_DONE, Json
from ops.verify_command import verify

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=__doc__,
    rich_markup_mode=None,  # its boxes fold what they hold, names included
    pretty_exceptions_enable=False,  # they can print variables, and so keys and answers
)
app.add_typer(secret_commands.app, name="secrets")
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
    """What people do with a deployed stack and with the configuration."""


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
