"""The door: who may come in, with what; and the only place that makes API Gateway answers.

Every check looks at the raw proxy event, in this order: route, size, token, content type, then one
parse of the body. Nothing is parsed for a caller who has not shown the token, and an event of any
shape, however odd, gets an answer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict

from pydantic_core import from_json

from braze_bridge.aws.secrets import SecretUnavailableError
from braze_bridge.observability import Metric
from braze_bridge.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from braze_bridge.aws.secrets import SecretSource
    from braze_bridge.clock import Clock
    from braze_bridge.observability import Meter

MAX_BODY_BYTES: Final = 262_144
"""256 KiB of decoded body: far over any real response, and under what a queue message and a parked
record can hold."""

RETRY_AFTER_SECONDS: Final = 30
"""Given with every 503: long enough for a queue or a secret store to come back."""

_JSON_TYPE: Final = re.compile(r"application/json|[\w.+-]+/[\w.+-]+\+json", re.ASCII)
_LOGGABLE_ID: Final = re.compile(r"[A-Za-z0-9=;:._/-]{1,128}")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class ProxyResponse(TypedDict):
    """What API Gateway's Lambda proxy integration takes as an answer."""

    statusCode: int
    headers: dict[str, str]
    body: str
    isBase64Encoded: bool


class DoorError(Exception):
    """An answer that is not a success.

    Attributes:
        status: 400, 401, 404, 413, 415, 422, 429 or 503.
        reasons: What is wrong, without values; none for 401.
        headers: To be sent along, such as ``Retry-After``.
    """

    def __init__(
        self,
        status: HTTPStatus,
        reasons: Sequence[Reason] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status.value} {', '.join(reason.code for reason in reasons)}".strip())
        self.status = status
        self.reasons = tuple(reasons)
        self.headers = dict(headers or {})

    def response(self) -> ProxyResponse:
        """The answer."""
        body: dict[str, Any] = {"status": "error"}
        if self.reasons:
            body["reasons"] = [reason.model_dump(exclude_none=True) for reason in self.reasons]
        return answer(self.status, body, self.headers)


def unavailable(code: str, detail: str) -> DoorError:
    """A 503 that asks the sender to come again.

    Args:
        code: A stable word for what was not available.
        detail: A sentence for people.
    """
    return DoorError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        [Reason(code=code, detail=detail)],
        {"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def answer(
    status: HTTPStatus, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> ProxyResponse:
    """Make an API Gateway proxy answer of a JSON object."""
    return {
        "statusCode": status.value,
        "headers": {
            "Content-Type": "application/json",
            "Cache-Control": "no-store",
            **(headers or {}),
        },
        "body": json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        "isBase64Encoded": False,
    }


class Route(NamedTuple):
    """One method and path, as ``template.yaml`` names it.

    Attributes:
        resource: Such as ``/outgrow/{content_id}``.
        has_body: Whether a JSON body belongs to it.
    """

    method: str
    resource: str
    has_body: bool = True


class Admitted(NamedTuple):
    """A call that passed every check.

    Attributes:
        path_parameters: What stood in the resource's braces.
        body: The parsed JSON value, of any type; of duplicate keys the last counts. ``None`` for a
            route without a body.
        body_text: The body as it came, without a byte order mark.
        correlation_id: API Gateway's request id, else a stand-in; safe to log.
        received_at: When it came in.
    """

    route: Route
    path_parameters: Mapping[str, str]
    body: object
    body_text: str
    correlation_id: str
    received_at: datetime

    def __repr__(self) -> str:
        # A repr ends up in tracebacks and logs, where no body belongs.
        return f"Admitted({self.route.resource}, {self.correlation_id})"

    @property
    def path(self) -> str:
        """What a replay posts to: no stage, no base path of a custom domain, no query."""
        path = self.route.resource
        for name, value in self.path_parameters.items():
            path = path.replace(f"{{{name}}}", value)
        return path


class Door:
    """The checks of one group of routes that share a token.

    A sender authenticates with ``Authorization: Bearer <token>``. Both halves of the secret are
    valid, so that a token can be rotated without a gap; a token that matches neither makes the door
    read the secret again (at most every 30 s), so that a fresh one works at once.
    """

    def __init__(
        self,
        *,
        routes: Sequence[Route],
        secret: SecretSource,
        meter: Meter,
        clock: Clock,
        allow_query_token: bool = False,
    ) -> None:
        """Build a door.

        Args:
            routes: What may be called.
            secret: The group's token.
            meter: Counts what was refused.
            clock: Says when a call came in.
            allow_query_token: Whether ``?token=`` counts where the header is missing.
        """
        self._routes = {(route.method, route.resource): route for route in routes}
        self._secret = secret
        self._meter = meter
        self._clock = clock
        self._allow_query_token = allow_query_token

    def admit(self, event: object) -> Admitted:
        """Check a call.

        Args:
            event: A REST API proxy event, or whatever came instead.

        Raises:
            DoorError: 404, 413, 401, 503 (the secret cannot be read), 415 or 400.
        """
        call = event if isinstance(event, dict) else {}
        route = self._routes.get((str(call.get("httpMethod")), str(call.get("resource"))))
        if route is None:
            raise DoorError(HTTPStatus.NOT_FOUND, [Reason(code="not_found")])
        raw = _raw_body(call) if route.has_body else b""
        self._check_size(call, raw)
        if not self._token_is_right(call):
            self._meter.add(Metric.UNAUTHORIZED)
            raise DoorError(HTTPStatus.UNAUTHORIZED)
        body: object = None
        if route.has_body:
            _check_content_type(call)
            raw = (raw or b"").removeprefix(_BYTE_ORDER_MARK)
            body = _parse(raw)
        return Admitted(
            route=route,
            path_parameters=_texts(call.get("pathParameters")),
            body=body,
            body_text=(raw or b"").decode(),
            correlation_id=correlation_id(event),
            received_at=self._clock.now(),
        )

    def _check_size(self, call: dict[str, Any], raw: bytes | None) -> None:
        if raw is None or len(raw) <= MAX_BODY_BYTES:
            return
        try:
            # Counted for partners only: the alarm on it must not be a stranger's to ring.
            if self._token_is_right(call):
                self._meter.add(Metric.BODY_TOO_LARGE)
        except DoorError:
            pass
        raise DoorError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            [Reason(code="too_large", detail=f"more than {MAX_BODY_BYTES} bytes")],
        )

    def _token_is_right(self, call: dict[str, Any]) -> bool:
        token = _bearer(call)
        if token is None and self._allow_query_token and not _header(call, "authorization"):
            token = _only(_listed(call, "queryStringParameters"), "token")
        if not token:
            return False
        try:
            return _matches(token, self._secret.get().accepted) or _matches(
                token, self._secret.refresh().accepted
            )
        except SecretUnavailableError:
            raise unavailable("unavailable", "the token could not be checked") from None


