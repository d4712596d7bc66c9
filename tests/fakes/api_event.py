"""API Gateway REST proxy events, as Lambda gets them."""

from __future__ import annotations

import base64
from typing import Any

TOKEN = "the-right-token"


def proxy_event(
    body: str | bytes | None,
    *,
    path: str = "/outgrow",
    resource: str | None = None,
    path_parameters: dict[str, str] | None = None,
    method: str = "POST",
    token: str | None = TOKEN,
    headers: dict[str, str] | None = None,
    query: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Build an event.

    Args:
        body: Text is sent as it is, bytes as base64.
        path: The path called, without the stage.
        resource: The API's own name of the route; worked out for ``/outgrow/…`` where left out.
        path_parameters: What stands in the route's braces; as above.
        method: The HTTP method.
        token: Goes into ``Authorization``; ``None`` leaves the header away.
        headers: More headers; they win over the usual ones.
        query: The query string.
    """
    if resource is None:
        steps = path.strip("/").split("/")
        if steps[0] == "outgrow" and len(steps) == 2:
            resource, path_parameters = "/outgrow/{content_id}", {"content_id": steps[1]}
        else:
            resource = path
    sent = {"Content-Type": "application/json"}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    sent |= headers or {}
    encoded = isinstance(body, bytes)
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": (
            None if query is None else {name: [value] for name, value in query.items()}
        ),
        "pathParameters": path_parameters,
        "stageVariables": None,
        "requestContext": {"requestId": "c0ffee00-0000-4000-8000-000000000001", "stage": "live"},
        "body": base64.b64encode(body).decode() if isinstance(body, bytes) else body,
        "isBase64Encoded": encoded,
    }
