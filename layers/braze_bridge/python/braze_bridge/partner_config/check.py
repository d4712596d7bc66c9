"""Check every partner's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable
from braze_bridge.partner_config.toml_table import ConfigError, Problem


def check_partner_config(directory: pathlib.Path) -> list[Problem]:
    """Check every partner's file as the functions would read it.

    Args:
        directory: The folder with ``<partner>.toml``.

    Returns:
        Every problem of every file, in the files' order; empty where all of it can be deployed.
    """
    from braze_bridge.partner_config.iterate import load_iterate
    from braze_bridge.partner_config.outgrow import load_outgrow
    from braze_bridge.partner_config.quikly import load_quikly

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
