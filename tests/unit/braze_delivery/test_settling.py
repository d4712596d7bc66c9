"""What each of Braze's answers means for the objects of a request."""

from __future__ import annotations

import pytest

from braze_bridge.braze.errors import (
    AuthenticationError,
    BadRequestError,
    BrazeError,
    ConnectFailedError,
    NotFoundError,
    ObjectError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    UnexpectedResponseError,
    UnknownOutcomeError,
    UnsupportedMediaTypeError,
)
from braze_bridge.braze.models import TrackResponse
from braze_delivery.entry import BatchEntry, Chunk
from braze_delivery.packing import RequestPlan, TrackObject
from braze_delivery.settling import Settlement, settle
from tests.fakes.delivery_jobs import job


def work(array: str, *names: str) -> TrackObject:
    carried = tuple(
        BatchEntry(number, job(name), (name,), Chunk({})) for number, name in enumerate(names)
    )
    event = 0 if array == "events" else None
    return TrackObject(array, b"{}", carried, event)  # type: ignore[arg-type]  # of three


A, B = work("attributes", "a"), work("attributes", "b")
MERGED = work("attributes", "m", "n")
E1, E2 = work("events", "e"), work("events", "f")
PLAN = RequestPlan.of([A, MERGED, B, E1, E2])


def response(*errors: ObjectError, status: int = 201) -> TrackResponse:
    return TrackResponse(status, "success", 3, 2, errors, None)


def everything(settlement: Settlement) -> list[int]:
    """The id of every object with an outcome."""
    return sorted(
        id(item)
        for group in (
            settlement.delivered,
            [item for item, _ in settlement.rejected],
            [item for item, _ in settlement.unconfirmed],
            settlement.split,
            [item for smaller in settlement.resend for item in smaller.objects],
            settlement.retry,
            settlement.unknown,
            settlement.unclear,
        )
        for item in group
    )


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_success_without_errors_delivers_everything(status: int) -> None:
    """202 is Braze's answer during maintenance: queued is taken."""
    assert list(PLAN.objects) == settle(PLAN, response(status=status)).delivered


def test_errors_in_a_success_cost_only_the_objects_they_name() -> None:
    """One invalid object in each array; the others are delivered, and a merged one is split."""
    settlement = settle(
        PLAN,
        response(
            ObjectError("attributes", 0, "not a valid email"),
            ObjectError("attributes", 1, "not a valid email"),
            ObjectError("events", 1, "name is required"),
        ),
    )

    assert [item for item, _ in settlement.rejected] == [A, E2]
    assert [reason.detail for _, reason in settlement.rejected] == [
        "not a valid email",
        "name is required",
    ]
    assert settlement.split == [MERGED]
    assert settlement.delivered == [B, E1]


def test_an_error_that_names_no_object_rejects_none() -> None:
    """The counts say that all were taken. The texts are kept."""
    settlement = settle(
        PLAN, response(ObjectError(None, None, "odd"), ObjectError("events", 9, "odd"))
    )

    assert list(PLAN.objects) == settlement.delivered
    assert settlement.texts == ("odd", "odd")


@pytest.mark.parametrize(
    ("attributes", "events", "errors", "unclear"),
    [
        (0, 2, (), [A, MERGED, B]),
        (2, 2, (), [A, MERGED, B]),
        (3, 1, (), [E1, E2]),
        (None, None, (ObjectError(None, None, "odd"),), list(PLAN.objects)),
        (2, 2, (ObjectError("attributes", 0, "no"),), []),
        (1, 2, (ObjectError("attributes", 0, "no"),), [MERGED, B]),
        (3, None, (), [E1, E2]),
        (None, 2, (), [A, MERGED, B]),
    ],
)
def test_what_braze_does_not_count_is_unclear(
    attributes: int | None,
    events: int | None,
    errors: tuple[ObjectError, ...],
    unclear: list[TrackObject],
) -> None:
    """Only in the array whose count is too small."""
    answer = TrackResponse(201, "success", attributes, events, errors, None)

    assert unclear == list(settle(PLAN, answer).unclear)


def test_with_an_error_that_names_no_object_every_object_must_be_counted() -> None:
    """Without it, two attributes objects of one person may count as one."""
    same = [TrackObject("attributes", b"{}", A.entries) for _ in range(2)]
    plan = RequestPlan.of(same)

    assert settle(plan, TrackResponse(201, "success", 1, None, (), None)).delivered == same
    odd = (ObjectError(None, None, "odd"),)
    assert settle(plan, TrackResponse(201, "success", 1, None, odd, None)).unclear == same


def creating_alias(*objects: TrackObject) -> RequestPlan:
    """A request of objects that need one that creates the person."""
    creating = TrackObject("attributes", b"{}", ())
    for item in objects:
        item.needs = creating
    return RequestPlan.of(objects)


def test_an_object_is_alone_beside_the_one_that_creates_its_person() -> None:
    """Whatever Braze says is about the object, not about a creation that changes nothing."""
    event = work("events", "g")
    plan = creating_alias(event)
    odd = (ObjectError(None, None, "odd"),)

    assert len(plan.objects) == 2
    uncounted = settle(plan, TrackResponse(201, "success", 1, 0, odd, None))
    assert [item for item, _ in uncounted.rejected] == [event]
    refused = settle(plan, BadRequestError("no"))
    assert ([item for item, _ in refused.unconfirmed], refused.resend) == ([event], [])


