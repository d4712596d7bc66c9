"""Subscription groups (reference §3)."""

from typing import Any

import pytest

from tests.functional.sandbox.caller import KEY, TIMEOUT, Caller, people

PHONE = "+15555550123"
DAY = 86_400
SMS, EMAIL = "demo-sms-group", "demo-email-group"


# -- reading -------------------------------------------------------------------------------------


def test_status_values_are_as_recorded(braze: Caller) -> None:
    """States read Subscribed, Unsubscribed, and in lower case unknown, keyed by external id."""
    braze.attributes(*people(3, email="a@example.com"))
    braze.subscribe(EMAIL, external_id="user-0")
    braze.subscribe(EMAIL, external_id="user-1", subscription_state="unsubscribed")

    answer = braze.get(
        "/subscription/status/get",
        subscription_group_id=EMAIL,
        **{"external_id[]": ["user-0", "user-1", "user-2", "nobody"]},
    )

    assert answer.status_code == 200
    assert answer.json() == {
        "status": {
            "user-0": "Subscribed",
            "user-1": "Unsubscribed",
            "user-2": "unknown",
            "nobody": "unknown",
        },
        "message": "success",
    }


def test_status_key_of_an_address_is_not_the_input(braze: Caller) -> None:
    """Asked by phone, the one value comes under a key the caller did not send."""
    braze.attributes({"external_id": "u", "phone": PHONE})
    braze.subscribe(SMS, phone=PHONE)

    assert braze.status(SMS, phone=PHONE) == {"u": "Subscribed"}


def test_shared_address_is_subscribed_only_if_all_are(braze: Caller) -> None:
    """An address reads Subscribed only when everybody who has it is subscribed."""
    braze.attributes(*people(2, phone=PHONE))
    braze.subscribe(SMS, phone=PHONE)
    before = braze.status(SMS, phone=PHONE)

    braze.subscribe(SMS, external_id="user-1", subscription_state="unsubscribed")

    assert list(before.values()) == ["Subscribed"]
    assert list(braze.status(SMS, phone=PHONE).values()) == ["Unsubscribed"]


def test_status_prefers_the_external_id(braze: Caller) -> None:
    """With an external id, e-mail and phone in the query are ignored."""
    status = braze.status(SMS, external_id="u", phone=PHONE, email="a@example.com")

    assert status == {"u": "unknown"}


def test_raw_plus_in_a_query_is_a_space(braze: Caller) -> None:
    """A phone whose plus is not encoded finds no profile."""
    braze.attributes({"external_id": "u", "phone": "+447911123456"})
    braze.subscribe(SMS, phone="+447911123456")

    answer = braze.session.get(
        f"{braze.url}/subscription/status/get?subscription_group_id={SMS}&phone=+447911123456",
        headers={"Authorization": f"Bearer {KEY}"},
        timeout=TIMEOUT,
    )

    assert list(answer.json()["status"].values()) == ["unknown"]


@pytest.mark.parametrize(
    "query",
    [
        {"subscription_group_id": SMS},
        {"subscription_group_id": SMS, "email": "a@example.com", "phone": PHONE},
        {"subscription_group_id": SMS, "email": "a@example.com"},
        {"subscription_group_id": EMAIL, "phone": PHONE},
        {"subscription_group_id": SMS, "phone": [f"+1555555{n:04}" for n in range(51)]},
        {"phone": PHONE},
        {"subscription_group_id": "nothing", "phone": PHONE},
    ],
    ids=lambda query: str(query)[:60],
)
def test_bad_status_queries_are_400(braze: Caller, query: dict[str, Any]) -> None:
    """No identifier, both addresses, the wrong channel, over 50 or an unknown group: all 400."""
    assert braze.get("/subscription/status/get", **query).status_code == 400


def test_user_status_lists_groups_ever_touched(braze: Caller) -> None:
    """Users are listed with the groups they have a history in, missing addresses as null."""
    braze.attributes(*people(2, email="a@example.com"))
    braze.subscribe(EMAIL, external_id="user-0")

    answer = braze.get("/subscription/user/status", email="a@example.com")

    assert answer.status_code == 200
    assert answer.json() == {
        "users": [
            {
                "email": "a@example.com",
                "phone": None,
                "external_id": "user-0",
                "subscription_groups": [
                    {
                        "id": EMAIL,
                        "name": EMAIL,
                        "channel": "email",
                        "status": "Subscribed",
                    },
                ],
            },
            {
                "email": "a@example.com",
                "phone": None,
                "external_id": "user-1",
                "subscription_groups": [],
            },
        ],
        "total_count": 2,
        "message": "success",
    }


