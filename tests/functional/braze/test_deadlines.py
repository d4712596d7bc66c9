"""After a request's deadline nothing leaves a socket, and no answer is awaited."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from braze_bridge.braze.errors import BrazeError, ConnectFailedError, UnknownOutcomeError
from braze_bridge.braze.transport import LONGEST_SECONDS, Deadline, HttpRequest, PooledTransport
from tests.fakes.loopback_server import SECONDS, Connection, LoopbackServer
from tests.functional.braze.conftest import server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SOON = 0.5
"""Seconds until a deadline."""

AT_ONCE = 1.0
"""Seconds in which a call must end after its deadline."""

BODY = b'{"events":[]}'


def post(
    deadline: float | None, body: bytes = BODY, connect: float = SECONDS, read: float = SECONDS
) -> HttpRequest:
    """A request with a deadline."""
    return HttpRequest("POST", "/users/track", {}, body, (), (connect, read), deadline)


def ok(connection: Connection) -> None:
    """A well-behaved answer."""
    connection.answer(201)


def silent(connection: Connection) -> None:
    """No answer, and nothing read."""
    connection.stopping.wait(SECONDS)


@contextmanager
def ending_in(seconds: float) -> Iterator[Deadline]:
    """A deadline, and a check that the call ends with it."""
    deadline = Deadline.after(seconds)
    yield deadline
    assert time.monotonic() < deadline + AT_ONCE


class Clocks:
    """The clocks of a Lambda; a freeze may stop the monotonic one.

    Attributes:
        now: The monotonic clock.
        wall: Wall time.
        readings: How often a transport read the monotonic clock.
        freezes_at: The reading at which the function is frozen for a minute.
    """

    def __init__(self) -> None:
        self.now = 1_000.0
        self.wall = 5_000.0
        self.readings = 0
        self.freezes_at = 0

    def freeze(self, seconds: float, *, stops: bool) -> None:
        """Let wall time pass."""
        self.wall += seconds
        self.now += 0.0 if stops else seconds

    def after(self, seconds: float) -> Deadline:
        """A deadline on these clocks."""
        return Deadline(self.now + seconds, self.wall + seconds)

    @property
    def both(self) -> dict[str, Callable[[], float]]:
        """The transport's arguments."""
        return {"monotonic": self._monotonic, "clock": lambda: self.wall}

    def _monotonic(self) -> float:
        self.readings += 1
        if self.readings == self.freezes_at:
            self.freeze(60, stops=True)
        return self.now


