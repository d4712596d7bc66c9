"""Reading ``<partner>.toml``: typed rules, or every problem at once with the key it stands under.

What partners share is here: the reader, the door's switches, persons, attributes, events. What one
partner's file holds besides is in its own module (``outgrow_config.py``).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import date, time
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar

from braze_bridge.braze.limits import MAX_STRING_CHARS
from braze_bridge.mapping.attributes import ValueRule
from braze_bridge.mapping.identifiers import alias_fits
from braze_bridge.mapping.instants import read_date
from braze_bridge.mapping.paths import Path, PathError, compile_path
from braze_bridge.mapping.people import IdentifierKind, PersonRule
from braze_bridge.mapping.profile_fields import (
    STANDARD_FIELDS,
    StandardField,
    attribute_name_problem,
    property_name_problem,
)
from braze_bridge.mapping.values import Misfit, Shape, ValueType

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Sequence

SCHEMA_VERSION: Final = 1

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_ITEM_TYPES: Final = (ValueType.STRING, ValueType.INTEGER, ValueType.NUMBER)

LoadedT = TypeVar("LoadedT")


class Problem(NamedTuple):
    """One thing wrong in a configuration file.

    Attributes:
        file: The file's name.
        key: The dotted key, quoted as TOML quotes it; empty for the file itself.
        message: What is wrong and what would be right.
    """

    file: str
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.key, self.message) if part)


class ConfigError(Exception):
    """A configuration that must not be used.

    Attributes:
        problems: All of them.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = problems


class Table:
    """A TOML table being read: knows which keys were asked for, and collects what is wrong.

    Every reading method returns ``None`` where the key is missing or wrong; what is wrong is noted.
    """

    def __init__(
        self, data: Mapping[str, object], file: str, problems: list[Problem], *steps: str
    ) -> None:
        self._data = data
        self._file = file
        self._problems = problems
        self._steps = steps
        self._asked: set[str] = set()

    def problem(self, key: str | None, message: str) -> None:
        """Note a problem under a key, or of the table itself."""
        steps = self._steps if key is None else (*self._steps, key)
        dotted = ".".join(step if _BARE_KEY.fullmatch(step) else json.dumps(step) for step in steps)
        self._problems.append(Problem(self._file, dotted, message))

    def has(self, key: str) -> bool:
        """Whether the key is there, rightly or wrongly."""
        return key in self._data

    def value(self, key: str) -> object | None:
        """The value as TOML has it."""
        self._asked.add(key)
        return self._data.get(key)

    def flag(self, key: str) -> bool | None:
        """``true`` or ``false``."""
        value = self.value(key)
        if value is None or isinstance(value, bool):
            return value
        self.problem(key, "must be true or false, without quotes")
        return None

    def text(self, key: str, *, blank: bool = False) -> str | None:
        """A string, which must not be blank unless allowed to."""
        value = self.value(key)
        if value is None:
            return None
        if isinstance(value, str) and (value.strip() or (blank and value)):
            return value
        self.problem(key, "must be a text in quotes, and not empty")
        return None

    def choice(self, key: str, allowed: tuple[str, ...]) -> str | None:
        """One of the given words."""
        value = self.value(key)
        if value is None:
            return None
        if isinstance(value, str) and value in allowed:
            return value
        self.problem(key, f"must be one of {', '.join(allowed)}{_did_you_mean(value, allowed)}")
        return None

    def choices(self, key: str, allowed: tuple[str, ...]) -> tuple[str, ...] | None:
        """A list of the given words, each at most once."""
        value = self.value(key)
        if value is None:
            return None
        if (
            isinstance(value, list)
            and value
            and all(isinstance(word, str) and word in allowed for word in value)
            and len(set(value)) == len(value)
        ):
            return tuple(value)
        self.problem(key, f"must list some of {', '.join(allowed)}, each once")
        return None

    def texts(self, key: str) -> tuple[str, ...] | None:
        """A list of strings, none blank; or one string."""
        value = self.value(key)
        if value is None:
            return None
        texts = [value] if isinstance(value, str) else value
        if isinstance(texts, list) and texts:
            kept = [text for text in texts if isinstance(text, str) and text.strip()]
            if len(kept) == len(texts):
                return tuple(kept)
        self.problem(key, "must be a list of texts in quotes")
        return None

    def paths(self, key: str) -> tuple[Path, ...] | None:
        """JMESPath expressions: a list of texts, or one text. An empty list is no path at all."""
        value = self.value(key)
        if value is None:
            return None
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            self.problem(
                key, 'must be a list of paths in quotes, such as ["score", "result.score"]'
            )
            return None
        compiled = []
        for text in texts:
            try:
                compiled.append(compile_path(text))
            except PathError as error:
                self.problem(key, f"{json.dumps(text, ensure_ascii=False)}: {error}")
        return tuple(compiled) if len(compiled) == len(texts) else None

    def table(self, key: str) -> Table | None:
        """A table inside this one."""
        value = self.value(key)
        if value is None:
            return None
        if isinstance(value, dict):
            return Table(value, self._file, self._problems, *self._steps, key)
        self.problem(key, "must be a table")
        return None

    def names(self) -> tuple[str, ...]:
        """Every key, for a table whose keys are names and not words of the format."""
        return tuple(self._data)

    def finish(self) -> None:
        """Note every key that nobody asked for."""
        for key in self._data:
            if key not in self._asked:
                self.problem(key, f"is not a known key{_did_you_mean(key, sorted(self._asked))}")


