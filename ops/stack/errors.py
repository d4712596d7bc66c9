"""How a command fails: exit codes, the errors that end a command, AWS's errors in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from braze_bridge.aws import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

NOT_DONE: Final = 1
"""Exit code: something that was asked for does not exist, or could not be done."""

UNAVAILABLE: Final = 3
"""Exit code: the stack or AWS did not answer. (2 is Typer's own code for wrong usage.)"""

_WORDS: Final[Mapping[str, str]] = {
    "NoCredentialsError": "this machine has no AWS credentials (NoCredentialsError)",
    "PartialCredentialsError": "AWS credentials are incomplete (PartialCredentialsError)",
    "ProfileNotFound": "AWS_PROFILE names no profile of this machine (ProfileNotFound)",
    "NoRegionError": "no AWS region is set: --region (NoRegionError)",
}
"""Errors that people meet before the first call, by botocore's class name."""


class CommandError(Exception):
    """An error that ends a command with one line on stderr.

    Attributes:
        exit_code: The command's.
        line: The line: ``{}`` is the error's own text, ``{stack.name}`` the stack's name.
    """

    exit_code: ClassVar[int] = UNAVAILABLE
    line: ClassVar[str] = "{}"


def aws_errors(own_error: Callable[[str], Exception]) -> AbstractContextManager[None]:
    """Raise the caller's own error if a call to AWS fails.

    Args:
        own_error: Makes the error from AWS's error code, or from the words for a missing setting.
    """
    return errors.aws_errors(lambda code: own_error(_WORDS.get(code, code)))
