"""Imports a handler without the garbage collector.

Imports make some hundred thousand objects that live as long as the process. The collector walks
them again and again and finds nothing to free. That is a sixth of an ingest function's cold start
(``bench/ingest_start.py``).
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def collector_off() -> Iterator[None]:
    """Switch the collector off for the imports at the top of a handler module.

    Afterwards it never walks their objects again (``gc.freeze``), so that the collections of later
    calls are shorter, too.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
