"""Braze in a campaign: the stand-in of `sandbox/braze` with faults, and its record.

The record is the truth that delivery is judged by.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from braze_bridge.braze.transport import HttpResponse
from sandbox.braze.api import TRACK, answer_call
from sandbox.braze.exchange import Call, ForcedError
from sandbox.braze.settings import default_settings
from sandbox.braze.workspace import Workspace
from tests.campaign.answers import ATTRIBUTES, POISON_KEY, marker_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from braze_bridge.braze.transport import HttpRequest
    from tests.campaign.invocations import Invocation
    from tests.campaign.virtual_time import Timeline
    from tests.campaign.weather import Weather

KEY: Final = "the-key-of-the-campaign"

READ_DELAY: Final = 2.0
"""Seconds after which reads show a write."""

KEY_SECONDS: Final = 30.0
"""A refused key keeps everybody away for at least this time."""

ARRAYS: Final = ("attributes", "events", "purchases")

Place = tuple[str, int, dict[str, Any]]
"""An object's array, its index there, and the object."""

PAGE: Final = b"<html><body>Please stand by.</body></html>"

REFUSALS: Final = {
    "status_500": (500, b""),
    "status_503": (503, PAGE),
    "html": (200, PAGE),
    "too_large": (413, PAGE),
    "limited": (429, PAGE),
    "key_refused": (401, json.dumps({"message": f"Invalid API key: {KEY}"}).encode()),
    "permission_missing": (403, PAGE),
}
"""Faults whose request changes nothing at Braze although it arrives there."""

LOST_SUCCESSES: Final[dict[str, tuple[int, dict[str, str], bytes]]] = {
    "status_500_after": (500, {}, b""),
    "status_504_after": (504, {}, PAGE),
    "html_after": (200, {}, PAGE),
}
"""Answers to requests that Braze took."""

CLEAR: Final = frozenset(
    {
        "",
        "status_503",
        "limited",
        "key_refused",
        "permission_missing",
        "too_large",
        "refused",
        "stalled_dns",
    }
)
"""Faults after which it is certain that Braze took what it says, or nothing."""


@dataclass
class Sent:
    """One request.

    Attributes:
        number: From 1.
        path: Of its endpoint.
        started_at: When delivery asked for it.
        arrived_at: When Braze had it; 0 if never.
        closed_until: Nothing may be sent before, says the answer.
        taken: The markers of the events that Braze took.
        objects: Its objects, as people, arrays and contents.
    """

    number: int
    invocation: Invocation
    path: str
    started_at: float
    fault: str
    arrived_at: float = 0.0
    status: int = 0
    answered: bool = False
    answered_at: float = 0.0
    closed_until: float = 0.0
    taken: list[str] = field(default_factory=list)
    objects: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)


_WHO: Final = {"external_id", "braze_id", "user_alias", "email", "phone", "_update_existing_only"}


def says_something(item: Mapping[str, Any]) -> bool:
    """Check that an object does more than name, and so create, its person.

    It goes with others of its person. Whatever Braze says of the two is about the other.
    """
    return not _WHO.issuperset(item)


