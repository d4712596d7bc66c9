"""``bridge acquisition``: how far somebody's sign-up is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from braze_bridge.aws.secrets import SecretsManagerSource, SecretUnavailableError
from braze_bridge.clock import SystemClock, iso_millis
from braze_bridge.keys import fingerprint_key
from braze_bridge.mapping.identifiers import normal_email, normal_phone
from ops.stack.options import (
    LOCAL_FOLDER,
    Folder,
    Json,
    Region,
    Stack,
    access,
    echo,
    not_done,
    secrets_access,
    unavailable,
)
from ops.stack.screen import as_json, columns, harmless
from ops.stack_secrets.rotation import LEDGER_PATH
from quikly_acquisition.dynamo_records import DynamoAcquisitionRecords
from quikly_acquisition.models import PersonKey, status_document
from quikly_acquisition.records import RecordsUnavailableError

if TYPE_CHECKING:
    from quikly_acquisition.models import AcquisitionRecord
    from quikly_acquisition.records import AcquisitionRecords

app = typer.Typer(no_args_is_help=True, help="How far somebody's sign-up is.")


@app.callback()
def acquisition() -> None:
    """How far somebody's sign-up is."""


@app.command("show")
def show(
    ctx: typer.Context,
    who: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID|EMAIL|PHONE]",
            help="An acquisition's id; or an e-mail address or phone number. Left out, it is asked "
            "for: a command line stays in the shell's history.",
        ),
    ] = None,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    as_json_: Json = False,
) -> None:
    """Show an acquisition's state and story, or those of a person. It prints nothing personal.

    Exit 1 where there is none (any more: they are kept for 90 days).
    """
    question = "acquisition id, e-mail address or phone number"
    text = typer.prompt(question, hide_input=True, err=True) if who is None else who
    person = _person(text.strip())
    opened = access(ctx, stack, region, folder)
    secrets = secrets_access(ctx, stack, region, folder)
    key = fingerprint_key(
        SecretsManagerSource(f"{secrets.stack}/{LEDGER_PATH}", lambda: secrets.client)
    )
    records = DynamoAcquisitionRecords(
        opened.dynamodb, opened.acquisition_table, clock=SystemClock(), key=key
    )
    try:
        found = found_in(records, text.strip(), person)
    except (RecordsUnavailableError, SecretUnavailableError) as error:
        unavailable(f"{opened.name}: acquisitions cannot be read: {error}")
    if as_json_:
        typer.echo(as_json({"acquisitions": [story_of(record) for record in found]}))
    elif found:
        for record in found:
            _print(record)
    if not found:
        not_done("there is no such acquisition")


def found_in(
    records: AcquisitionRecords, acquisition_id: str, person: PersonKey | None
) -> list[AcquisitionRecord]:
    """The acquisitions that were asked for, the newest first.

    Args:
        records: Where they are kept.
        acquisition_id: Which, where no person is given.
        person: Whose.

    Raises:
        RecordsUnavailableError: They cannot be read.
    """
    ids = [acquisition_id] if person is None else records.about(person)
    found = [records.get(each) for each in ids]
    return sorted(
        (record for record in found if record is not None),
        key=lambda record: record.created_at,
        reverse=True,
    )


def story_of(record: AcquisitionRecord) -> dict[str, object]:
    """What the status route answers, and what else helps whoever operates the stack."""
    waits = {} if record.state.is_final else {"next": record.step.value, "due_at": record.due_at}
    return {
        **status_document(record),
        "q_scope": record.q_scope,
        "created_at": record.created_at,
        "attempts": record.attempts,
        "correlation_id": record.correlation_id,
        **waits,
    }


def _person(text: str) -> PersonKey | None:
    """The person that a text names; an id has neither an ``@`` nor a ``+``."""
    if "@" in text:
        email = normal_email(text)
        if email is None:
            raise typer.BadParameter("is no e-mail address", param_hint="EMAIL")
        return PersonKey("email", email)
    if text.startswith("+"):
        phone = normal_phone(text)
        if phone is None:
            raise typer.BadParameter("is no international number such as +4930123456")
        return PersonKey("phone", phone)
    return None


def _print(record: AcquisitionRecord) -> None:
    reason = "" if record.reason is None else f", {record.reason}"
    waits = (
        ""
        if record.state.is_final
        else f"; next: {record.step.value}, not before {iso_millis(record.due_at)}"
        + (f" (tried {record.attempts} times)" if record.attempts else "")
    )
    typer.echo(
        harmless(
            f"{record.acquisition_id}  {record.q_scope}, {record.channel}: "
            f"{record.state.value}{reason}{waits}"
        )
    )
    rows = [(entry.at, entry.step, entry.detail or "") for entry in record.history]
    echo([f"  {line}" for line in columns(("AT", "STEP", "DETAIL"), rows)])
