"""`/messages/send`, `/campaigns/trigger/send` and `/canvas/trigger/send`: logged, not sent."""

import re
from typing import Any

import pytest

from tests.functional.sandbox.caller import NOW, TIMEOUT, Caller

EMAIL = {"email": {"app_id": "app", "from": "Ana <ana@example.com>", "body": "hi"}}
ALIAS = {"alias_label": "crm", "alias_name": "ana"}
TRIGGERS = {"/campaigns/trigger/send": "campaign_id", "/canvas/trigger/send": "canvas_id"}
PROPERTIES = {"/campaigns/trigger/send": "trigger_properties", "/canvas/trigger/send": "context"}
SENDS: dict[str, dict[str, Any]] = {
    "/messages/send": {"external_user_ids": ["u"], "messages": EMAIL},
    **{
        path: {name: "it", "recipients": [{"external_user_id": "u"}]}
        for path, name in TRIGGERS.items()
    },
}


def messages(braze: Caller) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = braze.control("messages")
    return found


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/messages/send", "email"),
        ("/campaigns/trigger/send", "it"),
        ("/canvas/trigger/send", "it"),
    ],
)
def test_message_is_accepted_and_logged(braze: Caller, path: str, what: str) -> None:
    """The answer is the recorded one. The log has who would get the message, and who cannot."""
    answer = braze.post(path, SENDS[path])
    braze.attributes({"external_id": "u"})
    braze.post(path, SENDS[path])

    first, second = messages(braze)
    assert (answer.status_code, answer.json()["message"]) == (201, "success")
    assert re.fullmatch("[0-9a-f]{32}", answer.json()["dispatch_id"])
    assert first == {
        "n": 1,
        "at": NOW,
        "path": path,
        "what": what,
        "recipients": ["u"],
        "unknown": ["u"],
        "dispatch_id": answer.json()["dispatch_id"],
    }
    assert second["unknown"] == []
    assert second["dispatch_id"] != first["dispatch_id"]


def test_page_shows_the_messages(braze: Caller) -> None:
    """What the page polls has the newest message first."""
    braze.post("/campaigns/trigger/send", SENDS["/campaigns/trigger/send"])
    braze.post("/messages/send", {"broadcast": True, "segment_id": "s", "messages": EMAIL})

    shown = braze.session.get(f"{braze.url}/_sandbox/live", timeout=TIMEOUT).json()

    assert shown["counts"]["messages"] == 2
    assert [(row["what"], row["recipients"], row["unknown"]) for row in shown["messages"]] == [
        ("email", [], 0),
        ("it", ["u"], 1),
    ]


@pytest.mark.parametrize("path", SENDS)
def test_ids_may_be_numbers(braze: Caller, path: str) -> None:
    """Recorded requests name users by numbers."""
    braze.attributes({"external_id": "12345"})
    body = {**SENDS[path]}
    if "recipients" in body:
        body["recipients"] = [{"external_user_id": 12345}]
    else:
        body["external_user_ids"] = [12345]

    assert braze.post(path, body).status_code == 201
    assert messages(braze)[0]["unknown"] == []


@pytest.mark.parametrize("path", TRIGGERS)
def test_recipients_are_found_as_their_identifier_says(braze: Caller, path: str) -> None:
    """By id, alias, Braze id, or an e-mail with a prioritization; each once."""
    braze.attributes(
        {"external_id": "u", "email": "a@example.com"},
        {"user_alias": ALIAS, "_update_existing_only": False},
    )
    known = braze.profile("u")["braze_id"]
    by_email = {"email": "a@example.com", "prioritization": ["identified"]}
    recipients = [
        {"external_user_id": "u"},
        {"external_user_id": "u"},
        {"user_alias": ALIAS},
        {"braze_id": known},
        by_email,
        {**by_email, "email": "b@example.com"},
    ]

    assert braze.post(path, {TRIGGERS[path]: "it", "recipients": recipients}).status_code == 201
    (message,) = messages(braze)
    assert message["recipients"] == ["u", "ana", known, "a@example.com", "b@example.com"]
    assert message["unknown"] == ["b@example.com"]


@pytest.mark.parametrize("path", TRIGGERS)
def test_attributes_are_written_before_the_message(braze: Caller, path: str) -> None:
    """They update a known user; they make a new one if `send_to_existing_only` is false."""
    braze.attributes({"external_id": "u", "email": "a@example.com"})
    recipients = [
        {
            "email": "a@example.com",
            "prioritization": ["identified"],
            "attributes": {"score": 1, "user_alias": ALIAS},
        },
        {
            "external_user_id": "new",
            "send_to_existing_only": False,
            "attributes": {"score": 2, "_update_existing_only": True},
        },
        {"external_user_id": "unknown", "attributes": {"score": 3}},
        {"external_user_id": "u", "attributes": {"email": "no address"}},
    ]

    assert braze.post(path, {TRIGGERS[path]: "it", "recipients": recipients}).status_code == 201
    scores = {each["external_id"]: each["custom_attributes"] for each in braze.profiles()}
    assert scores == {"u": {"score": 1}, "new": {"score": 2}}
    assert messages(braze)[0]["unknown"] == ["unknown"]
    assert ("recipients", 3, "attributes") in braze.dropped()


