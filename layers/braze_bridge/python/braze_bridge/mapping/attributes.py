"""Read named values from a body: attributes of a profile, or properties of an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from braze_bridge.braze.limits import MAX_PROPERTIES_BYTES
from braze_bridge.mapping.paths import Path, first_hit
from braze_bridge.mapping.values import Fitted, Misfit, Shape, compact_json, fit
from braze_bridge.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from braze_bridge.jobs.envelope import JobUser
    from braze_bridge.mapping.profile_fields import StandardField

IDENTIFIER_CONFLICT: Final = "identifier_conflict"
"""An e-mail or phone attribute that would make Braze update another person."""

SAME_NAME: Final = "same_name"
"""A later value has the same name."""

NO_NAME: Final = "no_name"
"""The attribute has no name."""

NOT_FOUND: Final = "not_found"
"""The answer is not where the configuration looks for it."""

TOO_MANY_NAMES: Final = "too_many_names"
"""The name is new, and the day's new names are used up."""

UNREADABLE_TIME: Final = "unreadable_time"
"""The time of a response or an answer cannot be read; another time counts instead."""

KEPT_AS_TEXT: Final = "kept_as_text"
"""Braze would turn this text into a date; a mark keeps it a text."""

DETAILS: Final[Mapping[str, str]] = {
    Misfit.WRONG_TYPE: "the value is not of the configured type",
    Misfit.OUT_OF_RANGE: "the number or date is outside of what can be stored",
    Misfit.TOO_LONG: "longer than Braze takes",
    Misfit.TOO_MANY: "more elements than Braze takes",
    Misfit.LOOKS_LIKE_DATE: "Braze would turn this text into a date",
    Misfit.BLANK: "an element is blank",
    Misfit.NOT_ALLOWED: "not a value that this field of Braze takes",
    IDENTIFIER_CONFLICT: "it would change whom the update is about",
    SAME_NAME: "another answer goes under the same name",
    NO_NAME: "there is nothing to name the attribute by",
    NOT_FOUND: "there is an answer, but not where the configuration looks for it",
    TOO_MANY_NAMES: "the name is new, and too many names are new today",
    UNREADABLE_TIME: "not a time that is certain: formats can say how it is written",
    KEPT_AS_TEXT: "marked, so that Braze does not turn it into a date",
}
"""What each code means. People read this in answers, logs and rejected rows."""


class ValueRule(NamedTuple):
    """How to read one attribute or property.

    Attributes:
        name: At Braze.
        paths: In the body; the first hit counts.
        on_misfit: ``skip`` leaves this value out, ``reject`` refuses the whole response.
        default: Replaces a value that does not fit. It does not replace a missing one.
        standard: Braze's own field of that name, if it is one.
    """

    name: str
    paths: tuple[Path, ...]
    shape: Shape
    on_misfit: Literal["skip", "reject"] = "skip"
    default: Fitted | None = None
    standard: StandardField | None = None

    def convert(self, value: object) -> Fitted | Misfit:
        """Fit a value to the shape, then to the standard field's own rule."""
        fitted = fit(value, self.shape)
        check = None if self.standard is None else self.standard.check
        if check is None or isinstance(fitted, Misfit) or not isinstance(fitted, str):
            return fitted
        return check(fitted)


class Skip(NamedTuple):
    """A value that is not sent as it came. The value itself is not kept.

    Attributes:
        name: Of the attribute or property. If that is a partner's own text: its place in the body.
        code: The reason: a :class:`Misfit`, or another key of :data:`DETAILS`.
        default_used: Whether something else is sent: the configured default, or the text cut or
            marked so that Braze takes it.
    """

    name: str
    code: str
    default_used: bool = False

    def reason(self) -> Reason:
        """Return it as a reason to refuse a whole body."""
        return Reason(code=self.code, field=self.name, detail=DETAILS[self.code])


class Collected(NamedTuple):
    """What a set of rules found.

    Attributes:
        values: By name.
        skips: Values that did not fit and are left out, or replaced by their default.
        rejects: Values that did not fit and make the configuration refuse the response.
    """

    values: dict[str, Fitted]
    skips: list[Skip]
    rejects: list[Skip]


def collect(rules: Iterable[ValueRule], body: object) -> Collected:
    """Apply each rule to a parsed JSON body: the first hit counts, whether it fits or not."""
    collected = Collected({}, [], [])
    for rule in rules:
        hit = first_hit(rule.paths, body)
        if hit is None:
            continue
        value = rule.convert(hit.value)
        if not isinstance(value, Misfit):
            collected.values[rule.name] = value
        elif rule.default is not None:
            collected.values[rule.name] = rule.default
            collected.skips.append(Skip(rule.name, value.value, default_used=True))
        elif rule.on_misfit == "skip":
            collected.skips.append(Skip(rule.name, value.value))
        else:
            collected.rejects.append(Skip(rule.name, value.value))
    return collected


def collect_properties(rules: Iterable[ValueRule], body: object) -> Collected:
    """Collect like :func:`collect`, up to Braze's limit for the properties of one event.

    A property that would exceed 100 KB is skipped: Braze would drop all of them
    (https://www.braze.com/docs/api/objects_filters/event_object).
    """
    collected = collect(rules, body)
    left_out = drop_overflow(collected.values)
    collected.skips.extend(Skip(name, Misfit.TOO_LONG.value) for name in left_out)
    return collected


def drop_overflow(properties: dict[str, Fitted]) -> list[str]:
    """Remove from an event's properties, in order, what exceeds 100 KB; changes them in place.

    Returns:
        The names of the removed properties.
    """
    used = len("{}")
    dropped = []
    for name, value in list(properties.items()):
        size = len(compact_json({name: value}))
        if used + size > MAX_PROPERTIES_BYTES:
            del properties[name]
            dropped.append(name)
        else:
            used += size
    return dropped


def without_conflicts(
    values: dict[str, Fitted], user: JobUser | None
) -> tuple[dict[str, Fitted], tuple[Skip, ...]]:
    """Leave out an e-mail or phone attribute that would make Braze update another person.

    Args:
        values: Attributes by name.
        user: The person of the job.

    Returns:
        The attributes that may be sent, and each left-out one that differs from the identifier.
    """
    if user is None or (user.email is None and user.phone is None):
        return values, ()
    forbidden = {"email"} if user.phone is None else {"email", "phone"}
    kept = {name: value for name, value in values.items() if name not in forbidden}
    conflicts = tuple(
        Skip(name, IDENTIFIER_CONFLICT)
        for name, value in values.items()
        if name in forbidden and value not in (user.email, user.phone)
    )
    return kept, conflicts
