"""`GET /events/list` and `GET /custom_attributes`: the names that a workspace has seen.

https://www.braze.com/docs/api/endpoints/export/custom_events/get_custom_events and
https://www.braze.com/docs/api/endpoints/export/custom_attributes/get_custom_attributes.
"""

import re
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote

from sandbox.braze.custom_attributes import MAX_ARRAY_ITEMS, Kind
from sandbox.braze.exchange import Answer, Call, JsonObject, refusal
from sandbox.braze.workspace import Workspace

if TYPE_CHECKING:
    from pydantic import JsonValue

EVENTS_A_PAGE = 250
ATTRIBUTES_A_PAGE = 50
# We chose the texts: the pages have the rules, not the words.
BAD_PAGE = "'page' must be a number"
BAD_CURSOR = "'cursor' is not valid"
_PAGE = re.compile(r"\d{1,9}", re.ASCII)
_CURSOR = re.compile(rb"skip:(\d{1,9})")
_LONGEST_CURSOR = 40
_DATA_TYPES: dict[Kind, str] = {
    "boolean": "Boolean",
    "number": "Number",
    "string": "String",
    "time": "Time",
    "array": "Array",
    "object": "Object",
    "object_array": "Array of objects",
}
"""The page shows only `Number`. These are the names on Braze's page of the data types."""


def list_events(workspace: Workspace, call: Call, _: JsonObject) -> Answer:
    """List the names of custom events, 250 a page, sorted.

    Returns:
        200, with no names past the last page; 400 for a bad `page`.
    """
    number = dict(call.query).get("page", "0")
    if not _PAGE.fullmatch(number):
        return refusal(BAD_PAGE)
    first = int(number) * EVENTS_A_PAGE
    names: list[JsonValue] = [*sorted(workspace.event_names)[first : first + EVENTS_A_PAGE]]
    return Answer(200, {"events": names, "message": "success"})


def list_custom_attributes(workspace: Workspace, call: Call, _: JsonObject) -> Answer:
    """List the custom attributes with their types, 50 a page, sorted.

    Returns:
        200, with the next page's address in the `link` header if there is one (RFC 8288; the page
        names the header and shows none); 400 for a bad `cursor`. A cursor is base64 of `skip:` and
        a number, as `c2tpcDow` on the page.
    """
    first = _read_cursor(dict(call.query).get("cursor"))
    if first is None:
        return refusal(BAD_CURSOR)
    blocklist = workspace.settings.blocklisted_attributes
    known = sorted(workspace.custom_attributes.types.items())
    attributes: list[JsonValue] = [
        {
            "array_length": MAX_ARRAY_ITEMS if its.kind == "array" else None,
            "data_type": _DATA_TYPES[its.kind],
            "description": None,
            "name": name,
            "status": "Blocklisted" if name in blocklist else "Active",
            "tag_names": [],
        }
        for name, its in known[first : first + ATTRIBUTES_A_PAGE]
    ]
    answer = Answer(200, {"attributes": attributes, "message": "success"})
    following = first + ATTRIBUTES_A_PAGE
    if following < len(known):
        cursor = b64encode(f"skip:{following}".encode()).decode()
        address = f"http://{call.headers.get('host', '')}{call.path}?cursor={quote(cursor)}"
        answer.headers["link"] = f'<{address}>; rel="next"'
    return answer


def _read_cursor(text: str | None) -> int | None:
    if text is None:
        return 0
    if len(text) > _LONGEST_CURSOR:
        return None
    try:
        found = _CURSOR.fullmatch(b64decode(text, validate=True))
    except ValueError:
        return None
    return None if found is None else int(found[1])
