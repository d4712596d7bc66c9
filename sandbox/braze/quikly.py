"""The stand-in for Quikly's API: `POST /quikly/…` with a bearer key, every call kept.

Quikly documents one address, three keys of a body, and no answer (reference §7.3). So any path is
taken. The answer to a good call is an empty 200, from which a caller can read nothing.
"""

from sandbox.braze.exchange import Answer, Call, page
from sandbox.braze.keys import bearer_key
from sandbox.braze.workspace import QuiklyCall, Workspace

PREFIX = "/quikly/"


def answer_quikly(workspace: Workspace, call: Call) -> Answer:
    """Answer one call meant for Quikly.

    Returns:
        200 with no body; 401, 404 for another method than POST, 413, 415, or 400 for a body that
        is no JSON object.
    """
    if call.method != "POST":
        return page(404, "Not Found")
    if bearer_key(call.headers.get("authorization")) != workspace.quikly.key:
        return page(401, "Unauthorized")
    media_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        return page(415, "Unsupported Media Type")
    if call.oversize:
        return page(413, "Request Entity Too Large")
    try:
        body = call.json
    except ValueError:
        return page(400, "Bad Request")
    return Answer(200) if isinstance(body, dict) else page(400, "Bad Request")


def keep_quikly_call(workspace: Workspace, call: Call, status: int) -> None:
    """Keep a call for later questions, refused and faulted ones included."""
    text = call.body.decode(errors="replace")
    workspace.quikly.calls.append(QuiklyCall(call.n, call.at, call.path, status, text))
