"""TOML tables as pydantic models: how a file is read, and what is wrong in it, in our words.

A faulty key counts as there, with its default, once its problem is noted. So the checks across keys
still run, and every mistake of a file is found at once.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, TypeAlias, TypeVar

import pydantic
from pydantic import BeforeValidator, Field, PlainValidator
from pydantic_core import PydanticUseDefault

from braze_bridge.braze.limits import MAX_INTEGER, MAX_STRING_CHARS
from braze_bridge.mapping.names import NEW_A_DAY, NameGuard
from braze_bridge.mapping.paths import PathError, compile_path
from braze_bridge.mapping.people import Placeholders
from braze_bridge.mapping.texts import bare_name, one_form, plain_name
from braze_bridge.partner_config.problems import ConfigError, Problem
from braze_bridge.partner_config.rules import DoorConfig

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Self

    from pydantic_core import ErrorDetails

    from braze_bridge.mapping.paths import Path

    Problems = Iterator[tuple[str, ...]]
    """Each is a message, followed by the keys that lead to it."""

T = TypeVar("T")
FileT = TypeVar("FileT", bound="PartnerFile")
WordT = TypeVar("WordT", bound=str)

NO_PATH: Final = "must name at least one path"
_PATHS: Final = 'must be a list of paths in quotes, such as ["score", "result.score"]'
_WORD_LIST: Final = 'must be a list of texts in quotes, none of them blank, such as ["guest"]'
_NOT_BLANK: Final = r"\S"
_CURRENCY: Final = "^[A-Z]{3}$"
_WORDS: Final = {
    "bool_type": "must be true or false, without quotes",
    "dict_type": "must be a table",
    **dict.fromkeys(("int_type", "greater_than_equal", "less_than_equal"), "must be 1"),
    "model_type": "must be a table",
    "string_too_long": f"is longer than {MAX_STRING_CHARS} characters",
    "string_too_short": "must be a text in quotes, and not empty",
    "string_type": "must be a text in quotes, and not empty",
    "too_short": NO_PATH,
    _NOT_BLANK: "must be a text in quotes, and not empty",
    _CURRENCY: "must be three capital letters, such as EUR",
}
"""Our words by pydantic's error type or the text's pattern; a ``ValueError`` brings its own."""


class Table(pydantic.BaseModel):
    """A TOML table; a key that is left out, or faulty, has its default."""

    model_config = pydantic.ConfigDict(strict=True, frozen=True, extra="allow")
    needed: ClassVar[dict[str, str]] = {}
    """The fields that must be there, and the words for one that is not."""

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _default_if_faulty(cls, value: object) -> object:
        if value is None:
            raise PydanticUseDefault
        return value

    def has(self, field: str) -> bool:
        """Whether the key is there, right or wrong."""
        return field in self.model_fields_set

    def over(self, base: Self) -> Self:
        """Return this table with everything from the base that it does not say itself.

        Tables inside are merged the same way; of tables by name, this one's replace the base's.
        Names lose the spaces around them, as at Braze, and are composed (NFC).
        """
        own = {name: getattr(self, name) for name in self.model_fields_set}
        inherited = {name: value for name, value in base if base.has(name)}
        names = type(self).model_fields.keys() & (own.keys() | inherited.keys())
        merged = {name: _merged(own.get(name), inherited.get(name)) for name in names}
        return self.model_copy(update=merged)

    def problems(self) -> Problems:
        """Yield the problems across keys, here and in the tables inside."""
        keys = {name: field.alias or name for name, field in type(self).model_fields.items()}
        for key in self.model_extra or {}:
            yield f"is not a known key{did_you_mean(key, keys.values())}", key
        for name, words in self.needed.items():
            if not self.has(name):
                yield words, keys[name]
        yield from self._problems()
        for name, key in keys.items():
            value = getattr(self, name)
            inside = value if isinstance(value, dict) else {None: value}
            for inner, table in inside.items():
                if isinstance(table, Table):
                    yield from at(table.problems(), key, *([] if inner is None else [inner]))

    def _problems(self) -> Problems:
        yield from ()

    def taken_away_problems(self, base: Table) -> Problems:
        """Yield each ``false`` that takes nothing away: most likely a misspelt name."""
        for name in type(self).model_fields:
            own, inherited = getattr(self, name), getattr(base, name, None)
            if isinstance(own, Table):
                yield from at(own.taken_away_problems(inherited or Table()), name)
            elif isinstance(own, dict):
                known = [one_form(key) for key in inherited or ()]
                for written, value in own.items():
                    if value is False and one_form(written) not in known:
                        near = did_you_mean(one_form(written), known)
                        yield f"= false takes nothing away{near}", name, written


def read_file(directory: pathlib.Path, model: type[FileT]) -> FileT:
    """Read and check a file.

    Raises:
        ConfigError: With every problem in it.
    """
    path = directory / f"{model.partner}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        unread = f"cannot be read ({type(error).__name__})"
        words = unread if isinstance(error, OSError) else f"is not TOML: {error}"
        raise ConfigError((Problem(path.name, "", words),)) from None
    noted: list[tuple[str, ...]] = []
    try:
        file = model.model_validate(data)
    except pydantic.ValidationError as refused:
        for found in refused.errors(include_url=False):
            # The steps into a list are left out: a list is one value.
            *way, key = map(str, takewhile(lambda step: isinstance(step, str), found["loc"]))
            noted.append((_words(found), *way, key))
            table = data
            for step in way:
                table = table[step]
            table[key] = None
        file = model.model_validate(data)
    faulty = {tuple(keys[:depth]) for _, *keys in noted for depth in range(len(keys) + 1)}
    for message, *keys in file.problems():
        # A key that is faulty, or has a fault inside, is not called missing as well.
        if tuple(keys) not in faulty or not message.startswith("is missing"):
            noted.append((message, *keys))
    if noted:
        problems = (Problem(path.name, _dotted(keys), message) for message, *keys in noted)
        raise ConfigError(tuple(dict.fromkeys(problems)))
    return file


def at(problems: Iterable[tuple[str, ...]], *steps: str) -> Problems:
    """Yield a table's problems with the keys that lead to the table."""
    for message, *keys in problems:
        yield message, *steps, *keys


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """Return a suggestion to append to a message, if one of the known words is near."""
    near = difflib.get_close_matches(given, list(known), n=1) if isinstance(given, str) else []
    return f"; did you mean {near[0]}?" if near else ""