ValuePatch = Mapping[str, ValueRule | Literal[False] | None]
"""Rules by the name at Braze: ``False`` takes an inherited one away, ``None`` is a faulty one, its
problems noted."""


class DoorConfig(NamedTuple):
    """The door's switches.

    Attributes:
        allow_query_token: Whether the token may come as ``?token=``.
    """

    allow_query_token: bool = False


class PersonPatch(NamedTuple):
    """What a table says about persons; what it leaves out is inherited.

    Attributes:
        paths: Of the kinds it names; an empty tuple turns a kind off.
    """

    order: tuple[IdentifierKind, ...] | None = None
    paths: Mapping[IdentifierKind, tuple[Path, ...]] = MappingProxyType({})
    alias_label: str | None = None

    def over(self, base: PersonPatch) -> PersonPatch:
        """This one's word where it has one, else the base's."""
        return PersonPatch(
            order=base.order if self.order is None else self.order,
            paths={**base.paths, **self.paths},
            alias_label=base.alias_label if self.alias_label is None else self.alias_label,
        )

    def rule(self, *, may_create: bool) -> PersonRule:
        """The rule, of a patch that is complete."""
        return PersonRule(self.order or (), self.paths, self.alias_label, may_create)


class EventRule(NamedTuple):
    """A custom event for every response.

    Attributes:
        name: At Braze.
    """

    name: str
    properties: tuple[ValueRule, ...] = ()


class EventPatch(NamedTuple):
    """What a table says about the event; what it leaves out is inherited.

    Attributes:
        properties: By name.
    """

    name: str | None = None
    properties: ValuePatch = MappingProxyType({})

    def over(self, base: EventPatch | None) -> EventPatch:
        """This one's word where it has one, else the base's."""
        if base is None:
            return self
        return EventPatch(
            name=base.name if self.name is None else self.name,
            properties={**base.properties, **self.properties},
        )

    def rule(self) -> EventRule | None:
        """The event, if it has a name."""
        return None if self.name is None else EventRule(self.name, present(self.properties))


def present(rules: ValuePatch) -> tuple[ValueRule, ...]:
    """The rules that were not taken away."""
    return tuple(rule for rule in rules.values() if isinstance(rule, ValueRule))


def read_door(root: Table) -> DoorConfig:
    """Read ``[door]``."""
    table = root.table("door")
    if table is None:
        return DoorConfig()
    allow = table.flag("allow_query_token")
    table.finish()
    return DoorConfig(allow_query_token=bool(allow))


def read_person(parent: Table) -> PersonPatch | None:
    """Read ``person``: order, the paths of each kind of identifier, the label of aliases."""
    table = parent.table("person")
    if table is None:
        return None
    order = table.choices("order", tuple(kind.value for kind in IdentifierKind))
    paths = {
        kind: found for kind in IdentifierKind if (found := table.paths(kind.value)) is not None
    }
    label = table.text("alias_label")
    if label is not None and not alias_fits(label):
        table.problem("alias_label", "is longer than Braze takes")
    table.finish()
    return PersonPatch(
        order=None if order is None else tuple(IdentifierKind(word) for word in order),
        paths=paths,
        alias_label=label,
    )


