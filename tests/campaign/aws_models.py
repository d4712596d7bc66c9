"""AWS in a campaign: the queue, the ledger's table and the rejected table, with their faults."""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ReadTimeoutError

from braze_bridge.aws.dynamodb import READ_SECONDS, DynamoCallError
from braze_bridge.braze.limits import EndpointFamily
from braze_bridge.gate.dynamo import PREFIX
from braze_bridge.gate.shared import ALL
from braze_bridge.handlers import SqsMessage
from braze_bridge.jobs.rejected import RejectedStoreUnavailableError, RowRefusedError
from tests.fakes.dynamodb import FakeDynamo
from tests.fakes.jobs import InMemoryRejectedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

    from braze_bridge.aws.dynamodb import DynamoCalls
    from braze_bridge.jobs.rejected import RejectedRecord
    from tests.campaign.answers import Message
    from tests.campaign.virtual_time import Timeline
    from tests.campaign.weather import Weather

VISIBILITY: Final = 420.0
RETENTION: Final = 345_600.0
MOST_RECEIVES: Final = 1_000
"""As `template.yaml` has them for a function timeout of 60 s."""

GATE: Final = "gate"
"""Stands for all items of the gate."""

_MARKER: Final = re.compile(r'"(?:marker|product_id)":"([^"]*)"')
_HEX_ID: Final = re.compile(r'"([0-9a-f]{32})"')


@dataclass
class Queued:
    """A message in the queue.

    Attributes:
        inflated: Receives from before the campaign, as of a gate that was closed for hours.
        ended: How it left the queue.
    """

    message: Message
    visible_at: float
    inflated: int = 0
    receives: int = 0
    ended: str = ""
    ended_at: float = 0.0


class QueueModel:
    """A standard queue of SQS: at least once, in no order.

    Attributes:
        messages: Everything that was ever in it, by message id.
    """

    def __init__(self, timeline: Timeline, weather: Weather, random: Random) -> None:
        self.messages: dict[str, Queued] = {}
        self._timeline = timeline
        self._weather = weather
        self._random = random
        self._visible: list[tuple[float, float, str]] = []
        self._left = 0

    def put(self, message: Message) -> None:
        """Take a message."""
        message_id = f"m{len(self.messages) + 1}"
        inflated = self._random.choice((30, 300)) if self._random.random() < 0.02 else 0
        self.messages[message_id] = Queued(message, 0.0, inflated)
        self._left += 1
        self._show(message_id, self._timeline.now)

    def receive(self, most: int) -> list[SqsMessage]:
        """Hand out messages."""
        now = self._timeline.now
        found: list[SqsMessage] = []
        while self._visible and self._visible[0][0] <= now and len(found) < most:
            at, _, message_id = heapq.heappop(self._visible)
            queued = self.messages[message_id]
            if queued.ended or queued.visible_at != at:
                continue
            if now - queued.message.sent_at > RETENTION:
                self.end(message_id, "deleted by SQS")
                continue
            queued.receives += 1
            if queued.receives > MOST_RECEIVES:
                self.end(message_id, "in the DLQ")
                continue
            found.append(
                SqsMessage(
                    message_id,
                    queued.message.body,
                    queued.receives + queued.inflated,
                    f"{message_id}/{queued.receives}",
                    queued.message.sent_at,
                )
            )
            # SQS may hand a message out twice.
            twice = self._weather.happens(0.02, now)
            self._show(message_id, now + (self._random.random() * 5 if twice else VISIBILITY))
        return found

    def hide(self, handle: str, seconds: float) -> bool:
        """Change when a message is visible again."""
        message_id, _, receive = handle.partition("/")
        queued = self.messages[message_id]
        if queued.ended or queued.receives != int(receive):
            return False
        self._show(message_id, self._timeline.now + seconds)
        return True

    def end(self, message_id: str, how: str) -> None:
        """Take a message out of the queue."""
        queued = self.messages[message_id]
        if not queued.ended:
            queued.ended = how
            queued.ended_at = self._timeline.now
            self._left -= 1

    @property
    def next_at(self) -> float | None:
        """When the next message may be visible."""
        return self._visible[0][0] if self._visible else None

    @property
    def left(self) -> int:
        """Messages in the queue, hidden ones too."""
        return self._left

    def _show(self, message_id: str, at: float) -> None:
        self.messages[message_id].visible_at = at
        heapq.heappush(self._visible, (at, self._random.random(), message_id))


