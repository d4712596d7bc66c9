"""The document's answers: successes by the functions' own words, refusals by the door's."""

from __future__ import annotations

from typing import Any, Final, get_args

from braze_bridge.jobs.envelope import DeliveryJob
from braze_bridge.partner_config.quikly_activations import Status
from braze_bridge.reasons import Reason
from braze_bridge.web.door import MAX_BODY_BYTES
from ops.openapi.schemas import closed, plain
from quikly_acquisition.models import AcquisitionRecord, Channel, HistoryEntry, State

_REASON: Final = plain(Reason)
_HISTORY: Final = plain(HistoryEntry)

_JOB_ID: Final = plain(DeliveryJob)["properties"]["job_id"]
_ACQUISITION_ID: Final = plain(AcquisitionRecord)["properties"]["acquisition_id"]
_WORD: Final = _HISTORY["properties"]["step"]

SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "Taken": {
        "description": "`accepted` once the queue has it; `ignored` where nothing of it is wanted,"
        " and nothing is kept.",
        "oneOf": [
            closed(
                {
                    "status": {"const": "accepted"},
                    "job_id": {**_JOB_ID, "description": "The same for every resend."},
                }
            ),
            closed({"status": {"const": "ignored"}}),
        ],
    },
    "AcquisitionTaken": closed(
        {"status": {"const": "accepted"}, "acquisition_id": _ACQUISITION_ID},
        description="The sign-up is kept; ask for its state by the id.",
    ),
    "AcquisitionStatus": closed(
        {
            "acquisition_id": _ACQUISITION_ID,
            "channel": {"type": "string", "enum": list(get_args(Channel))},
            "state": {"type": "string", "enum": [state.value for state in State]},
            "reason": {**_WORD, "description": "Why it failed."},
            "history": {"type": "array", "items": {"$ref": "#/components/schemas/HistoryEntry"}},
        },
        optional=("reason",),
        description="Where the sign-up is, and how it came there.",
    ),
    "HistoryEntry": {**_HISTORY, "description": "One line of the story."},
    "Claim": closed(
        {
            "status": {"type": "string", "enum": [status.value for status in Status]},
            "tier": {"type": "string", "description": "What was won, or the consolation."},
            "rank": {
                "type": "integer",
                "minimum": 1,
                "description": "The position, award or not, where positions decide.",
            },
            "value": {"type": "integer", "description": "In minor units of the currency."},
            "currency": {"type": "string"},
        },
        optional=("tier", "rank", "value", "currency"),
        description="The award, or that there is none.",
    )
    | {"dependentRequired": {"value": ["currency", "tier"], "currency": ["value"]}},
    "Reason": {**_REASON, "description": "What is wrong; never the value that is."},
    "Refused": closed(
        {
            "status": {"const": "error"},
            "reasons": {
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/components/schemas/Reason"},
            },
        },
        description="Not taken, and why.",
    ),
    "Unauthorized": closed(
        {"status": {"const": "error"}}, description="Not taken; no word about why."
    ),
}


def _refused(description: str, *, waits: bool = False, schema: str = "Refused") -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }
    if waits:
        response["headers"] = {
            "Retry-After": {
                "description": "Seconds.",
                "required": True,
                "schema": {"type": "integer", "minimum": 1},
            }
        }
    return response


RESPONSES: Final[dict[str, dict[str, Any]]] = {
    "400": _refused("The body is not JSON in UTF-8 (`not_json`)."),
    "401": _refused("The token is missing or wrong.", schema="Unauthorized"),
    "404": _refused("There is no such route, or no such acquisition (`not_found`)."),
    "413": _refused(f"The body has more than {MAX_BODY_BYTES} bytes (`too_large`)."),
    "415": _refused("The body is not sent as JSON in UTF-8 (`unsupported_media_type`)."),
    "422": _refused("JSON, but not what is taken here: a reason per field. Nothing is kept."),
    "422-parked": _refused(
        "Authentic, but cannot be mapped: a reason per field. The body is kept for 30 days"
        " (`bridge rejected`) and can be replayed once the rules fit."
    ),
    "429": _refused("Too many at once (`too_many_requests`, `busy`).", waits=True),
    "503": _refused(
        "It could not be taken now (`unavailable`). API Gateway's own 500, 502 and 504 look the"
        " same.",
        waits=True,
    ),
}
"""By status; what follows a dash tells two answers of one status apart."""
