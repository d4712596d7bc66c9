"""``bridge forget``: erase what we hold about a person, and list what it cannot reach."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Annotated, Final

import typer

from braze_bridge.aws.secrets import SecretUnavailableError
from braze_bridge.clock import SystemClock
from braze_bridge.keys import claims_key, fingerprint_key
from braze_bridge.ledger.fingerprints import Fingerprints
from braze_bridge.mapping.identifiers import IdentifierKind
from ops.forget.people import UnusableIdentifierError, acquisition_person, read_people
from ops.forget.stores import (
    AcquisitionPeople,
    ClaimPeople,
    LedgerPeople,
    RejectedPeople,
    StoreUnavailableError,
)
from ops.stack.command import ConfigDir, OpenStack, Yes, on_stack, unavailable
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.partners import BY_SOURCE
from ops.stack.queue_counts import QueueUncountableError, count_messages
from ops.stack_secrets.stored_secrets import CLAIMS_PATH, LEDGER_PATH, source_of
from quikly_acquisition.dynamo_records import DynamoAcquisitionRecords

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from braze_bridge.mapping.people import PersonRule
    from ops.forget.people import Person
    from ops.forget.stores import PersonStore
    from ops.stack.access import StackAccess

ELSEWHERE: Final = (
    "Braze: delete the profile there (/users/delete, or its dashboard)",
    "the partners: each has what the person answered",
    "backups of our tables: DynamoDB's point-in-time recovery keeps 35 days",
)
"""Data that no command of ours can reach. (Logs hold ids and codes only.)"""

CLAIMS_STAY: Final = (
    "claims: what was claimed stays for 730 days under a keyed hash of activation and e-mail "
    "address, so that no person wins twice; the address itself is erased"
)
CLAIMS_BY_EMAIL: Final = "claims whose address is erased are found by e-mail address only"
ERASURE_STAYS: Final = (
    "ledger: keyed hashes of this identifier and of its settled jobs stay for 30 days, so that "
    "what still waits in a queue does not make the profile again"
)
BY_ADDRESS: Final = (
    "acquisitions are found by e-mail address and phone number only: call it again with each"
)


@on_stack
def forget(
    stack: OpenStack,
    kind: Annotated[IdentifierKind, typer.Argument(help="Which identifier.")],
    value: Annotated[
        str | None,
        typer.Argument(
            help="Its value; label:name for an alias. Left out, the command asks for it: a "
            "command line stays in the shell's history."
        ),
    ] = None,
    config_dir: ConfigDir = CONFIG_DIRECTORY,
    claims: Annotated[
        bool,
        typer.Option(
            "--claims", help="Also erase what the person claimed: they can then win again."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option(help="Show what would be erased, change nothing.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Erase what we hold about a person under one identifier: call it for each that they have.

    Jobs of the person that still wait in a queue are dropped when delivery reads them. Delete the
    person at Braze and the partners first: new data that arrives later is stored again.
    """
    text = typer.prompt(kind.value, hide_input=True, err=True) if value is None else value
    try:
        people = read_people(kind, text)
    except UnusableIdentifierError as error:
        raise typer.BadParameter(str(error), param_hint="VALUE") from None
    rejected, ledger, acquisitions, claimed = _stores(stack, config_dir, claims=claims)
    stores: dict[str, PersonStore] = {
        each.name: each for each in (rejected, ledger, acquisitions, claimed)
    }
    try:
        others = {
            other
            for person in people
            for other in acquisitions.also_known_as(person) | claimed.also_known_as(person)
        }
        found = {
            name: {person: store.held(person) for person in people}
            for name, store in stores.items()
        }
        held = {
            name: list(dict.fromkeys(each for ids in found[name].values() for each in ids))
            for name in stores
        }
        counts = " and ".join(f"{len(ids)} in the {name}" for name, ids in held.items() if ids)
        if counts and not (dry_run or yes):
            typer.confirm(f"Erase {counts} of {stack.name} for good?", abort=True, err=True)
        erased = {
            name: 0 if dry_run else _erase(store, found[name]) for name, store in stores.items()
        }
        for other in set() if dry_run else others - set(people):
            ledger.erase(other, ledger.held(other))
    except (StoreUnavailableError, SecretUnavailableError) as error:
        unavailable(f"not everything could be looked through or erased: {error}. Call it again")
    left = [*_in_queues(stack.access), *_kept(people[0], claims=claims), *ELSEWHERE]
    word = "would be erased" if dry_run else "erased"
    lines = [f"{word}  {name}  {each}" for name, ids in held.items() for each in ids]
    stack.show(
        {"dry_run": dry_run, "held": held, "erased": erased, "not_reached": left},
        lines or ["nothing is held under this identifier"],
    )
    stack.note("\n  ".join(["not reached:", *left]))


def _erase(store: PersonStore, found: Mapping[Person, Sequence[str]]) -> int:
    """Erase what was found under each spelling, each row once."""
    erased = 0
    gone: set[str] = set()
    for person, ids in found.items():
        erased += store.erase(person, [each for each in ids if each not in gone])
        gone.update(ids)
    return erased


def _stores(
    stack: OpenStack, config_dir: Path, *, claims: bool
) -> tuple[RejectedPeople, LedgerPeople, AcquisitionPeople, ClaimPeople]:
    """List every place that holds data about people."""

    @cache
    def rules_of(source: str) -> tuple[PersonRule, ...]:
        partner = BY_SOURCE.get(source)
        return () if partner is None else partner.person_rules(config_dir)

    opened = stack.access
    key = fingerprint_key(source_of(stack.secrets, LEDGER_PATH))

    return (
        RejectedPeople(opened.dynamodb, opened.rejected_table, rules_of),
        LedgerPeople(
            opened.dynamodb, opened.ledger_table, lambda: Fingerprints(key()), SystemClock()
        ),
        AcquisitionPeople(
            DynamoAcquisitionRecords(
                opened.dynamodb, opened.acquisitions_table, clock=SystemClock(), key=key
            )
        ),
        ClaimPeople(
            opened.dynamodb,
            opened.claims_table,
            claims_key(source_of(stack.secrets, CLAIMS_PATH)) if claims else None,
        ),
    )


def _kept(person: Person, *, claims: bool) -> Iterator[str]:
    """Tell what our tables keep on purpose, or what this identifier does not find."""
    if acquisition_person(person) is None:
        yield BY_ADDRESS
    yield ERASURE_STAYS
    if not claims:
        yield CLAIMS_STAY
    elif person.kind is not IdentifierKind.EMAIL:
        yield CLAIMS_BY_EMAIL


def _in_queues(opened: StackAccess) -> Iterator[str]:
    """Tell what waits in SQS, which cannot be searched."""
    dropped, sent = "those of this person are dropped", "those of this person still go to Quikly"
    for name, url, days, end in (
        ("delivery queue", opened.delivery_queue, 4, dropped),
        ("dead-letter queue", opened.delivery_dead_letter_queue, 14, dropped),
        ("forward queue", opened.forward_queue, 4, sent),
        (
            "forward dead-letter queue",
            opened.forward_dead_letter_queue,
            14,
            "delete or replay them",
        ),
    ):
        try:
            count = sum(count_messages(opened.sqs, url))
        except QueueUncountableError:
            yield f"{name}: messages stay up to {days} days; it could not be looked at"
            continue
        if count:
            yield (
                f"{name}: {count} message(s), which SQS cannot search, for up to {days} days; {end}"
            )