def test_user_status_pages(braze: Caller) -> None:
    """`limit` and `offset` page through the users while the total stays."""
    braze.attributes(*people(3, email="a@example.com"))

    answer = braze.get("/subscription/user/status", email="a@example.com", limit=1, offset=1)

    assert [user["external_id"] for user in answer.json()["users"]] == ["user-1"]
    assert answer.json()["total_count"] == 3


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"email": "a@example.com", "limit": 0},
        {"email": "a@example.com", "limit": 101},
        {"email": "a@example.com", "offset": -1},
        {"email": "a@example.com", "phone": PHONE},
    ],
    ids=str,
)
def test_bad_user_status_queries_are_400(braze: Caller, query: dict[str, Any]) -> None:
    """No identifier, both addresses, or a page out of range are all 400."""
    assert braze.get("/subscription/user/status", **query).status_code == 400


# -- writing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/subscription/status/set", "/v2/subscription/status/set"])
def test_set_is_201_for_all_who_share_the_phone(braze: Caller, path: str) -> None:
    """Both versions answer 201 `success` and set everybody who has the phone."""
    braze.attributes(*people(2, phone=PHONE))
    change = {"subscription_group_id": SMS, "subscription_state": "subscribed"}
    bodies = {
        "/subscription/status/set": {**change, "phone": PHONE},
        "/v2/subscription/status/set": {"subscription_groups": [{**change, "phones": [PHONE]}]},
    }

    answer = braze.post(path, bodies[path])

    assert (answer.status_code, answer.json()) == (201, {"message": "success"})
    assert braze.status(SMS, external_id=["user-0", "user-1"]) == {
        "user-0": "Subscribed",
        "user-1": "Subscribed",
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"subscription_group_id": "nothing"}, "Invalid subscription group ID"),
        ({"subscription_group_id": None}, "Invalid subscription group ID"),
        ({"subscription_state": None}, None),
        ({"subscription_state": "Subscribed"}, None),
        ({"phone": None}, None),
        ({"phone": "5555550123"}, None),
        ({"phone": [PHONE, "123"]}, None),
        ({"phone": 5}, None),
        (
            {"email": "a@example.com"},
            "Either an email address or a phone number should be provided, but not both.",
        ),
        ({"phone": None, "email": "a@example.com"}, None),
        ({"phone": [f"+1555555{n:04}" for n in range(51)]}, None),
        ({"use_double_opt_in_logic": "yes"}, None),
    ],
    ids=lambda value: str(value)[:60],
)
def test_bad_sets_are_400(braze: Caller, body: dict[str, Any], message: str | None) -> None:
    """Every documented and undocumented mistake is a 400, in Braze's words where known."""
    whole = {
        "subscription_group_id": SMS,
        "subscription_state": "subscribed",
        "phone": PHONE,
        **body,
    }

    answer = braze.post(
        "/subscription/status/set",
        {name: value for name, value in whole.items() if value is not None},
    )

    assert answer.status_code == 400
    if message is not None:
        assert answer.json() == {"message": message}


def test_subscription_status_is_not_the_key(braze: Caller) -> None:
    """`subscription_status`, as Quikly's page prints it, is refused."""
    body = {"subscription_group_id": SMS, "subscription_status": "subscribed", "phone": PHONE}

    assert braze.post("/subscription/status/set", body).status_code == 400


@pytest.mark.parametrize(
    "groups",
    [
        [],
        ["x"],
        [{"subscription_group_id": SMS, "subscription_state": "subscribed", "phone": PHONE}],
        [{"subscription_group_id": SMS, "subscription_state": "subscribed", "phones": ["5"]}],
        [
            {"subscription_group_id": SMS, "subscription_state": "subscribed", "phones": [PHONE]},
            {
                "subscription_group_id": EMAIL,
                "subscription_state": "subscribed",
                "emails": ["a@example.com"],
            },
        ],
        [
            {
                "subscription_group_id": EMAIL,
                "subscription_state": "subscribed",
                "external_ids": [str(n) for n in range(26)],
            },
        ]
        * 2,
    ],
    ids=lambda groups: str(groups)[:60],
)
def test_bad_v2_sets_are_400(braze: Caller, groups: list[Any]) -> None:
    """V2 wants plural keys, E.164, not e-mails and phones together, and 50 users at most."""
    answer = braze.post("/v2/subscription/status/set", {"subscription_groups": groups})

    assert answer.status_code == 400


