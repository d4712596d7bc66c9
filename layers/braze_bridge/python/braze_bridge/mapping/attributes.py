"""From a body to named values: attributes of a profile, or properties of an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from braze_bridge.braze.limits import MAX_PROPERTIES_BYTES
from braze_bridge.jobs.rejected import Reason
from braze_bridge.mapping.paths import Path, first_hit
from braze_bridge.mapping.values import Fitted, Misfit, Shape, compact_json, fit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from braze_bridge.mapping.profile_fields import StandardField

IDENTIFIER_CONFLICT = "identifier_conflict"
"""An e-mail or phone attribute that would change whom the update is about."""


DETAILS: Final[Mapping[str, str]] = {
    Misfit.WRONG_TYPE: "the value is not of the configured type",
    Misfit.OUT_OF_RANGE: "the number or date is outside of what can be stored",
    Misfit.TOO_LONG: "longer than Braze takes",
    Misfit.TOO_MANY: "more elements than Braze takes",
    Misfit.LOOKS_LIKE_DATE: "Braze would turn this text into a date",
    Misfit.BLANK: "an element is blank",
    Misfit.NOT_ALLOWED: "not a value that this field of Braze takes",
    IDENTIFIER_CONFLICT: "it would change whom the update is about",
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
        name: The attribute's or property's.
        code: Why: a :class:`Misfit`, or ``identifier_conflict``.
        default_used: The configured default went out in its place.
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
    used = len("{}")
    for name, value in list(collected.values.items()):
        size = len(compact_json({name: value}))
        if used + size > MAX_PROPERTIES_BYTES:
            del collected.values[name]
            collected.skips.append(Skip(name, Misfit.TOO_LONG.value))
        else:
            used += size
    return collected
