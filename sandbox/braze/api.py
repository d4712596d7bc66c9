"""The order in which Braze looks at a request: key, permission, limit, then the body."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sandbox.braze.endpoints.email import set_email_status, unsubscribes
from sandbox.braze.endpoints.export import export_ids
from sandbox.braze.endpoints.kpi import daily_active_users, monthly_active_users, new_users
from sandbox.braze.endpoints.messages import send_message, trigger_campaign, trigger_canvas
from sandbox.braze.endpoints.names import list_custom_attributes, list_events
from sandbox.braze.endpoints.renames import remove_external_ids, rename_external_ids, update_aliases
from sandbox.braze.endpoints.subscription_status import (
    get_status,
    set_status,
    set_status_v2,
    user_status,
)
from sandbox.braze.endpoints.track import ARRAYS, track
from sandbox.braze.endpoints.users import delete, identify, merge, new_aliases
from sandbox.braze.exchange import Answer, Call, JsonObject, page, refusal
from sandbox.braze.keys import EMPTY_RATE_LIMIT_HEADERS, bearer_key
from sandbox.braze.limits import rate_limit_headers
from sandbox.braze.workspace import Workspace, count_objects

TRACK = "/users/track"
NOT_JSON = "Error while parsing request body. Please check your syntax."


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: how it is called, what it needs, what it does."""

    method: str
    permission: str
    answer: Callable[[Workspace, Call, JsonObject], Answer]


ENDPOINTS: Mapping[str, Endpoint] = {
    TRACK: Endpoint("POST", "users.track", track),
    "/users/export/ids": Endpoint("POST", "users.export.ids", export_ids),
    "/users/alias/new": Endpoint("POST", "users.alias.new", new_aliases),
    "/users/alias/update": Endpoint("POST", "users.alias.update", update_aliases),
    "/users/external_ids/rename": Endpoint(
        "POST", "users.external_ids.rename", rename_external_ids
    ),
    "/users/external_ids/remove": Endpoint(
        "POST", "users.external_ids.remove", remove_external_ids
    ),
    "/users/identify": Endpoint("POST", "users.identify", identify),
    "/users/merge": Endpoint("POST", "users.merge", merge),
    "/users/delete": Endpoint("POST", "users.delete", delete),
    "/subscription/status/get": Endpoint("GET", "subscription.status.get", get_status),
    "/subscription/status/set": Endpoint("POST", "subscription.status.set", set_status),
    "/v2/subscription/status/set": Endpoint("POST", "subscription.status.set", set_status_v2),
    "/subscription/user/status": Endpoint("GET", "subscription.groups.get", user_status),
    "/kpi/mau/data_series": Endpoint("GET", "kpi.mau.data_series", monthly_active_users),
    "/kpi/dau/data_series": Endpoint("GET", "kpi.dau.data_series", daily_active_users),
    "/kpi/new_users/data_series": Endpoint("GET", "kpi.new_users.data_series", new_users),
    "/email/status": Endpoint("POST", "email.status", set_email_status),
    "/email/unsubscribes": Endpoint("GET", "email.unsubscribe", unsubscribes),
    "/events/list": Endpoint("GET", "events.list", list_events),
    "/custom_attributes": Endpoint("GET", "custom_attributes.get", list_custom_attributes),
    "/messages/send": Endpoint("POST", "messages.send", send_message),
    "/campaigns/trigger/send": Endpoint("POST", "campaigns.trigger.send", trigger_campaign),
    "/canvas/trigger/send": Endpoint("POST", "canvas.trigger.send", trigger_canvas),
}
"""Every endpoint, by path."""


def answer_call(workspace: Workspace, call: Call) -> Answer:
    """Answer one call to the REST API.

    Returns:
        What Braze would answer. An unknown path or method is a 404 with any key, as JSON, so that
        a client raises its own error; a trailing slash is a 403, which the errors page lists under
        Access Denied.
    """
    endpoint = ENDPOINTS.get(call.path.rstrip("/"))
    if endpoint is None or endpoint.method != call.method:
        return refusal("Invalid URL", 404)
    path = call.path.rstrip("/")
    key = bearer_key(call.headers.get("authorization"))
    permissions = workspace.settings.permissions_of(key)
    if permissions is None:
        return Answer(
            401,
            {"message": f"Invalid API key: {key}"},
            headers=dict(EMPTY_RATE_LIMIT_HEADERS),
        )
    if path != call.path or endpoint.permission not in permissions:
        return page(403, "Forbidden")
    standing = workspace.admit(path, key)
    answer = page(429, "Too Many Requests") if standing.is_refused else _read(workspace, call, path)
    dialect = workspace.settings.track_dialect() if path == TRACK else "epoch"
    answer.headers.update(rate_limit_headers(standing, dialect, workspace.clock()))
    return answer


def _read(workspace: Workspace, call: Call, path: str) -> Answer:
    endpoint = ENDPOINTS[path]
    if endpoint.method == "GET":
        workspace.settle()
        return endpoint.answer(workspace, call, {})
    media_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        return page(415, "Unsupported Media Type")
    if call.oversize:
        return page(413, "Request Entity Too Large")
    try:
        body = call.json
    except ValueError:
        return Answer(400, {"error": NOT_JSON})
    if not isinstance(body, dict):
        return refusal("The request body must be a JSON object.")
    workspace.settle()
    return endpoint.answer(workspace, call, body)


def objects_in(call: Call) -> int:
    """Count the objects of a track request, for the log; 0 for others and for non-JSON."""
    if call.path != TRACK:
        return 0
    try:
        body = call.json
    except ValueError:
        return 0
    return count_objects([body.get(name) for name in ARRAYS]) if isinstance(body, dict) else 0
