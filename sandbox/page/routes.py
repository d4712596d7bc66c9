"""The page's files and its routes, under `/_sandbox/` (docs/sandbox.md)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from braze_bridge.gate.shared import GateStoreUnavailableError
from sandbox.braze.control import PREFIX
from sandbox.braze.profiles import Identifier
from sandbox.event_files import sample, samples
from sandbox.page.console import Console, ConsoleError, WantedTry
from sandbox.page.links import StackLink
from sandbox.page.mapped_names import partners_by_name
from sandbox.page.snapshot import snapshot

if TYPE_CHECKING:
    from sandbox.braze.profiles import IdentifierKind
    from sandbox.braze.workspace import Workspace
    from sandbox.event_files import EventCase

STATIC: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS: Final = {
    # No inline code, nothing from other hosts: what was sent to Braze can only be text.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LONGEST_SEARCH: Final = 200
_LONGEST_SHOWN: Final = 20_000


class PageHost(Protocol):
    """Holds the stand-in's state and the page's."""

    workspace: Workspace
    console: Console


class OpenedGate(BaseModel):
    """The gate to open."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    open: str


class WantedSample(BaseModel):
    """The sample to prepare."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str


def page_routes(host: PageHost) -> list[Route]:
    """Build the page's routes.

    Returns:
        The routes; bad bodies are answered 422 with a reason per field, values not echoed; what
        cannot be done 409, with a sentence.
    """
    return [
        Route(PREFIX, _file("index.html"), methods=["GET"]),
        *(
            Route(f"{PREFIX}page/{path.name}", _file(path.name), methods=["GET"])
            for path in sorted(STATIC.iterdir())
            if path.suffix in _TYPES
        ),
        *(
            Route(PREFIX + name, _asked(host, handler), methods=methods)
            for name, handler, methods in _TABLE
        ),
    ]


async def _live(host: PageHost, request: Request) -> Response:
    host.workspace.settle()
    text = request.query_params.get("search", "")[:_LONGEST_SEARCH]
    return _json(snapshot(host.workspace, list(host.console.tries), _partners(), text))


async def _stack(host: PageHost, request: Request) -> Response:
    if request.method == "POST":
        link = StackLink.model_validate_json(await request.body())
        await run_in_threadpool(host.console.introduce, link)
    known = host.console.link
    if known is None:
        return _json(None)
    return _json({"api_url": known.api_url, "tokens": sorted(known.tokens)})


async def _samples(host: PageHost, request: Request) -> Response:
    if request.method == "GET":
        return _json([_shown(name, case) for name, case in samples()])
    name = WantedSample.model_validate_json(await request.body()).id
    try:
        case = sample(name)
    except KeyError:
        raise ConsoleError("There is no such sample.") from None
    return _json(_shown(name, _with_profile(case, host.workspace)))


async def _try(host: PageHost, request: Request) -> Response:
    wanted = WantedTry.model_validate_json(await request.body())
    since = len(host.workspace.requests)
    done = await run_in_threadpool(host.console.attempt, wanted, since)
    return _json(
        {
            "k": done.k,
            "status": done.status,
            "ms": done.ms,
            "headers": {"content-type": done.content_type, "retry-after": done.retry_after},
            "body": done.answer,
            "job_id": done.job_id,
        },
    )


async def _gate(host: PageHost, request: Request) -> Response:
    gates = host.console.gates
    if gates is None:
        return _json(None)
    if request.method == "POST":
        name = OpenedGate.model_validate_json(await request.body()).open
        try:
            await run_in_threadpool(gates.open, name)
        except KeyError:
            raise ConsoleError("There is no such gate.") from None
    return _json(await run_in_threadpool(gates.show))


_Handler = Callable[[PageHost, Request], Awaitable[Response]]
_TABLE: Final[list[tuple[str, _Handler, list[str]]]] = [
    ("live", _live, ["GET"]),
    ("stack", _stack, ["GET", "POST"]),
    ("samples", _samples, ["GET", "POST"]),
    ("try", _try, ["POST"]),
    ("gate", _gate, ["GET", "POST"]),
]
_partners = cache(partners_by_name)


def _shown(name: str, case: EventCase) -> dict[str, JsonValue]:
    is_text = isinstance(case.body, str) and len(case.body) <= _LONGEST_SHOWN and not case.headers
    return {
        "id": name,
        "description": case.description,
        "path": case.path,
        "token": case.token,
        "status": case.expect["status"],
        # A body that is no text, or very long, is posted but not shown.
        "body": str(case.body) if is_text else None,
        "bytes": len(case.sent_bytes()),
        "needs_profile": case.profile is not None,
    }


def _with_profile(case: EventCase, workspace: Workspace) -> EventCase:
    """Create the profile that a case needs, since only Braze knows its `braze_id`."""
    if case.profile is None:
        return case
    ((kind, value),) = case.profile.items()
    identifier = Identifier(cast("IdentifierKind", kind), value)
    profile = workspace.profiles.find(identifier)
    if profile is None:
        profile = workspace.create(identifier, workspace.clock())
    return case.about(profile.braze_id)


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    path = STATIC / name

    async def answer(_: Request) -> Response:
        return Response(path.read_bytes(), headers=_HEADERS, media_type=_TYPES[path.suffix])

    return answer


def _asked(host: PageHost, handler: _Handler) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await handler(host, request)
        except ValidationError as error:
            return _refused(
                [
                    (".".join(map(str, detail["loc"])), detail["msg"])
                    for detail in error.errors(
                        include_url=False, include_input=False, include_context=False
                    )
                ],
                HTTPStatus.UNPROCESSABLE_ENTITY,
            )
        except ConsoleError as error:
            return _refused([("", str(error))], HTTPStatus.CONFLICT)
        except GateStoreUnavailableError:
            return _refused([("", "The gates cannot be read now.")], HTTPStatus.SERVICE_UNAVAILABLE)

    return answer


def _refused(reasons: list[tuple[str, str]], status: HTTPStatus) -> Response:
    errors: list[JsonValue] = [{"field": field, "reason": reason} for field, reason in reasons]
    return _json({"errors": errors}, status)


def _json(value: object, status: int = 200) -> Response:
    return Response(to_json(value), status, {"Cache-Control": "no-store"}, "application/json")
