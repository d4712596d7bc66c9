"""The partners' shipped configurations, compiled as the build compiles them."""

from __future__ import annotations

import atexit
import functools
import pathlib
import shutil
import tempfile

from braze_bridge.partner_config.toml_files import compile_partner_config

SHIPPED = pathlib.Path(__file__).parents[2] / "layers" / "partner_config"


@functools.cache
def compiled_config() -> pathlib.Path:
    """The folder that a function finds at ``/opt/partner_config``; made once a process."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="partner_config-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    compile_partner_config(SHIPPED, folder)
    return folder
