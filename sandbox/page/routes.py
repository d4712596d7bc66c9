"""The page's files and what they ask for, under `/_sandbox/` (docs/sandbox.md)."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from braze_bridge.shared_gate import GateStoreUnavailableError
from sandbox.braze.guard import PREFIX
from sandbox.event_files import samples
from sandbox.page.console import Console, ConsoleError, StackLink, WantedTry
from sandbox.page.mapped_names import partners_by_name
from sandbox.page.snapshot import snapshot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from sandbox.braze.workspace import Workspace

STATIC: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS: Final = {
    # Nothing inline, nothing from elsewhere: what Braze was sent can only ever be text.
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


class Host(Protocol):
    """Who holds the stand-in's state and the page's."""

    workspace: Workspace
    console: Console


class OpenedGate(BaseModel):
    """Which gate to open."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    open: str


def page_routes(host: Host) -> list[Route]:
    """Builds the page's routes.

    Args:
        host: Who holds the state.

    Returns:
        The routes; bad bodies are answered 422 with a reason per field, values not echoed.
    """
    partners = partners_by_name()

    async def live(request: Request) -> Response:
        host.workspace.settle()
        text = request.query_params.get("search", "")[:_LONGEST_SEARCH]
        return _json(snapshot(host.workspace, list(host.console.tries), partners, text))

    async def stack(request: Request) -> Response:
        if request.method == "POST":
            link = StackLink.model_validate_json(await request.body())
            await run_in_threadpool(host.console.introduce, link)
        known = host.console.link
        if known is None:
            return _json(None)
        return _json({"api_url": known.api_url, "tokens": sorted(known.tokens)})

    async def attempt(request: Request) -> Response:
        wanted = WantedTry.model_validate_json(await request.body())
        workspace = host.workspace
        done = await run_in_threadpool(host.console.attempt, wanted, len(workspace.requests))
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

    async def gate(request: Request) -> Response:
        gates = host.console.gates
        if gates is None:
            raise ConsoleError("No stack is behind this stand-in: start one with `make up`.")
        if request.method == "POST":
            name = OpenedGate.model_validate_json(await request.body()).open
            try:
                await run_in_threadpool(gates.open, name)
            except KeyError:
                raise ConsoleError("There is no such gate.") from None
        return _json(await run_in_threadpool(gates.show))

    return [
        Route(PREFIX, _file("index.html"), methods=["GET"]),
        *(
            Route(f"{PREFIX}page/{path.name}", _file(path.name), methods=["GET"])
            for path in sorted(STATIC.iterdir())
            if path.suffix in _TYPES
        ),
        Route(PREFIX + "live", _asked(live), methods=["GET"]),
        Route(PREFIX + "stack", _asked(stack), methods=["GET", "POST"]),
        Route(PREFIX + "samples", _asked(_samples), methods=["GET"]),
        Route(PREFIX + "try", _asked(attempt), methods=["POST"]),
        Route(PREFIX + "gate", _asked(gate), methods=["GET", "POST"]),
    ]


async def _samples(_: Request) -> Response:
    return _json(
        [
            {
                "id": name,
                "description": case.description,
                "path": case.path,
                "token": case.token,
                "status": case.expect["status"],
                # What is no text, or would fill the page, is posted but not shown.
                "body": case.body
                if isinstance(case.body, str)
                and len(case.body) <= _LONGEST_SHOWN
                and not case.headers
                else None,
                "bytes": len(case.sent_bytes()),
            }
            for name, case in samples()
        ],
    )


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    path = STATIC / name

    async def answer(_: Request) -> Response:
        return Response(path.read_bytes(), headers=_HEADERS, media_type=_TYPES[path.suffix])

    return answer


def _asked(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
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
