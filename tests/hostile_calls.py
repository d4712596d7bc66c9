"""Hostile calls, drawn from a seed, that a schema does not generate.

Each takes a good sample and spoils its body, headers, token or path. A call is bytes and texts, so
that the same one goes over HTTP or to a handler.
"""

from __future__ import annotations

import json
import random
import uuid
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from ops.openapi import document as openapi
from ops.openapi.examples import read_examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

RIGHT: Final = "right"
"""Replaced by the route's own token."""


class HostileCall(NamedTuple):
    """One call.

    Attributes:
        kind: What is wrong with it.
        resource: The route, as the template names it.
        path_parameters: Values of the path's parameters, not yet quoted.
        authorization: The header's value; :data:`RIGHT` is replaced by the token.
    """

    kind: str
    resource: str
    path_parameters: dict[str, str]
    authorization: str | None
    content_type: str | None
    body: bytes

    @property
    def path(self) -> str:
        """The quoted path."""
        path = self.resource
        for name, value in self.path_parameters.items():
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        return path

    def headers(self, token: str) -> dict[str, str]:
        """The headers, with the right token."""
        sent = {}
        if self.authorization is not None:
            sent["Authorization"] = self.authorization.replace(RIGHT, token)
        if self.content_type is not None:
            sent["Content-Type"] = self.content_type
        return sent


class Marked(str):
    """JSON text that is written into a body as it is."""

    __slots__ = ()


ODD_VALUES: Final[tuple[Any, ...]] = (
    Marked("9" * 4_000),
    Marked("9" * 5_000),
    Marked("-" + "9" * 300),
    Marked("1e400"),
    Marked("-1e-400"),
    Marked("NaN"),
    Marked("-Infinity"),
    Marked("0.1" + "0" * 3_000),
    Marked('"\\ud800"'),
    Marked('"\\udc00\\ud800"'),
    Marked('"\\u0000"'),
    Marked('"\\uffff\\ufffe"'),
    Marked("[" * 150 + "]" * 150),
    Marked("[" * 100_000 + "]" * 100_000),
    Marked('{"a":' * 100 + "1" + "}" * 100),
    Marked("{" + ",".join(f'"{n}":{n}' for n in range(5_000)) + "}"),
    Marked("[" + ",".join("null" for _ in range(40_000)) + "]"),
    2**63,
    -(2**63) - 1,
    0,
    -0.0,
    True,
    None,
    "",
    " \t\n",
    "\u202e\u200b",
    "e\u0301" * 300,
    "🎓" * 5_000,
    "x" * 100_000,
    "{{${email_address}}}",
    "{% connected_content http://example.com %}",
    "'; DROP TABLE users; --",
    "../../etc/passwd",
    "${jndi:ldap://example.com/a}",
    "9999-12-31T23:59:59-23:59",
    "0000-00-00T00:00:00Z",
    "2026-02-30",
    "+" + "9" * 40,
    "a@" + "b." * 120 + "c",
    {"": {"": [[], {}, None]}},
    [[["nested"]]],
    {"$ref": "#/components/schemas/Refused"},
    {"__proto__": {"status": "accepted"}},
)

ODD_NAMES: Final = (
    "",
    " ",
    "$x",
    "__class__",
    "\u0000",
    "a" * 300,
    "é",
    "email ",
    "Email",
    "a.b[0]",
)

ODD_TYPES: Final = (
    None,
    "",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json; charset=utf-16",
    "application/json, text/plain",
    "application/jsonp",
    "application/json;" + "a=b;" * 500,
)
GOOD_TYPES: Final = (
    "application/json",
    "application/json; charset=UTF-8",
    "APPLICATION/JSON",
    "application/problem+json",
)

ODD_TOKENS: Final = (
    None,
    "Bearer",
    "Bearer ",
    RIGHT,
    f"Basic {RIGHT}",
    f"Bearer {RIGHT}x",
    f"Bearer {RIGHT} {RIGHT}",
    f"Bearer Bearer {RIGHT}",
    f"Bearer,{RIGHT}",
    "Bearer " + "a" * 4_000,
    "Bearer null",
    "Bearer \u00e9\u00ff",
)

ODD_IDS: Final = (
    "a" * 2_000,
    "..;",  # clients resolve two dots before they send a path
    "%",
    "%2e%2e",
    "a b",
    "a?b#c",
    "é🎓",
    "{content_id}",
    "'\"<>",
    "a\\b",
    "k#0123456789abcdef",
)


def hostile_calls(seed: int, number: int) -> Iterator[HostileCall]:
    """Draw calls of every kind in turn; a seed always gives the same calls."""
    draw = random.Random(seed)
    samples = read_examples(openapi.EVENTS)
    kinds = list(_KINDS.items())
    for index in range(number):
        name, spoil = kinds[index % len(kinds)]
        sample = draw.choice(samples)
        body = _about_another_person(sample.body, draw)
        parameters = {"content_id": "demo"} if "{content_id}" in sample.resource else {}
        good = HostileCall(
            name, sample.resource, parameters, f"Bearer {RIGHT}", "application/json", b""
        )
        yield spoil(good._replace(body=json.dumps(body).encode()), body, draw)


