"""The door: it checks a call, and makes the answers for API Gateway.

Every check looks at the raw proxy event, in this order: route, size, token, content type, then one
parse of the body. Nothing is parsed before the token is right. Any event gets an answer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict

from braze_bridge.aws.secrets import SecretUnavailableError
from braze_bridge.observability import Metric
from braze_bridge.reasons import Reason
from braze_bridge.web.json_text import JsonText, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from braze_bridge.aws.secrets import SecretPair, SecretSource
    from braze_bridge.clock import Clock
    from braze_bridge.observability import Meter

MAX_BODY_BYTES: Final = 262_144
"""256 KiB of decoded body: far more than a real response has, and less than a queue message and a
parked record can hold."""

RETRY_AFTER_SECONDS: Final = 30
"""Sent with every 503: a queue or a secret store needs no longer to recover."""

_JSON_TYPE: Final = re.compile(r"application/json|[\w.+-]+/[\w.+-]+\+json", re.ASCII)
_LOGGABLE_ID: Final = re.compile(r"[A-Za-z0-9=;:._/-]{1,128}")


class ProxyResponse(TypedDict):
    """An answer for API Gateway's Lambda proxy integration."""

    statusCode: int
    headers: dict[str, str]
    body: str
    isBase64Encoded: bool


class DoorError(Exception):
    """An answer that is not a success.

    Attributes:
        status: 400, 401, 404, 413, 415, 422, 429 or 503.
        reasons: What is wrong, without values; none for 401.
        headers: Further ones, such as ``Retry-After``.
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
        """Make the answer."""
        body: dict[str, Any] = {"status": "error"}
        if self.reasons:
            body["reasons"] = [reason.model_dump(exclude_none=True) for reason in self.reasons]
        return answer(self.status, body, self.headers)


def unavailable(code: str, detail: str) -> DoorError:
    """Make a 503 that asks the sender to try again."""
    return DoorError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        [Reason(code=code, detail=detail)],
        {"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def answer(
    status: HTTPStatus, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> ProxyResponse:
    """Make an answer of a JSON object."""
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
        has_body: Whether its calls have a JSON body.
    """

    method: str
    resource: str
    has_body: bool = True


