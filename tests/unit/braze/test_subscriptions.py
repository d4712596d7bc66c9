"""Subscription groups: rules of the requests, shapes of the answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from braze_bridge.braze.client import BrazeClient
from braze_bridge.braze.errors import (
    InvalidInputError,
    InvalidReason,
    UnexpectedResponseError,
)
from braze_bridge.braze.subscriptions import (
    SubscriptionStatus,
    SubscriptionStatusGetRequest,
    SubscriptionStatusGetResponse,
    SubscriptionStatusSetRequest,
    SubscriptionUsers,
)
from tests.fakes.recording_transport import RecordingTransport, answer

PHONE = "+11112223333"
GROUP = "a5e84fd1-6220"


def client_of(*script: Any) -> tuple[BrazeClient, RecordingTransport]:
    """A client on a scripted transport."""
    transport = RecordingTransport(*script)
    client = BrazeClient(lambda: "key", transport, "partner-Acme-Bridge/1", lambda: 0.0, (1.0, 1.0))
    return client, transport


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("Subscribed", SubscriptionStatus.SUBSCRIBED),
        ("UNSUBSCRIBED", SubscriptionStatus.UNSUBSCRIBED),
        ("unknown", SubscriptionStatus.UNKNOWN),
        ("Unknown", SubscriptionStatus.UNKNOWN),
        (" subscribed ", SubscriptionStatus.SUBSCRIBED),
        ("opted_in", SubscriptionStatus.UNKNOWN),
        ("", SubscriptionStatus.UNKNOWN),
        (None, SubscriptionStatus.UNKNOWN),
        (1, SubscriptionStatus.UNKNOWN),
    ],
)
def test_states_are_read_in_any_case(text: object, status: SubscriptionStatus) -> None:
    """Every spelling of Braze is read; anything else is unknown."""
    assert SubscriptionStatus.read(text) is status


@pytest.mark.parametrize(
    ("users", "reason"),
    [
        ({}, InvalidReason.IDENTIFIER_COUNT),
        ({"emails": ["a@x.io"], "phones": [PHONE]}, InvalidReason.IDENTIFIER_COUNT),
        ({"external_ids": ["a"], "phones": [PHONE]}, InvalidReason.IDENTIFIER_COUNT),
        ({"external_ids": ["a"] * 51}, InvalidReason.TOO_MANY_IDS),
        ({"phones": ["1112223333"]}, InvalidReason.PHONE_NOT_E164),
        ({"emails": [""]}, InvalidReason.IDENTIFIER_BLANK),
        ({"emails": "a@x.io"}, InvalidReason.WRONG_TYPE),
    ],
)
def test_users_are_of_one_kind(users: dict[str, Any], reason: InvalidReason) -> None:
    """One kind of identifier, 1 to 50 of them, phones in E.164."""
    with pytest.raises(InvalidInputError) as caught:
        SubscriptionUsers(**users)

    assert caught.value.reason is reason


def test_fifty_users_are_allowed() -> None:
    """50 users are one call, and their repr shows none."""
    users = SubscriptionUsers(emails=["ana@example.com"] * 50)

    assert len(users) == 50
    assert "ana" not in repr(users)


class TestStatusGet:
    """GET /subscription/status/get."""

    @pytest.mark.parametrize(
        ("users", "params"),
        [
            (SubscriptionUsers(phones=[PHONE]), (("phone", PHONE),)),
            (SubscriptionUsers(emails=["a+b@x.io"]), (("email", "a+b@x.io"),)),
            (
                SubscriptionUsers(external_ids=["1", "2"]),
                (("external_id[]", "1"), ("external_id[]", "2")),
            ),
        ],
    )
    def test_query(self, users: SubscriptionUsers, params: tuple[tuple[str, str], ...]) -> None:
        """One identifier is a parameter, several are the same parameter with brackets."""
        client, transport = client_of(answer(200, {"status": {}}))

        client.subscription_status_get(SubscriptionStatusGetRequest(GROUP, users))

        (request,) = transport.requests
        assert (request.method, request.path) == ("GET", "/subscription/status/get")
        assert request.params == (("subscription_group_id", GROUP), *params)
        assert request.body is None
        assert "Content-Type" not in request.headers

    @pytest.mark.parametrize(
        ("statuses", "only"),
        [
            ({"whatever": "Subscribed"}, SubscriptionStatus.SUBSCRIBED),
            ({}, SubscriptionStatus.UNKNOWN),
            ({"1": "Subscribed", "2": "Subscribed"}, SubscriptionStatus.UNKNOWN),
        ],
    )
    def test_the_only_state(self, statuses: dict[str, str], only: SubscriptionStatus) -> None:
        """One user's state is read whatever its key; more or fewer than one is unknown."""
        client, _ = client_of(answer(200, {"status": statuses}))
        users = SubscriptionUsers(phones=[PHONE])

        response = client.subscription_status_get(SubscriptionStatusGetRequest(GROUP, users))

        assert response.only() is only

    @pytest.mark.parametrize("document", [{}, {"status": []}, {"status": "Subscribed"}, []])
    def test_unreadable(self, document: Any) -> None:
        """A success without states is an error."""
        client, _ = client_of(answer(200, document))
        users = SubscriptionUsers(phones=[PHONE])

        with pytest.raises(UnexpectedResponseError):
            client.subscription_status_get(SubscriptionStatusGetRequest(GROUP, users))

    def test_a_group_is_needed(self) -> None:
        """A blank group is refused before Braze is asked."""
        with pytest.raises(InvalidInputError):
            SubscriptionStatusGetRequest(" ", SubscriptionUsers(phones=[PHONE]))

    def test_repr(self) -> None:
        """States by e-mail or phone are not shown."""
        response = SubscriptionStatusGetResponse({PHONE: SubscriptionStatus.SUBSCRIBED})

        assert PHONE not in repr(response)


