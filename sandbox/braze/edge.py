"""The HTTP edge: reads a request, applies faults, and answers or resets the connection."""

import asyncio
import socket
import struct
from dataclasses import replace
from http import HTTPStatus

from pydantic_core import to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.braze import quikly
from sandbox.braze.api import answer_call, objects_in
from sandbox.braze.exchange import MAX_BODY_BYTES, Answer, Call
from sandbox.braze.faults import Fault
from sandbox.braze.keys import bearer_key
from sandbox.braze.naming import people_named, people_refused
from sandbox.braze.workspace import Host, Workspace

_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_LINGER_ZERO = struct.pack("ii", 1, 0)


class AbortableProtocol(H11Protocol):
    """HTTP/1.1 whose requests can reach their connection, to reset it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Hand the transport to the requests of this connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _NoAnswer(Response):
    """Resets the connection instead of answering."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del send  # there is nothing to send
        transport: asyncio.Transport = scope["state"]["transport"]
        connection = transport.get_extra_info("socket")
        # Lingering for 0 seconds makes the close a reset, not an orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        transport.abort()
        while (await receive())["type"] != "http.disconnect":
            continue


async def _read(request: Request) -> tuple[bytes, bool]:
    """Read a body to its end, even one that is too long, so that the client gets the answer."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
    return (b"", True) if size > MAX_BODY_BYTES else (b"".join(chunks), False)


def _respond(answer: Answer) -> Response:
    if answer.status in _BODILESS:
        return Response(None, answer.status, answer.headers)
    if answer.json is not None:
        return Response(
            to_json(answer.json),
            answer.status,
            answer.headers,
            media_type="application/json",
        )
    return Response(answer.text, answer.status, answer.headers, media_type="text/html")


def _fault_answer(fault: Fault, answer: Answer) -> Answer:
    """Put a fault's status, body and headers onto an answer that was not a refusal."""
    if fault.replaces_processing or answer.status < HTTPStatus.BAD_REQUEST:
        answer.status = fault.status or answer.status
        if isinstance(fault.body, dict):
            answer.json = dict(fault.body)
        elif fault.body is not None:
            text = fault.body if isinstance(fault.body, str) else to_json(fault.body).decode()
            answer.json, answer.text = None, text
    answer.headers.update(fault.headers)
    return answer


class Edge:
    """The ASGI application for every request that is not for a control route."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        workspace = self._host.workspace
        path: str = request.scope["path"]
        row = workspace.log(request.method, path)
        try:
            body, oversize = await _read(request)
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)  # the client has gone
        call = Call(
            row.n,
            row.at,
            request.method,
            path,
            request.headers,
            request.query_params.multi_items(),
            body,
            oversize,
        )
        key = bearer_key(call.headers.get("authorization"))
        fault = workspace.faults.take(call.path, key, body)
        answer = self._process(workspace, call, fault)
        row.objects = objects_in(call)
        row.met_fault = fault is not None
        row.people, row.refused = people_named(call), people_refused(call, answer)
        if call.path.startswith(quikly.PREFIX):
            status = 0 if fault is not None and fault.reset else answer.status
            quikly.keep_quikly_call(workspace, call, status)
        if fault is not None and fault.delay_ms:
            await asyncio.sleep(fault.delay_ms / 1000)
        row.ms = round((workspace.clock() - row.at) * 1000, 1)
        if fault is not None and fault.reset is not None:
            return _NoAnswer()
        row.status = answer.status
        return _respond(answer)

    @staticmethod
    def _process(workspace: Workspace, call: Call, fault: Fault | None) -> Answer:
        if fault is None:
            return _answer(workspace, call)
        if fault.replaces_processing:
            return _fault_answer(fault, Answer(fault.status or HTTPStatus.OK))
        if fault.errors:
            call = replace(call, forced_errors=fault.errors)
        return _fault_answer(fault, _answer(workspace, call))


def _answer(workspace: Workspace, call: Call) -> Answer:
    if call.path.startswith(quikly.PREFIX):
        return quikly.answer_quikly(workspace, call)
    return answer_call(workspace, call)
