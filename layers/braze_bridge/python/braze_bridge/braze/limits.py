"""Braze's documented limits, each with its page of www.braze.com/docs.

If two pages disagree, the smaller figure is here, since it holds under every contract. For the same
reason "KB" and "MB" are powers of ten.
"""

from enum import StrEnum
from typing import Final

# --- POST /users/track: docs/api/endpoints/user_data/post_user_track

MAX_OBJECTS_PER_REQUEST: Final = 75
"""Attributes, events and purchases combined (legacy contracts have 75 of each)."""

MAX_BODY_BYTES: Final = 4_000_000
"""Body of any endpoint. A larger one gets 413 or 400: docs/api/endpoints/user_data,
docs/api/api_limits."""

SAFE_BODY_BYTES: Final = 3_500_000
"""The client's own maximum: Braze does not say whether headers or decoded text count."""

# --- Identifiers: docs/api/objects_filters/user_alias_object and post_user_track

MAX_EXTERNAL_ID_BYTES: Final = 987
"""`'external_id' must be fewer than 988 bytes` (`EXTERNAL_USER_ID_TOO_LARGE`)."""

MAX_ALIAS_BYTES: Final = 236
"""Of `alias_name` and of `alias_label`, each."""

# --- Attributes: docs/api/objects_filters/user_attributes_object

MAX_STRING_CHARS: Final = 255
"""Custom string values and names. The pages state it for SDKs and nested keys, not for REST, where
longer ones may be lost without an error (post_user_track_synchronous)."""

MAX_IMAGE_URL_CHARS: Final = 1024
"""`image_url`: docs/user_guide/data/activation/attributes/standard_attributes."""

MAX_ARRAY_ELEMENTS: Final = 500
"""Over it Braze drops the oldest without an error."""

MAX_ARRAY_BYTES: Final = 100_000
"""100 KB for one array or nested object. Over it Braze drops the update without an error."""

MAX_INTEGER: Final = 2**63 - 1
"""No page gives a range. Common stores keep 64 bits of a JSON number."""

# --- Events: docs/api/objects_filters/event_object

MAX_PROPERTIES_BYTES: Final = 100_000
"""100 KB of event properties."""

MAX_PROPERTY_DEPTH: Final = 20
"""Our own limit on nested property objects. Braze names none, and calls flat ones safe."""

# --- Identifiers in one look-up or subscription call: docs/api/errors,
#     docs/api/endpoints/export/user_data/post_users_identifier,
#     docs/api/endpoints/subscription_groups/*

MAX_IDS_PER_REQUEST: Final = 50
"""external_ids and aliases of an export; users of a subscription call."""

# --- Names: keys of an attributes object that are not attributes of the person

IDENTIFIER_KEYS: Final = frozenset({"external_id", "braze_id", "user_alias"})
"""Primary identifiers: Braze rejects an object with more than one (post_user_track)."""

CONTROL_KEYS: Final = frozenset({"_update_existing_only", "_merge_objects"})

REFUSED_ATTRIBUTES: Final = frozenset({"email_subscription_info"})
"""`INVALID_ATTRIBUTE_EMAIL_SUBSCRIPTION_INFO`: docs/api/errors, endpoint-specific errors."""

RESERVED_PROPERTY_NAMES: Final = frozenset({"time", "event_name"})
"""Event properties of these names "will result in API errors" (event_object)."""

EXPORT_FIELDS: Final = frozenset(
    {
        "apps",
        "attributed_ad",
        "attributed_adgroup",
        "attributed_campaign",
        "attributed_source",
        "braze_id",
        "campaigns_received",
        "canvases_received",
        "country",
        "created_at",
        "custom_attributes",
        "custom_events",
        "devices",
        "dob",
        "email",
        "email_subscribe",
        "external_id",
        "first_name",
        "gender",
        "home_city",
        "language",
        "last_coordinates",
        "last_name",
        "phone",
        "purchases",
        "push_subscribe",
        "push_tokens",
        "random_bucket",
        "time_zone",
        "total_revenue",
        "uninstalled_at",
        "user_aliases",
    }
)
"""`fields_to_export` of /users/export/ids (post_users_identifier). `campaigns_received` and
`canvases_received` lower the rate limit."""


class EndpointFamily(StrEnum):
    """Endpoints that share one rate limit: a 429 of one closes its family.

    docs/api/api_limits, docs/api/endpoints/user_data/post_user_track.
    """

    TRACK = "users.track"
    """By contract: 3,000 requests / 3 s on data points; limits an hour and 3 s on MAU."""

    EXPORT_IDS = "users.export.ids"
    """250 requests / min (2,500 for customers onboarded before 22 August 2024)."""

    VERIFY = "users.export.ids.verify"
    """Delivery's share of them: look-ups of events whose answer was lost. Its closings leave the
    other look-ups alone."""

    SUBSCRIPTION_SET = "subscription.status.set"
    """5,000 requests / min, v1 and v2 together."""

    SHARED_DEFAULT = "default"
    """250,000 requests / h over every endpoint without a limit of its own."""


USERS_TRACK: Final = "/users/track"
USERS_EXPORT_IDS: Final = "/users/export/ids"
SUBSCRIPTION_STATUS_GET: Final = "/subscription/status/get"
SUBSCRIPTION_STATUS_SET: Final = "/subscription/status/set"
KPI_MAU_DATA_SERIES: Final = "/kpi/mau/data_series"
