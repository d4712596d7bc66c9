"""API keys and their permissions (reference §6)."""

PERMISSIONS = frozenset(
    {
        "campaigns.trigger.send",
        "canvas.trigger.send",
        "custom_attributes.get",
        "email.status",
        "email.unsubscribe",
        "events.list",
        "kpi.dau.data_series",
        "kpi.mau.data_series",
        "kpi.new_users.data_series",
        "messages.send",
        "subscription.groups.get",
        "subscription.status.get",
        "subscription.status.set",
        "users.alias.new",
        "users.alias.update",
        "users.delete",
        "users.export.ids",
        "users.external_ids.remove",
        "users.external_ids.rename",
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