def test_objects_sent_apart_bring_the_one_that_creates_their_person() -> None:
    """And no request holds only that one."""
    first, second = work("events", "g"), work("events", "h")
    plan = creating_alias(first, second)

    resend = settle(plan, BadRequestError("no")).resend

    assert [len(each.arrays["attributes"]) for each in resend] == [1, 1]
    errors = tuple(ObjectError("events", at, "no") for at in range(2))
    assert settle(plan, BadRequestError("no", errors=errors)).resend == []


def test_what_needs_an_uncounted_creation_is_unclear() -> None:
    """Braze counts the event, and drops it if it did not make the alias."""
    event, other = work("events", "g"), work("events", "h")
    plan = RequestPlan.of([*creating_alias(event).objects, A, other])
    odd = (ObjectError(None, None, "odd"),)

    settlement = settle(plan, TrackResponse(201, "success", 0, 2, odd, None))

    assert (settlement.delivered, settlement.unclear) == ([other], [A, event])


def test_a_refused_creation_refuses_what_needs_it() -> None:
    """It belongs to no job, and without it Braze drops the others."""
    event = work("events", "g")
    error = BadRequestError("no", errors=(ObjectError("attributes", 0, "bad alias"),))

    settlement = settle(creating_alias(event), error)

    assert event in [item for item, _ in settlement.rejected]
    assert settlement.resend == []


def test_a_lone_object_that_braze_does_not_count_is_rejected() -> None:
    """What Braze says of a request with one object is about this object."""
    answer = TrackResponse(201, "success", 0, None, (), None)

    assert [item for item, _ in settle(RequestPlan.of([A]), answer).rejected] == [A]


def test_a_bad_request_that_names_objects_resends_the_others() -> None:
    """A 400 processed nothing, so the objects that it does not name are sent again."""
    error = BadRequestError("no", errors=(ObjectError("events", 0, "time is required"),))

    settlement = settle(PLAN, error)

    assert [item for item, _ in settlement.rejected] == [E1]
    assert [smaller.objects for smaller in settlement.resend] == [(A, MERGED, B, E2)]


def test_after_a_bad_request_that_names_no_object_each_is_sent_alone() -> None:
    """The requests hold what the whole held."""
    settlement = settle(PLAN, BadRequestError("no"))

    assert len(settlement.resend) == 5
    assert sorted(map(id, PLAN.objects)) == everything(settlement)


def test_an_object_refused_alone_is_unconfirmed_and_a_merged_one_is_split() -> None:
    """A merged object still contains several jobs."""
    assert [item for item, _ in settle(RequestPlan.of([A]), BadRequestError("no")).unconfirmed] == [
        A
    ]
    assert settle(RequestPlan.of([MERGED]), BadRequestError("no")).split == [MERGED]


def test_too_large_is_sent_apart_and_a_lone_object_is_rejected() -> None:
    """A 413 can only mean the size."""
    assert len(settle(PLAN, PayloadTooLargeError("", status=413)).resend) == 5
    ((item, reason),) = settle(RequestPlan.of([A]), PayloadTooLargeError("", status=413)).rejected
    assert (item, reason.code) == (A, "too_large")


@pytest.mark.parametrize(
    ("error", "scope", "seconds", "reason"),
    [
        (RateLimitedError("", status=429, retry_after=20), "family", 20, "rate_limited"),
        (RateLimitedError("", status=429), "family", None, "rate_limited"),
        (AuthenticationError("", status=401), "all", 60, "key_refused"),
        (PermissionDeniedError("", status=403), "family", 60, "permission_missing"),
        (NotFoundError("", status=404), "family", 60, "requests_refused"),
        (UnsupportedMediaTypeError("", status=415), "family", 60, "requests_refused"),
        (UnexpectedResponseError("", status=302), "family", 60, "requests_refused"),
    ],
)
def test_what_no_persons_data_causes_keeps_everything_and_closes_the_gate(
    error: BrazeError, scope: str, seconds: float | None, reason: str
) -> None:
    """The limit, the key, the permission, the address: jobs wait, none is rejected."""
    settlement = settle(PLAN, error)

    assert PLAN.objects == settlement.retry
    assert settlement.closing is not None
    assert (scope, seconds, reason) == (
        settlement.closing.scope,
        settlement.closing.seconds,
        settlement.closing.reason,
    )


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (ConnectFailedError("refused"), True),
        (ServerError("", status=502), True),
        (ServerError("", status=503), True),
        (ServerError("", status=500), False),
        (ServerError("", status=504), False),
        (UnknownOutcomeError("read timeout"), False),
    ],
)
def test_an_unsent_request_is_distinguished_from_an_unknown_outcome(
    error: BrazeError, *, known: bool
) -> None:
    """The outcome is unknown only if Braze may have acted."""
    settlement = settle(PLAN, error)

    assert PLAN.objects == (settlement.retry if known else settlement.unknown)
    assert settlement.closing is None


@pytest.mark.parametrize(
    "outcome",
    [
        response(),
        response(ObjectError("attributes", 1, "x"), ObjectError("attributes", 1, "y")),
        TrackResponse(201, "success", 1, 2, (), None),
        BadRequestError("no"),
        BadRequestError("no", errors=(ObjectError("attributes", 2, "x"),)),
        PayloadTooLargeError(""),
        RateLimitedError(""),
        UnknownOutcomeError(""),
        ServerError("", status=500),
        AuthenticationError(""),
    ],
)
def test_every_object_has_exactly_one_outcome(outcome: TrackResponse | BrazeError) -> None:
    """No object is missing, and none is in two lists."""
    assert sorted(map(id, PLAN.objects)) == everything(settle(PLAN, outcome))