def must(fit: Callable[[T], bool], words: str) -> Callable[[T], T]:
    """Return a validator that refuses a value that does not fit."""

    def check(value: T) -> T:
        if fit(value):
            return value
        raise ValueError(words)

    return check


def whole(least: int, most: int = MAX_INTEGER) -> Callable[[Any], Any]:
    """Return a validator of whole numbers."""
    limit = f" and at most {most}" if most != MAX_INTEGER else ""
    words = f"must be a whole number, at least {least}{limit}"
    return must(lambda value: type(value) is int and least <= value <= most, words)


def bare_names(written: Iterable[str]) -> frozenset[str]:
    """Return names as they are compared."""
    return frozenset(bare_name(plain_name(name)) for name in written)


def same_twice(names: Iterable[str], words: str) -> Problems:
    """Yield each name that looks like an earlier one: spaces around it do not count."""
    seen = set()
    for written in names:
        if one_form(written) in seen:
            yield words, written
        seen.add(one_form(written))


def texts(
    words: str, fits: Callable[[list[str]], bool], *, alone: bool = True
) -> Callable[[object], tuple[str, ...]]:
    """Return a validator of a list of texts; if they may be alone, one text is a list of one."""

    def check(value: object) -> tuple[str, ...]:
        given = [value] if alone and isinstance(value, str) else value
        if isinstance(given, list) and all(isinstance(text, str) for text in given) and fits(given):
            return tuple(given)
        raise ValueError(words)

    return check


