"""``bridge acquisition``: the state of acquisitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from braze_bridge.aws.secrets import SecretUnavailableError
from braze_bridge.clock import SystemClock, iso_millis
from braze_bridge.keys import fingerprint_key
from braze_bridge.mapping.identifiers import normal_email
from braze_bridge.mapping.phones import normal_phone
from ops.stack.command import OpenStack, not_done, on_stack, unavailable
from ops.stack.screen import columns, harmless
from ops.stack_secrets.stored_secrets import LEDGER_PATH, source_of
from quikly_acquisition.dynamo_records import DynamoAcquisitionRecords
from quikly_acquisition.models import PersonKey, full_document
from quikly_acquisition.records import RecordsUnavailableError

if TYPE_CHECKING:
    from quikly_acquisition.models import AcquisitionRecord
    from quikly_acquisition.records import AcquisitionRecords

app = typer.Typer(no_args_is_help=True, help="Show the state of an acquisition.")


@app.callback()
def acquisition() -> None:
    """Show the state of an acquisition."""


@app.command("show")
@on_stack
def show(
    stack: OpenStack,
    who: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID|EMAIL|PHONE]",
            help="An acquisition's id; or an e-mail address or phone number. Left out, the command "
            "asks for it: a command line stays in the shell's history.",
        ),
    ] = None,
) -> None:
    """Show an acquisition's state and history, or those of a person. It prints nothing personal.

    Exit 1 if there is none (any more: they are kept for 90 days).
    """
    question = "acquisition id, e-mail address or phone number"
    text = typer.prompt(question, hide_input=True, err=True) if who is None else who
    person = _person(text.strip())
    opened = stack.access
    key = fingerprint_key(source_of(stack.secrets, LEDGER_PATH))
    records = DynamoAcquisitionRecords(
        opened.dynamodb, opened.acquisitions_table, clock=SystemClock(), key=key
    )
    try:
        found = _found(records, text.strip(), person)
    except (RecordsUnavailableError, SecretUnavailableError) as error:
        unavailable(f"{stack.name}: acquisitions cannot be read: {error}")
    stack.show(
        {"acquisitions": [_document(record) for record in found]},
        (line for record in found for line in _lines(record)),
    )
    if not found:
        not_done("there is no such acquisition")


def _found(
    records: AcquisitionRecords, acquisition_id: str, person: PersonKey | None
) -> list[AcquisitionRecord]:
    """Find the acquisitions of a person, or the one with the id; the newest first."""
    ids = [acquisition_id] if person is None else records.about(person)
    found = [record for each in ids if (record := records.get(each)) is not None]
    return sorted(found, key=lambda record: record.created_at, reverse=True)


def _document(record: AcquisitionRecord) -> dict[str, object]:
    """Build the whole history and what comes next."""
    waits = {} if record.state.is_final else {"next": record.step.value, "due_at": record.due_at}
    return {
        **full_document(record),
        "q_scope": record.q_scope,
        "created_at": record.created_at,
        "attempts": record.attempts,
        "correlation_id": record.correlation_id,
        **waits,
    }


def _person(text: str) -> PersonKey | None:
    """Read the person that a text names; an id has neither an ``@`` nor a ``+``."""
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


def _lines(record: AcquisitionRecord) -> list[str]:
    reason = "" if record.reason is None else f", {record.reason}"
    waits = (
        ""
        if record.state.is_final
        else f"; next: {record.step.value}, not before {iso_millis(record.due_at)}"
        + (f" (tried {record.attempts} times)" if record.attempts else "")
    )
    rows = [(entry.at, entry.step, entry.detail or "") for entry in record.history]
    return [
        harmless(
            f"{record.acquisition_id}  {record.q_scope}, {record.channel}: "
            f"{record.state.value}{reason}{waits}"
        ),
        *(f"  {line}" for line in columns(("AT", "STEP", "DETAIL"), rows)),
    ]
