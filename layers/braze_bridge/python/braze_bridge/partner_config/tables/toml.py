"""TOML tables as pydantic models: how a file is read, and what is wrong in it, in our words.

A faulty key becomes ``None`` once its problem is noted. So the checks across keys still run, and
every mistake of a file is found at once.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    ValidationError,
)
from pydantic_core import PydanticCustomError, core_schema

from braze_bridge.braze.limits import MAX_INTEGER, MAX_STRING_CHARS
from braze_bridge.mapping.paths import Path, PathError, compile_path
from braze_bridge.partner_config.problems import ConfigError, Problem

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Self

    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema, ErrorDetails

    Problems = Iterator[tuple[str, ...]]
    """Each is a message, followed by the keys that lead to it."""

FileT = TypeVar("FileT", bound="PartnerFile")
WordT = TypeVar("WordT", bound=str)

_WORDS: Final = {
    "bool_type": "must be true or false, without quotes",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "string_pattern_mismatch": "must be three capital letters, such as EUR",
    "string_too_short": "must be a text in quotes, and not empty",
    "string_type": "must be a text in quotes, and not empty",
}
"""Our words by pydantic's error type; :func:`wrong` makes errors that bring their own."""


class Table(BaseModel):
    """A TOML table; a key that is left out, or faulty, is ``None``."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")
    needed: ClassVar[Mapping[str, str]] = {}
    """The keys that must be there, and the words for one that is not."""

    def has(self, field: str) -> bool:
        """Whether the key is there, right or wrong."""
        return field in self.model_fields_set

    def over(self, base: Self) -> Self:
        """Return this table with everything from the base that it does not say itself.

        Tables inside are merged the same way; of tables by name, this one's replace the base's.
        Names lose the spaces around them, as at Braze.
        """
        given = self.model_fields_set | (base.model_fields_set & type(self).model_fields.keys())
        merged = {name: _merged(getattr(self, name), getattr(base, name, None)) for name in given}
        return self.model_copy(update=merged)

    def problems(self) -> Problems:
        """Yield the problems across keys, here and in the tables inside."""
        keys = {field.alias or name: name for name, field in type(self).model_fields.items()}
        for key in self.model_extra or {}:
            yield f"is not a known key{did_you_mean(key, keys)}", key
        for key, words in self.needed.items():
            if not self.has(key):
                yield words, key
        yield from self._problems()
        for key, name in keys.items():
            value = getattr(self, name)
            if isinstance(value, Table):
                yield from at(value.problems(), key)
            elif isinstance(value, dict):
                for inner, each in value.items():
                    if isinstance(each, Table):
                        yield from at(each.problems(), key, inner)

    def _problems(self) -> Problems:
        yield from ()


def read_file(directory: pathlib.Path, model: type[FileT]) -> FileT:
    """Read and check a file.

    Raises:
        ConfigError: With every problem in it.
    """
    path = directory / f"{model.partner}.toml"
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        words = f"cannot be read ({type(error).__name__})"
        raise ConfigError((Problem(path.name, "", words),)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError((Problem(path.name, "", f"is not TOML: {error}"),)) from None
    noted: list[tuple[str, ...]] = []
    try:
        file = model.model_validate(data)
    except ValidationError as refused:
        for found in refused.errors(include_url=False):
            # The steps into a list are left out: a list is one value.
            *way, key = map(str, takewhile(lambda step: isinstance(step, str), found["loc"]))
            noted.append((_words(found), *way, key))
            table = data
            for step in way:
                table = table[step]
            table[key] = None
        file = model.model_validate(data)
    noted.extend(file.problems())
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


def wrong(message: str) -> PydanticCustomError:
    """Return an error with our own words."""
    return PydanticCustomError("wrong", "{message}", {"message": message})


def whole(least: int, most: int = MAX_INTEGER) -> Callable[[object], int]:
    """Return a validator of whole numbers."""

    def check(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        limit = f" and at most {most}" if most != MAX_INTEGER else ""
        words = f"must be a whole number, at least {least}{limit}"
        raise wrong(f"must be {least}" if least == most else words)

    return check


def some_of(words: Sequence[WordT]) -> Callable[[object], tuple[WordT, ...]]:
    """Return a validator of a list of the given words, each at most once."""

    def check(value: object) -> tuple[WordT, ...]:
        given = value if isinstance(value, list) else []
        chosen = tuple(word for each in given for word in words if word == each)
        if not chosen or len(set(chosen)) != len(given):
            raise wrong(f"must list some of {', '.join(words)}, each once")
        return chosen

    return check


def fits_braze(text: str) -> str:
    """Refuse a text over Braze's limit."""
    if len(text) > MAX_STRING_CHARS:
        raise wrong(f"is longer than {MAX_STRING_CHARS} characters")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise wrong(_WORDS["string_type"])
    return text


def _path(text: str) -> Path:
    try:
        return compile_path(text)
    except PathError as error:
        raise wrong(f"{json.dumps(text, ensure_ascii=False)}: {error}") from None


def _one_or_more(value: object) -> object:
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        return tuple(texts)
    raise wrong('must be a list of paths in quotes, such as ["score", "result.score"]')


class _OrFalse:
    @staticmethod
    def __get_pydantic_core_schema__(source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        # Not pydantic's own union: that complains about both alternatives of a faulty value.
        inner = core_schema.nullable_schema(handler.generate_schema(get_args(source)[0]))
        return core_schema.no_info_wrap_validator_function(
            lambda value, validate: value if value is False else validate(value), inner
        )


OrFalse: Final = _OrFalse()
"""For ``Annotated[X | Literal[False] | None, OrFalse]``: ``false`` takes an inherited X away."""

Text = Annotated[str, AfterValidator(_not_blank)]
Name = Annotated[Text, AfterValidator(str.strip), AfterValidator(fits_braze)]
if TYPE_CHECKING:
    Paths = tuple[Path, ...]
else:  # pydantic must not look into a compiled expression, so it is any object here
    _Path = Annotated[object, PlainValidator(_path)]
    Paths = Annotated[tuple[_Path, ...], BeforeValidator(_one_or_more)]
Count = Annotated[int, PlainValidator(whole(0))]


class PartnerFile(Table):
    """A whole file, ``<partner>.toml``."""

    partner: ClassVar[str]
    needed: ClassVar = {"schema_version": "must be 1"}
    schema_version: Annotated[int, PlainValidator(whole(1, 1))] | None = None


def _words(error: ErrorDetails) -> str:
    if error["type"] in {"enum", "literal_error"}:
        allowed = re.findall(r"'(.*?)'", error["ctx"]["expected"])
        return f"must be one of {', '.join(allowed)}{did_you_mean(error['input'], allowed)}"
    return _WORDS.get(error["type"], error["msg"])


def _dotted(keys: Iterable[str]) -> str:
    bare = re.compile(r"[A-Za-z0-9_-]+")
    return ".".join(key if bare.fullmatch(key) else json.dumps(key) for key in keys)


def _merged(own: object, base: object) -> object:
    if isinstance(own, Table) and isinstance(base, Table):
        return own.over(base)
    if isinstance(own, dict):
        sources = (base, own) if isinstance(base, dict) else (own,)
        return {name.strip(): each for source in sources for name, each in source.items()}
    return base if own is None else own
