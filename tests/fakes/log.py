"""A Powertools logger that writes into memory, unscrubbed: what a test reads is what was given."""

from __future__ import annotations

import io
import itertools
import json
from typing import Any

from aws_lambda_powertools import Logger

_names = itertools.count()


class RecordingLog:
    """A logger of its own and what it wrote.

    The scrubbing formatter is left out on purpose: it is the last guard, and a test for personal
    data in logs must fail when only that guard held.

    Attributes:
        logger: Give this to the code under test.
    """

    def __init__(self) -> None:
        self._stream = io.StringIO()
        # Powertools keeps one handler per service name: a shared name would share the stream.
        self.logger = Logger(
            service=f"recording-{next(_names)}", level="DEBUG", stream=self._stream
        )

    @property
    def text(self) -> str:
        """Everything written."""
        return self._stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Everything written, line by line."""
        return [json.loads(line) for line in self.text.splitlines()]
