"""The people that a call names, for the request log and to follow an answer through it."""

from collections.abc import Iterator

from pydantic import JsonValue

from sandbox.braze.exchange import Answer, Call

_NAMING = frozenset(
    {
        "alias_name",
        "braze_id",
        "current_external_id",
        "email",
        "email_address",
        "emails",
        "external_id",
        "external_ids",
        "external_user_id",
        "external_user_ids",
        "new_alias_name",
        "new_external_id",
        "old_alias_name",
        "phone",
        "phones",
    },
)
_DEEPEST = 4
"""A track body, its array, an object in it, its alias: what is deeper is a nested attribute."""


def people_named(call: Call) -> tuple[str, ...]:
    """List every identifier in a call's body and query, once, in order."""
    in_query = (value for name, value in call.query if name.removesuffix("[]") in _NAMING)
    return tuple(dict.fromkeys([*_names(_body(call), _DEEPEST), *in_query]))


def people_refused(call: Call, answer: Answer) -> tuple[str, ...]:
    """List every identifier of the objects that an answer's `errors` name."""
    errors = (answer.json or {}).get("errors")
    if not isinstance(errors, list):
        return ()
    body = _body(call)
    names: list[str] = []
    for error in errors:
        if isinstance(error, dict) and isinstance(body, dict):
            array, index = body.get(str(error.get("input_array"))), error.get("index")
            if isinstance(array, list) and isinstance(index, int) and index < len(array):
                names.extend(_names(array[index], _DEEPEST - 2))
    return tuple(dict.fromkeys(names))


def _body(call: Call) -> JsonValue:
    try:
        return call.json
    except ValueError:
        return None


def _names(value: JsonValue, depth: int) -> Iterator[str]:
    if depth == 0:
        return
    if isinstance(value, list):
        for item in value:
            yield from _names(item, depth - 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in _NAMING:
                yield from _texts(item)
            elif isinstance(item, (dict, list)):
                yield from _names(item, depth - 1)


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (item for item in value if isinstance(item, str))
