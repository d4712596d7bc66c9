"""Braze's documented limits, each with the page of www.braze.com/docs that states it.

Where two pages disagree the smaller figure is taken: it holds under every contract.
"KB" and "MB" are read as powers of ten for the same reason.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Final

# --- POST /users/track: docs/api/endpoints/user_data/post_user_track

MAX_OBJECTS_PER_REQUEST: Final = 75
"""Attributes, events and purchases combined (legacy contracts have 75 of each)."""

MAX_BODY_BYTES: Final = 4_000_000
"""Any endpoint's body; over it 413, or 400: docs/api/endpoints/user_data, docs/api/api_limits."""

SAFE_BODY_BYTES: Final = 3_500_000
"""What this client sends at most: Braze does not say whether headers or decoded text count."""

# --- Identifiers: docs/api/objects_filters/user_alias_object and post_user_track

MAX_EXTERNAL_ID_BYTES: Final = 987
"""`'external_id' must be fewer than 988 bytes` (`EXTERNAL_USER_ID_TOO_LARGE`)."""

MAX_ALIAS_BYTES: Final = 236
"""Of `alias_name` and of `alias_label`, each."""

# --- Attributes: docs/api/objects_filters/user_attributes_object

MAX_STRING_CHARS: Final = 255
"""Custom string values, and names (stated for SDKs and nested keys; REST is silent, and so
longer ones may be lost without an error: post_user_track_synchronous)."""

MAX_IMAGE_URL_CHARS: Final = 1024
"""`image_url`: docs/user_guide/data/activation/attributes/standard_attributes."""

MAX_ARRAY_ELEMENTS: Final = 500
"""At overflow Braze drops the oldest without an error."""

MAX_ARRAY_BYTES: Final = 100_000
"""100 KB for one array or nested object, else the update is dropped without an error."""

MAX_INTEGER: Final = 2**63 - 1
"""No page gives a range. 64 bits is what JSON numbers survive in common stores; a bigger one is
refused here, where it can be seen."""

# --- Events: docs/api/objects_filters/event_object

MAX_PROPERTIES_BYTES: Final = 100_000
"""100 KB of event properties."""

MAX_PROPERTY_DEPTH: Final = 20
"""Our own bound on nested property objects; Braze names none, and calls flat ones safe."""

# --- Identifiers in one look-up or subscription call: docs/api/errors,
#     docs/api/endpoints/export/user_data/post_users_identifier,
#     docs/api/endpoints/subscription_groups/*

MAX_IDS_PER_REQUEST: Final = 50
"""external_ids and aliases of an export; users of a subscription call."""

MAX_USER_STATUS_PAGE: Final = 100
"""`limit` of /subscription/user/status, default and maximum."""

MAX_MAU_DAYS: Final = 100
"""`length` of /kpi/mau/data_series: docs/api/endpoints/export/kpi/get_kpi_mau_30_days."""

# --- Names: which keys of an attributes object steer Braze instead of describing the person.

IDENTIFIER_KEYS: Final = frozenset({"external_id", "braze_id", "user_alias"})
"""Primary identifiers: more than one in an object gets the object rejected (post_user_track)."""

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
`canvases_received` cost the faster rate limit."""


class EndpointFamily(StrEnum):
    """Endpoints that share one rate limit, so that a 429 of one closes all of its family.

    docs/api/api_limits, docs/api/endpoints/user_data/post_user_track.
    """

    TRACK = "users.track"
    """By contract: 3,000 requests / 3 s on data points; hourly and 3-second ones on MAU."""

    EXPORT_IDS = "users.export.ids"
    """250 requests / min (2,500 for customers onboarded before 22 August 2024)."""

    SUBSCRIPTION_SET = "subscription.status.set"
    """5,000 requests / min, v1 and v2 together."""

    SHARED_DEFAULT = "default"
    """250,000 requests / h over every endpoint without a limit of its own."""


USERS_TRACK: Final = "/users/track"
USERS_EXPORT_IDS: Final = "/users/export/ids"
SUBSCRIPTION_STATUS_GET: Final = "/subscription/status/get"
SUBSCRIPTION_STATUS_SET: Final = "/subscription/status/set"
SUBSCRIPTION_STATUS_SET_V2: Final = "/v2/subscription/status/set"
KPI_MAU_DATA_SERIES: Final = "/kpi/mau/data_series"

FAMILY_BY_PATH: Final = MappingProxyType(
    {
        USERS_TRACK: EndpointFamily.TRACK,
        USERS_EXPORT_IDS: EndpointFamily.EXPORT_IDS,
        SUBSCRIPTION_STATUS_SET: EndpointFamily.SUBSCRIPTION_SET,
        SUBSCRIPTION_STATUS_SET_V2: EndpointFamily.SUBSCRIPTION_SET,
        SUBSCRIPTION_STATUS_GET: EndpointFamily.SHARED_DEFAULT,
        KPI_MAU_DATA_SERIES: EndpointFamily.SHARED_DEFAULT,
    }
)
