"""`/messages/send`, `/campaigns/trigger/send` and `/canvas/trigger/send`: nothing is sent.

https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_messages,
https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_triggered_campaigns,
https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_triggered_canvases,
https://www.braze.com/docs/api/objects_filters/recipient_object. The texts of
https://www.braze.com/docs/api/errors are named below. The stand-in knows no campaigns and no
Canvases: every id is one.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from pydantic import JsonValue
from pydantic_core import to_json

from sandbox.braze.endpoints.export import TOO_MANY_IDS
from sandbox.braze.endpoints.track import track
from sandbox.braze.exchange import Answer, Call, JsonObject, refusal
from sandbox.braze.identity import ObjectRejectedError, is_email, read_alias, read_external_id
from sandbox.braze.merging import choose, read_prioritization
from sandbox.braze.profiles import Identifier, Profile, ProfileStore
from sandbox.braze.standard_fields import IDENTIFIER_KEYS
from sandbox.braze.workspace import Message, Workspace

MAX_RECIPIENTS = 50
MAX_CONTEXT_BYTES = 50_000
CHANNELS = (
    "android_push",
    "apple_push",
    "content_card",
    "email",
    "kindle_push",
    "sms",
    "web_push",
    "webhook",
    "whats_app",
)
STATES = ("opted_in", "subscribed", "all")
IDENTIFIERS = ("external_user_id", "user_alias", "braze_id", "email")
# Of the errors page.
NO_RECIPIENTS = "No Recipients"
NO_MESSAGE = "No message to send"
NO_VARIANT = "Message Variant Unspecified"
NO_CAMPAIGN = "Invalid Campaign ID"
# Recorded for /canvas/details (`canvas/details` in `spec/fixtures/responses` of
# github.com/jonallured/braze_ruby).
NO_CANVAS = "canvas_id must be a string of the Canvas api identifier"
# We chose the texts below: the pages have the rules, not the words.
BAD_BROADCAST = "'broadcast' must be a boolean"
BROADCAST_WITH_RECIPIENTS = "'broadcast' must not be true if there are recipients"
BROADCAST_WITH_ATTACHMENTS = "'broadcast' must not be true if there are attachments"
BAD_STATE = "'recipient_subscription_state' must be 'opted_in', 'subscribed' or 'all'"
ONE_IDENTIFIER = "a recipient must have one of 'external_user_id', 'user_alias' and 'email'"
BAD_IDENTIFIER = "a recipient's identifier is not valid"
NO_PRIORITIZATION = "a recipient by 'email' must have a 'prioritization'"
NO_ATTRIBUTES = "'attributes' is required if 'send_to_existing_only' is false"
NOT_FOR_ALIASES = "'send_to_existing_only' must not be false for a 'user_alias'"
LONG_CONTEXT = "'context' must be at most 50 KB"


class _Recipient(NamedTuple):
    identifier: Identifier
    entry: JsonObject

    def find(self, store: ProfileStore) -> Profile | None:
        """Return the profile, if there is one."""
        if self.identifier.kind != "email":
            return store.find(self.identifier)
        priorities = read_prioritization(self.entry.get("prioritization"))
        sharing = store.sharing("email", self.identifier.value)
        return None if priorities is None else choose(sharing, priorities)

    def named(self, store: ProfileStore) -> JsonObject:
        """Name the user as an object of `/users/track` does: by the profile that was chosen."""
        kind, value, label = self.identifier
        if kind == "user_alias":
            return {"user_alias": {"alias_name": value, "alias_label": label}}
        chosen = self.find(store) if kind == "email" else None
        return {kind: value} if chosen is None else {"braze_id": chosen.braze_id}


def _array(body: JsonObject, name: str) -> list[JsonValue]:
    value = body.get(name)
    if value is not None and not isinstance(value, list):
        raise ObjectRejectedError(f"'{name}' must be an array")
    return value or []


def _check_objects(body: JsonObject, *names: str) -> None:
    for name in names:
        if not isinstance(body.get(name), dict | None):
            raise ObjectRejectedError(f"'{name}' must be an object")


def _check_broadcast(body: JsonObject, *, has_recipients: bool) -> None:
    """Refuse a message to nobody, and one to everybody that names recipients."""
    broadcast = body.get("broadcast", False)
    if not isinstance(broadcast, bool):
        raise ObjectRejectedError(BAD_BROADCAST)
    if broadcast and has_recipients:
        raise ObjectRejectedError(BROADCAST_WITH_RECIPIENTS)
    if not broadcast and not has_recipients:
        raise ObjectRejectedError(NO_RECIPIENTS)


def _log(workspace: Workspace, call: Call, what: str, recipients: Sequence[_Recipient]) -> Answer:
    """Write a message into the log, with the recipients that have no profile."""
    dispatch_id = f"{workspace.random.getrandbits(128):032x}"

    def apply(_: float) -> None:
        found = {
            each.identifier.value: each.find(workspace.profiles) is not None for each in recipients
        }
        unknown = tuple(name for name, is_there in found.items() if not is_there)
        workspace.messages.append(
            Message(call.n, call.at, call.path, what, tuple(found), unknown, dispatch_id)
        )

    workspace.write(apply)
    return Answer(201, {"dispatch_id": dispatch_id, "message": "success"})


# -- /messages/send ------------------------------------------------------------------------------


def send_message(workspace: Workspace, call: Call, body: JsonObject) -> Answer:
    """Take a message that carries its own content.

    Returns:
        201 with a dispatch id, also for users without a profile: the errors page says so, the
        endpoint's page says that they must exist. 400 for a bad body.
    """
    try:
        what, recipients = _read_message(body)
    except ObjectRejectedError as error:
        return refusal(str(error))
    return _log(workspace, call, what, recipients)


def _read_message(body: JsonObject) -> tuple[str, list[_Recipient]]:
    recipients = [
        *(_Recipient(read_external_id(value), {}) for value in _array(body, "external_user_ids")),
        *(_Recipient(read_alias(value), {}) for value in _array(body, "user_aliases")),
    ]
    if len(recipients) > MAX_RECIPIENTS:
        raise ObjectRejectedError(TOO_MANY_IDS)
    _check_objects(body, "audience")
    if not recipients and not body.get("segment_id") and not body.get("audience"):
        raise ObjectRejectedError(NO_RECIPIENTS)
    _check_broadcast(body, has_recipients=bool(recipients))
    if body.get("recipient_subscription_state", "subscribed") not in STATES:
        raise ObjectRejectedError(BAD_STATE)
    return _channels(body), recipients


def _channels(body: JsonObject) -> str:
    messages = body.get("messages")
    given = messages if isinstance(messages, dict) else {}
    channels = [name for name in CHANNELS if given.get(name)]
    if not channels:
        raise ObjectRejectedError(NO_MESSAGE)
    _check_objects(given, *channels)
    campaign = body.get("campaign_id")
    if campaign is None:
        return ", ".join(channels)
    if not isinstance(campaign, str) or not campaign:
        raise ObjectRejectedError(NO_CAMPAIGN)
    for name in channels:
        message = given[name]
        if isinstance(message, dict) and not message.get("message_variation_id"):
            raise ObjectRejectedError(NO_VARIANT)
    return f"{campaign}: {', '.join(channels)}"


# -- /campaigns/trigger/send and /canvas/trigger/send --------------------------------------------


def trigger_campaign(workspace: Workspace, call: Call, body: JsonObject) -> Answer:
    """Take the trigger of a campaign; `trigger_properties` are for its content.

    Returns:
        201 with a dispatch id; 400 for a bad body.
    """
    if body.get("broadcast") is True and body.get("attachments"):
        return refusal(BROADCAST_WITH_ATTACHMENTS)
    return _trigger(workspace, call, body, ("campaign_id", NO_CAMPAIGN), ("trigger_properties",))


def trigger_canvas(workspace: Workspace, call: Call, body: JsonObject) -> Answer:
    """Take the trigger of a Canvas. Clients still send `context` by its older name, too.

    Returns:
        201 with a dispatch id; 400 for a bad body.
    """
    properties = ("context", "canvas_entry_properties")
    if any(len(to_json(body.get(name))) > MAX_CONTEXT_BYTES for name in properties):
        return refusal(LONG_CONTEXT)
    return _trigger(workspace, call, body, ("canvas_id", NO_CANVAS), properties)


def _trigger(
    workspace: Workspace,
    call: Call,
    body: JsonObject,
    required: tuple[str, str],
    properties: Sequence[str],
) -> Answer:
    try:
        what, recipients = _read_trigger(body, required, properties)
    except ObjectRejectedError as error:
        return refusal(str(error))
    _write_attributes(workspace, call, recipients)
    return _log(workspace, call, what, recipients)


def _read_trigger(
    body: JsonObject, required: tuple[str, str], properties: Sequence[str]
) -> tuple[str, list[_Recipient]]:
    name, problem = required
    what = body.get(name)
    if not isinstance(what, str) or not what:
        raise ObjectRejectedError(problem)
    entries = _array(body, "recipients")
    if len(entries) > MAX_RECIPIENTS:
        raise ObjectRejectedError(TOO_MANY_IDS)
    recipients = [_read_recipient(entry, properties) for entry in entries]
    _check_broadcast(body, has_recipients=bool(recipients))
    _check_objects(body, "audience", *properties)
    _array(body, "attachments")
    return what, recipients


def _read_recipient(entry: JsonValue, properties: Sequence[str]) -> _Recipient:
    given = entry if isinstance(entry, dict) else {}
    kinds = [kind for kind in IDENTIFIERS if given.get(kind) is not None]
    if len(kinds) != 1:
        raise ObjectRejectedError(ONE_IDENTIFIER)
    _check_objects(given, "attributes", *properties)
    if given.get("send_to_existing_only") is False:
        if kinds == ["user_alias"]:
            raise ObjectRejectedError(NOT_FOR_ALIASES)
        if given.get("attributes") is None:
            raise ObjectRejectedError(NO_ATTRIBUTES)
    return _Recipient(_read_identifier(kinds[0], given), given)


def _read_identifier(kind: str, entry: JsonObject) -> Identifier:
    value = entry[kind]
    if kind == "external_user_id":
        return read_external_id(value)
    if kind == "user_alias":
        return read_alias(value)
    if not isinstance(value, str):
        raise ObjectRejectedError(BAD_IDENTIFIER)
    if kind == "braze_id":
        return Identifier("braze_id", value)
    if not is_email(value):
        raise ObjectRejectedError(BAD_IDENTIFIER)
    if not read_prioritization(entry.get("prioritization")):
        raise ObjectRejectedError(NO_PRIORITIZATION)
    return Identifier("email", value)


def _write_attributes(workspace: Workspace, call: Call, recipients: Sequence[_Recipient]) -> None:
    """Write the recipients' attributes before the message, as `/users/track` would.

    The recipient names the user; what `attributes` says about that makes no difference.
    """
    places: list[int] = []
    objects: list[JsonValue] = []
    for index, recipient in enumerate(recipients):
        entry, attributes = recipient.entry, recipient.entry.get("attributes")
        if isinstance(attributes, dict) and attributes:
            places.append(index)
            objects.append(
                {
                    **{k: v for k, v in attributes.items() if k not in IDENTIFIER_KEYS},
                    **recipient.named(workspace.profiles),
                    "_update_existing_only": entry.get("send_to_existing_only") is not False,
                }
            )
    if not objects:
        return
    answer = track(workspace, replace(call, forced_errors=()), {"attributes": objects})
    errors = (answer.json or {}).get("errors")
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict) and isinstance(error["index"], int):
            place = ("recipients", places[error["index"]])
            workspace.drop(call, place, "attributes", str(error["type"]))