def correlation_id(event: object) -> str:
    """What ties a call's log lines together: the request's id, its trace's, else its body's hash.

    Args:
        event: A REST API proxy event, or whatever came instead.

    Returns:
        At most 128 characters, safe to log.
    """
    call = event if isinstance(event, dict) else {}
    context = call.get("requestContext")
    given = [context.get("requestId") if isinstance(context, dict) else None]
    given += _header(call, "x-amzn-trace-id")
    for candidate in given:
        if isinstance(candidate, str) and _LOGGABLE_ID.fullmatch(candidate):
            return candidate
    body = call.get("body")
    text = body if isinstance(body, str) else ""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _matches(token: str, accepted: Sequence[str]) -> bool:
    """Compare with every half, each in constant time, stopping at none."""
    given = token.encode("utf-8", "surrogatepass")
    equal = [hmac.compare_digest(given, half.encode()) for half in accepted]
    return any(equal)


def _bearer(call: dict[str, Any]) -> str | None:
    values = _header(call, "authorization")
    if len(values) != 1 or not isinstance(values[0], str):
        return None
    scheme, _, token = values[0].strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _header(call: dict[str, Any], name: str) -> list[object]:
    """Every value of a header, whatever its case and however often it was sent."""
    return [
        value
        for sent, values in _listed(call, "headers").items()
        if sent.lower() == name
        for value in values
    ]


def _listed(call: dict[str, Any], key: str) -> dict[str, list[object]]:
    """``headers`` or ``queryStringParameters`` with every value of each name.

    They are in API Gateway's ``multiValue…`` twin. The plain one has only the last value of each;
    it serves where the twin is missing.
    """
    twin = call.get(f"multiValue{key[0].upper()}{key[1:]}")
    if isinstance(twin, dict) and twin:
        return {
            str(name): values if isinstance(values, list) else [values]
            for name, values in twin.items()
        }
    plain = call.get(key)
    if isinstance(plain, dict):
        return {str(name): [value] for name, value in plain.items()}
    return {}


def _only(values: dict[str, list[object]], name: str) -> str | None:
    given = values.get(name, [])
    return given[0] if len(given) == 1 and isinstance(given[0], str) else None


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {
        str(name): text.encode("utf-8", "replace").decode()
        for name, text in value.items()
        if isinstance(text, str)
    }


def _raw_body(call: dict[str, Any]) -> bytes | None:
    """The body's bytes, base64 undone; ``None`` where there is no readable one."""
    body = call.get("body")
    if not isinstance(body, str):
        return None
    if call.get("isBase64Encoded") is not True:
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return None


def _check_content_type(call: dict[str, Any]) -> None:
    values = {value for value in _header(call, "content-type") if isinstance(value, str)}
    kind, *parameters = values.pop().split(";") if len(values) == 1 else [""]
    charsets = [
        value.strip().strip('"').lower()
        for name, _, value in (parameter.partition("=") for parameter in parameters)
        if name.strip().lower() == "charset"
    ]
    json_type = _JSON_TYPE.fullmatch(kind.strip().lower()) is not None
    if not json_type or not set(charsets) <= {"utf-8", "utf8"}:
        raise DoorError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            [Reason(code="unsupported_media_type", detail="send application/json in UTF-8")],
        )


def _parse(raw: bytes) -> object:
    """Parse a body, once.

    ``from_json`` bounds what Python's own parser does not: nesting (about 200), integers (4,300
    digits). With NaN, lone surrogates and broken UTF-8 they all are one ``ValueError``.
    """
    try:
        parsed: object = from_json(raw, allow_inf_nan=False)
    except ValueError:
        raise DoorError(
            HTTPStatus.BAD_REQUEST, [Reason(code="not_json", detail="the body is not JSON")]
        ) from None
    return parsed
