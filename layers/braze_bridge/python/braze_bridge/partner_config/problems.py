"""What is wrong in a configuration, and the error that lists it."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """One thing wrong in a configuration file.

    Attributes:
        key: The dotted key, quoted as TOML quotes it; empty for the file itself.
        message: What is wrong and what would be right.
    """

    file: str
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


class ConfigError(Exception):
    """A configuration that must not be used, with all its problems."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems
