"""`python -m sandbox.stack up|down|status [--dir FOLDER]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from sandbox.stack import interrupts, lifecycle
from sandbox.stack.stack_file import StackFile

_CALL: Final = '{"q_scope": "demo-rank", "event": "demo-action", "email": "ada@example.com"}'
_BODY: Final = (
    '{"id": "try-1", "created_at": "2026-11-22T12:00:00Z",'
    ' "email": "ada@example.com", "quiz_score": 42, "segment": "curious"}'
)
_SURVEY: Final = (
    '{"event_type": "survey_response", "survey_response": {"id": "try-2",'
    ' "user": {"email": "ada@example.com"}, "responses": [{"id": "try-3",'
    ' "question_prompt": "Do you enjoy our products?", "formatted_response": "Yes"}]}}'
)


def main() -> int:
    """Run one command; 0 if it did what it says, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.stack", description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status"))
    parser.add_argument(
        "--dir",
        type=Path,
        default=lifecycle.DEFAULT_FOLDER,
        help="folder of the stack; another folder is another stack (default: .local)",
    )
    given = parser.parse_args()
    commands = {"up": _up, "down": _down, "status": _status}
    try:
        with interrupts.terminated_like_interrupted():
            return commands[given.command](given.dir)
    except lifecycle.StackError as error:
        _say(f"{error}\n")
    except KeyboardInterrupt:
        _say("\ninterrupted; nothing is left running\n")
    return 1


def _up(folder: Path) -> int:
    _say("Starting the local stack\n")
    stack, is_new = lifecycle.up(folder, _say)
    _say("The local stack is up\n" if is_new else "  it is up already\n")
    _say(_summary(stack))
    return 0


def _down(folder: Path) -> int:
    _say("The local stack is down\n" if lifecycle.down(folder) else "No local stack was up\n")
    return 0


def _status(folder: Path) -> int:
    known = lifecycle.status(folder)
    for name, pid, runs in known:
        _say(f"  {name:<12} {'runs' if runs else 'has ended'} (pid {pid})\n")
    if not known or not all(runs for _, _, runs in known):
        _say("The local stack is not up\n")
        return 1
    _say(_summary(StackFile.read(folder)))
    return 0


def _summary(stack: StackFile) -> str:
    return f"""
  API           {stack.api_url}
  Braze         {stack.braze_url}
  page          {stack.console_url}
  AWS engine    {stack.aws_endpoint_url}
  logs          {stack.logs}

Try it, then look at the profile:

  curl -sS -X POST {stack.api_url}/outgrow -H 'Authorization: Bearer {stack.tokens["outgrow"]}' \
-H 'Content-Type: application/json' -d '{_BODY}'
  curl -sS -X POST {stack.api_url}/iterate -H 'Authorization: Bearer {stack.tokens["iterate"]}' \
-H 'Content-Type: application/json' -d '{_SURVEY}'
  curl -sS -X POST {stack.api_url}/quikly/webhook \
-H 'Authorization: Bearer {stack.tokens["braze_webhook"]}' \
-H 'Content-Type: application/json' -d '{_CALL}'
  curl -sS {stack.braze_url}/_sandbox/profiles

Or open the page in a browser: it posts samples and shows what happens to them.
"""


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
