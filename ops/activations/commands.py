"""``bridge activation``: the claims of an activation, its draw, and the check of its outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from braze_bridge.aws.secrets import SecretUnavailableError
from braze_bridge.clock import SystemClock, iso_millis
from braze_bridge.keys import claims_key
from braze_bridge.partner_config.quikly_activations import ActivationRule, Mode, Status
from braze_bridge.partner_config.toml_files import load_quikly
from ops.activations import actions
from ops.activations.book import Drawn
from ops.activations.dynamo_book import DynamoActivationBook
from ops.stack.command import ConfigDir, OpenStack, Yes, not_done, on_stack, unavailable
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.screen import columns, harmless
from ops.stack_secrets.stored_secrets import CLAIMS_PATH, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ops.activations.actions import ActivationState
    from ops.activations.book import Closed
    from quikly_webhook.claim_records import ClaimRecord

Scope = Annotated[str, typer.Argument(metavar="SCOPE", help="The activation's q_scope.")]

app = typer.Typer(no_args_is_help=True, help="Who won what, draws, and their proof.")


class Activation(NamedTuple):
    """An activation's configuration and its claims."""

    rule: ActivationRule
    book: DynamoActivationBook


@app.command("list")
@on_stack
def list_(
    stack: OpenStack,
    scope: Annotated[
        str | None, typer.Argument(metavar="[SCOPE]", help="Every claim of this activation.")
    ] = None,
    config_dir: ConfigDir = CONFIG_DIRECTORY,
) -> None:
    """List the activations of quikly.toml; or the claims of one, whose people are keyed hashes."""
    if scope is None:
        rules = [_configured(rule) for rule in load_quikly(config_dir).activations.values()]
        headings: tuple[str, ...] = ("SCOPE", "MODE", "OPENS", "CLOSES", "TIERS")
        stack.show({"activations": rules}, columns(headings, [tuple(r.values()) for r in rules]))
        return
    found = _activation(stack, scope, config_dir).book.claims(scope)
    claims = [
        _claim(each) for each in sorted(found, key=lambda each: (each.decided_at, each.row_id))
    ]
    headings = ("AT", "EVENT", "STATUS", "TIER", "VALUE", "RANK", "MS", "CLAIMANT")
    stack.show(
        {"q_scope": scope, "claims": claims},
        columns(headings, [tuple(claim.values()) for claim in claims]),
    )


@app.command("status")
@on_stack
def status(stack: OpenStack, scope: Scope, config_dir: ConfigDir = CONFIG_DIRECTORY) -> None:
    """Show an activation: open or not, how many claimed, what is left, figures for each hour."""
    rule, book = _activation(stack, scope, config_dir)
    state = actions.state_of(rule, book, SystemClock().now())
    stack.show(_state(state), _state_lines(state))


@app.command("draw")
@on_stack
def draw(
    stack: OpenStack, scope: Scope, config_dir: ConfigDir = CONFIG_DIRECTORY, yes: Yes = False
) -> None:
    """Hold a draw: close the entries, draw winners by the published seed, update their profiles.

    A draw is final: called again, the command shows the same draw, and finishes one that was cut
    off. Exit 1 if it cannot be held.
    """
    rule, book = _activation(stack, scope, config_dir)
    if rule.mode is not Mode.DRAW:
        not_done(f"{scope} is no draw but of mode {rule.mode.value}")
    secret = _claims_secret(stack)
    now = SystemClock().now()
    state = actions.state_of(rule, book, now)
    if not (yes or isinstance(state.draw, Drawn)):
        prizes = sum(tier.quantity or 0 for tier in state.tiers)
        typer.confirm(
            f"Draw {scope} of {stack.name} among {state.claims} people, for {prizes} prizes? "
            "This closes the entries, and cannot be undone.",
            abort=True,
            err=True,
        )
    result = actions.draw(rule, book, secret, now)
    winners = [
        {"claimant": each.claimant, "tier": each.award.tier}
        for each in sorted(book.claims(scope), key=lambda each: each.claimant)
        if each.status is Status.AWARDED and each.award is not None
    ]
    rows = [tuple(each.values()) for each in winners]
    stack.show(
        {**_draw(result), "winners": winners},
        [*_draw_lines(result), *columns(("CLAIMANT", "TIER"), rows)],
    )
    stack.note("Their profiles are updated within some minutes.")


@app.command("verify")
@on_stack
def verify(stack: OpenStack, scope: Scope, config_dir: ConfigDir = CONFIG_DIRECTORY) -> None:
    """Recompute who won what; exit 1 if an outcome is not what it must be."""
    rule, book = _activation(stack, scope, config_dir)
    found = actions.verify(rule, book, _claims_secret(stack))
    done = f"{found.checked} claim(s) recomputed: every outcome is what it must be"
    stack.show(
        {"q_scope": scope, **found._asdict(), "holds": found.holds}, [done] if found.holds else []
    )
    if not found.holds:
        not_done(*(() if stack.as_json else found.problems))


def _activation(stack: OpenStack, scope: str, config_dir: Path) -> Activation:
    rules = load_quikly(config_dir).activations
    if scope not in rules:
        raise typer.BadParameter(f"is none of: {', '.join(rules)}", param_hint="SCOPE")
    opened = stack.access
    return Activation(rules[scope], DynamoActivationBook(opened.dynamodb, opened.claims_table))


def _claims_secret(stack: OpenStack) -> bytes:
    secrets = stack.secrets
    try:
        return claims_key(source_of(secrets, CLAIMS_PATH))()
    except SecretUnavailableError as error:
        unavailable(f"{secrets.stack}/{CLAIMS_PATH} cannot be read: {error}")


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


def _state_lines(state: ActivationState) -> Iterator[str]:
    closes = "" if state.closes_at is None else f" to {iso_millis(state.closes_at)}"
    yield harmless(
        f"{state.q_scope}, {state.mode.value}: {state.phase}, "
        f"from {iso_millis(state.opens_at)}{closes}"
    )
    said = ", ".join(f"{number} {each.value}" for each, number in sorted(state.statuses.items()))
    left = "unlimited awards" if state.remaining is None else f"{state.remaining} award(s) left"
    yield f"{state.claims} claim(s){f': {said}' if said else ''}; {left}"
    if state.unsent:
        yield f"{state.unsent} still to be sent (again) by the sweep"
    if state.commitment is not None and state.committed_at is not None:
        at = iso_millis(state.committed_at)
        yield f"commitment to the seed, published {at}: {state.commitment}"
    if state.draw is not None:
        yield from _draw_lines(state.draw)
    tiers = [
        (tier.name, tier.claim_count, tier.quantity, tier.remaining, tier.incentive)
        for tier in state.tiers
    ]
    if tiers:
        yield from ("", *columns(("TIER", "CLAIMED", "OF", "LEFT", "INCENTIVE"), tiers))
    if state.hours:
        yield from ("", *columns(("HOUR FROM", "CLAIMS", "AWARDS"), state.hours))


def _draw_lines(draw: Closed | Drawn) -> Iterator[str]:
    closed = draw.closed if isinstance(draw, Drawn) else draw
    yield (
        f"closed {iso_millis(closed.closed_at)}: {closed.number} entries, hash "
        f"{closed.entries_hash}"
    )
    if isinstance(draw, Drawn):
        prizes = ", ".join(f"{prize.quantity} {prize.tier}" for prize in draw.prizes)
        yield harmless(f"drawn {iso_millis(draw.drawn_at)}: seed {draw.seed}; {prizes}")
