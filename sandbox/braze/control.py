"""The control routes, `/_sandbox/*` (design §6): no key, not logged, loopback only."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError
from pydantic_core import to_json
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sandbox.braze.audience import Audience
from sandbox.braze.dates import write_date
from sandbox.braze.endpoints.export import FIELDS, export_profile
from sandbox.braze.exchange import JsonObject
from sandbox.braze.faults import Fault
from sandbox.braze.identity import normalise_phone
from sandbox.braze.openapi import document
from sandbox.braze.profiles import Profile
from sandbox.braze.settings import Settings
from sandbox.braze.subscriptions import confirm
from sandbox.braze.workspace import Host, Workspace

PREFIX = "/_sandbox/"
_LONGEST_NUMBER = 18
_PATCH: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])


class Confirmation(BaseModel):
    """A user's `Y` to an opt-in prompt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subscription_group_id: str
    phone: str


class QuiklyKey(BaseModel):
    """The key that the stand-in for Quikly takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str


def _json(value: object, status: int = 200) -> Response:
    return Response(to_json(value), status, media_type="application/json")


def show_profile(profile: Profile, now: float) -> JsonObject:
    """Show a profile as the export does, plus events, subscriptions and drops one by one."""
    return {
        **export_profile(profile, FIELDS, now),
        "events": [
            {"name": e.name, "time": write_date(e.time), "properties": e.properties}
            for e in profile.events
        ],
        "subscription_groups": [
            {
                "id": group_id,
                "status": membership.state,
                "pending": membership.pending_until is not None and now < membership.pending_until,
            }
            for group_id, membership in profile.memberships.items()
        ],
        "dropped": [asdict(drop) for drop in profile.dropped],
    }


async def _health(workspace: Workspace, _: Request) -> Response:
    return _json(
        {
            "status": "ok",
            "profiles": len(workspace.profiles),
            "requests": len(workspace.requests),
            "pending": workspace.pending,
        },
    )


async def _faults(workspace: Workspace, request: Request) -> Response:
    if request.method == "POST":
        workspace.faults.add(Fault.model_validate_json(await request.body()))
    elif request.method == "DELETE":
        workspace.faults.clear()
    return _json(workspace.faults.listed())


async def _settings(workspace: Workspace, request: Request) -> Response:
    if request.method == "POST":
        patch = _PATCH.validate_json(await request.body())
        workspace.use(Settings.model_validate({**workspace.settings.model_dump(), **patch}))
    return _json(workspace.settings.model_dump(mode="json"))


async def _requests(workspace: Workspace, request: Request) -> Response:
    since = request.query_params.get("since", "0")
    if not (since.isascii() and since.isdigit() and len(since) <= _LONGEST_NUMBER):
        return _json({"errors": [{"field": "since", "reason": "not a number"}]}, 422)
    return _json([row.public() for row in workspace.requests[int(since) :]])


async def _profiles(workspace: Workspace, _: Request) -> Response:
    now = workspace.clock()
    return _json([show_profile(profile, now) for profile in workspace.profiles])


async def _audience(workspace: Workspace, request: Request) -> Response:
    wanted = Audience.model_validate_json(await request.body())
    now = workspace.clock()
    found = [show_profile(each, now) for each in workspace.profiles if wanted.includes(each)]
    return _json(found)


async def _messages(workspace: Workspace, _: Request) -> Response:
    return _json([asdict(message) for message in workspace.messages])


async def _dropped(workspace: Workspace, _: Request) -> Response:
    return _json([asdict(drop) for drop in workspace.dropped])


async def _double_opt_in(workspace: Workspace, request: Request) -> Response:
    if request.method == "GET":
        return _json([prompt._asdict() for prompt in workspace.subscriptions.prompts])
    wanted = Confirmation.model_validate_json(await request.body())
    phone = normalise_phone(wanted.phone) or wanted.phone
    now = workspace.clock()
    confirmed = [
        confirm(profile, wanted.subscription_group_id, now)
        for profile in workspace.profiles.sharing("phone", phone)
    ]
    return _json({"confirmed": sum(confirmed)}, 200 if any(confirmed) else 409)


async def _quikly(workspace: Workspace, request: Request) -> Response:
    if request.method == "POST":
        workspace.quikly.key = QuiklyKey.model_validate_json(await request.body()).key
    return _json(asdict(workspace.quikly))


async def _openapi(_: Workspace, __: Request) -> Response:
    return _json(document())


_Handler = Callable[[Workspace, Request], Awaitable[Response]]
_TABLE: list[tuple[str, _Handler, list[str]]] = [
    ("health", _health, ["GET"]),
    ("faults", _faults, ["GET", "POST", "DELETE"]),
    ("settings", _settings, ["GET", "POST"]),
    ("requests", _requests, ["GET"]),
    ("profiles", _profiles, ["GET"]),
    ("audience", _audience, ["POST"]),
    ("messages", _messages, ["GET"]),
    ("dropped", _dropped, ["GET"]),
    ("double_opt_in", _double_opt_in, ["GET", "POST"]),
    ("quikly", _quikly, ["GET", "POST"]),
    ("openapi.json", _openapi, ["GET"]),
]


async def _let_go(_: Workspace) -> None:
    """Hold a workspace that was replaced until the answer is sent."""


def _reasons(error: ValidationError) -> Response:
    details = error.errors(include_url=False, include_input=False, include_context=False)
    return _json(
        {
            "errors": [
                {"field": ".".join(map(str, detail["loc"])), "reason": detail["msg"]}
                for detail in details
            ],
        },
        422,
    )


class _Unlogged:
    """The catch-all under `/_sandbox/`: no such request counts as a call to Braze."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        missing = {"errors": [{"field": "path", "reason": "no such control route"}]}
        await _json(missing, 404)(scope, receive, send)


def control_routes(host: Host, more: Sequence[Route] = ()) -> list[Route]:
    """Build the control routes.

    Returns:
        The routes; bad bodies are answered 422 with a reason per field, values not echoed.
    """

    def route(name: str, handler: _Handler, methods: list[str]) -> Route:
        async def answer(request: Request) -> Response:
            host.workspace.settle()
            try:
                return await handler(host.workspace, request)
            except ValidationError as error:
                return _reasons(error)

        return Route(PREFIX + name, answer, methods=methods)

    async def reset(_: Request) -> Response:
        response = _json({"status": "ok"})
        # Freeing 75,000 profiles takes 50 ms: the caller has its answer before that.
        response.background = BackgroundTask(_let_go, host.reset())
        return response

    return [
        *(route(*row) for row in _TABLE),
        Route(PREFIX + "reset", reset, methods=["POST"]),
        *more,
        Route(PREFIX + "{rest:path}", _Unlogged()),
    ]
