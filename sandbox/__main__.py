"""`python -m sandbox --port PORT`: serve the stand-in on loopback until a signal stops it."""

import argparse
import gc
import signal
import sys
from types import FrameType

from sandbox.server import (
    DEFAULT_KEY,
    DEFAULT_QUIKLY_KEY,
    NotLoopbackError,
    Sandbox,
    bind_loopback,
    build_server,
    url_of,
)


def _stopped(_: int, __: FrameType | None) -> None:
    """Do nothing: the server has shut down already."""


def serve(arguments: list[str] | None = None) -> int:
    """Parse the command line and serve.

    Returns:
        The exit code: 0 after SIGTERM or SIGINT, 2 if the address cannot be bound.
    """
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one and prints it")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--key", default=DEFAULT_KEY, help="the Braze key that may do everything")
    parser.add_argument("--quikly-key", default=DEFAULT_QUIKLY_KEY, help="the key under /quikly")
    options = parser.parse_args(arguments)
    try:
        listener = bind_loopback(options.host, options.port)
    except (NotLoopbackError, OSError, OverflowError) as error:
        sys.stderr.write(f"cannot serve: {error}\n")
        return 2
    with listener:
        # What is held is long-lived and without cycles: looking through it often costs a fifth.
        gc.set_threshold(50_000, 50, 100)
        server = build_server(Sandbox(options.key, options.quikly_key))
        # uvicorn raises the signal again once it has shut down: then it must not kill us.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _stopped)
        sys.stdout.write(f"{url_of(listener)}\n")
        sys.stdout.flush()  # the caller may read a pipe
        server.run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(serve())
