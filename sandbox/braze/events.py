"""Custom events and purchases: their errors and silent drops (reference §1.6, §1.7)."""

from collections.abc import Collection
from datetime import datetime

from pydantic import JsonValue
from pydantic_core import to_json

from sandbox.braze.dates import read_event_time, recognise_date, write_date
from sandbox.braze.exchange import JsonObject
from sandbox.braze.identity import ObjectRejectedError, id_text
from sandbox.braze.nested import MAX_TEXT, DroppedError, check_number, check_size

MAX_EVENT_PROPERTY_BYTES = 100_000
MAX_PURCHASE_PROPERTY_BYTES = 50_000
MAX_QUANTITY = 100

BAD_PROPERTIES = "Invalid 'properties' field"
BAD_QUANTITY = "'quantity' is not valid"
# We chose the texts below: the documentation names the rule, not the words.
BAD_NAME = "'name' is not valid"
BAD_TIME = "'time' is not valid"
BAD_PRODUCT_ID = "'product_id' is not valid"
BAD_CURRENCY = "'currency' is not valid"
BAD_PRICE = "'price' is not valid"

EVENT_RESERVED = frozenset({"time", "event_name"})
PURCHASE_RESERVED = frozenset(
    {"time", "product_id", "quantity", "event_name", "price", "currency"},
)
_CURRENCY_LENGTH = 3


def _check_time(item: JsonObject) -> datetime:
    moment = read_event_time(item.get("time"))
    if moment is None:
        raise ObjectRejectedError(BAD_TIME)
    return moment


def _check_properties(item: JsonObject, reserved: Collection[str]) -> None:
    if "properties" not in item:
        return
    properties = item["properties"]
    if not isinstance(properties, dict):
        raise ObjectRejectedError(BAD_PROPERTIES)
    for name in properties:
        if not name or len(name) > MAX_TEXT or name[0] == "$" or name in reserved:
            raise ObjectRejectedError(BAD_PROPERTIES)


def check_event(item: JsonObject) -> datetime:
    """Find what makes Braze name an event in `errors`.

    Returns:
        The event's time in UTC.

    Raises:
        ObjectRejectedError: No name, no valid time or a bad property name. Such a name is reserved,
            empty, over 255 characters or begins with a dollar sign.
    """
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise ObjectRejectedError(BAD_NAME)
    moment = _check_time(item)
    _check_properties(item, EVENT_RESERVED)
    return moment


def check_purchase(item: JsonObject) -> datetime:
    """Find what makes Braze name a purchase in `errors`.

    Returns:
        The purchase's time in UTC.

    Raises:
        ObjectRejectedError: A required key missing or not valid, or a bad property name.
    """
    product = id_text(item.get("product_id"))
    if product is None or len(product) > MAX_TEXT:
        raise ObjectRejectedError(BAD_PRODUCT_ID)
    currency = item.get("currency")
    if (
        not isinstance(currency, str)
        or len(currency) != _CURRENCY_LENGTH
        or not (currency.isascii() and currency.isalpha())
    ):
        raise ObjectRejectedError(BAD_CURRENCY)
    price = item.get("price")
    if isinstance(price, bool) or not isinstance(price, (int, float)):
        raise ObjectRejectedError(BAD_PRICE)
    try:
        check_number(price)
    except DroppedError:
        raise ObjectRejectedError(BAD_PRICE) from None
    quantity = item.get("quantity", 1)
    if (
        isinstance(quantity, bool)
        or not isinstance(quantity, int)
        or not 1 <= quantity <= MAX_QUANTITY
    ):
        raise ObjectRejectedError(BAD_QUANTITY)
    moment = _check_time(item)
    _check_properties(item, PURCHASE_RESERVED)
    return moment


def _check_array_item(value: JsonValue) -> None:
    if isinstance(value, dict):
        raise DroppedError("arrays of objects are not supported in event properties")
    if value is None or isinstance(value, list):
        raise DroppedError("an array item that is neither text, number nor boolean")
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise DroppedError("an array item over 255 characters")
    elif not isinstance(value, bool):
        check_number(value)


def read_property(value: JsonValue) -> JsonValue:
    """Bring one event property into the form Braze keeps.

    Returns:
        The value: date strings in UTC, objects as JSON text (the event page says "ingested as
        strings" where another page says supported; the harder reading).

    Raises:
        DroppedError: Null, a string over 255 characters, an array of objects.
    """
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise DroppedError("a string over 255 characters")
        moment = recognise_date(value)
        return value if moment is None else write_date(moment)
    if value is None:
        raise DroppedError("a null")
    if isinstance(value, dict):
        return to_json(value).decode()
    if isinstance(value, list):
        for item in value:
            _check_array_item(item)
        return value
    if not isinstance(value, bool):
        check_number(value)
    return value


def check_payload(properties: JsonValue, limit: int) -> None:
    """Refuse properties with arrays or objects that are too long.

    Args:
        limit: In bytes of JSON.

    Raises:
        DroppedError: Over the limit; Braze would lose the whole event.
    """
    if isinstance(properties, dict) and any(
        isinstance(value, (dict, list)) for value in properties.values()
    ):
        check_size(properties, limit)
