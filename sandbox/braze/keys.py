"""API keys and their permissions (reference §6)."""

PERMISSIONS = frozenset(
    {
        "kpi.mau.data_series",
        "subscription.groups.get",
        "subscription.status.get",
        "subscription.status.set",
        "users.alias.new",
        "users.delete",
        "users.export.ids",
        "users.identify",
        "users.merge",
        "users.track",
    },
)
"""Every permission that an endpoint of this stand-in asks for."""

EMPTY_RATE_LIMIT_HEADERS = {
    "x-ratelimit-limit": "",
    "x-ratelimit-remaining": "",
    "x-ratelimit-reset": "",
}
"""On a 401 the three headers are there and empty, as recorded."""


def bearer_key(authorization: str | None) -> str:
    """Take the key out of an `Authorization` header.

    Returns:
        The key exactly as sent; the empty string when the header is missing or not a bearer one.
    """
    scheme, _, key = (authorization or "").partition(" ")
    return key if scheme.lower() == "bearer" else ""
