"""``bridge``: what people do with a deployed stack and with the configuration."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import boto3
import typer

from braze_bridge.aws_clients import bounded_config
from braze_bridge.partner_config import check_partner_config
from ops import dead_letter_commands, gate_commands, rejected_commands
from ops.body_mappings import CONFIG_DIRECTORY
from ops.braze_access import BrazeClients
from ops.permission_checks import Verdict, check_in_app_surveys
from ops.secrets import SecretAccessError, SecretName, current, secret_id, set_current
from ops.stack_access import StackUnavailableError
from ops.stack_options import LOCAL_FOLDER, Folder, not_done, unavailable
from ops.stack_options import Stack as AnyStack

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
secrets = typer.Typer(no_args_is_help=True, help="The stack's keys and tokens.")
app.add_typer(secrets, name="secrets")
app.add_typer(rejected_commands.app, name="rejected")
app.add_typer(dead_letter_commands.app, name="dlq")
app.add_typer(gate_commands.app, name="gate")

Stack = Annotated[str, typer.Option(help="The CloudFormation stack.")]
Region = Annotated[str | None, typer.Option(help="Its region, if not your default one.")]


@app.callback()
def bridge() -> None:
    """What people do with a deployed stack and with the configuration."""


@app.command("check-config")
def check_config(
    directory: Annotated[
        Path, typer.Option(help="The folder with the partners' TOML files.")
    ] = CONFIG_DIRECTORY,
) -> None:
    """Check every partner's TOML file, naming each mistake by its key; exit 1 if there is one."""
    problems = check_partner_config(directory)
    for problem in problems:
        typer.echo(str(problem), err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{directory.name}: no mistakes")


@app.command("check-kpi")
def check_kpi(
    ctx: typer.Context,
    stack: AnyStack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
) -> None:
    """Check that the Braze key has what Iterate needs for in-app surveys; exit 1 if it has not."""
    clients = ctx.find_object(BrazeClients) or BrazeClients()
    try:
        finding = check_in_app_surveys(clients.of(stack, region, folder).mau_data_series)
    except StackUnavailableError as error:
        unavailable(str(error))
    line = f"{finding.permission}: {finding.verdict}. {finding.advice}"
    if finding.verdict is Verdict.NOT_TOLD:
        unavailable(line)
    if not finding.is_good:
        not_done(line)
    typer.echo(line)


@secrets.command("set")
def set_secret(name: SecretName, stack: Stack, region: Region = None) -> None:
    """Set a key. It is asked for, never taken from the command line, where others could read it."""
    value = typer.prompt(f"New value of {secret_id(stack, name)}", hide_input=True).strip()
    if not value:
        typer.echo("A blank value was not stored.", err=True)
        raise typer.Exit(1)
    try:
        set_current(_client(region), stack, name, value)
    except SecretAccessError as error:
        typer.echo(f"{secret_id(stack, name)} was not set: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{secret_id(stack, name)} is set.")


@secrets.command("show")
def show_secret(name: SecretName, stack: Stack, region: Region = None) -> None:
    """Print a token, to be pasted at the partner."""
    try:
        value = current(_client(region), stack, name)
    except SecretAccessError as error:
        typer.echo(f"{secret_id(stack, name)} cannot be read: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(value)


def _client(region: str | None) -> SecretsManagerClient:
    return boto3.client("secretsmanager", region_name=region, config=bounded_config())


if __name__ == "__main__":
    app()