class TestConnecting:
    """The time for the name, its addresses and TLS is part of the request's."""

    def test_a_name_that_is_resolved_late(
        self,
        transport_to: Callable[..., PooledTransport],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A look-up cannot be interrupted; after it nothing is connected."""
        resolve = socket.getaddrinfo

        def stalled(*args: Any) -> object:
            time.sleep(SOON)
            return resolve(*args)

        monkeypatch.setattr(socket, "getaddrinfo", stalled)
        with LoopbackServer(ok) as server:
            with ending_in(SOON / 2) as deadline, pytest.raises(ConnectFailedError):
                transport_to(server.url).send(post(deadline))

            assert server.connections == 0

    def test_a_second_address_gets_only_the_time_that_is_left(
        self,
        transport_to: Callable[..., PooledTransport],
        addresses: Callable[..., None],
    ) -> None:
        """Otherwise each address may take the whole connect timeout, one after the other."""
        with hanging() as full, LoopbackServer(ok) as server:
            addresses(full, full, port(server))
            with ending_in(SOON) as deadline, pytest.raises(ConnectFailedError):
                transport_to(server.url).send(post(deadline, connect=SOON * 0.6))

            assert server.connections == 0

    def test_a_second_address_is_tried_in_time(
        self,
        transport_to: Callable[..., PooledTransport],
        addresses: Callable[..., None],
    ) -> None:
        """The first one hangs."""
        with hanging() as full, LoopbackServer(ok) as server:
            addresses(full, port(server))
            request = post(Deadline.after(SECONDS), connect=0.1)
            assert transport_to(server.url).send(request).status == 201

    def test_a_slow_handshake(self, transport_to: Callable[..., PooledTransport]) -> None:
        """Nothing answers TLS at the other end."""
        with LoopbackServer(ok) as server:
            url = server.url.replace("http:", "https:")
            with ending_in(SOON) as deadline, pytest.raises(ConnectFailedError):
                transport_to(url).send(post(deadline))

            assert not server.seen

    def test_no_free_connection(self, transport_to: Callable[..., PooledTransport]) -> None:
        """Every connection of the pool is in use by a slow request."""
        started = threading.Event()

        def slow(connection: Connection) -> None:
            started.set()
            connection.stopping.wait(2.0)

        with LoopbackServer(slow) as server, ThreadPoolExecutor(1) as threads:
            transport = transport_to(server.url, pool_size=1)
            first = threads.submit(transport.send, post(Deadline.after(2.0)))
            assert started.wait(SECONDS)
            with ending_in(SOON) as deadline, pytest.raises(ConnectFailedError):
                transport.send(post(deadline))

            assert len(server.seen) == 1
            server.stop()
            assert isinstance(first.exception(), UnknownOutcomeError)


class TestSending:
    """The deadline is checked immediately before each write to the socket."""

    @pytest.mark.parametrize("stops", [True, False], ids=["clock stops", "clock goes on"])
    def test_a_freeze_between_connect_and_send(
        self,
        transport_to: Callable[..., PooledTransport],
        monkeypatch: pytest.MonkeyPatch,
        stops: bool,
    ) -> None:
        """The thawed function closes the new connection without a byte on it."""
        clocks = Clocks()

        class Freezing(socket.socket):
            def connect(self, address: Any) -> None:
                super().connect(address)
                clocks.freeze(60, stops=stops)

        monkeypatch.setattr(socket, "socket", Freezing)
        with LoopbackServer(ok) as server:
            with pytest.raises(ConnectFailedError):
                transport_to(server.url, **clocks.both).send(post(clocks.after(20)))

            assert server.seen == []

    @pytest.mark.parametrize("is_kept", [False, True], ids=["new connection", "kept connection"])
    def test_a_freeze_at_any_moment(
        self,
        transport_to: Callable[..., PooledTransport],
        is_kept: bool,
    ) -> None:
        """No complete request leaves afterwards, and the error says whether one left before."""
        ends = []
        for moment in range(1, 20):
            clocks = Clocks()
            with LoopbackServer(ok) as server:
                transport = transport_to(server.url, **clocks.both)
                if is_kept:
                    transport.send(post(clocks.after(20)))
                before = len(server.seen)
                clocks.freezes_at = clocks.readings + moment
                end: type[BrazeError] | None = None
                try:
                    transport.send(post(clocks.after(20)))
                except BrazeError as error:
                    end = type(error)
            ends.append(end)
            whole = [seen for seen in server.seen[before:] if seen.body == BODY]
            assert not (whole and end is ConnectFailedError), moment
        assert set(ends) == {ConnectFailedError, UnknownOutcomeError, None}

    @pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
    def test_a_body_that_is_read_slowly(
        self,
        transport_to: Callable[..., PooledTransport],
        certificate: Path,
        is_tls: bool,
    ) -> None:
        """Each write succeeds before its timeout, and all together take too long."""

        def sip(connection: Connection) -> None:
            for _ in range(60):
                connection.sock.recv(200_000)
                if connection.stopping.wait(0.05):
                    return

        tls = server_context(certificate) if is_tls else None
        with LoopbackServer(sip, body_first=False, tls=tls) as server:
            transport = transport_to(server.url, ca_file=str(certificate))
            with ending_in(SOON) as deadline, pytest.raises(ConnectFailedError):
                transport.send(post(deadline, b"x" * 30_000_000))

    def test_what_the_kernel_still_holds_is_discarded(
        self, transport_to: Callable[..., PooledTransport]
    ) -> None:
        """The network stalled after the last write: no later packet completes the request."""
        body = b"x" * 200_000
        given_up = threading.Event()
        received: list[int] = []

        def read_late(connection: Connection) -> None:
            given_up.wait(SECONDS)
            with suppress(OSError):
                while chunk := connection.sock.recv(10_000):
                    received.append(len(chunk))

        with LoopbackServer(read_late, body_first=False, receive_buffer=4_096) as server:
            with pytest.raises(UnknownOutcomeError):
                transport_to(server.url).send(post(Deadline.after(SOON), body, read=SOON))
            given_up.set()

        assert len(server.seen) == 1
        assert sum(received) < len(body) / 2


class TestReading:
    """A timeout limits each silence; the deadline limits the answer."""

    @pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
    @pytest.mark.parametrize("start", [b"", b"HTTP/1.1 201 X\r\nContent-Length: 99\r\n\r\n"])
    def test_an_answer_that_drips(
        self,
        transport_to: Callable[..., PooledTransport],
        certificate: Path,
        start: bytes,
        is_tls: bool,
    ) -> None:
        """A byte of the head or of the body comes before each timeout."""

        def drip(connection: Connection) -> None:
            connection.sock.sendall(start)
            for byte in b"HTTP/1.1 201 Created\r\nA: B":
                connection.sock.sendall(bytes([byte]))
                if connection.stopping.wait(0.1):
                    return
            connection.close()

        tls = server_context(certificate) if is_tls else None
        with LoopbackServer(drip, tls=tls) as server:
            transport = transport_to(server.url, ca_file=str(certificate))
            with ending_in(SOON) as deadline, pytest.raises(UnknownOutcomeError):
                transport.send(post(deadline, read=SOON / 2))

    def test_an_answer_that_drips_without_a_deadline(
        self, transport_to: Callable[..., PooledTransport]
    ) -> None:
        """A request has an end even if its caller gave none."""
        clocks = Clocks()

        def drip(connection: Connection) -> None:
            connection.sock.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n")
            while not connection.stopping.wait(0.01):
                clocks.wall += 1
                connection.sock.sendall(b" ")

        with LoopbackServer(drip) as server, pytest.raises(UnknownOutcomeError):
            transport_to(server.url, **clocks.both).send(post(None))

        assert clocks.wall < 5_000.0 + LONGEST_SECONDS + 10

    def test_silence(self, transport_to: Callable[..., PooledTransport]) -> None:
        """The deadline comes before the timeout."""
        with (
            LoopbackServer(silent) as server,
            ending_in(SOON) as deadline,
            pytest.raises(UnknownOutcomeError),
        ):
            transport_to(server.url).send(post(deadline))

    def test_a_refusal_whose_text_drips(self, transport_to: Callable[..., PooledTransport]) -> None:
        """Its status is known in time."""

        def refuse(connection: Connection) -> None:
            connection.answer(429, b"{", length=99, Retry_After="7")
            connection.stopping.wait(SECONDS)

        with LoopbackServer(refuse) as server, ending_in(SOON) as deadline:
            response = transport_to(server.url).send(post(deadline))

        assert (response.status, response.body) == (429, b"")

    def test_an_answer_in_time(self, transport_to: Callable[..., PooledTransport]) -> None:
        """The connection is kept, and the next request has its own deadline."""
        with LoopbackServer(ok) as server:
            transport = transport_to(server.url)
            for seconds in (SOON, SECONDS):
                assert transport.send(post(Deadline.after(seconds))).status == 201
            time.sleep(SOON)
            assert transport.send(post(Deadline.after(SECONDS))).status == 201
            assert transport.send(post(None)).status == 201

        assert server.connections == 1


class TestLateThreads:
    """A thread that starts after the deadline does nothing."""

    @pytest.mark.parametrize("made", [Deadline.after, lambda left: time.monotonic() + left])
    def test_a_queued_call(
        self, transport_to: Callable[..., PooledTransport], made: Callable[[float], float]
    ) -> None:
        """Its thread was busy."""
        with LoopbackServer(ok) as server:
            transport = transport_to(server.url)
            with ThreadPoolExecutor(1) as threads:
                threads.submit(time.sleep, 0.2)
                late = threads.submit(transport.send, post(made(0.1)))

            assert isinstance(late.exception(), ConnectFailedError)
            assert server.connections == 0

    def test_a_thread_that_starts_after_a_freeze(
        self, transport_to: Callable[..., PooledTransport]
    ) -> None:
        """The monotonic clock stood still; wall time shows that the deadline has passed."""
        clocks = Clocks()
        deadline = clocks.after(20)
        clocks.freeze(3_600, stops=True)
        with LoopbackServer(ok) as server:
            with pytest.raises(ConnectFailedError):
                transport_to(server.url, **clocks.both).send(post(deadline))

            assert server.connections == 0

    def test_wall_time_that_is_set_back(self, transport_to: Callable[..., PooledTransport]) -> None:
        """It does not move the deadline."""
        clocks = Clocks()
        deadline = clocks.after(20)
        clocks.now += 21
        clocks.wall -= 3_600
        with LoopbackServer(ok) as server:
            with pytest.raises(ConnectFailedError):
                transport_to(server.url, **clocks.both).send(post(deadline))

            assert server.connections == 0


def port(server: LoopbackServer) -> int:
    """The port of a server."""
    return int(server.url.rpartition(":")[2])


@contextmanager
def hanging() -> Iterator[int]:
    """A port at which a connection neither succeeds nor fails: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            with suppress(BlockingIOError):
                each.connect(listener.getsockname())
        yield listener.getsockname()[1]
        for each in waiting:
            each.close()


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes every name resolve to these ports of this machine."""

    def resolve_to(*ports: int) -> None:
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", number)) for number in ports
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)

    return resolve_to
