"""Turns botocore's errors into the caller's own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def aws_errors(own_error: Callable[[str], Exception]) -> Iterator[None]:
    """Raise the caller's own error if a call to AWS fails.

    botocore is imported on first use, so that it does not delay a cold start. To handle one of
    AWS's errors yourself, catch it inside the block.

    Args:
        own_error: Makes the error from :func:`error_code`, which holds nothing of what was sent.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        # Not chained: AWS's text can quote what was sent.
        raise own_error(error_code(error)) from None


def error_code(error: Exception) -> str:
    """Return AWS's error code, or the class name of an error that came before any answer."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", "refused"))
    return type(error).__name__
