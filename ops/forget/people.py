"""A person to forget, and the rules that find them in what we hold."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

import phonenumbers
from pydantic_core import from_json

from braze_bridge.jobs.envelope import UnreadableJobError, parse_job
from braze_bridge.mapping.identifiers import (
    IdentifierKind,
    Unusable,
    alias_fits,
    external_id_fits,
    usable,
)
from braze_bridge.mapping.paths import hits
from braze_bridge.mapping.phones import earlier_phone
from quikly_acquisition.models import PersonKey as AcquisitionPerson

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from braze_bridge.ledger.port import PersonKey
    from braze_bridge.mapping.people import PersonRule
    from quikly_webhook.claim_records import Claimer

_NOT_DIGITS: Final = re.compile(r"[^0-9]")
_NUMBER: Final = re.compile(r"\+?[0-9][0-9 ().\-/]{4,30}[0-9]")
"""What may be a phone number, in its usual spellings. The length bounds the search."""

_MOST_DECODINGS: Final = 3
"""A link inside a link is encoded twice."""

_LONGEST_NUMBER: Final = 10**300
_CONTACTS: Final = frozenset({IdentifierKind.EMAIL, IdentifierKind.PHONE})


class UnusableIdentifierError(ValueError):
    """The text is no identifier of this kind. The message says why."""


class Person(NamedTuple):
    """A person by one identifier.

    Attributes:
        value: As it is sent to Braze; the name of an alias.
        label: The label of an alias.
    """

    kind: IdentifierKind
    value: str
    label: str = ""

    @property
    def key(self) -> PersonKey:
        """As :attr:`braze_bridge.jobs.envelope.JobUser.key`."""
        if self.kind is IdentifierKind.USER_ALIAS:
            return (self.kind.value, self.label, self.value)
        return (self.kind.value, self.value)

    def __repr__(self) -> str:
        # Tracebacks print a repr; they must not hold an identifier.
        return f"Person({self.kind})"


class Payload(NamedTuple):
    """The payload of one row of the rejected table.

    Attributes:
        kind: ``body`` or ``objects``.
    """

    id: str
    kind: str
    source: str
    text: str

    def __repr__(self) -> str:
        return f"Payload({self.id!r})"


def read_person(kind: IdentifierKind, text: str) -> Person:
    """Read an identifier as people write it.

    Args:
        kind: Which identifier.
        text: The value; ``label:name`` for an alias.

    Raises:
        UnusableIdentifierError: The text is no such identifier.
    """
    label, _, name = text.partition(":") if kind is IdentifierKind.USER_ALIAS else ("", "", text)
    found = usable(kind, name)
    if kind is IdentifierKind.USER_ALIAS:
        if isinstance(found, Unusable) or not label.strip() or not alias_fits(label):
            raise UnusableIdentifierError("is no alias: write label:name")
        return Person(kind, found, label)
    if not isinstance(found, Unusable):
        return Person(kind, found)
    # Earlier versions took ids and numbers that are none today, and stored what came with them.
    if kind is IdentifierKind.PHONE and (earlier := earlier_phone(text)) is not None:
        return Person(kind, earlier)
    if kind in _CONTACTS or not text.strip() or not external_id_fits(text):
        raise UnusableIdentifierError(f"is no {kind.value}: {found.detail}")
    return Person(kind, text)


def read_people(kind: IdentifierKind, text: str) -> list[Person]:
    """Read an identifier as it is stored today, and as earlier versions stored it if that differs.

    Raises:
        UnusableIdentifierError: The text is no such identifier.
    """
    people = [read_person(kind, text)]
    if kind is IdentifierKind.PHONE and (earlier := earlier_phone(text)) is not None:
        people.append(Person(kind, earlier))
    return list(dict.fromkeys(people))


def is_about(person: Person, payload: Payload, rules: Sequence[PersonRule]) -> bool:
    """Check whether a parked payload holds something about a person.

    An e-mail address or phone number counts anywhere, also inside an answer or a link; a number
    also without its country's code. An id counts only at
    the mapping's paths, since a short id may mean anything elsewhere. Without rules, an id counts
    if it is a whole text or number.

    Args:
        person: The person.
        payload: The payload.
        rules: The paths at which the partner's bodies name their person; empty if unknown.
    """
    if payload.kind == "objects":
        try:
            if parse_job(payload.text).user.key == person.key:
                return True
        except UnreadableJobError:
            pass
    try:
        document: object = from_json(payload.text, allow_inf_nan=True)
    except ValueError:
        return _is_in_text(person, payload.text)
    if person.kind in _CONTACTS:
        return any(_mentions(person, leaf) for leaf in _leaves(document))
    if rules:
        paths = [path for rule in rules for path in rule.paths.get(person.kind, ())]
        return any(
            person.value in (_as_text(value), usable(person.kind, value))
            for _, value in hits(paths, document)
        )
    if payload.kind == "objects":
        return False  # a job of another person
    return any(_as_text(leaf) == person.value for leaf in _leaves(document))


def _leaves(value: object) -> Iterator[object]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, list):
            waiting += each
        else:
            yield each


def _mentions(person: Person, leaf: object) -> bool:
    """Check whether a text or number holds the person's e-mail address or phone number."""
    text = _as_text(leaf)
    if text is None:
        return False
    if person.kind is IdentifierKind.EMAIL:
        address = _address(person.value)
        return any(address.search(_folded(each)) for each in _decoded(text))
    if person.value[1:] in _NOT_DIGITS.sub("", text):
        return True
    national = _national(person.value)
    return any(
        _NOT_DIGITS.sub("", found) in national
        for each in _decoded(text)
        for found in _NUMBER.findall(each)
    )


