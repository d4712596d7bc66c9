"""The transport over real sockets on loopback: what it sends, and how it reports failures."""

from __future__ import annotations

import gzip
import logging
import threading
import traceback
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from braze_bridge.braze.errors import BrazeError, ConnectFailedError, UnknownOutcomeError
from braze_bridge.braze.transport import MAX_ANSWER_BYTES, HttpRequest
from tests.fakes.loopback_server import SECONDS, Connection, LoopbackServer
from tests.functional.braze.conftest import server_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from braze_bridge.braze.transport import HttpResponse, PooledTransport

KEY = "b7c1d2e3-SECRET-4f5a-9b8c-0d1e2f3a4b5c"
HEADERS = {
    "Authorization": f"Bearer {KEY}",
    "User-Agent": "partner-Acme-Bridge/1",
    "Content-Type": "application/json",
}
EMAIL = "ana+quiz@example.com"


def post(body: bytes = b'{"email":"ana@example.com"}', read: float = SECONDS) -> HttpRequest:
    """A request as the client makes them."""
    return HttpRequest("POST", "/users/track", HEADERS, body, timeout=(SECONDS, read))


def look_up() -> HttpRequest:
    """A look-up with personal data in its query."""
    return HttpRequest(
        "GET",
        "/subscription/status/get",
        HEADERS,
        None,
        (("email", EMAIL), ("external_id[]", "a b"), ("external_id[]", "é")),
        (SECONDS, SECONDS),
    )


def ok(connection: Connection) -> None:
    """A well-behaved answer."""
    connection.answer(201, b'{"message":"success"}', X_RateLimit_Limit="5")


def waited(event: threading.Event) -> None:
    """Stay silent until then."""
    event.wait(SECONDS)


def test_what_goes_over_the_wire(transport_to: Callable[..., PooledTransport]) -> None:
    """Path, headers and body as given; no agent, cookie or header of the library's own."""
    with LoopbackServer(ok) as server:
        response = transport_to(server.url + "/").send(post())

    (seen,) = server.seen
    head = seen.head.split("\r\n")
    assert head[0] == "POST /users/track HTTP/1.1"
    assert seen.body == b'{"email":"ana@example.com"}'
    names = {line.partition(":")[0].lower() for line in head[1:] if line}
    assert names == {
        "host",
        "accept-encoding",
        "authorization",
        "user-agent",
        "content-type",
        "content-length",
    }
    assert f"Authorization: Bearer {KEY}" in head
    assert (response.status, response.body) == (201, b'{"message":"success"}')
    assert response.headers["x-ratelimit-limit"] == "5"


def test_query_encoding(transport_to: Callable[..., PooledTransport]) -> None:
    """A plus goes out as %2B, since in a query a bare one is a space."""
    with LoopbackServer(ok) as server:
        transport_to(server.url).send(look_up())

    assert server.seen[0].head.startswith(
        "GET /subscription/status/get?email=ana%2Bquiz%40example.com"
        "&external_id%5B%5D=a+b&external_id%5B%5D=%C3%A9 HTTP/1.1\r\n"
    )
    assert server.seen[0].body == b""


@pytest.mark.parametrize("status", [200, 201, 202, 204, 400, 401, 403, 404, 413, 429, 500, 503])
def test_every_status_is_an_answer(
    transport_to: Callable[..., PooledTransport], status: int
) -> None:
    """No status raises; judging it is the client's."""
    body = b"" if status == 204 else b"text"
    with LoopbackServer(lambda it: it.answer(status, body)) as server:
        response = transport_to(server.url).send(post())

    assert (response.status, response.body) == (status, body)


def bomb(status: int) -> Callable[[Connection], None]:
    """An answer of 64 KB that unpacks to 64 MB."""
    packed = gzip.compress(bytes(64 * 1024 * 1024), 1)
    return lambda connection: connection.answer(status, packed, Content_Encoding="gzip")


