"""Load a partner's configuration as the build made it of the TOML file.

A function must not check TOML when it starts: that takes longer, and a mistake would show too late.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, TypeVar

from braze_bridge.partner_config.problems import ConfigError, Problem

if TYPE_CHECKING:
    from pathlib import Path

ConfigT = TypeVar("ConfigT")


def compiled_file(directory: Path, partner: str) -> Path:
    """The path of a partner's compiled configuration."""
    return directory / f"{partner}.pickle"


def load_compiled(directory: Path, partner: str, kind: type[ConfigT]) -> ConfigT:
    """Load what ``toml_files.compile_partner_config`` wrote.

    Args:
        directory: ``/opt/partner_config`` in Lambda: a read-only layer of the same deployment, as
            trustworthy as the code (https://docs.python.org/3/library/pickle.html warns of others).

    Raises:
        ConfigError: There is no such file, or another version of this code wrote it.
    """
    path = compiled_file(directory, partner)
    try:
        loaded: object = pickle.loads(path.read_bytes())  # noqa: S301 - see ``directory``
    except FileNotFoundError:
        problem = f"is missing: functions load what `sam build` compiles of {partner}.toml"
    except Exception as error:  # noqa: BLE001 - what a foreign pickle raises is not limited
        problem = f"cannot be loaded ({type(error).__name__}); run `sam build` again"
    else:
        if isinstance(loaded, kind):
            return loaded
        problem = f"holds no {kind.__name__}; run `sam build` again"
    raise ConfigError((Problem(path.name, "", problem),))
