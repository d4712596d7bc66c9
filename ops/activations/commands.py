"""``bridge activation``: who won what, the draw, and the proof that it was done right."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from braze_bridge.aws.secrets import SecretsManagerSource, SecretUnavailableError
from braze_bridge.clock import SystemClock, iso_millis
from braze_bridge.keys import claims_key
from braze_bridge.partner_config.problems import ConfigError
from braze_bridge.partner_config.quikly_activations import Mode, Status
from braze_bridge.partner_config.toml_files import load_quikly
from ops.activations.book import ActivationError, BookUnavailableError, Drawn, state_of
from ops.activations.book import draw as hold_draw
from ops.activations.book import verify as recompute
from ops.activations.dynamo_book import DynamoActivationBook
from ops.stack.config_directory import CONFIG_DIRECTORY
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
from ops.stack_secrets.rotation import CLAIMS_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from braze_bridge.partner_config.quikly_activations import ActivationRule
    from ops.activations.book import ActivationState, Closed
    from quikly_webhook.claim_records import ClaimRecord

Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="The activation's q_scope.")]
ConfigDir = Annotated[
    Path, typer.Option(help="The folder with the partners' TOML files, as deployed.")
]

app = typer.Typer(no_args_is_help=True, help="Who won what, draws, and their proof.")


class Looked(NamedTuple):
    """An activation and its claims.

    Attributes:
        name: The stack, for people.
    """

    name: str
    rule: ActivationRule
    book: DynamoActivationBook


@app.command("list")
def list_(
    ctx: typer.Context,
    scope: Annotated[
        str | None, typer.Argument(metavar="[SCOPE]", help="Every claim of this activation.")
    ] = None,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    config_dir: ConfigDir = CONFIG_DIRECTORY,
    as_json_: Json = False,
) -> None:
    """List the activations of quikly.toml; or the claims of one, whose people are keyed hashes."""
    if scope is None:
        rules = _rules(config_dir)
        if as_json_:
            typer.echo(as_json({"activations": [_configured(rule) for rule in rules.values()]}))
            return
        rows = [tuple(_configured(rule).values()) for rule in rules.values()]
        echo(columns(("SCOPE", "MODE", "OPENS", "CLOSES", "TIERS"), rows))
        return
    looked = _look(ctx, scope, stack, region, folder, config_dir)
    with _ended_well(looked):
        claims = sorted(looked.book.claims(scope), key=lambda each: (each.decided_at, each.row_id))
    told = [_claim(each) for each in claims]
    if as_json_:
        typer.echo(as_json({"q_scope": scope, "claims": told}))
        return
    headings = ("AT", "EVENT", "STATUS", "TIER", "VALUE", "RANK", "MS", "CLAIMANT")
    echo(columns(headings, [tuple(each.values()) for each in told]))


@app.command("status")
def status(
    ctx: typer.Context,
    scope: Scope,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    config_dir: ConfigDir = CONFIG_DIRECTORY,
    as_json_: Json = False,
) -> None:
    """Show an activation: open or not, how many claimed, what is left, how it went by the hour."""
    looked = _look(ctx, scope, stack, region, folder, config_dir)
    with _ended_well(looked):
        state = state_of(looked.rule, looked.book, SystemClock().now())
    if as_json_:
        typer.echo(as_json(_state(state)))
    else:
        _print_state(state)


@app.command("draw")
def draw(
    ctx: typer.Context,
    scope: Scope,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    config_dir: ConfigDir = CONFIG_DIRECTORY,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json_: Json = False,
) -> None:
    """Hold a draw: no more entries, winners by the published seed, their profiles told.

    Once for good: called again, it shows the same draw, and finishes one that was cut off. Exit 1
    where it cannot be held.
    """
    looked = _look(ctx, scope, stack, region, folder, config_dir)
    if looked.rule.mode is not Mode.DRAW:
        not_done(f"{scope} is no draw but of mode {looked.rule.mode.value}")
    secret = _claims_secret(ctx, stack, region, folder)
    now = SystemClock().now()
    with _ended_well(looked):
        state = state_of(looked.rule, looked.book, now)
        if not (yes or isinstance(state.draw, Drawn)):
            prizes = sum(tier.quantity or 0 for tier in state.tiers)
            typer.confirm(
                f"Draw {scope} of {looked.name} among {state.claims} people, for {prizes} prizes? "
                "Nobody enters any more, and it cannot be undone.",
                abort=True,
                err=True,
            )
        result = hold_draw(looked.rule, looked.book, secret, now)
        claims = sorted(looked.book.claims(scope), key=lambda each: each.claimant)
    winners = [
        {"claimant": each.claimant, "tier": each.award.tier}
        for each in claims
        if each.status is Status.AWARDED and each.award is not None
    ]
    if as_json_:
        typer.echo(as_json({**_draw(result), "winners": winners}))
        return
    _print_draw(result)
    echo(columns(("CLAIMANT", "TIER"), [tuple(each.values()) for each in winners]))
    typer.echo("Their profiles are told within some minutes.", err=True)


@app.command("verify")
def verify(
    ctx: typer.Context,
    scope: Scope,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    config_dir: ConfigDir = CONFIG_DIRECTORY,
    as_json_: Json = False,
) -> None:
    """Recompute who won what; exit 1 where an outcome is not what it must be."""
    looked = _look(ctx, scope, stack, region, folder, config_dir)
    secret = _claims_secret(ctx, stack, region, folder)
    with _ended_well(looked):
        found = recompute(looked.rule, looked.book, secret)
    if as_json_:
        typer.echo(as_json({"q_scope": scope, **found._asdict(), "holds": found.holds}))
    if found.problems:
        not_done(*(() if as_json_ else found.problems))
    if not as_json_:
        typer.echo(f"{found.checked} claim(s) recomputed: every outcome is what it must be")


def _rules(config_dir: Path) -> Mapping[str, ActivationRule]:
    try:
        return load_quikly(config_dir).activations
    except ConfigError as error:
        not_done(*(str(problem) for problem in error.problems))


def _look(
    ctx: typer.Context,
    scope: str,
    stack: str | None,
    region: str | None,
    folder: Path,
    config_dir: Path,
) -> Looked:
    rules = _rules(config_dir)
    if scope not in rules:
        raise typer.BadParameter(f"is none of: {', '.join(rules)}", param_hint="SCOPE")
    opened = access(ctx, stack, region, folder)
    book = DynamoActivationBook(opened.dynamodb, opened.claims_table)
    return Looked(opened.name, rules[scope], book)


def _claims_secret(
    ctx: typer.Context, stack: str | None, region: str | None, folder: Path
) -> bytes:
    opened = secrets_access(ctx, stack, region, folder)
    name = f"{opened.stack}/{CLAIMS_PATH}"
    try:
        return claims_key(SecretsManagerSource(name, lambda: opened.client))()
    except SecretUnavailableError as error:
        unavailable(f"{name} cannot be read: {error}")


@contextmanager
def _ended_well(looked: Looked) -> Iterator[None]:
    """End the program with a word where it cannot be done, or the table does not answer."""
    try:
        yield
    except ActivationError as error:
        not_done(str(error))
    except BookUnavailableError as error:
        unavailable(f"{looked.name}: the claims cannot be read or written: {error}")


def _configured(rule: ActivationRule) -> dict[str, Any]:
    closes: object = rule.closes_at
    if rule.closes_after is not None:
        closes = f"{rule.closes_after.total_seconds():g} s after the opening"
    return {
        "q_scope": rule.q_scope,
        "mode": rule.mode.value,
        "opens_at": "stack" if rule.opens_at is None else rule.opens_at,
        "closes": closes,
        "tiers": ", ".join(tier.name for tier in rule.tiers),
    }


def _claim(claim: ClaimRecord) -> dict[str, Any]:
    return {
        "at": claim.entered_at or claim.decided_at,
        "event": claim.event,
        "status": claim.status.value,
        "tier": None if claim.award is None else claim.award.tier,
        "value": None if claim.award is None else claim.award.value,
        "rank": claim.rank,
        "response_ms": claim.response_ms,
        "claimant": claim.claimant,
    }


def _state(state: ActivationState) -> dict[str, object]:
    return {
        **state._asdict(),
        "statuses": {each.value: number for each, number in state.statuses.items()},
        "tiers": [tier._asdict() for tier in state.tiers],
        "hours": [hour._asdict() for hour in state.hours],
        "draw": None if state.draw is None else _draw(state.draw),
    }


def _draw(draw: Closed | Drawn) -> dict[str, object]:
    if not isinstance(draw, Drawn):
        return {"entries": draw.number, "entries_hash": draw.entries_hash, "at": draw.closed_at}
    return {
        "entries": draw.closed.number,
        "entries_hash": draw.closed.entries_hash,
        "closed_at": draw.closed.closed_at,
        "seed": draw.seed,
        "prizes": [prize._asdict() for prize in draw.prizes],
        "drawn_at": draw.drawn_at,
    }


def _print_state(state: ActivationState) -> None:
    closes = "" if state.closes_at is None else f" to {iso_millis(state.closes_at)}"
    typer.echo(
        harmless(
            f"{state.q_scope}, {state.mode.value}: {state.phase}, "
            f"from {iso_millis(state.opens_at)}{closes}"
        )
    )
    said = ", ".join(f"{number} {each.value}" for each, number in sorted(state.statuses.items()))
    left = "no end of awards" if state.remaining is None else f"{state.remaining} award(s) left"
    typer.echo(f"{state.claims} claim(s){f': {said}' if said else ''}; {left}")
    if state.unsent:
        typer.echo(f"{state.unsent} still to be sent (again) by the sweep")
    if state.commitment is not None and state.committed_at is not None:
        at = iso_millis(state.committed_at)
        typer.echo(f"commitment to the seed, published {at}: {state.commitment}")
    if state.draw is not None:
        _print_draw(state.draw)
    tiers = [
        (tier.name, tier.claim_count, tier.quantity, tier.remaining, tier.incentive)
        for tier in state.tiers
    ]
    hours = [tuple(hour) for hour in state.hours]
    for headings, rows in (
        (("TIER", "CLAIMED", "OF", "LEFT", "INCENTIVE"), tiers),
        (("HOUR FROM", "CLAIMS", "AWARDS"), hours),
    ):
        if rows:
            echo(["", *columns(headings, rows)])


def _print_draw(draw: Closed | Drawn) -> None:
    closed = draw.closed if isinstance(draw, Drawn) else draw
    typer.echo(
        f"closed {iso_millis(closed.closed_at)}: {closed.number} entries, hash "
        f"{closed.entries_hash}"
    )
    if isinstance(draw, Drawn):
        prizes = ", ".join(f"{prize.quantity} {prize.tier}" for prize in draw.prizes)
        typer.echo(harmless(f"drawn {iso_millis(draw.drawn_at)}: seed {draw.seed}; {prizes}"))
