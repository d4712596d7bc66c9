"""The whole API on fakes: every answer to any call is documented, and none is a 5xx."""

from __future__ import annotations

from collections import Counter

from tests.api_document import ApiDocument
from tests.fakes.api_event import TOKEN, proxy_event
from tests.fakes.bridge_api import BridgeApi
from tests.hostile_calls import HostileCall, hostile_calls

CALLS = 2_000


def event_of(call: HostileCall) -> dict[str, object]:
    made = proxy_event(
        call.body,
        path=call.path,
        resource=call.resource,
        path_parameters=call.path_parameters,
        token=None,
    )
    sent = call.headers(TOKEN)
    made["headers"] = sent
    made["multiValueHeaders"] = {name: [value] for name, value in sent.items()}
    return made


def test_hostile_calls_are_answered_as_documented() -> None:
    """A call of every kind on every route; only those that are valid after all are accepted."""
    api, document = BridgeApi(), ApiDocument.read()
    statuses: Counter[int] = Counter()
    for call in hostile_calls(seed=1, number=CALLS):
        answer = api.call(event_of(call))

        problems = document.answer_problems(
            call.resource, answer["statusCode"], answer["headers"], answer["body"]
        )
        assert problems == [], (call.kind, call.resource, call.body[:300])
        statuses[answer["statusCode"]] += 1

    assert statuses.keys() == {200, 202, 400, 401, 413, 415, 422}, statuses


def test_nothing_is_parked_without_a_reason() -> None:
    """On the routes that keep bodies, each body that was answered 422 is kept once."""
    api = BridgeApi()
    refused = set()
    for call in hostile_calls(seed=2, number=300):
        answer = api.call(event_of(call))
        if answer["statusCode"] == 422 and call.resource.startswith(
            ("/outgrow", "/iterate", "/quikly/events")
        ):
            refused.add((call.path, call.body.removeprefix(b"\xef\xbb\xbf")))

    parked = [record for store in api.parked for record in store.records.values()]
    assert len(parked) == len(refused) > 0
    assert all(record.reasons for record in parked)