def endless(connection: Connection) -> None:
    """An answer that never ends."""
    connection.sock.sendall(b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not connection.stopping.is_set():
        connection.sock.sendall(b"100000\r\n" + bytes(0x100000) + b"\r\n")


@pytest.mark.parametrize("script", [bomb(201), endless], ids=["gzip bomb", "endless"])
def test_a_success_that_is_too_large_has_an_unknown_outcome(
    transport_to: Callable[..., PooledTransport], script: Callable[[Connection], None]
) -> None:
    """It is not held in memory, and its connection is not used again."""
    tracemalloc.start()
    with LoopbackServer(script, ok) as server:
        transport = transport_to(server.url)
        with pytest.raises(UnknownOutcomeError):
            transport.send(post())
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert transport.send(post()).status == 201

    assert server.connections == 2
    assert most < 3 * MAX_ANSWER_BYTES


def test_an_error_that_is_too_large_keeps_its_status(
    transport_to: Callable[..., PooledTransport],
) -> None:
    """The status says what to do; the body only explains it."""
    with LoopbackServer(bomb(429)) as server:
        response = transport_to(server.url).send(post())

    assert (response.status, response.body) == (429, b"")


@pytest.mark.parametrize(
    "location", ["/elsewhere", "https://example.invalid/", "http://[bad", "", "\xff\xfe", "//"]
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_answers(
    transport_to: Callable[..., PooledTransport], status: int, location: str
) -> None:
    """A redirect is not followed, however odd its target: the key goes nowhere else."""
    with LoopbackServer(lambda it: it.answer(status, b"moved", Location=location)) as server:
        response = transport_to(server.url).send(post())

    assert (response.status, response.body) == (status, b"moved")
    assert len(server.seen) == 1


def test_connections_are_kept(transport_to: Callable[..., PooledTransport]) -> None:
    """Ten calls in a row use one connection."""
    with LoopbackServer(ok) as server:
        transport = transport_to(server.url)
        for _ in range(10):
            transport.send(post())

    assert [seen.connection for seen in server.seen] == [1] * 10


def test_one_connection_per_slot(transport_to: Callable[..., PooledTransport]) -> None:
    """Six threads on two slots share two connections, and both at once."""
    both_busy = threading.Barrier(2)

    def pairwise(connection: Connection) -> None:
        both_busy.wait(SECONDS)
        ok(connection)

    with LoopbackServer(pairwise) as server:
        transport = transport_to(server.url, pool_size=2)
        with ThreadPoolExecutor(6) as threads:
            statuses = list(threads.map(lambda _: transport.send(post()).status, range(6)))

    assert statuses == [201] * 6
    assert server.connections == 2


def test_cookies_are_ignored(transport_to: Callable[..., PooledTransport]) -> None:
    """A cookie is neither kept nor sent back: threads share nothing but connections."""
    with LoopbackServer(lambda it: it.answer(200, Set_Cookie="a=b; Path=/")) as server:
        transport = transport_to(server.url)
        transport.send(post())
        transport.send(post())

    assert "ookie" not in server.seen[1].head


def test_the_environment_is_ignored(
    transport_to: Callable[..., PooledTransport],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The environment's proxy and `.netrc` are ignored."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with LoopbackServer(ok) as server:
        assert transport_to(server.url).send(post()).status == 201

    assert f"Authorization: Bearer {KEY}" in server.seen[0].head


@pytest.mark.parametrize("status", [200, 400])
def test_compressed_answers(transport_to: Callable[..., PooledTransport], status: int) -> None:
    """Gzip is asked for and undone."""
    packed = gzip.compress(b'{"message":"m"}')
    step = lambda it: it.answer(status, packed, Content_Encoding="gzip")  # noqa: E731  # a script
    with LoopbackServer(step) as server:
        response = transport_to(server.url).send(post())

    assert "gzip" in server.seen[0].head
    assert response.body == b'{"message":"m"}'


class TestBrokenConnections:
    """Sent without an answer is unknown; not sent completely is a failed connection."""

    def test_refused(self, transport_to: Callable[..., PooledTransport]) -> None:
        """No server listens: nothing was sent."""
        with LoopbackServer(ok) as server:
            url = server.url

        with pytest.raises(ConnectFailedError):
            transport_to(url).send(post())

    def test_a_handshake_that_is_not_answered(
        self, transport_to: Callable[..., PooledTransport]
    ) -> None:
        """No TLS at the other end: a connection that failed, however long it stays open."""
        request = HttpRequest("GET", "/", HEADERS, None, timeout=(0.2, SECONDS))
        with LoopbackServer(ok) as server:
            with pytest.raises(ConnectFailedError):
                transport_to(server.url.replace("http:", "https:")).send(request)

            assert not server.seen

    def test_silence(self, transport_to: Callable[..., PooledTransport]) -> None:
        """No answer in time: Braze has the request, and its outcome is unknown."""
        silent = threading.Event()
        with LoopbackServer(lambda _: waited(silent)) as server:
            with pytest.raises(UnknownOutcomeError, match="ReadTimeout"):
                transport_to(server.url).send(post(read=0.2))

            silent.set()
            assert server.seen[0].body == post().body

    @pytest.mark.parametrize("end", [Connection.close, Connection.reset])
    def test_ended_without_an_answer(
        self, transport_to: Callable[..., PooledTransport], end: Callable[[Connection], None]
    ) -> None:
        """The request was read, the connection ended: unknown, on a new and on a kept one."""
        with LoopbackServer(end) as server, pytest.raises(UnknownOutcomeError):
            transport_to(server.url).send(post())

        with LoopbackServer(ok, end) as server:
            transport = transport_to(server.url)
            transport.send(post())
            with pytest.raises(UnknownOutcomeError):
                transport.send(post())
            assert [seen.connection for seen in server.seen] == [1, 1]

    def test_ended_while_sending(self, transport_to: Callable[..., PooledTransport]) -> None:
        """Cut off before the body was out: Braze cannot have acted on half of it."""
        with (
            LoopbackServer(Connection.reset, body_first=False) as server,
            pytest.raises(ConnectFailedError),
        ):
            transport_to(server.url).send(post(b"x" * 30_000_000))

    def test_an_answer_before_the_body_was_out(
        self, transport_to: Callable[..., PooledTransport]
    ) -> None:
        """An answer that comes before the server has read the body is still read."""

        def refuse(connection: Connection) -> None:
            connection.answer(413, b"too large", Connection="close")
            connection.sock.shutdown(1)
            while connection.sock.recv(1_000_000):
                pass

        with LoopbackServer(refuse, body_first=False) as server:
            response = transport_to(server.url).send(post(b"x" * 30_000_000))

        assert response.status == 413

    def test_a_kept_connection_that_was_closed(
        self, transport_to: Callable[..., PooledTransport]
    ) -> None:
        """A connection closed between two calls is noticed and replaced."""
        closed = threading.Event()

        def answer_and_close(connection: Connection) -> None:
            connection.answer(200)
            connection.sock.shutdown(2)
            connection.close()
            closed.set()

        with LoopbackServer(answer_and_close, ok) as server:
            transport = transport_to(server.url)
            transport.send(post())
            assert closed.wait(SECONDS)
            assert transport.send(post()).status == 201

        assert [seen.connection for seen in server.seen] == [1, 2]

    @pytest.mark.parametrize(("pause", "connections"), [(29.0, 1), (30.0, 2), (-1.0, 2)])
    def test_a_connection_idle_for_long(
        self, transport_to: Callable[..., PooledTransport], pause: float, connections: int
    ) -> None:
        """After 30 s without use (a frozen Lambda), or with a clock set back, it is replaced."""
        now = [1_000.0]
        with LoopbackServer(ok) as server:
            transport = transport_to(server.url, clock=lambda: now[0])
            transport.send(post())
            now[0] += pause
            transport.send(post())

        assert server.connections == connections

    @pytest.mark.parametrize(
        "step",
        [
            lambda it: (it.answer(201, b'{"mess', length=500), it.close()),
            lambda it: (it.answer(201, b'{"mess', length=500), it.reset()),
            lambda it: it.answer(201, b"no gzip", Content_Encoding="gzip"),
            lambda it: (it.sock.sendall(b"SSH-2.0-nginx\r\n\r\n"), it.close()),
        ],
        ids=["short", "reset", "not gzip", "not HTTP"],
    )
    def test_a_success_that_breaks_off(
        self,
        transport_to: Callable[..., PooledTransport],
        step: Callable[[Connection], None],
    ) -> None:
        """What a success says of single objects is lost with its body: unknown."""
        with LoopbackServer(step) as server, pytest.raises(UnknownOutcomeError):
            transport_to(server.url).send(post())

    @pytest.mark.parametrize("status", [302, 400, 401, 429, 503])
    def test_a_failure_that_breaks_off(
        self, transport_to: Callable[..., PooledTransport], status: int
    ) -> None:
        """An error keeps its status and headers without its body."""

        def step(connection: Connection) -> None:
            connection.answer(status, b'{"mess', length=500, Retry_After="7")
            connection.close()

        with LoopbackServer(step) as server:
            response = transport_to(server.url).send(post())

        assert (response.status, response.body) == (status, b"")
        assert response.headers["retry-after"] == "7"

    def test_a_failure_does_not_taint_the_next_call(
        self, transport_to: Callable[..., PooledTransport]
    ) -> None:
        """The progress of one call does not affect the next one in the same thread."""
        with LoopbackServer(ok) as server:
            transport = transport_to(server.url)
            transport.send(post())

        with pytest.raises(ConnectFailedError):
            transport.send(post())


class TestNothingLeaks:
    """The exceptions of `urllib3` hold the header, the body and the URL; ours hold none."""

    @pytest.mark.parametrize("step", [None, Connection.reset])
    @pytest.mark.parametrize("request_", [post(), look_up()])
    def test_in_errors(
        self,
        transport_to: Callable[..., PooledTransport],
        step: Callable[[Connection], None] | None,
        request_: HttpRequest,
    ) -> None:
        """Text, chain, attributes and a traceback with variables are clean."""
        with LoopbackServer(step or ok) as server:
            transport = transport_to(server.url)
            if step is None:
                server.stop()
            with pytest.raises(BrazeError) as caught:
                transport.send(request_)

        error = caught.value
        assert error.__cause__ is None
        assert error.__context__ is None
        verbose = traceback.TracebackException.from_exception(error, capture_locals=True)
        verbose.stack[:] = [frame for frame in verbose.stack if frame.filename != __file__]
        shown = "\n".join([*verbose.format(), repr(error), repr(vars(error))])
        assert KEY not in shown
        assert "ana" not in shown

    def test_a_header_that_cannot_be_sent(
        self, transport_to: Callable[..., PooledTransport]
    ) -> None:
        """`http.client` quotes a header that it refuses; we do not."""
        broken = HttpRequest("GET", "/", {"Authorization": f"Bearer {KEY}\n"}, None)
        with pytest.raises(ConnectFailedError) as caught:
            transport_to("http://127.0.0.1:1").send(broken)

        assert KEY not in f"{caught.value!r}{caught.value.__context__!r}"

    def test_in_debug_logs(
        self, transport_to: Callable[..., PooledTransport], caplog: pytest.LogCaptureFixture
    ) -> None:
        """With every logger at DEBUG, the query of a look-up is still not written."""
        with caplog.at_level(logging.DEBUG), LoopbackServer(ok) as server:
            transport_to(server.url).send(look_up())

        assert "/subscription/status/get" in caplog.text
        assert "ana" not in caplog.text
        assert KEY not in caplog.text


class TestTls:
    """The same over TLS."""

    @staticmethod
    def send_twice(transport: PooledTransport) -> list[HttpResponse]:
        """Two calls."""
        return [transport.send(post()), transport.send(post())]

    def test_an_unknown_certificate(
        self, transport_to: Callable[..., PooledTransport], certificate: Path
    ) -> None:
        """A server that cannot prove who it is gets nothing."""
        with LoopbackServer(ok, tls=server_context(certificate)) as server:
            with pytest.raises(ConnectFailedError, match="SSLError"):
                transport_to(server.url).send(post())

            assert not server.seen

    def test_a_known_certificate(
        self, transport_to: Callable[..., PooledTransport], certificate: Path
    ) -> None:
        """Connections are kept over TLS too, and an end without an answer is unknown."""
        script = (ok, ok, Connection.close)
        with LoopbackServer(*script, tls=server_context(certificate)) as server:
            transport = transport_to(server.url, ca_file=str(certificate))

            assert [response.status for response in self.send_twice(transport)] == [201, 201]
            with pytest.raises(UnknownOutcomeError):
                transport.send(post())
            assert [seen.connection for seen in server.seen] == [1, 1, 1]

    def test_a_failure_does_not_taint_the_next_call(
        self, transport_to: Callable[..., PooledTransport], certificate: Path
    ) -> None:
        """A handshake that fails after a call that succeeded is still a failed connection."""
        with LoopbackServer(ok, tls=server_context(certificate)) as server:
            transport = transport_to(server.url, ca_file=str(certificate))
            transport.send(post())

        with pytest.raises(ConnectFailedError):
            transport.send(post())