class QueueClient:
    """The client of SQS that hides messages."""

    def __init__(self, queue: QueueModel, timeline: Timeline, weather: Weather) -> None:
        self._queue = queue
        self._timeline = timeline
        self._weather = weather

    def change_message_visibility_batch(
        self,
        *,
        QueueUrl: str,  # noqa: N803 - AWS's names
        Entries: Sequence[Mapping[str, Any]],  # noqa: N803
    ) -> Mapping[str, Any]:
        """See the SQS API reference."""
        fault = self._weather.draw("queue", self._timeline.now)
        self._timeline.call(5.0 if fault == "hanging" else self._weather.between(0.003, 0.02))
        if fault:
            raise ReadTimeoutError(endpoint_url=QueueUrl)
        done = [
            {"Id": each["Id"]}
            for each in Entries
            if self._queue.hide(each["ReceiptHandle"], each["VisibilityTimeout"])
        ]
        return {"Successful": done}


@dataclass
class Link:
    """The way of one invocation to the table.

    Attributes:
        calls_left: Calls until the table answers no more; ``None`` if it always does.
        doubtful: Ids of the people whose last write failed, or whose answer was lost;
            :data:`GATE` if a call of the gate failed.
    """

    calls_left: int | None = None
    doubtful: set[str] = field(default_factory=set)

    def is_cut(self) -> bool:
        """Count a call, and check that it gets no answer."""
        if self.calls_left is None:
            return False
        self.calls_left -= 1
        return self.calls_left < 0


class TableModel:
    """The table of ledger and gate, as its real client sees it.

    Attributes:
        gate_writes: When each item of the gate was written, and until when it is closed then.
    """

    def __init__(self, timeline: Timeline, weather: Weather) -> None:
        self.dynamo = FakeDynamo()
        self.gate_writes: dict[str, list[tuple[float, float]]] = {}
        self._timeline = timeline
        self._weather = weather
        self._client = self.dynamo.client()
        self._calls = self.dynamo.calls()

    def gate_client(self, link: Callable[[], Link]) -> Any:
        """Make the gate's client.

        Args:
            link: Gives the caller's way to the table, at each call.
        """
        return _GateClient(self, self._client, link)

    def ledger_calls(self, link: Callable[[], Link]) -> DynamoCalls:
        """Make the ledger's calls.

        Args:
            link: As for :meth:`gate_client`.
        """
        return _LedgerCalls(self, self._calls, link)

    def call(
        self, link: Link, make: Callable[[], Any], *, ids: set[str], is_write: bool, seconds: float
    ) -> Any:
        """Make one call, perhaps with a fault.

        Args:
            link: The caller's.
            make: The call to the table.
            ids: Of the people it is about.
            is_write: It changes the table.
            seconds: That the caller waits.

        Raises:
            TimeoutError: No answer came.
        """
        timeline, weather, dynamo = self._timeline, self._weather, self.dynamo
        fault = "hanging" if link.is_cut() else weather.draw("table", timeline.now)
        if fault and (is_write or not ids):
            link.doubtful |= ids or {GATE}
        timeline.call(seconds if fault == "hanging" else weather.between(0.002, 0.015))
        if fault == "hanging":
            raise TimeoutError
        dynamo.failing = {
            "throttled": lambda *_: ("ProvisionedThroughputExceededException", 400),
            "failing": lambda *_: ("InternalServerError", 500),
        }.get(fault, lambda *_: None)
        if fault == "partly":
            some = [id_ for id_ in sorted(ids) if weather.between(0, 1) < 0.3]
            if is_write:
                dynamo.refused = {id_: ["ThrottlingError"] for id_ in some}
            else:
                dynamo.unprocessed = some
        try:
            answer = make()
        finally:
            dynamo.failing = lambda *_: None
            dynamo.refused, dynamo.unprocessed = {}, []
            self._note_gate()
        timeline.sleep(seconds if fault == "lost_answer" else 0.001)
        if fault == "lost_answer":
            raise TimeoutError
        return answer

    def _note_gate(self) -> None:
        for id_ in (f"{PREFIX}{ALL}", f"{PREFIX}{EndpointFamily.TRACK}"):
            stored = self.dynamo.items.get(id_, {})
            until = float(stored.get("closed_until", {}).get("N", 0)) / 1000
            writes = self.gate_writes.setdefault(id_, [(0.0, 0.0)])
            if writes[-1][1] != until:
                writes.append((self._timeline.now, until))

    def closed_throughout(self, begin: float, end: float) -> bool:
        """Check that the gate of `/users/track` was closed from one time to the other."""
        for name in (f"{PREFIX}{ALL}", f"{PREFIX}{EndpointFamily.TRACK}"):
            writes = self.gate_writes.get(name, ())
            before = [until for at, until in writes if at <= begin][-1:]
            during = [until for at, until in writes if begin < at <= end]
            if before and all(until > end for until in before + during):
                return True
        return False