class BrazeModel:
    """A workspace behind an unreliable network.

    Attributes:
        sent: Every request, in order.
        taken: Event marker to how often Braze took it.
        values: Person and attribute to the values Braze took, in order.
    """

    def __init__(self, timeline: Timeline, weather: Weather, random: Random) -> None:
        settings = default_settings(KEY).model_copy(
            update={"limits": {TRACK: (40, 3)}, "read_delay_ms": READ_DELAY * 1_000}
        )
        self.workspace = Workspace(
            settings, quikly_key="unused", clock=lambda: timeline.now, random=random
        )
        self.sent: list[Sent] = []
        self.taken: Counter[str] = Counter()
        self.values: dict[tuple[str, str], list[Any]] = {}
        self._timeline = timeline
        self._weather = weather

    def process(
        self, sent: Sent, request: HttpRequest, answer: Callable[[HttpResponse], None]
    ) -> None:
        """Take a request that has arrived, and answer it."""
        sent.arrived_at = self._timeline.now
        response = self._answer(sent, request)
        sent.status = response.status
        answer(response)

    def _answer(self, sent: Sent, request: HttpRequest) -> HttpResponse:
        if sent.fault in REFUSALS:
            status, body = REFUSALS[sent.fault]
            headers: dict[str, str] = {}
            if sent.fault == "limited":
                headers, sent.closed_until = self._weather.limit_headers(self._timeline.now)
            elif status in {401, 403}:
                sent.closed_until = self._timeline.now + KEY_SECONDS
            return HttpResponse(status, headers, body)
        status, document, headers = self._take(sent, request)
        if sent.fault in LOST_SUCCESSES:
            return HttpResponse(*LOST_SUCCESSES[sent.fault])
        if sent.fault == "empty_success" and status < 300:
            document = {}
        if sent.fault == "undercounted" and status < 300:
            for name in ARRAYS:
                if document.get(f"{name}_processed", 0) > 1:
                    document[f"{name}_processed"] -= 1
        body = PAGE if document is None else json.dumps(document).encode()
        return HttpResponse(status, headers, body)

    def _take(self, sent: Sent, request: HttpRequest) -> tuple[int, Any, dict[str, str]]:
        """Let the stand-in process a request."""
        row = self.workspace.log(request.method, request.path)
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = request.body or b""
        call = Call(row.n, row.at, request.method, request.path, headers, request.params, body)
        if request.path == TRACK:
            return self._track(sent, call)
        answer = answer_call(self.workspace, call)
        return answer.status, answer.json, answer.headers

    def _track(self, sent: Sent, call: Call) -> tuple[int, Any, dict[str, str]]:
        objects = objects_of(call.json)
        poisons = {(array, index): _poison(item) for array, index, item in objects}
        if "nameless" in poisons.values():
            return 400, {"message": "Something in this request is not valid"}, {}
        refused = {place for place, poison in poisons.items() if poison}
        hidden = {place for place, poison in poisons.items() if poison == "uncounted"}
        if sent.fault == "dropped" and sum(says_something(item) for _, _, item in objects) > 1:
            dropped = {objects[n][:2] for n in self._weather.chosen(len(objects), len(objects) - 1)}
            hidden |= dropped - refused
            refused |= dropped
        forced = tuple(
            ForcedError(input_array=array, index=index) for array, index in sorted(refused)
        )
        answer = answer_call(self.workspace, replace(call, forced_errors=forced))
        document: Any = answer.json
        status = answer.status
        if status == 429:
            sent.closed_until = self._timeline.now + int(answer.headers["x-ratelimit-retry-after"])
        if status < 300:
            named = {(each["input_array"], each["index"]) for each in document.get("errors", ())}
            for array, index, item in objects:
                if (array, index) not in named:
                    self._note_taken(sent, array, item)
        if status == 400 and hidden and not refused - hidden:
            status, document = 201, {"message": "success"}
        if document is not None and hidden:
            self._hide(document, hidden, objects)
        return status, document, answer.headers

    def _hide(
        self,
        document: Any,
        hidden: set[tuple[str, int]],
        objects: list[Place],
    ) -> None:
        """Take the errors of some objects away; perhaps leave one without a name.

        Braze counts people with attributes, and perhaps those without. If its count may not tell,
        the error stays.
        """
        for array in {array for array, _, _ in objects}:
            # Braze's page: each count is there if the array was in the request. The stand-in leaves
            # a 0 out.
            document.setdefault(f"{array}_processed", 0)
        told = [
            error
            for error in document.get("errors", ())
            if (error["input_array"], error["index"]) not in hidden
        ]
        named = {(error["input_array"], error["index"]) for error in told}
        people = {
            person_of(item)
            for array, index, item in objects
            if array == "attributes"
            and (array, index) not in named
            and (ATTRIBUTES | {POISON_KEY}) & item.keys()
        }
        is_ambiguous = document.get("attributes_processed", -1) >= len(people)
        if is_ambiguous or self._weather.between(0, 1) < 0.5:
            told.append({"type": "an object is not valid"})
        if self._weather.between(0, 1) < 0.3:
            told = [
                each | {"index": str(each["index"])} if "index" in each else each for each in told
            ]
        document["errors"] = told
        if not told:
            del document["errors"]

    def _note_taken(self, sent: Sent, array: str, item: dict[str, Any]) -> None:
        if array != "attributes":
            marker = marker_of(item)
            self.taken[marker] += 1
            sent.taken.append(marker)
            return
        person = person_of(item)
        for name in ATTRIBUTES & item.keys():
            value = item[name]
            self.values.setdefault((person, name), []).append(value)


def objects_of(body: Any) -> list[Place]:
    """List the objects of a track request."""
    return [
        (array, index, item) for array in ARRAYS for index, item in enumerate(body.get(array, ()))
    ]


def _poison(item: dict[str, Any]) -> str:
    return str(item.get(POISON_KEY) or item.get("properties", {}).get(POISON_KEY, ""))


def person_of(item: dict[str, Any]) -> str:
    """Name the person of a Braze object as :attr:`tests.campaign.answers.Person.name` does."""
    alias = item.get("user_alias")
    if alias is not None:
        return f"user_alias:{alias['alias_label']}:{alias['alias_name']}"
    kind = next(each for each in ("external_id", "email", "phone") if each in item)
    return f"{kind}:{item[kind]}"
