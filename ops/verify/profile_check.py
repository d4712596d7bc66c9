"""Check that a test response arrived: compare what was sent with the profile that Braze exports."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from braze_bridge.braze.identifiers import UserAlias
from braze_bridge.braze.limits import EXPORT_FIELDS
from braze_bridge.braze.models import ExportIdsRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from braze_bridge.braze.models import ExportedUser
    from braze_bridge.jobs.envelope import AttributeValue, JobUser

WAITS: Final = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each look at the profile: a batch takes time to fill, and Braze's reads lag."""

LOWEST_SCORE: Final = 1
HIGHEST_SCORE: Final = 99


class State(StrEnum):
    """The result for one attribute."""

    ARRIVED = "arrived"
    MISSING = "missing"
    DIFFERENT = "different"
    NOT_COMPARED = "not compared"


class Arrival(NamedTuple):
    """One attribute.

    Attributes:
        expected: What was sent.
        found: What is on the profile, or ``None``.
    """

    name: str
    state: State
    expected: object
    found: object

    def __str__(self) -> str:
        """Write a sentence for people."""
        sent = f"{type_word(self.expected)} {self.expected}"
        match self.state:
            case State.ARRIVED:
                return f"{self.name} arrived as {type_word(self.found)} {self.found}"
            case State.MISSING:
                return f"{self.name} did not arrive ({sent} was sent)"
            case State.DIFFERENT:
                return f"{self.name} is {type_word(self.found)} {self.found}, but {sent} was sent"
            case State.NOT_COMPARED:
                return f"{self.name} was sent as {sent}; Braze exports no field of that name"


def type_word(value: object) -> str:
    """Name a JSON value's type, as Braze's dashboard calls it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def score_of(seed: int) -> int:
    """Choose a score to look for; the next seed gives another one."""
    return LOWEST_SCORE + seed % (HIGHEST_SCORE - LOWEST_SCORE + 1)


def look_up(user: JobUser, attributes: Iterable[str]) -> ExportIdsRequest:
    """Build the request for a job's profile, with these attributes in the answer."""
    fields = ["custom_attributes", *sorted(EXPORT_FIELDS.intersection(attributes))]
    alias = user.user_alias
    return ExportIdsRequest(
        fields_to_export=fields,
        external_ids=[] if user.external_id is None else [user.external_id],
        user_aliases=[] if alias is None else [UserAlias(alias.alias_name, alias.alias_label)],
        braze_id=user.braze_id,
        email_address=user.email,
        phone=user.phone,
    )


def compare(
    expected: Mapping[str, AttributeValue], standard: frozenset[str], user: ExportedUser | None
) -> list[Arrival]:
    """Compare a profile with what was sent.

    Args:
        expected: Values by name, as sent.
        standard: Names of Braze's own fields.
        user: The profile, if there is one.
    """
    return [_arrival(name, value, standard, user) for name, value in expected.items()]


def _arrival(
    name: str, sent: object, standard: frozenset[str], user: ExportedUser | None
) -> Arrival:
    if name in standard and name not in EXPORT_FIELDS:
        return Arrival(name, State.NOT_COMPARED, sent, None)
    found = None if user is None else value_on(user, name)
    if found is None and sent is not None:
        return Arrival(name, State.MISSING, sent, None)
    is_same = type_word(found) == type_word(sent) and found == sent
    return Arrival(name, State.ARRIVED if is_same else State.DIFFERENT, sent, found)


def value_on(user: ExportedUser, name: str) -> object:
    """Return an exported profile's custom attribute or own field of Braze."""
    own = {
        "email": user.email,
        "phone": user.phone,
        "email_subscribe": user.email_subscribe,
        **user.other,
    }
    return user.custom_attributes.get(name, own.get(name))


def is_there(arrivals: Iterable[Arrival]) -> bool:
    """Check whether everything that can be compared arrived as it was sent."""
    return all(each.state in {State.ARRIVED, State.NOT_COMPARED} for each in arrivals)


def wait_for(
    look: Callable[[], list[Arrival]],
    sleep: Callable[[float], None],
    report: Callable[[float, list[Arrival]], None],
) -> tuple[list[Arrival], float]:
    """Look at the profile until everything is there, with longer and longer waits.

    Args:
        look: Reads the profile and compares.
        sleep: Waits for seconds.
        report: Called after each look with the seconds waited so far and the result.

    Returns:
        The last result, and the seconds waited.
    """
    waited = 0.0
    seen: list[Arrival] = []
    for seconds in WAITS:
        sleep(seconds)
        waited += seconds
        seen = look()
        report(waited, seen)
        if is_there(seen):
            break
    return seen, waited
