"""Secrets from Secrets Manager, cached by name."""

from __future__ import annotations

import time
from contextlib import suppress
from threading import RLock
from typing import TYPE_CHECKING, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from braze_bridge.aws import clients
from braze_bridge.aws.errors import aws_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_secretsmanager import SecretsManagerClient

SECRET_MAX_AGE_SECONDS: Final = 300
KEY_KEPT_SECONDS: Final = 3_600
"""Our own key at a partner serves so long if it cannot be read again. A refused one is dropped."""

TOKEN_MAX_AGE_SECONDS: Final = 60
"""A token that callers send: so long a revoked one still works. Each read costs $0.000005."""

SECRET_MIN_REFRESH_SECONDS: Final = 30
"""A refused token or key makes us read the secret again, but not more often than this: a caller who
tries many tokens must not cause many Secrets Manager calls."""


class SecretPair(BaseModel):
    """A secret under rotation: both halves are valid. An empty half matches nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    current: str = Field(repr=False)
    previous: str = Field(default="", repr=False)

    @property
    def accepted(self) -> tuple[str, ...]:
        """The halves that are set."""
        return tuple(half for half in (self.current, self.previous) if half)


class SecretUnavailableError(Exception):
    """The secret could not be read: refuse the call, and ask the caller to send it again."""


class SecretSource(Protocol):
    """One secret."""

    def get(self) -> SecretPair:
        """Get the secret, from the cache if it is fresh.

        Raises:
            SecretUnavailableError: It cannot be read, or has another form.
        """
        ...

    def refresh(self) -> SecretPair:
        """Read the secret again, unless that was done in the last 30 s: then as :meth:`get`.

        Raises:
            SecretUnavailableError: As :meth:`get`.
        """
        ...

    def drop(self) -> None:
        """Make the next :meth:`get` read the secret again, because its value was refused."""
        ...


class SecretsManagerSource:
    """A :class:`SecretSource` on AWS Secrets Manager, JSON ``{"current": …, "previous": …}``.

    Powertools' parameters utility has no 30 s limit on reading again. It also costs 30 to 60 ms of
    CPU at a cold start (``docs/decisions.md``).

    Args:
        client: Makes the Secrets Manager client; called on first use.
        max_age: After so many seconds the secret is read again.
        kept: If that fails, the one that was read serves until it is so many seconds old. So one
            failed read refuses no caller.
    """

    def __init__(
        self,
        name: str,
        client: Callable[[], SecretsManagerClient] = clients.secretsmanager,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        max_age: float = SECRET_MAX_AGE_SECONDS,
        kept: float = SECRET_MAX_AGE_SECONDS,
    ) -> None:
        self._kept = kept
        self._lock = RLock()
        self._failed_at = float("-inf")
        self._name = name
        self._max_age = max_age
        self._client = client
        self._monotonic = monotonic
        self._pair: SecretPair | None = None
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._refreshed_at = float("-inf")
        self._dropped = False

    def get(self) -> SecretPair:
        """See :meth:`SecretSource.get`."""
        asked_at = self._monotonic()
        with self._lock:
            now = self._monotonic()
            age = now - self._read_at
            if self._pair is None or age >= self._kept:
                if self._failed_at > asked_at:  # the thread that was waited for has just tried
                    raise SecretUnavailableError(self._name)
                return self._read()
            if self._dropped:
                return self.refresh()
            if age >= self._max_age and now - self._tried_at >= SECRET_MIN_REFRESH_SECONDS:
                with suppress(SecretUnavailableError):
                    return self._read()
            return self._pair

    def drop(self) -> None:
        """See :meth:`SecretSource.drop`."""
        self._dropped = True

    def refresh(self) -> SecretPair:
        """See :meth:`SecretSource.refresh`."""
        with self._lock:
            now = self._monotonic()
            if self._pair is None or now - self._refreshed_at >= SECRET_MIN_REFRESH_SECONDS:
                self._refreshed_at = now
                return self._read()
            if self._dropped and self._failed_at >= self._refreshed_at:
                raise SecretUnavailableError(self._name)  # not a value that was refused
            return self._pair

    def _read(self) -> SecretPair:
        try:
            return self._read_now()
        except SecretUnavailableError:
            self._failed_at = self._monotonic()
            raise

    def _read_now(self) -> SecretPair:
        self._tried_at = self._monotonic()
        try:
            with aws_errors(lambda _code: SecretUnavailableError(self._name)):
                text = self._client().get_secret_value(SecretId=self._name)["SecretString"]
            pair = SecretPair.model_validate_json(text)
        except (KeyError, ValidationError):
            # Not chained: pydantic's text can quote the secret.
            raise SecretUnavailableError(self._name) from None
        self._pair, self._read_at, self._dropped = pair, self._monotonic(), False
        return pair
