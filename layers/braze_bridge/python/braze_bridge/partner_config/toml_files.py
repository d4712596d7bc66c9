"""Check the partners' TOML files, and compile them for the functions.

``python -m braze_bridge.partner_config.toml_files SOURCE TARGET`` compiles a folder; ``sam build``
runs it. A mistake ends it with exit code 1.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from braze_bridge.mapping.profile_fields import STANDARD_FIELDS
from braze_bridge.partner_config.compiled import compiled_file
from braze_bridge.partner_config.problems import ConfigError, Problem
from braze_bridge.partner_config.tables.iterate import IterateFile
from braze_bridge.partner_config.tables.outgrow import OutgrowFile
from braze_bridge.partner_config.tables.quikly import QuiklyFile
from braze_bridge.partner_config.tables.toml import read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from braze_bridge.partner_config.iterate import IterateConfig
    from braze_bridge.partner_config.outgrow import OutgrowConfig
    from braze_bridge.partner_config.quikly import QuiklyConfig

_File = IterateFile | OutgrowFile | QuiklyFile
FILES: Final[tuple[type[_File], ...]] = (IterateFile, OutgrowFile, QuiklyFile)


def load_iterate(directory: Path) -> IterateConfig:
    """Read ``iterate.toml`` in a folder; raises ConfigError with every problem.

    The other files of the folder say which names are theirs. A missing or faulty one owns none: its
    own check reports it.
    """
    config = read_file(directory, IterateFile).config()
    taken: set[str] = set()
    with contextlib.suppress(ConfigError):
        taken |= load_outgrow(directory).attribute_names()
    with contextlib.suppress(ConfigError):
        taken |= read_file(directory, QuiklyFile).config().attribute_names()
    guard = config.names.guard
    return config._replace(
        names=config.names._replace(guard=guard._replace(taken=guard.taken | taken))
    )


def load_outgrow(directory: Path) -> OutgrowConfig:
    """Read ``outgrow.toml`` in a folder; raises ConfigError with every problem."""
    return read_file(directory, OutgrowFile).config()


def load_quikly(directory: Path) -> QuiklyConfig:
    """Read ``quikly.toml`` in a folder; raises ConfigError with every problem.

    As for :func:`load_iterate`, other files own their names, but for Braze's own fields.
    """
    config = read_file(directory, QuiklyFile).config()
    taken: set[str] = set()
    with contextlib.suppress(ConfigError):
        taken |= load_outgrow(directory).attribute_names()
    with contextlib.suppress(ConfigError):
        taken |= read_file(directory, IterateFile).config().attribute_names()
    taken -= STANDARD_FIELDS.keys()
    return config._replace(names=config.names._replace(taken=config.names.taken | taken))


LOADERS: Final[Mapping[str, Callable[[Path], object]]] = {
    IterateFile.partner: load_iterate,
    OutgrowFile.partner: load_outgrow,
    QuiklyFile.partner: load_quikly,
}


def check_partner_config(directory: Path) -> list[Problem]:
    """Return every problem of every partner's file; none if all of it can be deployed."""
    problems: list[Problem] = []
    for file in FILES:
        try:
            read_file(directory, file)
        except ConfigError as error:
            problems.extend(error.problems)
    return problems


def compile_partner_config(source: Path, target: Path) -> None:
    """Write what ``compiled.load_compiled`` loads; the target folder is made if needed.

    Raises:
        ConfigError: With every problem of every file; nothing is written then.
    """
    if problems := check_partner_config(source):
        raise ConfigError(tuple(problems))
    target.mkdir(parents=True, exist_ok=True)
    for partner, load in LOADERS.items():
        # Protocol 5: what every Python reads that the bridge runs on (3.8 and later).
        compiled_file(target, partner).write_bytes(pickle.dumps(load(source), protocol=5))


if __name__ == "__main__":
    try:
        compile_partner_config(*map(Path, sys.argv[1:]))
    except ConfigError as failed:
        sys.exit("\n".join(map(str, failed.problems)))
