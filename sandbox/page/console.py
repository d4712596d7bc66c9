"""The page's own state: the stack it belongs to, and the posts that were made from it."""

from __future__ import annotations

import re
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

import requests
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import from_json

from sandbox.event_files import EventCase, sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import JsonValue

    from sandbox.braze.workspace import Clock
    from sandbox.page.gates import Gates
    from sandbox.page.links import LedgerLink, StackLink

CALL_SECONDS: Final = (2, 30)
"""To connect and to read: enough for a cold start on a busy machine."""

TRIES_KEPT: Final = 8
_ANSWER_CHARACTERS: Final = 4_000
_SHORTEST_PHONE: Final = 7
_NO_PROXIES: Final = {"http": ""}
"""A proxy set in the environment cannot reach this machine's loopback."""


class ConsoleError(Exception):
    """The request is impossible; the text says why, in a sentence."""


class WantedTry(BaseModel):
    """One post, or one look at an acquisition's status.

    Attributes:
        sample: `partner/name` of an event file, posted as it is; or instead of it
        path: Where to, without the stage, and
        body: What.
        token: Whether to send the right token, a wrong one or none. A sample has its own.
        method: `GET` for a status; it has no body and is not kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample: str | None = None
    # A segment begins with a letter or a digit: no `..`, nothing that names a host.
    path: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9][A-Za-z0-9._~-]*)+$", max_length=300)] = "/"
    body: str = ""
    token: Literal["valid", "wrong", "none"] = "valid"  # noqa: S105 - a choice, no token
    method: Literal["POST", "GET"] = "POST"

    @model_validator(mode="after")
    def _sample_or_path(self) -> Self:
        if (self.sample is None) == (self.path == "/"):
            raise ValueError("a sample or a path, and not both")
        return self

    def case(self) -> EventCase:
        """Return the event case to post.

        Raises:
            KeyError: There is no such sample.
        """
        if self.sample is not None:
            return sample(self.sample)
        return EventCase("", "", self.path, self.body, self.token, {}, {})


@dataclass(frozen=True, slots=True)
class Try:
    """One post and its answer.

    Attributes:
        k: Its number, from 1.
        at: When it was posted, epoch seconds.
        since: How many requests Braze had seen by then.
        path: Where to.
        names: Every text in the body, made comparable; the person's identifiers are among them.
        status: The answer's.
        ms: How long it took.
        content_type: The answer's.
        retry_after: The answer's header, if it had one.
        answer: The answer's beginning, as text.
        job_id: As answered, where a job was accepted.
    """

    k: int
    at: float
    since: int
    path: str
    names: frozenset[str]
    status: int
    ms: float
    content_type: str
    retry_after: str | None
    answer: str
    job_id: str | None

    @property
    def is_acquisition(self) -> bool:
        """Whether it takes several calls to Braze, and the bridge keeps a state for it."""
        return self.path.endswith("/acquisitions")

    def names_any(self, people: tuple[str, ...]) -> bool:
        """Check whether the body holds one of these identifiers, whatever their spelling."""
        return any(form in self.names for person in people for form in comparable(person))


class Console:
    """The state of the page."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = 0
        self.link: StackLink | None = None
        self.gates: Gates | None = None
        self.tries: deque[Try] = deque(maxlen=TRIES_KEPT)
        self.make_gates: Callable[[LedgerLink], Gates] = _ledger_gates

    def introduce(self, link: StackLink) -> None:
        """Replace the stack's addresses and tokens."""
        self.link = link
        self.gates = None if link.ledger is None else self.make_gates(link.ledger)

    def forget_tries(self) -> None:
        """Forget all tries: a new workspace numbers its requests from 1."""
        self.tries.clear()

    def attempt(self, wanted: WantedTry, since: int) -> Try:
        """Post to the real API and keep the answer.

        Args:
            since: How many requests Braze has seen.

        Returns:
            The try; one by `GET` is not kept.

        Raises:
            ConsoleError: There is no stack, no such sample or token, or no answer.
        """
        if self.link is None:
            raise ConsoleError("No stack is behind this stand-in: start one with `make up`.")
        try:
            case = wanted.case()
            headers = case.sent_headers(self.link.tokens[case.token_name])
        except KeyError as unknown:
            raise ConsoleError(f"There is nothing called {unknown} here.") from unknown
        at, began = self._clock(), time.perf_counter()
        try:
            answer = requests.request(
                wanted.method,
                self.link.api_url + case.path,
                data=case.sent_bytes() if wanted.method == "POST" else None,
                headers=headers,
                timeout=CALL_SECONDS,
                proxies=_NO_PROXIES,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            # Its text holds the address: no secret, but of no use to a marketer.
            reason = "in time" if isinstance(error, requests.Timeout) else "at all"
            raise ConsoleError(f"The stack's API did not answer {reason}.") from None
        self._count += 1
        done = Try(
            k=self._count,
            at=at,
            since=since,
            path=case.path,
            names=frozenset(names_in(case.sent_bytes())),
            status=answer.status_code,
            ms=round((time.perf_counter() - began) * 1000, 1),
            content_type=answer.headers.get("content-type", ""),
            retry_after=answer.headers.get("retry-after"),
            answer=answer.text[:_ANSWER_CHARACTERS],
            job_id=_job_id(answer.content),
        )
        if wanted.method == "POST":
            self.tries.append(done)
        return done


def comparable(text: str) -> Iterator[str]:
    """Yield the forms in which two spellings of one identifier are the same text."""
    plain = text.strip().casefold()
    if plain:
        yield plain
    digits = re.sub(r"[\s().+-]", "", plain)
    if digits.isdigit() and len(digits) >= _SHORTEST_PHONE and digits != plain:
        yield digits


def names_in(body: bytes) -> Iterator[str]:
    """Yield every text and whole number of a JSON body, made comparable."""
    try:
        waiting: list[JsonValue] = [from_json(body, allow_inf_nan=False)]
    except ValueError:
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            yield from comparable(str(value))


def _job_id(body: bytes) -> str | None:
    try:
        answer = from_json(body)
    except ValueError:
        return None
    job_id = answer.get("job_id") if isinstance(answer, dict) else None
    return job_id if isinstance(job_id, str) else None


def _ledger_gates(link: LedgerLink) -> Gates:
    # boto3 takes a third of a second to import, and a stand-in without a stack does not need it.
    from sandbox.page.gates import ledger_gates  # noqa: PLC0415 - see above

    return ledger_gates(link)
