"""Importing a handler without the garbage collector in the way.

Importing makes some hundred thousand objects that live as long as the process. The collector walks
them again and again while they come, and finds nothing: a sixth of an ingest's cold start
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
    """Keep the collector off, and afterwards out of what was made meanwhile.

    For the imports at the top of a handler module; what they made is then never walked again
    (``gc.freeze``), which also makes the collections of later calls shorter.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
