"""Answers of the real Braze, as recorded or printed by others, read by our client.

Where each was found: jonallured/braze_ruby's recorded exchanges (`VCR`), rudderlabs/
rudder-transformer's and segmentio/action-destinations' tests (`RS`, `SEG`), www.braze.com/docs.
"""

from __future__ import annotations

import pytest

from braze_bridge.braze.client import BrazeClient
from braze_bridge.braze.errors import AuthenticationError, BadRequestError, ObjectError
from braze_bridge.braze.models import ExportIdsRequest, TrackRequest
from braze_bridge.braze.rate_limits import RateLimit
from braze_bridge.braze.subscriptions import (
    SubscriptionStatus,
    SubscriptionStatusGetRequest,
    SubscriptionStatusSetRequest,
    SubscriptionUsers,
)
from tests.fakes.recording_transport import RecordingTransport, answer

NOW = 1_592_427_000.0  # shortly before the recorded reset
RECORDED_HEADERS = {
    "X-Ratelimit-Limit": "250000",
    "X-Ratelimit-Remaining": "249986",
    "X-Ratelimit-Reset": "1592427600",
}
TRACK = TrackRequest([b'{"external_id":"a"}'], [b'{"external_id":"a","name":"n"}'])


def client_of(status: int, body: str, headers: dict[str, str] | None = None) -> BrazeClient:
    """A client that gets one recorded answer."""
    return BrazeClient(
        lambda: "non-existent",
        RecordingTransport(answer(status, body.encode(), headers)),
        "partner-Acme-Bridge/1",
        lambda: NOW,
        (1.0, 1.0),
    )


def test_track_created() -> None:
    """VCR track_users/with_success: 201, counts per array, epoch reset."""
    client = client_of(
        201,
        '{"attributes_processed":1,"events_processed":1,"purchases_processed":1,'
        '"message":"success"}',
        RECORDED_HEADERS,
    )

    response = client.track(TRACK)

    assert (response.status, response.message, response.errors) == (201, "success", ())
    assert (response.attributes_processed, response.events_processed) == (1, 1)
    assert response.rate_limit == RateLimit(250_000, 249_986, 1_592_427_600.0)


def test_track_queued() -> None:
    """The docs, older: 202 during maintenance is a success without counts."""
    response = client_of(202, '{"message":"queued"}').track(TRACK)

    assert (response.status, response.message) == (202, "queued")
    assert (response.attributes_processed, response.events_processed) == (None, None)


def test_track_partial_failure() -> None:
    """RS and SEG: a 201 names the objects it did not take."""
    response = client_of(
        201,
        '{"message":"success","events_processed":1,"errors":['
        "{\"type\":\"'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is "
        'required","input_array":"events","index":1},'
        '{"type":"\'quantity\' is not valid","input_array":"purchases","index":0}]}',
    ).track(TRACK)

    assert response.attributes_processed is None
    assert response.errors == (
        ObjectError(
            "events", 1, "'external_id', 'braze_id', 'user_alias', 'email' or 'phone' is required"
        ),
        ObjectError("purchases", 0, "'quantity' is not valid"),
    )


def test_track_nothing_valid() -> None:
    """RS and SEG: a 400 names every object."""
    client = client_of(
        400,
        "{\"message\":\"Valid data must be provided in the 'attributes', 'events', or "
        '\'purchases\' fields.","errors":[{"type":"The value provided for the \'email\' field '
        'is not a valid email.","input_array":"attributes","index":0}]}',
    )

    with pytest.raises(BadRequestError) as caught:
        client.track(TRACK)

    assert caught.value.message.startswith("Valid data must be provided in the 'attributes'")
    assert caught.value.errors == (
        ObjectError(
            "attributes", 0, "The value provided for the 'email' field is not a valid email."
        ),
    )


@pytest.mark.parametrize(
    "type_",
    [
        "'external_id' must be fewer than 988 bytes",
        "provided external_id is blacklisted and disallowed",
        "The property '#/' did not contain a required property of 'product_id'",
        "EXTERNAL_USER_ID_TOO_LARGE",
    ],
)
def test_known_texts_pass_unchanged(type_: str) -> None:
    """RS, docs: cleaning does not spoil the texts Braze is known to send."""
    body = f'{{"message":"success","errors":[{{"type":"{type_}","input_array":"events"}}]}}'

    assert client_of(201, body).track(TRACK).errors == (ObjectError("events", None, type_),)