def _folded(text: str) -> str:
    """Return one spelling of a text: addresses are compared without case and accents' forms."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).lower()


@cache
def _address(value: str) -> re.Pattern[str]:
    """Make a search for an address that is no part of a longer one. It takes linear time."""
    word = re.escape(_folded(value))
    return re.compile(rf"(?<![\w+%-])(?<![\w+%-]\.){word}(?![\w-])(?!\.\w)")


def _decoded(text: str) -> Iterator[str]:
    """Yield a text, and what it is without percent-encoding, as in ``?email=ada%40example.com``."""
    yield text
    for _ in range(_MOST_DECODINGS):
        decoded = unquote(text)
        if decoded == text:
            return
        text = decoded
        yield text


@cache
def _national(number: str) -> frozenset[str]:
    """Return the digits of a number as they are written without its country's code."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return frozenset()
    written = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
    return frozenset(
        {phonenumbers.national_significant_number(parsed), _NOT_DIGITS.sub("", written)}
    )


def _as_text(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LONGEST_NUMBER:
        return str(value)
    return None


def _is_in_text(person: Person, text: str) -> bool:
    """Search a text that is not JSON; a false match is better than a missed one."""
    if person.kind in _CONTACTS:
        return _mentions(person, text)
    return re.search(rf"(?<!\w){re.escape(person.value)}(?!\w)", text) is not None


def acquisition_person(person: Person) -> AcquisitionPerson | None:
    """Name the person as acquisitions do; ``None`` for an identifier that they do not use."""
    match person.kind:
        case IdentifierKind.EMAIL:
            return AcquisitionPerson("email", person.value)
        case IdentifierKind.PHONE:
            return AcquisitionPerson("phone", person.value)
        case _:
            return None


def is_made_by(claimer: Claimer, person: Person) -> bool:
    """Check whether the person made a claim under this identifier."""
    match person.kind:
        case IdentifierKind.EMAIL:
            return claimer.email == person.value
        case IdentifierKind.EXTERNAL_ID:
            return claimer.external_id == person.value
        case IdentifierKind.BRAZE_ID:
            return claimer.braze_id == person.value
        case _:
            return False
