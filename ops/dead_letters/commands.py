"""``bridge dlq``: messages that delivery could not even settle."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ops.dead_letters.queue import (
    DeadLettersUnavailableError,
    Progress,
    SqsDeadLetterQueue,
    SqsDeliverySender,
    peek,
    replay_dead_letters,
    summary_of,
)
from ops.stack.command import Limit, OpenStack, not_done, on_stack
from ops.stack.queue_counts import QueueUncountableError, count_messages
from ops.stack.screen import columns, harmless, progress_bar

if TYPE_CHECKING:
    from ops.dead_letters.queue import Summary

MAX_LOOK: Final = 10_000
"""Messages that one look hides: far below SQS's limit of 120,000 in flight."""

app = typer.Typer(no_args_is_help=True, help="The delivery queue's dead-letter queue.")


@app.command("list")
@on_stack
def list_letters(
    stack: OpenStack,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LOOK, help="At most this many.")] = 100,
) -> None:
    """List messages, without any answers; they stay where they are."""
    found = [summary_of(letter) for letter in peek(_dead_letters(stack), limit)]
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
    stack.show(
        {"messages": [_summary_json(each) for each in found]},
        columns(("SENT", "RECEIVED", "BYTES", "SOURCE", "MESSAGE", "JOB"), cells),
    )


@app.command("show")
@on_stack
def show_letter(
    stack: OpenStack,
    message_id: Annotated[str, typer.Argument(help="A message's id, as `list` prints it.")],
    limit: Annotated[
        int, typer.Option(min=1, max=MAX_LOOK, help="How many messages to search.")
    ] = 1_000,
) -> None:
    """Show a message and the answers in it: this prints personal data. It stays where it is."""
    letters = peek(_dead_letters(stack), limit)
    letter = next((each for each in letters if each.message_id == message_id), None)
    if letter is None:
        not_done(f"{harmless(message_id)}: not among {len(letters)} message(s)")
    summary = summary_of(letter)
    problems = [{"field": where, "error": what} for where, what in summary.problems]
    facts = [
        ("message", summary.message_id),
        ("job", summary.job_id),
        ("source", summary.source),
        ("correlation id", summary.correlation_id),
        ("sent", summary.sent_at),
        ("received", summary.receive_count),
        *((f"unreadable: {where}", what) for where, what in summary.problems),
    ]
    stack.show(
        _summary_json(summary) | {"problems": problems, "body": letter.body},
        [*columns(("", ""), facts)[1:], "body", harmless(letter.body)],
    )


@app.command("replay")
@on_stack
def replay_letters(stack: OpenStack, limit: Limit = 10_000) -> None:
    """Send messages back to the delivery queue. Each is removed only after that has taken it."""
    opened = stack.access
    try:
        waiting = count_messages(opened.sqs, opened.delivery_dead_letter_queue).waiting
    except QueueUncountableError as error:
        raise DeadLettersUnavailableError(str(error)) from None
    with progress_bar("replaying", min(waiting, limit)) as advance:

        def report(progress: Progress) -> None:
            advance(progress.sent)
            if not sys.stderr.isatty():
                typer.echo(f"{progress.sent} sent, {progress.not_taken} not taken", err=True)

        progress = replay_dead_letters(
            _dead_letters(stack),
            SqsDeliverySender(opened.sqs, opened.delivery_queue),
            limit=limit,
            report=report,
        )
    stack.show(progress._asdict(), [f"{progress.sent} sent back to the delivery queue"])
    if not progress.is_empty and not progress.not_taken:
        stack.note("There may be more: call it again.")
    if progress.not_taken or progress.sent_and_kept:
        not_done(
            f"{progress.not_taken} not taken, {progress.sent_and_kept} taken but still here: "
            "call it again"
        )


def _dead_letters(stack: OpenStack) -> SqsDeadLetterQueue:
    return SqsDeadLetterQueue(stack.access.sqs, stack.access.delivery_dead_letter_queue)


def _summary_json(summary: Summary) -> dict[str, object]:
    # Without the problems: the "fields" of an unreadable job may be any text.
    return {name: value for name, value in summary._asdict().items() if name != "problems"}
