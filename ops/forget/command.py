"""``bridge forget``: erases what we hold about a person, and says what it cannot reach."""

from __future__ import annotations

from functools import cache
from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Final

import typer
from botocore.exceptions import BotoCoreError, ClientError

from braze_bridge.aws.secrets import SecretsManagerSource, SecretUnavailableError
from braze_bridge.clock import SystemClock
from braze_bridge.keys import fingerprint_key
from braze_bridge.ledger.person_memory import Fingerprints
from braze_bridge.mapping.people import IdentifierKind  # noqa: TC001 - Typer reads it, too
from braze_bridge.partner_config.problems import ConfigError
from ops.forget.stores import (
    AcquisitionPeople,
    ClaimPeople,
    LedgerPeople,
    RejectedPeople,
    StoreUnavailableError,
    UnusableIdentifierError,
    acquired_by,
    read_person,
)
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.options import (
    LOCAL_FOLDER,
    Folder,
    Json,
    Region,
    Stack,
    access,
    not_done,
    secrets_access,
    unavailable,
)
from ops.stack.partners import BY_SOURCE
from ops.stack.queue_looks import look
from ops.stack.screen import as_json
from ops.stack_secrets.rotation import LEDGER_PATH
from quikly_acquisition.dynamo_records import dynamo_records

if TYPE_CHECKING:
    from braze_bridge.ledger.port import PersonKey
    from braze_bridge.mapping.people import PersonRule
    from ops.forget.stores import Person, PersonStore
    from ops.stack.access import SecretsAccess, StackAccess

ELSEWHERE: Final = (
    "Braze: delete the profile there (/users/delete, or its dashboard)",
    "the partners: each has what the person answered",
    "backups of our tables: DynamoDB's point-in-time recovery keeps 35 days",
)
"""What no command of ours can reach. (Logs hold ids and codes only.)"""

CLAIMS_STAY: Final = (
    "claims: what was claimed stays for 730 days under a keyed hash of activation and e-mail "
    "address, so that nobody wins twice; the address itself is gone"
)
BY_ADDRESS: Final = (
    "acquisitions are found by e-mail address and phone number only: call it again with each"
)


def forget(  # noqa: PLR0913, PLR0917 - each argument is an option
    ctx: typer.Context,
    kind: Annotated[IdentifierKind, typer.Argument(help="Which identifier.")],
    value: Annotated[
        str | None,
        typer.Argument(
            help="Its value; of an alias label:name. Left out, it is asked for: a command line "
            "stays in the shell's history."
        ),
    ] = None,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    config_dir: Annotated[
        Path, typer.Option(help="The folder with the partners' TOML files, as deployed.")
    ] = CONFIG_DIRECTORY,
    dry_run: Annotated[
        bool, typer.Option(help="Tell what would be erased, change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json_: Json = False,
) -> None:
    """Erase what we hold about a person under one identifier: call it for each that they have.

    Delete the person at Braze and the partners first: what comes in afterwards is held again.
    """
    text = typer.prompt(kind.value, hide_input=True, err=True) if value is None else value
    try:
        person = read_person(kind, text)
    except UnusableIdentifierError as error:
        raise typer.BadParameter(str(error), param_hint="VALUE") from None
    opened = access(ctx, stack, region, folder)
    stores = _stores(opened, secrets_access(ctx, stack, region, folder), config_dir)
    try:
        held = {store.name: (store, store.held(person)) for store in stores}
        found = sum(len(ids) for _, ids in held.values())
        if found and not (dry_run or yes):
            typer.confirm(
                f"Erase {_counted({name: len(ids) for name, (_, ids) in held.items()})} of "
                f"{opened.name} for good?",
                abort=True,
                err=True,
            )
        erased = {
            name: 0 if dry_run else store.erase(person, ids) for name, (store, ids) in held.items()
        }
    except ConfigError as error:
        not_done(*(str(problem) for problem in error.problems))
    except (StoreUnavailableError, SecretUnavailableError) as error:
        unavailable(f"not everything could be looked through or erased: {error}. Call it again")
    left = [*_in_queues(opened), *_kept(person), *ELSEWHERE]
    if as_json_:
        by_name = {name: ids for name, (_, ids) in held.items()}
        typer.echo(
            as_json({"dry_run": dry_run, "held": by_name, "erased": erased, "not_reached": left})
        )
        return
    for name, (_, ids) in held.items():
        for each in ids:
            typer.echo(f"{'would be erased' if dry_run else 'erased'}  {name}  {each}")
    if not found:
        typer.echo("nothing is held under this identifier")
    typer.echo("not reached:", err=True)
    for each in left:
        typer.echo(f"  {each}", err=True)


def _stores(
    opened: StackAccess, secrets: SecretsAccess, config_dir: Path
) -> tuple[PersonStore, ...]:
    """Every place where something is held about people."""

    @cache
    def rules_of(source: str) -> tuple[PersonRule, ...]:
        partner = BY_SOURCE.get(source)
        return () if partner is None else partner.person_rules(config_dir)

    key = fingerprint_key(
        SecretsManagerSource(f"{secrets.stack}/{LEDGER_PATH}", lambda: secrets.client)
    )

    def fingerprint(person: PersonKey) -> str:
        return Fingerprints(key()).person(person)

    return (
        RejectedPeople(opened.dynamodb, opened.rejected_table, rules_of),
        LedgerPeople(opened.dynamodb, opened.ledger_table, fingerprint),
        AcquisitionPeople(
            dynamo_records(opened.dynamodb, opened.acquisition_table, clock=SystemClock(), key=key)
        ),
        ClaimPeople(opened.dynamodb, opened.claims_table),
    )


def _kept(person: Person) -> tuple[str, ...]:
    """What stays in our tables on purpose, or is not found by this identifier."""
    if acquired_by(person) is None:
        return (BY_ADDRESS, CLAIMS_STAY)
    return (CLAIMS_STAY,)


def _in_queues(opened: StackAccess) -> list[str]:
    """What waits in SQS, which cannot be searched."""
    said = []
    for name, url, days in (
        ("delivery queue", opened.delivery_queue, 4),
        ("dead-letter queue", opened.dead_letter_queue, 14),
        ("forward queue", opened.forward_queue, 4),
        ("forward dead-letter queue", opened.forward_dead_letter_queue, 14),
    ):
        try:
            count = sum(look(opened.sqs, url))
        except (BotoCoreError, ClientError):
            said.append(f"{name}: messages stay up to {days} days; it could not be looked at")
            continue
        if count:
            said.append(
                f"{name}: {count} message(s), which SQS cannot search, for up to {days} days; "
                "call this again when they are gone"
            )
    return said


def _counted(counts: dict[str, int]) -> str:
    return " and ".join(f"{count} in the {name}" for name, count in counts.items() if count)
