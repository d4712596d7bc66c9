"""``bridge dlq``: messages that delivery could not even settle."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer
from botocore.exceptions import BotoCoreError, ClientError

from braze_bridge.clock import SystemClock
from ops.dead_letters.queue import (
    DeadLettersUnavailableError,
    Progress,
    SqsDeadLetterQueue,
    SqsDeliverySender,
    peek,
    replay_dead_letters,
    summary_of,
)
from ops.stack.aws_errors import cause_of
from ops.stack.options import (
    LOCAL_FOLDER,
    Folder,
    Json,
    Region,
    Stack,
    access,
    echo,
    not_done,
    unavailable,
)
from ops.stack.queue_looks import look
from ops.stack.screen import as_json, columns, harmless, progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.dead_letters.queue import Summary

MAX_LOOK: Final = 10_000
"""Messages that are hidden at once while we look: under SQS's 120,000 in flight by far."""

app = typer.Typer(no_args_is_help=True, help="The delivery queue's dead-letter queue.")


@app.command("list")
def list_letters(
    ctx: typer.Context,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LOOK, help="At most so many.")] = 100,
    as_json_: Json = False,
) -> None:
    """List messages, without any answers; they stay where they are."""
    opened = access(ctx, stack, region, folder)
    with _ended_well():
        letters = peek(SqsDeadLetterQueue(opened.sqs, opened.dead_letter_queue), limit)
    found = [summary_of(letter) for letter in letters]
    if as_json_:
        typer.echo(as_json({"messages": [_summary_json(each) for each in found]}))
        return
    headings = ("SENT", "RECEIVED", "BYTES", "SOURCE", "MESSAGE", "JOB")
    cells = [
        (
            each.sent_at,
            each.receive_count,
            each.body_bytes,
            each.source,
            each.message_id,
            "unreadable" if each.job_id is None else each.job_id,
        )
        for each in found
    ]
    echo(columns(headings, cells))


@app.command("show")
def show_letter(
    ctx: typer.Context,
    message_id: Annotated[str, typer.Argument(help="A message's id, as `list` prints it.")],
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    limit: Annotated[
        int, typer.Option(min=1, max=MAX_LOOK, help="Look at so many to find it.")
    ] = 1_000,
    as_json_: Json = False,
) -> None:
    """Show a message and the answers in it: this prints personal data. It stays where it is."""
    opened = access(ctx, stack, region, folder)
    with _ended_well():
        letters = peek(SqsDeadLetterQueue(opened.sqs, opened.dead_letter_queue), limit)
    letter = next((each for each in letters if each.message_id == message_id), None)
    if letter is None:
        not_done(f"{harmless(message_id)}: not among {len(letters)} message(s)")
    summary = summary_of(letter)
    if as_json_:
        problems = [{"field": where, "error": what} for where, what in summary.problems]
        more = {"problems": problems, "body": letter.body}
        typer.echo(as_json(_summary_json(summary) | more))
        return
    facts = [
        ("message", summary.message_id),
        ("job", summary.job_id),
        ("source", summary.source),
        ("correlation id", summary.correlation_id),
        ("sent", summary.sent_at),
        ("received", summary.receive_count),
        *((f"unreadable: {where}", what) for where, what in summary.problems),
    ]
    echo(columns(("", ""), facts)[1:])
    typer.echo("body")
    typer.echo(harmless(letter.body))


@app.command("replay")
def replay_letters(
    ctx: typer.Context,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 10_000,
    as_json_: Json = False,
) -> None:
    """Send messages back to the delivery queue. Each leaves only when that has taken it."""
    opened = access(ctx, stack, region, folder)

    with _ended_well():
        waiting = look(opened.sqs, opened.dead_letter_queue).waiting
        with progress_bar("replaying", min(waiting, limit)) as advance:

            def report(progress: Progress) -> None:
                advance(progress.sent)
                if not sys.stderr.isatty():
                    typer.echo(f"{progress.sent} sent, {progress.not_taken} not taken", err=True)

            progress = replay_dead_letters(
                SqsDeadLetterQueue(opened.sqs, opened.dead_letter_queue),
                SqsDeliverySender(opened.sqs, opened.delivery_queue),
                clock=SystemClock(),
                limit=limit,
                report=report,
            )
    if as_json_:
        typer.echo(as_json(progress._asdict()))
    else:
        typer.echo(f"{progress.sent} sent back to the delivery queue")
        if not progress.is_empty and not progress.not_taken:
            typer.echo("There may be more: call it again.", err=True)
    if progress.not_taken or progress.sent_and_kept:
        not_done(
            f"{progress.not_taken} not taken, {progress.sent_and_kept} taken but still here: "
            "call it again"
        )


@contextmanager
def _ended_well() -> Iterator[None]:
    """End the program with a word where the queue does not answer."""
    try:
        yield
    except DeadLettersUnavailableError as error:
        unavailable(f"the dead-letter queue does not answer: {error}")
    except (BotoCoreError, ClientError) as error:
        unavailable(f"the dead-letter queue does not answer: {cause_of(error)}")


def _summary_json(summary: Summary) -> dict[str, object]:
    # Not the problems: the "fields" of what is no job at all are whatever somebody wrote.
    return {name: value for name, value in summary._asdict().items() if name != "problems"}
