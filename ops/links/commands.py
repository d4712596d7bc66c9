"""``bridge link``: links and Liquid with a signed identifier."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final, Literal
from urllib.parse import quote

import typer

from braze_bridge.mapping.identifiers import IdentifierKind, Unusable, usable
from braze_bridge.mapping.link_signatures import sign
from ops.links.link_keys import key_of, make_key
from ops.stack.command import ConfigDir, OpenStack, not_done, on_stack
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.partners import PARTNERS
from ops.stack_secrets.stored_secrets import SecretAccessError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from braze_bridge.mapping.people import Placeholders

PARAMETER: Final = "user_signature"
"""Name of the signature in a link, as in ``iterate.toml`` and ``outgrow.toml``."""

LIQUID: Final = {
    "external_id": "{{${user_id}}}",
    "braze_id": "{{${braze_id}}}",
    "email": "{{${email_address} | downcase}}",
}
"""How Braze writes an identifier in a message."""

SignedPartner = Literal["outgrow", "iterate"]
SignedKind = Literal["external_id", "braze_id", "email"]
KindOption = Annotated[SignedKind, typer.Option(help="What the link says of the person.")]

app = typer.Typer(no_args_is_help=True, help="Signed links, for a partner with `trust = signed`.")


@app.command("new-key")
@on_stack
def new_key(
    stack: OpenStack,
    partner: SignedPartner,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="The old key leaked: links signed with it end.")
    ] = False,
) -> None:
    """Make the key that signs a partner's links, or a new one. Older links stay valid once."""
    with _named_errors(partner):
        id_ = make_key(stack.secrets, partner, revoke=revoke)
    stack.show({"partner": partner, "key": id_}, [f"{id_} has a new key."])
    stack.note(f"Next: bridge link liquid {partner}{stack.option}, and paste it into the messages.")


@app.command("sign")
@on_stack
def sign_link(
    stack: OpenStack,
    partner: SignedPartner,
    value: Annotated[str, typer.Argument(help="The person's identifier.")],
    kind: KindOption = "external_id",
    config_dir: ConfigDir = CONFIG_DIRECTORY,
) -> None:
    """Sign one person's identifier, and print what to append to the link."""
    found = usable(IdentifierKind(kind), value, *_placeholders(partner, kind, config_dir))
    if isinstance(found, Unusable):
        raise typer.BadParameter(found.detail, param_hint="VALUE")
    with _named_errors(partner):
        signature = sign(key_of(stack.secrets, partner), kind, found)
    query = f"user_{kind}={quote(found, safe='')}&{PARAMETER}={signature}"
    stack.show({"kind": kind, "signature": signature, "query": query}, [query])


@app.command("liquid")
@on_stack
def liquid(
    stack: OpenStack,
    partner: SignedPartner,
    kind: KindOption = "external_id",
    config_dir: ConfigDir = CONFIG_DIRECTORY,
) -> None:
    """Print the end of a link for a Braze message. It holds the key: paste it only into Braze."""
    _placeholders(partner, kind, config_dir)
    with _named_errors(partner):
        key = key_of(stack.secrets, partner)
    text = snippet(kind, key)
    stack.show({"kind": kind, "liquid": text}, [text])


def snippet(kind: SignedKind, key: str) -> str:
    """Make the Liquid that signs an identifier as the bridge checks it."""
    value = LIQUID[kind]
    return (
        f"{{% capture who %}}{value}{{% endcapture %}}"
        f"{{% capture signed %}}{kind}:{{{{who}}}}{{% endcapture %}}"
        f"user_{kind}={{{{who | url_param_escape | replace: '+', '%2B'}}}}"
        f"&{PARAMETER}={{{{signed | hmac_sha256_hex: '{key}'}}}}"
    )


def _placeholders(partner: SignedPartner, kind: SignedKind, config_dir: Path) -> Placeholders:
    """Return the partner's own placeholders, if its file takes this kind of identifier."""
    rules = PARTNERS[partner].person_rules(config_dir)
    if not any(IdentifierKind(kind) in rule.order for rule in rules):
        raise typer.BadParameter(f"{partner}.toml has no {kind} in `order`", param_hint="--kind")
    return rules[0].placeholders


@contextmanager
def _named_errors(partner: SignedPartner) -> Iterator[None]:
    try:
        yield
    except SecretAccessError as error:
        not_done(f"The key for {partner}'s links: {error}. `bridge link new-key` makes one.")
