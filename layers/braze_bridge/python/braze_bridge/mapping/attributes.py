"""From a body to named values: attributes of a profile, or properties of an event."""

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

IDENTIFIER_CONFLICT = "identifier_conflict"
"""An e-mail or phone attribute that would change whom the update is about."""

SAME_NAME: Final = "same_name"
"""Another value, given later, goes under the same name."""

NO_NAME: Final = "no_name"
"""There is nothing to name the attribute by."""

NOT_FOUND: Final = "not_found"
"""There is an answer, but not where the configuration looks for it."""

KEPT_AS_TEXT: Final = "kept_as_text"
"""A text that Braze would turn into a date, sent with a mark that keeps it a text."""

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
    KEPT_AS_TEXT: "marked, so that Braze does not turn it into a date",
}
"""What the codes mean, for people."""


class ValueRule(NamedTuple):
    """Where one attribute or property comes from, and what it has to be.

    Attributes:
        name: At Braze.
        paths: In the body, first hit wins.
        shape: The type, with its options.
        on_misfit: ``skip`` leaves this value out, ``reject`` refuses the whole response.
        default: Taken instead of a value that does not fit (not instead of a missing one).
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
        if self.standard is None or self.standard.check is None or not isinstance(fitted, str):
            return fitted
        return self.standard.check(fitted) if not isinstance(fitted, Misfit) else fitted


class Skip(NamedTuple):
    """A value that was not taken over, without the value.

    Attributes:
        name: The attribute's or property's; where that is a partner's own text, its place in the
            body instead.
        code: Why: a :class:`Misfit`, or another key of :data:`DETAILS`.
        default_used: Something went out in its place: the configured default, or the text cut or
            marked so that Braze takes it.
    """

    name: str
    code: str
    default_used: bool = False

    def reason(self) -> Reason:
        """The same as a reason for refusing a whole body."""
        return Reason(code=self.code, field=self.name, detail=DETAILS[self.code])


class Collected(NamedTuple):
    """What a set of rules found.

    Attributes:
        values: By name.
        skips: What did not fit and is left out, or replaced by its default.
        rejects: What did not fit where the configuration refuses the response for it.
    """

    values: dict[str, Fitted]
    skips: list[Skip]
    rejects: list[Skip]


def collect(rules: Iterable[ValueRule], body: object) -> Collected:
    """Apply each rule to the body: the first hit counts, whether it fits or not.

    Args:
        rules: With distinct names.
        body: A parsed JSON value.
    """
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
    """As :func:`collect`, and within what Braze takes for one event's properties together.

    A property that would go over 100 KB is skipped: Braze would drop them all
    (https://www.braze.com/docs/api/objects_filters/event_object).
    """
    collected = collect(rules, body)
    left_out = drop_overflow(collected.values)
    collected.skips.extend(Skip(name, Misfit.TOO_LONG.value) for name in left_out)
    return collected


def drop_overflow(properties: dict[str, Fitted]) -> list[str]:
    """Take out of an event's properties, in their order, what does not fit into 100 KB.

    Args:
        properties: Changed in place.

    Returns:
        The names taken out.
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
    """Leave out an e-mail or phone attribute that would change whom Braze takes the update for.

    Args:
        values: Attributes by name.
        user: Whom the job is about.

    Returns:
        The attributes that may be sent, and what was left out though it says something new.
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
