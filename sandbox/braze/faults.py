"""Faults that a test asks for: the calls they match, and what happens to these (design §6)."""

from random import Random
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from sandbox.braze.exchange import ForcedError

_PROCESSED_BELOW = 300
_LONGEST_DELAY_MS = 600_000
_HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]
_HeaderValue = Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$|^$")]


class Fault(BaseModel):
    """What happens to the next matching calls.

    Attributes:
        path: The path exactly; with a trailing `*`, every path that begins so.
        match: Text that the request's body holds.
        key: Only calls with this key.
        times: How many matching calls; 1 when neither this nor `share` is given.
        share: Which share of the matching calls, from 0 to 1, until cleared.
        status: 300 and above is answered instead of processing the call; below, it replaces the
            status of a call that succeeded.
        headers: Set on the answer.
        body: JSON, or text, answered instead of the body.
        delay_ms: How long the answer waits; the call itself is processed at once.
        reset: The connection is reset, without an answer, before or after processing.
        errors: Objects of a track call to treat as invalid: named in `errors`, not applied.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    match: str | None = None
    key: str | None = None
    times: Annotated[int, Field(ge=1)] | None = None
    share: Annotated[float, Field(ge=0, le=1)] | None = None
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    headers: dict[_HeaderName, _HeaderValue] = {}
    body: JsonValue = None
    delay_ms: Annotated[int, Field(ge=0, le=_LONGEST_DELAY_MS)] = 0
    reset: Literal["before", "after"] | None = None
    errors: tuple[ForcedError, ...] = ()

    @model_validator(mode="after")
    def _times_or_share(self) -> Self:
        if self.times is not None and self.share is not None:
            raise ValueError("times or share, not both")
        return self

    @property
    def replaces_processing(self) -> bool:
        """Whether the call must change nothing except the log."""
        return self.reset == "before" or (self.status or 0) >= _PROCESSED_BELOW

    def hits(self, path: str, key: str, body: str) -> bool:
        """Check whether a call matches."""
        if self.path.endswith("*"):
            if not path.startswith(self.path[:-1]):
                return False
        elif path != self.path:
            return False
        if self.key is not None and key != self.key:
            return False
        return self.match is None or self.match in body


class FaultPlan:
    """The faults in force, oldest first."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._faults: list[tuple[Fault, int | None]] = []

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, fault: Fault) -> None:
        """Put a fault in force."""
        left = None if fault.share is not None else fault.times or 1
        self._faults.append((fault, left))

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def listed(self) -> list[JsonValue]:
        """List the faults in force, as they were posted, with the calls left in `times`."""
        return [
            {**fault.model_dump(exclude_defaults=True, mode="json"), "times": left}
            for fault, left in self._faults
        ]

    def take(self, path: str, key: str, body: bytes) -> Fault | None:
        """Find the fault for a call, and use it up by one.

        Returns:
            The oldest fault that hits the call, or None.
        """
        if not self._faults:
            return None
        text = body.decode(errors="replace")
        for position, (fault, left) in enumerate(self._faults):
            if not fault.hits(path, key, text):
                continue
            if fault.share is not None:
                if self._random.random() < fault.share:
                    return fault
                continue
            if left == 1:
                del self._faults[position]
            elif left is not None:
                self._faults[position] = (fault, left - 1)
            return fault
        return None