def some_of(words: Sequence[WordT]) -> Callable[[object], tuple[WordT, ...]]:
    """Return a validator of a list of the given words, each at most once."""
    known = {str(word): word for word in words}
    check = texts(
        f"must list some of {', '.join(words)}, each once",
        lambda given: 0 < len(given) == len(known.keys() & set(given)),
        alone=False,
    )
    return lambda value: tuple(known[text] for text in check(value))


def _not_blank(given: list[str]) -> bool:
    return all(map(one_form, given))


def _without_faulty(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {key: each for key, each in value.items() if each is not None}


if TYPE_CHECKING:
    OrFalse: TypeAlias = T | Literal[False] | None
    Paths = tuple[Path, ...]
else:
    # Not pydantic's own union: that complains about both alternatives of a faulty value.
    OrFalse = Annotated[
        T | None,
        pydantic.WrapValidator(
            lambda value, validate: value if value is False else validate(value)
        ),
    ]
    # pydantic must not look into a compiled expression, so it is any object here.
    Paths = Annotated[
        tuple[Annotated[object, PlainValidator(compile_path)], ...],
        BeforeValidator(texts(_PATHS, lambda _: True)),
    ]
SomePaths = Annotated[Paths, Field(min_length=1)]
Text = Annotated[str, Field(pattern=_NOT_BLANK)]
OneForm = BeforeValidator(lambda value: one_form(value) if isinstance(value, str) else value)
Trimmed = Annotated[str, Field(min_length=1), OneForm]
Name = Annotated[str, Field(min_length=1, max_length=MAX_STRING_CHARS), OneForm]
Currency = Annotated[str, Field(pattern=_CURRENCY)]
Count = Annotated[int, PlainValidator(whole(0))]
Words = Annotated[tuple[str, ...], BeforeValidator(texts(_WORD_LIST, _not_blank))]
Section = Annotated[dict[str, T], BeforeValidator(_without_faulty)]
"""Tables by a name that the file chooses; a faulty one is left out."""


class DoorTable(Table):
    """``[door]``."""

    allow_query_token: bool = False


class NamesTable(Table):
    """``[names]``: of attributes that a body names."""

    protected: Words = ()
    allowed: Words = ()
    new_a_day: Annotated[int, PlainValidator(whole(0))] = NEW_A_DAY

    def guard(self) -> NameGuard:
        """Return the guard, without the names of other files."""
        return NameGuard(bare_names(self.protected), bare_names(self.allowed), self.new_a_day)


class PartnerFile(Table):
    """A whole file, ``<partner>.toml``."""

    partner: ClassVar[str]
    needed: ClassVar = {"schema_version": _WORDS["int_type"]}
    schema_version: Annotated[int, Field(ge=1, le=1)] = 1
    placeholders: Words = ()
    not_placeholders: Words = ()
    untimed: Literal["oldest", "newest"] = "oldest"
    door: DoorTable = DoorTable()

    def door_config(self) -> DoorConfig:
        """Return the switches of the partner's routes."""
        return DoorConfig(self.door.allow_query_token, self.untimed == "newest")

    def placeholder_words(self) -> Placeholders:
        """Return the file's own words as they are compared."""
        return Placeholders(*map(_compared, (self.placeholders, self.not_placeholders)))


def _compared(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(one_form(word).casefold() for word in words)


def _words(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if allowed := re.findall(r"'(.*?)'", context.get("expected", "")):
        return f"must be one of {', '.join(allowed)}{did_you_mean(error['input'], allowed)}"
    cause = context.get("error")
    if isinstance(cause, PathError):
        return f"{json.dumps(error['input'], ensure_ascii=False)}: {cause}"
    return str(cause or _WORDS.get(context.get("pattern", error["type"]), error["msg"]))


def _dotted(keys: Iterable[str]) -> str:
    bare = re.compile(r"[A-Za-z0-9_-]+")
    return ".".join(key if bare.fullmatch(key) else json.dumps(key) for key in keys)


def _merged(own: object, base: object) -> object:
    if isinstance(own, Table) and isinstance(base, Table):
        return own.over(base)
    if isinstance(own, dict):
        sources = (base, own) if isinstance(base, dict) else (own,)
        return {one_form(name): each for source in sources for name, each in source.items()}
    return base if own is None else own