class TestStatusSet:
    """POST /subscription/status/set."""

    @pytest.mark.parametrize(
        ("users", "opt_in", "expected"),
        [
            (
                SubscriptionUsers(phones=[PHONE]),
                True,
                {"phone": [PHONE], "use_double_opt_in_logic": True},
            ),
            (SubscriptionUsers(emails=["a@x.io", "b@x.io"]), None, {"email": ["a@x.io", "b@x.io"]}),
            (
                SubscriptionUsers(external_ids=["1"]),
                False,
                {"external_id": ["1"], "use_double_opt_in_logic": False},
            ),
        ],
    )
    def test_body(
        self, users: SubscriptionUsers, opt_in: bool | None, expected: dict[str, Any]
    ) -> None:
        """Lists under singular keys, `subscription_state` (not `…_status`), opt-in when said."""
        client, transport = client_of(answer(201, {"message": "success"}))
        request_ = SubscriptionStatusSetRequest(GROUP, SubscriptionStatus.SUBSCRIBED, users, opt_in)

        response = client.subscription_status_set(request_)

        (request,) = transport.requests
        assert (request.method, request.path) == ("POST", "/subscription/status/set")
        assert json.loads(request.body or b"") == {
            "subscription_group_id": GROUP,
            "subscription_state": "subscribed",
            **expected,
        }
        assert (response.status, response.message) == (201, "success")

    def test_unknown_cannot_be_set(self) -> None:
        """Only subscribed and unsubscribed can be set, and only in a group."""
        users = SubscriptionUsers(phones=[PHONE])

        with pytest.raises(InvalidInputError):
            SubscriptionStatusSetRequest(GROUP, SubscriptionStatus.UNKNOWN, users)
        with pytest.raises(InvalidInputError):
            SubscriptionStatusSetRequest("", SubscriptionStatus.SUBSCRIBED, users)
