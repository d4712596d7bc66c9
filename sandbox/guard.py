"""Keep web pages away from the servers of this machine; only programs and our own page may call.

A browser sends the requests of any web page to loopback, too. It reaches a server in two ways:
across sites (no preflight for a "simple" POST), and by a name whose owner points it to 127.0.0.1
(DNS rebinding). Browsers name the page in `Origin` and `Sec-Fetch-Site`, and pages cannot change
them (https://fetch.spec.whatwg.org/#forbidden-request-header).

The local engine runs this under MiniStack's interpreter, so it needs the standard library only.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]
    Headers = Iterable[tuple[bytes, bytes]]
    Refusal = tuple[str, str]

_HOST: Final = re.compile(r"([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
"""A name or an address, and a port: no user, no path (RFC 9110, 7.2)."""

_OWN_SITES: Final = frozenset({"same-origin", "none"})
"""`none`: a person typed the address."""


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Check whether a host's name, without port and brackets, means this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def refusal_of(headers: Headers, *, has_page: bool) -> Refusal | None:
    """Decide on one request.

    Args:
        headers: As ASGI gives them: names in lower case.
        has_page: Whether the server has a page of its own, which may call it.

    Returns:
        None for a request that may pass, else the header that forbids it, and the reason.
    """
    sent: dict[bytes, list[str]] = {b"host": [], b"origin": [], b"sec-fetch-site": []}
    for name, value in headers:
        if name in sent:
            sent[name].append(value.decode("latin-1").lower())
    hosts = sent[b"host"]
    named = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if named is None or not is_loopback(named[1].strip("[]")):
        return "Host", "must be this machine's: localhost or a loopback address"
    own_origins = {f"http://{hosts[0]}"} if has_page else frozenset[str]()
    if not own_origins.issuperset(sent[b"origin"]):
        return "Origin", "no web page of another site may do this"
    own_sites = _OWN_SITES if has_page else frozenset[str]()
    if not own_sites.issuperset(sent[b"sec-fetch-site"]):
        return "Sec-Fetch-Site", "no web page of another site may do this"
    return None


def guarded(app: App, refusal: Callable[[Scope], Refusal | None]) -> App:
    """Wrap an ASGI application: what `refusal` forbids is answered 403, and the rest passes on."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        refused = None if scope["type"] == "lifespan" else refusal(scope)
        if refused is None:
            await app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # before it is accepted: answered 403
        else:
            await _forbid(refused, send)

    return guard


async def _forbid(refused: Refusal, send: Send) -> None:
    field, reason = refused
    body = json.dumps({"errors": [{"field": field, "reason": reason}]}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