MANY = [{"external_user_id": str(number)} for number in range(51)]
ONE = {"external_user_id": "u"}
TOO_MANY = "The max number of external_ids and aliases per request was exceeded"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"external_user_ids": None}, "No Recipients"),
        ({"external_user_ids": [str(number) for number in range(51)]}, TOO_MANY),
        ({"external_user_ids": "u"}, None),
        ({"external_user_ids": [None]}, None),
        ({"user_aliases": [{"alias_name": "a"}]}, None),
        ({"broadcast": True}, None),
        ({"broadcast": "false"}, None),
        ({"external_user_ids": [], "segment_id": "s"}, "No Recipients"),
        ({"audience": "all"}, None),
        ({"recipient_subscription_state": "some"}, None),
        ({"messages": None}, "No message to send"),
        ({"messages": {}}, "No message to send"),
        ({"messages": {"pigeon": {"body": "hi"}}}, "No message to send"),
        ({"messages": {"email": "hi"}}, None),
        ({"campaign_id": 5}, "Invalid Campaign ID"),
        ({"campaign_id": "c"}, "Message Variant Unspecified"),
    ],
    ids=str,
)
def test_bad_messages_are_400(braze: Caller, change: dict[str, Any], message: str | None) -> None:
    """A message to nobody, to too many, or without content is a 400, and is not logged."""
    answer = braze.post("/messages/send", {**SENDS["/messages/send"], **change})

    assert answer.status_code == 400
    assert answer.json()["message"] if message is None else answer.json() == {"message": message}
    assert messages(braze) == []


def test_message_of_a_campaign_names_its_variant(braze: Caller) -> None:
    """With a variation id the campaign's message is taken."""
    content = {"email": {**EMAIL["email"], "message_variation_id": "v"}}
    body = {"campaign_id": "c", "user_aliases": [ALIAS], "messages": content}

    assert braze.post("/messages/send", body).status_code == 201
    assert messages(braze)[0]["what"] == "c: email"


@pytest.mark.parametrize("path", TRIGGERS)
@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": ""},
        {"id": 5},
        {"recipients": None},
        {"recipients": []},
        {"recipients": MANY},
        {"recipients": ["u"]},
        {"recipients": [{}]},
        {"recipients": [{**ONE, "user_alias": ALIAS}]},
        {"recipients": [{"email": "a@example.com"}]},
        {"recipients": [{"email": "a@example.com", "prioritization": []}]},
        {"recipients": [{"email": "none", "prioritization": ["identified"]}]},
        {"recipients": [{"braze_id": 5}]},
        {"recipients": [{**ONE, "send_to_existing_only": False}]},
        {"recipients": [{**ONE, "attributes": "x"}]},
        {"recipients": [{"user_alias": ALIAS, "send_to_existing_only": False, "attributes": {}}]},
        {"recipients": [{**ONE, "properties": "x"}]},
        {"properties": "x"},
        {"broadcast": True},
        {"recipients": None, "audience": {"AND": []}},
        {"attachments": "x"},
    ],
    ids=lambda change: str(change)[:70],
)
def test_bad_triggers_are_400(braze: Caller, path: str, change: dict[str, Any]) -> None:
    """A trigger without an id or a recipient, or with a bad recipient, is a 400."""
    named = {"id": TRIGGERS[path], "properties": PROPERTIES[path]}

    def read(part: Any) -> Any:
        if isinstance(part, dict):
            return {named.get(name, name): value for name, value in part.items()}
        return part

    changed = read(change)
    if isinstance(changed.get("recipients"), list):
        changed["recipients"] = [read(each) for each in changed["recipients"]]
    answer = braze.post(path, {**SENDS[path], **changed})

    assert answer.status_code == 400
    assert answer.json()["message"]
    assert messages(braze) == []


@pytest.mark.parametrize("path", TRIGGERS)
def test_broadcast_needs_no_recipients(braze: Caller, path: str) -> None:
    """`broadcast` sends to the whole audience; attachments do not go with it."""
    body = {TRIGGERS[path]: "it", "broadcast": True}

    assert braze.post(path, body).status_code == 201
    assert messages(braze)[0]["recipients"] == []


def test_limits_of_properties_and_attachments(braze: Caller) -> None:
    """A Canvas's context is at most 50 KB; a broadcast campaign has no attachments."""
    canvas = {**SENDS["/canvas/trigger/send"], "context": {"text": "x" * 50_000}}
    campaign = {"campaign_id": "c", "broadcast": True, "attachments": [{"file_name": "a"}]}

    assert braze.post("/canvas/trigger/send", canvas).status_code == 400
    assert braze.post("/campaigns/trigger/send", campaign).status_code == 400
