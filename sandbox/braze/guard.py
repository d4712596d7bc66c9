"""Let only programs of this machine and the sandbox's own page use the control routes.

They need no key, and they post samples with the stack's tokens. A foreign web page in the same
browser could reach loopback in two ways: by posting across sites, and by a name that its owner
points to 127.0.0.1 (DNS rebinding).
"""

from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address

from pydantic_core import to_json
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = "/_sandbox/"
_FOREIGN_SITES = frozenset({"cross-site", "same-site"})


def is_loopback(host: str) -> bool:
    """Check whether a host's name, without port and brackets, means this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def refusal_of(method: str, headers: Mapping[str, str]) -> tuple[str, str] | None:
    """Decide on one request.

    Args:
        headers: By lower-case name.

    Returns:
        None for a request that may pass, else the header that forbids it, and the reason. A link
        from another site may open an address (a plain GET that its site cannot read).
    """
    host = headers.get("host", "")
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if not is_loopback(name.strip("[]").lower()):
        return "Host", "must be this machine's: localhost or a loopback address"
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        return "Origin", "only the sandbox's own page may do this"
    is_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if headers.get("sec-fetch-site") in _FOREIGN_SITES and not is_link:
        return "Sec-Fetch-Site", "only the sandbox's own page may do this"
    return None


class GuardedControls:
    """Answers 403 to requests that may not pass, for the control routes only."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            refused = refusal_of(scope["method"], Headers(scope=scope))
            if refused is not None:
                field, reason = refused
                body = to_json({"errors": [{"field": field, "reason": reason}]})
                answer = Response(body, HTTPStatus.FORBIDDEN, media_type="application/json")
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)