def test_one_bad_phone_fails_the_whole_call(braze: Caller) -> None:
    """One phone that is not E.164 refuses the call, and no profile is subscribed."""
    braze.attributes({"external_id": "u", "phone": PHONE})

    assert braze.subscribe(SMS, phone=[PHONE, "123"]).status_code == 400
    assert braze.status(SMS, external_id="u") == {"u": "unknown"}


def test_set_for_an_unknown_external_id_is_lost(braze: Caller) -> None:
    """A state for an unknown external id is a 201 that does nothing, noted as dropped."""
    assert braze.subscribe(SMS, external_id="nobody").status_code == 201
    assert braze.dropped() == [("subscription_groups", 0, None)]


@pytest.mark.parametrize(("days", "status"), [(29.9, "Subscribed"), (30, "unknown")])
def test_orphaned_state_waits_30_days(braze: Caller, days: float, status: str) -> None:
    """A state set before its profile exists is inherited by one made within 30 days."""
    braze.subscribe(SMS, phone=PHONE)

    braze.clock.advance(days * DAY)
    braze.attributes({"external_id": "u", "phone": PHONE})

    assert braze.status(SMS, external_id="u") == {"u": status}


def test_orphaned_state_is_not_readable(braze: Caller) -> None:
    """Until there is a profile the state of an address reads unknown."""
    braze.subscribe(SMS, phone=PHONE)

    assert list(braze.status(SMS, phone=PHONE).values()) == ["unknown"]


def test_orphaned_state_needs_a_new_profile(braze: Caller) -> None:
    """A profile that exists already uses it up with the phone, and inherits nothing."""
    braze.attributes({"external_id": "u"})
    braze.subscribe(SMS, phone=PHONE)

    braze.attributes({"external_id": "u", "phone": PHONE})
    braze.attributes({"external_id": "new", "phone": PHONE})

    assert braze.status(SMS, external_id=["u", "new"]) == {"u": "unknown", "new": "unknown"}


UNSUBSCRIBED = {"subscription_group_id": SMS, "subscription_state": "unsubscribed"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/subscription/status/set", {**UNSUBSCRIBED, "phone": PHONE}),
        ("/subscription/status/set", {**UNSUBSCRIBED, "external_id": "a"}),
        (
            "/v2/subscription/status/set",
            {"subscription_groups": [{**UNSUBSCRIBED, "phones": [PHONE]}]},
        ),
        (
            "/users/track",
            {"attributes": [{"external_id": "a", "subscription_groups": [UNSUBSCRIBED]}]},
        ),
        ("/users/track", {"attributes": [{"external_id": "a", "phone": None}]}),
        ("/users/delete", {"external_ids": ["a"]}),
    ],
    ids=lambda value: str(value)[:70],
)
def test_orphaned_state_is_used_up(braze: Caller, path: str, body: dict[str, Any]) -> None:
    """The first profile inherits it. Whatever that one does then, the next inherits nothing."""
    braze.subscribe(SMS, phone=PHONE)
    braze.attributes({"external_id": "a", "phone": PHONE})
    inherited = braze.status(SMS, external_id="a")

    braze.post(path, body)
    braze.attributes({"external_id": "b", "phone": PHONE})

    assert inherited == {"a": "Subscribed"}
    assert braze.status(SMS, external_id="b") == {"b": "unknown"}


def test_orphaned_state_is_overwritten(braze: Caller) -> None:
    """Of two states that are set before there is a profile, the later one is inherited."""
    braze.subscribe(SMS, phone=PHONE)
    braze.subscribe(SMS, phone=PHONE, subscription_state="unsubscribed")
    braze.attributes({"external_id": "u", "phone": PHONE})

    assert braze.status(SMS, external_id="u") == {"u": "Unsubscribed"}


def test_states_are_independent_of_the_global_one(braze: Caller) -> None:
    """A user unsubscribed from all e-mail still reads as the group says."""
    braze.attributes(
        {"external_id": "u", "email": "a@example.com", "email_subscribe": "unsubscribed"},
    )
    braze.subscribe(EMAIL, email="a@example.com")

    assert braze.status(EMAIL, external_id="u") == {"u": "Subscribed"}
