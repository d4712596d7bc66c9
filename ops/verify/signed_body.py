"""Sign a test response as a signed link does, where the partner's file looks for the signature."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from braze_bridge.mapping.identifiers import IdentifierKind
from braze_bridge.mapping.link_signatures import sign
from ops.stack.partners import TEST_EMAIL, TEST_PERSON

if TYPE_CHECKING:
    from collections.abc import Iterable

    from braze_bridge.mapping.people import PersonRule

_FIELDS: Final = re.compile(r"\w+(?:\.\w+)*")
_IDENTIFIERS: Final = {
    IdentifierKind.EXTERNAL_ID: TEST_PERSON,
    IdentifierKind.EMAIL: TEST_EMAIL,
}
"""What a test response says of its person, the surest first."""


def add_signatures(body: dict[str, Any], rules: Iterable[PersonRule], key: str) -> None:
    """Put the signature of the test person where each rule finds it.

    A path that is more than fields in fields is left out: such a body cannot be made from it.
    """
    for rule in rules:
        paths = [path.text for path in rule.signature if _FIELDS.fullmatch(path.text)]
        kinds = [kind for kind in _IDENTIFIERS if kind in rule.order]
        if paths and kinds:
            *steps, name = paths[0].split(".")
            place = body
            for step in steps:
                place = place.setdefault(step, {})
            place[name] = sign(key, kinds[0], _IDENTIFIERS[kinds[0]])
