"""An AWS account for tests of `make deploy`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.deployment.account import DeployedStack

if TYPE_CHECKING:
    from collections.abc import Iterable


class FakeAccount:
    """Answers as it was made, and remembers what it was told.

    Args:
        role: ARN of the account's role for API Gateway's logs.
        found: The stack before the deployment.
        change_sets: Those that wait, at each question; afterwards none.
    """

    def __init__(
        self,
        role: str | None = None,
        found: DeployedStack = DeployedStack(),  # noqa: B008 - immutable
        change_sets: Iterable[Iterable[str]] = (),
    ) -> None:
        self._role = role
        self._found = found
        self._change_sets = iter(change_sets)
        self.asked: list[str] = []
        self.deleted: list[str] = []
        self.protected: list[str] = []

    def logging_role(self) -> str | None:
        self.asked.append("logging_role")
        return self._role

    def stack(self, name: str) -> DeployedStack:
        return self._found

    def waiting_change_sets(self, name: str) -> frozenset[str]:
        return frozenset(next(self._change_sets, ()))

    def delete(self, name: str) -> None:
        self.deleted.append(name)

    def protect(self, name: str) -> None:
        self.protected.append(name)
