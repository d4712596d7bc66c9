"""Braze's clusters, and the addresses that may receive a key.

The table is from docs/api/basics (September 2026). There is no US-09. The `sdk.` hosts are not for
the REST API.
"""

from __future__ import annotations

from ipaddress import ip_address
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from braze_bridge.braze.errors import InvalidEndpointError, InvalidReason

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTANCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "US-01": "https://rest.iad-01.braze.com",
        "US-02": "https://rest.iad-02.braze.com",
        "US-03": "https://rest.iad-03.braze.com",
        "US-04": "https://rest.iad-04.braze.com",
        "US-05": "https://rest.iad-05.braze.com",
        "US-06": "https://rest.iad-06.braze.com",
        "US-07": "https://rest.iad-07.braze.com",
        "US-08": "https://rest.iad-08.braze.com",
        "US-10": "https://rest.us-10.braze.com",
        "EU-01": "https://rest.fra-01.braze.eu",
        "EU-02": "https://rest.fra-02.braze.eu",
        "AU-01": "https://rest.au-01.braze.com",
        "ID-01": "https://rest.id-01.braze.com",
        "JP-01": "https://rest.jp-01.braze.com",
        "KR-01": "https://rest.kr-01.braze.com",
    }
)
"""REST endpoint by instance name, without a trailing slash."""

UNLISTED_ENDPOINTS: Final = frozenset({"https://rest.fra-03.braze.eu"})
"""Not in Braze's table, but others use it (RudderStack maps EU-03 to it): by override only."""


def rest_endpoint(instance: str, override: str | None, allow_loopback: bool) -> str:  # noqa: FBT001  # a setting passed on
    """Choose the base URL.

    Args:
        instance: a name of `INSTANCES`, in any case; ignored if there is an override.
        override: a REST endpoint of Braze, for a cluster newer than the table.
        allow_loopback: accept `http://` or `https://` on this machine as an override, with any
            port. Only for a stand-in Braze.

    Returns:
        Scheme and host (and port on loopback), without a trailing slash.

    Raises:
        InvalidEndpointError: the name is unknown, or the override is neither HTTPS to a known REST
            endpoint nor allowed loopback. The text omits the override: it may contain credentials.
    """
    if override:
        return _checked(override, allow_loopback=allow_loopback)
    endpoint = INSTANCES.get(instance.strip().upper())
    if endpoint is None:
        raise InvalidEndpointError(
            InvalidReason.INSTANCE_UNKNOWN, f"known instances are {', '.join(INSTANCES)}"
        )
    return endpoint


def _checked(url: str, *, allow_loopback: bool) -> str:
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise _refused("not a URL") from None
    if parts.username is not None or parts.password is not None:
        raise _refused("credentials do not belong into the URL")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise _refused("scheme and host only, without a path")
    if allow_loopback and parts.scheme in {"http", "https"} and _is_loopback(host):
        bracketed = f"[{host}]" if ":" in host else host
        return f"{parts.scheme}://{bracketed}" + (f":{port}" if port else "")
    endpoint = f"https://{host}"
    known = endpoint in INSTANCES.values() or endpoint in UNLISTED_ENDPOINTS
    if parts.scheme != "https" or port not in {None, 443} or not known:
        raise _refused("not a REST endpoint of Braze, over HTTPS")
    return endpoint


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _refused(detail: str) -> InvalidEndpointError:
    return InvalidEndpointError(InvalidReason.ENDPOINT_REFUSED, detail)
