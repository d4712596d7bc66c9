"""A TOML table being read."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from braze_bridge.mapping.paths import Path, PathError, compile_path

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Mapping, Sequence

SCHEMA_VERSION: Final = 1

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")

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