class Admitted(NamedTuple):
    """A call that passed every check.

    Attributes:
        path_parameters: The values of the resource's braces.
        body: The parsed JSON value, of any type; of duplicate keys the last counts. ``None`` for a
            route without a body.
        body_text: The body as it came, without a byte order mark and half characters.
        correlation_id: Of :func:`correlation_id`.
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
        """The path that a replay posts to: no stage, no base path of a custom domain, no query."""
        path = self.route.resource
        for name, value in self.path_parameters.items():
            path = path.replace(f"{{{name}}}", value)
        return path


class Door(NamedTuple):
    """The checks of a group of routes that share a token.

    A sender authenticates with ``Authorization: Bearer <token>``. Both halves of the secret are
    valid, so that a token can be rotated without a gap. If a token matches neither, the door
    reads the secret again (at most every 30 s). So a new token works at once.

    Attributes:
        allow_query_token: Whether ``?token=`` counts if the header is missing.
    """

    routes: Sequence[Route]
    secret: SecretSource
    meter: Meter
    clock: Clock
    allow_query_token: bool = False

    def admit(self, event: object) -> Admitted:
        """Check a call: a REST API proxy event, or anything else.

        Raises:
            DoorError: 404, 413, 401, 503 (the secret cannot be read), 415 or 400.
        """
        call = event if isinstance(event, dict) else {}
        called = (str(call.get("httpMethod")), str(call.get("resource")))
        route = next((each for each in self.routes if (each.method, each.resource) == called), None)
        if route is None:
            raise DoorError(HTTPStatus.NOT_FOUND, [Reason(code="not_found")])
        raw = _raw_body(call) if route.has_body else b""
        if len(raw) > MAX_BODY_BYTES:
            raise self._too_large(call)
        if not self._token_is_right(call):
            self.meter.add(Metric.UNAUTHORIZED)
            raise DoorError(HTTPStatus.UNAUTHORIZED)
        body = JsonText(None)
        if route.has_body:
            _check_content_type(call)
            body = self._parse(raw)
        return Admitted(
            route=route,
            path_parameters=_texts(call.get("pathParameters")),
            body=body.value,
            body_text=body.text,
            correlation_id=correlation_id(event),
            received_at=self.clock.now(),
        )

    def _parse(self, raw: bytes) -> JsonText:
        """Parse a body, once."""
        try:
            parsed = read_json(raw)
        except ValueError:
            raise DoorError(
                HTTPStatus.BAD_REQUEST, [Reason(code="not_json", detail="the body is not JSON")]
            ) from None
        if parsed.replaced:
            self.meter.add(Metric.SURROGATES_REPLACED, parsed.replaced)
        return parsed

    def _too_large(self, call: dict[str, Any]) -> DoorError:
        with suppress(DoorError):
            # Counted for partners only: unauthenticated callers must not trigger the alarm on it.
            if self._token_is_right(call):
                self.meter.add(Metric.BODY_TOO_LARGE)
        return DoorError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            [Reason(code="too_large", detail=f"more than {MAX_BODY_BYTES} bytes")],
        )

    def _token_is_right(self, call: dict[str, Any]) -> bool:
        token = _token(call, allow_query=self.allow_query_token)
        if not token:
            return False
        try:
            return _matches(token, self.secret.get()) or _matches(token, self.secret.refresh())
        except SecretUnavailableError:
            raise unavailable("unavailable", "the token could not be checked") from None


def correlation_id(event: object) -> str:
    """Find the id of any call: the request's, its trace's, else its body's hash.

    Returns:
        At most 128 characters, safe to log.
    """
    call = event if isinstance(event, dict) else {}
    context = call.get("requestContext")
    given = [context.get("requestId")] if isinstance(context, dict) else []
    for candidate in (*given, *_header(call, "x-amzn-trace-id")):
        if isinstance(candidate, str) and _LOGGABLE_ID.fullmatch(candidate):
            return candidate
    body = call.get("body")
    text = body if isinstance(body, str) else ""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _matches(token: str, secret: SecretPair) -> bool:
    """Compare with each half in constant time; do not stop at a match."""
    given = token.encode("utf-8", "surrogatepass")
    equal = [hmac.compare_digest(given, half.encode()) for half in secret.accepted]
    return any(equal)


def _token(call: dict[str, Any], *, allow_query: bool) -> str | None:
    """Find the token that a call shows. If there is an Authorization header, only it counts."""
    authorization = _header(call, "authorization")
    if allow_query and not authorization:
        return _only(_listed(call, "queryStringParameters").get("token", []))
    scheme, _, token = (_only(authorization) or "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _only(values: list[object]) -> str | None:
    return values[0] if len(values) == 1 and isinstance(values[0], str) else None


def _header(call: dict[str, Any], name: str) -> list[object]:
    """Return every value of a header, whatever its case and however often it was sent."""
    return [
        value
        for sent, values in _listed(call, "headers").items()
        if sent.lower() == name
        for value in values
    ]


def _listed(call: dict[str, Any], key: str) -> dict[str, list[object]]:
    """Read ``headers`` or ``queryStringParameters`` with every value of each name.

    API Gateway has them under ``multiValue…``. The plain key has only the last value of each, and
    is used if the other is missing.
    """
    every = call.get(f"multiValue{key[0].upper()}{key[1:]}")
    if isinstance(every, dict) and every:
        return {
            str(name): values if isinstance(values, list) else [values]
            for name, values in every.items()
        }
    plain = call.get(key)
    return {str(name): [value] for name, value in plain.items()} if isinstance(plain, dict) else {}


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {
        str(name): text.encode("utf-8", "replace").decode()
        for name, text in value.items()
        if isinstance(text, str)
    }


def _raw_body(call: dict[str, Any]) -> bytes:
    """Return the body's bytes, base64 decoded; none if they cannot be read."""
    body = call.get("body")
    if not isinstance(body, str):
        return b""
    if call.get("isBase64Encoded") is not True:
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:  # binascii.Error is one
        return b""


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