def _about_another_person(body: Any, draw: random.Random) -> Any:
    """The same about a new person: a resend would be dropped early."""
    token = uuid.UUID(int=draw.getrandbits(128)).hex
    text = json.dumps(body).replace("@", f".{token}@").replace('"id": "', f'"id": "{token}')
    return json.loads(text)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container in a body, with each of its keys or indexes."""
    keys: Any = value if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _written(value: Any) -> str:
    """JSON with marked texts as they are."""
    if isinstance(value, Marked):
        return str(value)
    if isinstance(value, dict):
        inner = (f"{json.dumps(name)}:{_written(each)}" for name, each in value.items())
        return f"{{{','.join(inner)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return json.dumps(value)


def _odd_values(call: HostileCall, body: Any, draw: random.Random) -> HostileCall:
    for _ in range(draw.choice((1, 1, 2, 5))):
        place, key = draw.choice(list(_places(body)))
        place[key] = draw.choice(ODD_VALUES)
    return call._replace(body=_written(body).encode())


def _odd_names(call: HostileCall, body: Any, draw: random.Random) -> HostileCall:
    places = [place for place, _ in _places(body) if isinstance(place, dict)]
    draw.choice(places)[draw.choice(ODD_NAMES)] = draw.choice(ODD_VALUES)
    return call._replace(body=_written(body).encode())


def _left_out(call: HostileCall, body: Any, draw: random.Random) -> HostileCall:
    place, key = draw.choice(list(_places(body)))
    del place[key]
    return call._replace(body=_written(body).encode())


def _duplicate_keys(call: HostileCall, body: Any, draw: random.Random) -> HostileCall:
    name = draw.choice(list(body))
    twice = f"{{{json.dumps(name)}:{_written(draw.choice(ODD_VALUES))}," + _written(body)[1:]
    return call._replace(body=twice.encode())


def _not_an_object(call: HostileCall, body: Any, draw: random.Random) -> HostileCall:
    return call._replace(body=_written(draw.choice((*ODD_VALUES, [body], [body] * 50))).encode())


def _cut_off(call: HostileCall, _body: Any, draw: random.Random) -> HostileCall:
    end = draw.randrange(len(call.body))
    return call._replace(body=call.body[:end])


def _flipped(call: HostileCall, _body: Any, draw: random.Random) -> HostileCall:
    spoilt = bytearray(call.body)
    for _ in range(draw.choice((1, 3, 20))):
        spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
    return call._replace(body=bytes(spoilt))


def _other_encodings(call: HostileCall, _body: Any, draw: random.Random) -> HostileCall:
    text = call.body.decode()
    encoded = draw.choice(
        (
            text.encode("utf-16"),
            text.encode("utf-32-le"),
            b"\xef\xbb\xbf" + call.body,
            b"\xef\xbb\xbf\xef\xbb\xbf" + call.body,
            b"\xff\xfe" + call.body,
            call.body + b"\x00",
            b"\x00" * 10,
            text.replace("a", "\u00e9").encode("latin-1"),
            b'{"email": "\xc0\xaf\xed\xa0\x80"}',
            b"\x1f\x8b\x08\x00" + call.body,
            draw.randbytes(200),
        )
    )
    return call._replace(body=encoded)


def _around_the_limit(call: HostileCall, _body: Any, draw: random.Random) -> HostileCall:
    size = draw.choice((262_143, 262_144, 262_145, 300_000, 1_000_000))
    return call._replace(body=call.body + b" " * (size - len(call.body)))


def _content_type(call: HostileCall, _body: Any, draw: random.Random) -> HostileCall:
    return call._replace(content_type=draw.choice((*ODD_TYPES, *GOOD_TYPES)))


def _token(call: HostileCall, _body: Any, draw: random.Random) -> HostileCall:
    return call._replace(authorization=draw.choice(ODD_TOKENS))


def _path(call: HostileCall, body: Any, draw: random.Random) -> HostileCall:
    if "{content_id}" not in call.resource:
        return _odd_values(call, body, draw)
    return call._replace(path_parameters={"content_id": draw.choice(ODD_IDS)})


_KINDS: Final[Mapping[str, Callable[[HostileCall, Any, random.Random], HostileCall]]] = {
    "odd values": _odd_values,
    "odd names": _odd_names,
    "left out": _left_out,
    "duplicate keys": _duplicate_keys,
    "not an object": _not_an_object,
    "cut off": _cut_off,
    "flipped bytes": _flipped,
    "other encodings": _other_encodings,
    "around the limit": _around_the_limit,
    "content type": _content_type,
    "token": _token,
    "path": _path,
}
