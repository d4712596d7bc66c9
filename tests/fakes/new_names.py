"""The row of attribute names, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from braze_bridge.ledger.new_names import NamesRow, NamesUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class InMemoryNames:
    """A store that several processes can share.

    Attributes:
        calls: How many there were.
        before_add: Runs before each addition: what another process does meanwhile.
    """

    def __init__(self) -> None:
        self.row = NamesRow()
        self.calls = 0
        self.unavailable = False
        self.before_add: Callable[[], object] = lambda: None

    def read(self) -> NamesRow:
        self._call()
        return self.row

    def add(self, new: Sequence[bytes], day: str, most: int) -> bool:
        self._call()
        self.before_add()
        if self.row.day > day or len(new) > self.row.room(day, most):
            return False
        used = self.row.used if self.row.day == day else 0
        self.row = NamesRow(self.row.known | set(new), day, used + len(new))
        return True

    def _call(self) -> None:
        self.calls += 1
        if self.unavailable:
            raise NamesUnavailableError("ReadTimeoutError")
