"""A ``BrazeClient.track`` without a network: a rule refuses objects, the others are kept."""

from __future__ import annotations

import json
from concurrent.futures import Executor, Future
from threading import Lock
from typing import TYPE_CHECKING, Any

from braze_bridge.braze.errors import BadRequestError, BrazeError, ObjectError
from braze_bridge.braze.models import TrackResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from braze_bridge.braze.models import TrackRequest

JsonObject = dict[str, Any]


class InlineExecutor(Executor):
    """Runs what it is given at once, in the caller's thread: tests without races."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See :meth:`concurrent.futures.Executor.submit`."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - an executor hands every error to the future
            future.set_exception(error)
        return future


class FakeTrack:
    """Takes requests as ``/users/track`` would.

    Attributes:
        bodies: Every request's JSON, refused ones too.
        deadlines: The deadline of every request.
        taken: Every object taken, as ``(array, object)``, in order.
        named: Chooses objects to refuse by name, in a 201, or in a 400 if no other object is left.
        nameless: Chooses objects whose request gets a 400 that names none.
        before: Called with the number of the request (from 1); may raise what Braze would answer.
        after: The same, when the objects are already taken.
    """

    def __init__(self) -> None:
        self.bodies: list[JsonObject] = []
        self.sizes: list[int] = []
        self.deadlines: list[float | None] = []
        self.taken: list[tuple[str, JsonObject]] = []
        self.named: Callable[[JsonObject], bool] = lambda _: False
        self.nameless: Callable[[JsonObject], bool] = lambda _: False
        self.before: Callable[[int], BrazeError | None] = lambda _: None
        self.after: Callable[[int], BrazeError | None] = lambda _: None
        self._lock = Lock()

    def __call__(
        self,
        request: TrackRequest,
        *,
        timeout: tuple[float, float] | None = None,
        deadline: float | None = None,
    ) -> TrackResponse:
        """See :meth:`braze_bridge.braze.client.BrazeClient.track`."""
        self.deadlines.append(deadline)
        with self._lock:
            return self._answer(request)

    def _answer(self, request: TrackRequest) -> TrackResponse:
        body = json.loads(request.body())
        self.bodies.append(body)
        self.sizes.append(request.size)
        number = len(self.bodies)
        self._raise(self.before(number))
        objects = [
            (array, index, item)
            for array in ("attributes", "events", "purchases")
            for index, item in enumerate(body.get(array, []))
        ]
        if any(self.nameless(item) for _, _, item in objects):
            raise BadRequestError(status=400, message="Something in this request is not valid")
        errors = tuple(
            ObjectError(array, index, "refused by name")  # type: ignore[arg-type]  # of two arrays
            for array, index, item in objects
            if self.named(item)
        )
        if len(errors) == len(objects):
            raise BadRequestError(status=400, message="Valid data must be provided", errors=errors)
        self.taken += [(array, item) for array, _, item in objects if not self.named(item)]
        self._raise(self.after(number))
        return TrackResponse(
            status=201,
            message="success",
            attributes_processed=None,
            events_processed=None,
            errors=errors,
            rate_limit=None,
        )

    @staticmethod
    def _raise(error: BrazeError | None) -> None:
        if error is not None:
            raise error

    @property
    def events(self) -> list[JsonObject]:
        """The events taken."""
        return [item for array, item in self.taken if array == "events"]

    def profile(self, external_id: str) -> JsonObject:
        """A person's attributes after every object taken, in order."""
        profile: JsonObject = {}
        for array, item in self.taken:
            if array == "attributes" and item.get("external_id") == external_id:
                profile |= item
        return profile