def check_person(patch: PersonPatch, table: Table) -> None:
    """Note what is missing in, or contradicts, a patch after inheritance.

    Args:
        patch: Complete.
        table: The table to name.
    """
    order = patch.order or ()
    if not order:
        table.problem("person", 'needs order, such as ["external_id", "email", "phone"]')
    for kind in order:
        if kind not in patch.paths:
            table.problem("person", f"order names {kind}, but there is no {kind} = [paths]")
    for kind, paths in patch.paths.items():
        if paths and order and kind not in order:
            table.problem("person", f"{kind} has paths but is not in order, so nothing reads it")
    if IdentifierKind.USER_ALIAS in order and patch.alias_label is None:
        table.problem("person", "user_alias needs alias_label")


def read_attributes(parent: Table) -> ValuePatch:
    """Read ``attributes``: by name, ``false`` for one to be taken away."""
    return _read_values(parent, "attributes", attribute_name_problem, STANDARD_FIELDS)


def read_event(parent: Table) -> EventPatch | Literal[False] | None:
    """Read ``event``: ``False`` where it is turned off, ``None`` where it is not mentioned."""
    if parent.value("event") is False:
        return False
    table = parent.table("event")
    if table is None:
        return None
    name = table.text("name")
    if name is not None and len(name.strip()) > MAX_STRING_CHARS:
        table.problem("name", f"is longer than {MAX_STRING_CHARS} characters")
    properties = _read_values(table, "properties", property_name_problem, {})
    table.finish()
    return EventPatch(None if name is None else name.strip(), properties)


def check_taken_away(patch: ValuePatch, base: ValuePatch, table: Table, key: str) -> None:
    """Note each ``false`` that takes nothing away: most likely a misspelt name.

    Args:
        patch: What the table says.
        base: What it inherits.
        table: The table to name.
        key: Where in it the patch stands: ``attributes``, or ``properties``.
    """
    inner = table.table(key)
    for name, rule in patch.items():
        if rule is False and name not in base and inner is not None:
            inner.problem(name, f"= false takes nothing away{_did_you_mean(name, tuple(base))}")


def _read_values(
    parent: Table,
    key: str,
    name_problem: Callable[[str], str | None],
    standard: Mapping[str, StandardField],
) -> ValuePatch:
    table = parent.table(key)
    rules: dict[str, ValueRule | Literal[False] | None] = {}
    if table is None:
        return rules
    for written in table.names():
        # Braze strips spaces around names, so two that differ only there are one.
        name = written.strip()
        if name in rules:
            table.problem(written, "is the same name twice: Braze strips the spaces around it")
        elif (wrong := name_problem(name)) is not None:
            table.problem(written, wrong)
        if table.value(written) is False:
            rules[name] = False
        elif (entry := table.table(written)) is not None:
            rules[name] = read_value(name, entry, standard.get(name))
    return rules


def read_value(
    name: str,
    table: Table,
    standard: StandardField | None,
    base: ValueRule | None = None,
) -> ValueRule | None:
    """Read one rule: ``from``, the type and its options, ``on_mismatch`` or ``default``.

    Args:
        name: At Braze.
        table: The rule's; finished by this.
        standard: Braze's own field of that name, if it is one.
        base: Says what is meant where ``from``, ``type``, ``separator`` or ``trim`` is left out;
            without it, the first two must be there.
    """
    paths = table.paths("from")
    if base is not None and not table.has("from"):
        paths = base.paths
    elif not paths and (paths is not None or not table.has("from")):
        table.problem("from", "must name at least one path")
    shape = _read_shape(name, table, standard, None if base is None else base.shape)
    mismatch = table.choice("on_mismatch", ("skip", "reject"))
    default = table.value("default")
    if default is not None and table.has("on_mismatch"):
        table.problem("on_mismatch", "and default exclude each other")
    table.finish()
    if paths is None or shape is None or (base is None and not paths):
        return None
    on_misfit: Literal["skip", "reject"] = "reject" if mismatch == "reject" else "skip"
    rule = ValueRule(name, paths, shape, on_misfit, standard=standard)
    if default is None:
        return rule
    if isinstance(default, date | time):
        table.problem("default", "must be written in quotes")
        return None
    fitted = rule.convert(default)
    if isinstance(fitted, Misfit):
        table.problem("default", f"does not itself fit the type ({fitted})")
        return None
    return ValueRule(name, paths, shape, on_misfit, fitted, standard)