def test_broken_json() -> None:
    """The page docs/api/errors: of a body that is no JSON, Braze speaks in `error`."""
    text = "Error while parsing request body. Please check your syntax."
    client = client_of(400, f'{{"error":"{text}"}}')

    with pytest.raises(BadRequestError) as caught:
        client.track(TRACK)

    assert (caught.value.message, caught.value.errors) == (text, ())


def test_unauthorized() -> None:
    """VCR */unauthorized: the body echoes the key, the rate-limit headers are empty."""
    client = client_of(
        401,
        '{"message":"Invalid API key: non-existent"}',
        {"X-Ratelimit-Limit": "", "X-Ratelimit-Remaining": "", "X-Ratelimit-Reset": ""},
    )

    with pytest.raises(AuthenticationError) as caught:
        client.track(TRACK)

    assert "non-existent" not in f"{caught.value!r} {caught.value} {vars(caught.value)}"
    assert caught.value.rate_limit is None
    assert caught.value.retry_after is None


def test_export() -> None:
    """VCR export_users/by_ids: 201, and a profile as Braze writes it."""
    body = (
        '{"users":[{"created_at":"2020-06-17T20:01:33.385Z","external_id":"12345",'
        '"user_aliases":[],"appboy_id":"5eea769d45bb2e1467418f92",'
        '"braze_id":"5eea769d45bb2e1467418f92","first_name":"John","last_name":"Doe",'
        '"random_bucket":5445,"email":"example@test.com",'
        '"custom_attributes":{"string_attribute":"sherman","integer_attribute":25},'
        '"total_revenue":0.0,"push_subscribe":"subscribed","email_subscribe":"subscribed"}],'
        '"message":"success"}'
    )

    response = client_of(201, body).export_ids(ExportIdsRequest(["email"], external_ids=["12345"]))

    (user,) = response.users
    assert user.external_id == "12345"
    assert user.braze_id == "5eea769d45bb2e1467418f92"
    assert user.email == "example@test.com"
    assert user.email_subscribe == "subscribed"
    assert user.phone is None
    assert user.user_aliases == ()
    assert user.custom_attributes == {"string_attribute": "sherman", "integer_attribute": 25}
    assert user.other["random_bucket"] == 5445


def test_export_without_a_match() -> None:
    """The docs: users may be empty, with or without the ids that matched no user."""
    request = ExportIdsRequest(["email"], external_ids=["x"])

    assert client_of(201, '{"users":[],"message":"success"}').export_ids(request).users == []
    answered = client_of(201, '{"users":[],"invalid_user_ids":["x"],"message":"success"}')
    assert answered.export_ids(request).users == []


def test_subscription_status() -> None:
    """VCR subscription/…only_users_that_were_once_subscribed: three spellings of states."""
    body = (
        '{"status":{"test-user-1":"Subscribed","test-user-2":"Unsubscribed",'
        '"test-user-3":"unknown"},"message":"success"}'
    )
    users = SubscriptionUsers(external_ids=["test-user-1", "test-user-2", "test-user-3"])

    response = client_of(200, body).subscription_status_get(
        SubscriptionStatusGetRequest("group", users)
    )

    assert dict(response.statuses) == {
        "test-user-1": SubscriptionStatus.SUBSCRIBED,
        "test-user-2": SubscriptionStatus.UNSUBSCRIBED,
        "test-user-3": SubscriptionStatus.UNKNOWN,
    }


def test_unknown_subscription_group() -> None:
    """VCR: 400 with a text and no errors, on reading and on setting."""
    users = SubscriptionUsers(phones=["+11112223333"])
    update = SubscriptionStatusSetRequest("nope", SubscriptionStatus.SUBSCRIBED, users)
    body = '{"message":"Invalid subscription group ID"}'

    with pytest.raises(BadRequestError, match=r"^400 Invalid subscription group ID$"):
        client_of(400, body).subscription_status_get(SubscriptionStatusGetRequest("nope", users))
    with pytest.raises(BadRequestError, match=r"^400 Invalid subscription group ID$"):
        client_of(400, body).subscription_status_set(update)


def test_subscription_set() -> None:
    """VCR and docs: 201 with a message and nothing else."""
    users = SubscriptionUsers(emails=["a@example.com"])
    update = SubscriptionStatusSetRequest("group", SubscriptionStatus.UNSUBSCRIBED, users)

    response = client_of(201, '{"message": "success"}').subscription_status_set(update)

    assert (response.status, response.message) == (201, "success")


def test_mau_series() -> None:
    """The docs: a day and a figure."""
    body = '{"message": "success", "data": [{"time": "2018-06-28", "mau": 123}]}'

    assert client_of(200, body).mau_data_series(1) == [{"time": "2018-06-28", "mau": 123}]