class _GateClient:
    """A client of botocore."""

    def __init__(self, table: TableModel, client: Any, link: Callable[[], Link]) -> None:
        self.exceptions = client.exceptions
        self._table = table
        self._client = client
        self._link = link

    def __getattr__(self, name: str) -> Any:
        def call(**asked: Any) -> Any:
            is_write = name != "batch_get_item"
            make = partial(getattr(self._client, name), **asked)
            try:
                return self._table.call(
                    self._link(), make, ids=set(), is_write=is_write, seconds=READ_SECONDS
                )
            except TimeoutError:
                raise ReadTimeoutError(endpoint_url="dynamodb") from None

        return call


class _LedgerCalls:
    """:class:`braze_bridge.aws.dynamodb.DynamoCalls`."""

    def __init__(self, table: TableModel, calls: DynamoCalls, link: Callable[[], Link]) -> None:
        self._table = table
        self._calls = calls
        self._link = link

    def call(self, operation: str, body: bytes, seconds: float = READ_SECONDS) -> Any:
        """See :class:`braze_bridge.aws.dynamodb.DynamoCalls`."""
        link, text = self._link(), body.decode()
        is_write = operation != "BatchGetItem"
        try:
            answer = self._table.call(
                link,
                partial(self._calls.call, operation, body),
                ids=set(_HEX_ID.findall(text)),
                is_write=is_write,
                seconds=min(max(seconds, 0.0), READ_SECONDS),
            )
        except TimeoutError:
            raise DynamoCallError("ReadTimeout") from None
        if is_write:
            for id_, each in zip(_HEX_ID.findall(text), answer["Responses"], strict=True):
                if "Error" not in each:
                    link.doubtful.discard(id_)
        return answer


class RejectedModel(InMemoryRejectedStore):
    """The rejected table, with faults.

    Attributes:
        markers: Of all events in its rows.
    """

    def __init__(self, timeline: Timeline, weather: Weather) -> None:
        super().__init__()
        self.markers: set[str] = set()
        self._timeline = timeline
        self._weather = weather

    def park(self, record: RejectedRecord) -> None:
        """See :meth:`braze_bridge.jobs.rejected.RejectedStore.park`."""
        fault = self._weather.draw("rejected", self._timeline.now)
        self._timeline.call(10.0 if fault == "hanging" else self._weather.between(0.003, 0.02))
        if fault == "refusing":
            raise RowRefusedError("ValidationException")
        if fault:
            raise RejectedStoreUnavailableError(fault)
        super().park(record)
        self.markers |= set(_MARKER.findall(record.payload))