def _read_shape(
    name: str, table: Table, standard: StandardField | None, base: Shape | None
) -> Shape | None:
    word = table.choice("type", tuple(ValueType))
    items = table.choice("items", _ITEM_TYPES)
    separator = table.text("separator", blank=True)
    trim = table.flag("trim")
    formats = table.texts("formats") or ()
    if base is not None and not table.has("type"):
        word = base.type
    elif not table.has("type"):
        table.problem("type", f"is missing: one of {', '.join(ValueType)}")
    if word is None:
        return None
    kind = ValueType(word)
    _check_options(table, kind, formats)
    if standard is not None and kind is not standard.type:
        table.problem("type", f'must be "{standard.type}": {name} is a field of Braze\'s own')
    if base is not None:
        separator = base.separator if separator is None else separator
        # Spaces around a number, a date or a choice never mean anything.
        trim = kind is not ValueType.STRING if trim is None else trim
    return Shape(
        type=kind,
        items=next((item for item in _ITEM_TYPES if item == items), ValueType.STRING),
        separator=separator or "",
        trim=bool(trim),
        max_chars=MAX_STRING_CHARS if standard is None else standard.max_chars,
        formats=formats,
        dates_are_text=standard is not None,
    )


def _check_options(table: Table, kind: ValueType, formats: tuple[str, ...]) -> None:
    """Note each option that the type does not have."""
    for key, only in (
        ("items", ValueType.ARRAY),
        ("separator", ValueType.ARRAY),
        ("formats", ValueType.DATE),
    ):
        if table.has(key) and kind is not only:
            table.problem(key, f'is for type = "{only}" only')
    for spelling in formats:
        if not _is_date_format(spelling):
            table.problem("formats", f"{json.dumps(spelling)} is no date: such as %m/%d/%Y")


def _is_date_format(spelling: str) -> bool:
    """Whether a date written so is read back as the same date."""
    day = date(2021, 12, 1)
    try:
        written = day.strftime(spelling)
    except ValueError:
        return False
    return read_date(written, (spelling,)) == day


def _did_you_mean(given: object, known: Sequence[str]) -> str:
    import difflib

    near = difflib.get_close_matches(given, known, n=1) if isinstance(given, str) else []
    return f"; did you mean {near[0]}?" if near else ""


def load_table(path: pathlib.Path, read: Callable[[Table], LoadedT]) -> LoadedT:
    """Read a partner's file.

    Args:
        path: The file.
        read: Makes the typed configuration of the file's table, noting problems in it.

    Raises:
        ConfigError: With every problem found; the result of ``read`` is then worth nothing.
    """
    problems: list[Problem] = []
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            (Problem(path.name, "", f"cannot be read ({type(error).__name__})"),)
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError((Problem(path.name, "", f"is not TOML: {error}"),)) from None
    root = Table(data, path.name, problems)
    version = root.value("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        root.problem("schema_version", f"must be {SCHEMA_VERSION}")
    loaded = read(root)
    root.finish()
    if problems:
        raise ConfigError(tuple(problems))
    return loaded


def check_partner_config(directory: pathlib.Path) -> list[Problem]:
    """Check every partner's file as the functions would read it.

    Args:
        directory: The folder with ``<partner>.toml``.

    Returns:
        Every problem of every file, in the files' order; empty where all of it can be deployed.
    """
    from braze_bridge.iterate_config import load_iterate
    from braze_bridge.outgrow_config import load_outgrow
    from braze_bridge.quikly_config import load_quikly

    problems: list[Problem] = []
    loaders: tuple[Callable[[pathlib.Path], object], ...] = (
        load_iterate,
        load_outgrow,
        load_quikly,
    )
    for load in loaders:
        try:
            load(directory)
        except ConfigError as error:
            problems.extend(error.problems)
    return problems
