"""The two servers of a local stack: the AWS engine (MiniStack) and the stand-in Braze.

Both listen on loopback only, on free ports.
"""

from __future__ import annotations

import http.client
import os
import socket
import sys
from typing import TYPE_CHECKING, Final

from sandbox.stack.environments import ROOT, python_of

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.stack.stack_file import AccessKey

HOST: Final = "127.0.0.1"
REGION: Final = "us-east-1"

START_SECONDS: Final = 60
"""Ready in about 2 s; a machine under load, or the very first import, takes longer."""

_ANSWER_SECONDS: Final = 2


class Server:
    """A server that is started, answers on a loopback port, and is stopped by its process group."""

    name: str
    log: Path
    _health: str

    def __init__(self, log: Path) -> None:
        self.log = log
        self.port = free_port()

    @property
    def url(self) -> str:
        """Its address, without a trailing slash."""
        return f"http://{HOST}:{self.port}"

    def command(self) -> list[str]:
        """Return the command that starts it."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return its whole environment."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Return whether it is ready."""
        # http.client ignores proxy variables, which are useless for loopback.
        connection = http.client.HTTPConnection(HOST, self.port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", self._health)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def take_another_port(self) -> None:
        """Choose another port: the first was taken before the server could bind it."""
        self.port = free_port()


class Engine(Server):
    """MiniStack, in its own environment (it pins botocore).

    Args:
        key: Its root's.
        scratch: Where it unpacks functions and layers; deleted with the stack.
        log: Its output, functions' output included.
    """

    name = "engine"
    _health = "/_ministack/health"

    def __init__(self, key: AccessKey, scratch: Path, log: Path) -> None:
        super().__init__(log)
        self._key = key
        self._scratch = scratch

    def command(self) -> list[str]:
        """Return the command that starts it."""
        return [str(python_of("ministack")), str(ROOT / "sandbox" / "stack" / "engine.py")]

    def environment(self) -> dict[str, str]:
        """Return its whole environment: nothing of the caller's, since functions inherit it."""
        scratch = str(self._scratch)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": scratch,
            "LANG": "C.UTF-8",
            "TMPDIR": scratch,
            "PYTHONUNBUFFERED": "1",
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": HOST,
            "MINISTACK_HOST": HOST,
            "MINISTACK_REGION": REGION,
            "AUTH": "true",  # evaluate each function's role
            "IOT_MTLS_ENABLED": "0",  # or it opens 8883, where two stacks collide
            "SFTP_ENABLED": "0",
            "S3_DATA_DIR": f"{scratch}/s3",
            "STATE_DIR": f"{scratch}/state",
            # It would remove containers that it finds in Docker: this machine's are not its own.
            "DOCKER_HOST": f"unix://{scratch}/no-docker.sock",
            "AWS_ACCESS_KEY_ID": self._key.id,
            "AWS_SECRET_ACCESS_KEY": self._key.secret,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "*",
        }


class StandInBraze(Server):
    """The stand-in Braze (and Quikly), under this interpreter."""

    name = "braze"
    _health = "/_sandbox/health"

    def __init__(self, key: str, quikly_key: str, log: Path) -> None:
        super().__init__(log)
        self._key = key
        self._quikly_key = quikly_key

    def command(self) -> list[str]:
        """Return the command that starts it."""
        command = [sys.executable, "-m", "sandbox", "--port", str(self.port)]
        return [*command, "--key", self._key, "--quikly-key", self._quikly_key]

    def environment(self) -> dict[str, str]:
        """Return its whole environment."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
