"""A :class:`braze_bridge.aws.secrets.SecretSource` without a store."""

from __future__ import annotations

from braze_bridge.aws.secrets import SecretPair, SecretUnavailableError


class FixedSecret:
    """A secret that stays, rotates or cannot be read.

    Attributes:
        unavailable: While true, every reading fails.
        reads: How often :meth:`get` was called.
        refreshes: How often :meth:`refresh` was called.
        drops: How often :meth:`drop` was called.
    """

    def __init__(self, current: str, previous: str = "", rotated: SecretPair | None = None) -> None:
        self._pair = SecretPair(current=current, previous=previous)
        self._rotated = rotated
        self.unavailable = False
        self.reads = 0
        self.refreshes = 0
        self.drops = 0

    def get(self) -> SecretPair:
        """See :meth:`braze_bridge.aws.secrets.SecretSource.get`."""
        self.reads += 1
        return self._answer()

    def refresh(self) -> SecretPair:
        """See :meth:`braze_bridge.aws.secrets.SecretSource.refresh`: finds the rotated pair."""
        self.refreshes += 1
        if self._rotated is not None:
            self._pair, self._rotated = self._rotated, None
        return self._answer()

    def drop(self) -> None:
        """See :meth:`braze_bridge.aws.secrets.SecretSource.drop`."""
        self.drops += 1

    def _answer(self) -> SecretPair:
        if self.unavailable:
            raise SecretUnavailableError("fixed-secret")
        return self._pair
