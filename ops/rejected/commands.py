"""``bridge rejected``: list, show, replay and drop what was parked."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final

import typer

from braze_bridge.clock import SystemClock
from braze_bridge.jobs.forward import SqsForwardQueue
from braze_bridge.jobs.queue import SqsJobQueue
from braze_bridge.mapping.link_signatures import check_with
from ops.preview.body_mappings import BodyMappings
from ops.rejected.replay import Replayed, Replayer, Result, select
from ops.rejected.rows import MAX_PAGE, DynamoRejectedRows, Filter, InvalidCursorError, Kind
from ops.stack.command import ConfigDir, Limit, OpenStack, Yes, not_done, on_stack, unavailable
from ops.stack.config_directory import CONFIG_DIRECTORY
from ops.stack.screen import UnreadableAgeError, columns, harmless, progress_bar, read_age
from ops.stack_secrets.stored_secrets import link_path, source_of

if TYPE_CHECKING:
    from datetime import datetime

    from ops.rejected.rows import RejectedRows, Row

MOST: Final = 1_000
"""Rows that one call replays or drops unless told otherwise; the next call goes on."""

MORE: Final = "There may be more: call it again."

_PLAIN_ROUTE: Final = re.compile(r"[A-Za-z0-9._:/-]{1,100}")
"""Senders can write anything at the end of a route; it is listed only if it looks like an id."""

app = typer.Typer(no_args_is_help=True, help="Bodies and jobs that could not be delivered.")

Reason = Annotated[str | None, typer.Option(help="Only those counted by this reason.")]
Source = Annotated[str | None, typer.Option(help="Only this partner's: outgrow, quikly_events …")]
KindOption = Annotated[
    Kind | None, typer.Option(help="Whole bodies, or the refused objects of a job.")
]
OlderThan = Annotated[
    str | None, typer.Option(help="Last seen at least this long ago: 90s, 15m, 6h, 2d.")
]
NewerThan = Annotated[
    str | None, typer.Option(help="Last seen at most this long ago: 90s, 15m, 6h, 2d.")
]
RecordIds = Annotated[list[str] | None, typer.Argument(help="Ids, as `list` prints them.")]


@app.command("list")
@on_stack
def list_rows(
    stack: OpenStack,
    reason: Reason = None,
    source: Source = None,
    kind: KindOption = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_PAGE, help="Rows a page.")] = 50,
    after: Annotated[str | None, typer.Option(help="The cursor of the page before.")] = None,
) -> None:
    """List what is parked, without any answers; with a reason, the newest first."""
    now = SystemClock().now()
    rows = _rows(stack, now)
    wanted = _filter(now, reason, source, kind, older_than, newer_than)
    try:
        page = rows.page(wanted, limit=limit, cursor=after)
    except InvalidCursorError:
        raise typer.BadParameter("is no cursor of such a list", param_hint="--after") from None
    headings = ("LAST SEEN", "REASON", "FIELD", "MORE", "KIND", "SOURCE", "SEEN", "ID")
    stack.show(
        {"rows": [_row_json(row) for row in page.rows], "cursor": page.cursor},
        columns(headings, [_row_cells(row) for row in page.rows]),
    )
    if page.cursor is not None:
        stack.note(f"More: --after {page.cursor}")


@app.command("count")
@on_stack
def count_rows(stack: OpenStack) -> None:
    """Count what is parked, by reason."""
    counts = _rows(stack, SystemClock().now()).counts()
    total = sum(counts.values())
    stack.show(
        {"reasons": counts, "total": total},
        columns(("REASON", "ROWS"), [*counts.items(), ("(all)", total)]),
    )


@app.command("show")
@on_stack
def show_row(
    stack: OpenStack,
    record_id: Annotated[str, typer.Argument(help="An id, as `list` prints it.")],
) -> None:
    """Show one row and the answers in it: this prints personal data."""
    parked = _rows(stack, SystemClock().now()).find(record_id)
    if parked is None:
        not_done(f"{harmless(record_id)}: no such row")
    record, sightings = parked
    facts = [
        ("id", record.id),
        ("kind", record.kind),
        ("source", record.source),
        ("route", record.route),
        ("correlation id", record.correlation_id),
        ("first seen", record.first_seen),
        ("last seen", record.last_seen),
        ("expires", record.expires_at),
        ("seen", sightings),
    ]
    reasons = [
        ": ".join(part for part in (reason.code, reason.field, reason.detail) if part is not None)
        for reason in record.reasons
    ]
    stack.show(
        {
            **record.model_dump(mode="json"),
            "expires_at": record.expires_at,
            "sightings": sightings,
        },
        [
            *columns(("", ""), facts)[1:],
            "reasons",
            *(harmless(f"  {reason}") for reason in reasons),
            "payload",
            harmless(record.payload),
        ],
    )


@app.command("replay")
@on_stack
def replay_rows(  # noqa: PLR0913, PLR0917 - each argument is an option
    stack: OpenStack,
    record_ids: RecordIds = None,
    all_: Annotated[bool, typer.Option("--all", help="All that the filters leave.")] = False,
    reason: Reason = None,
    source: Source = None,
    kind: KindOption = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    config_dir: ConfigDir = CONFIG_DIRECTORY,
    resend_unknown: Annotated[
        bool,
        typer.Option(help="Also send events whose request timed out: Braze may count them twice."),
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Show the results, change nothing.")] = False,
    limit: Limit = MOST,
) -> None:
    """Send what is parked: bodies through their mapping as it is now, objects as they are.

    A row is removed once the queue has its job, or its call to Quikly. What still cannot be sent
    stays; exit 1 then.
    """
    if bool(record_ids) == (all_ or reason is not None):
        raise typer.BadParameter("give ids, or --reason, or --all")
    opened = stack.access
    clock = SystemClock()
    rows = _rows(stack, clock.now())
    replayer = Replayer(
        rows=rows,
        queue=SqsJobQueue(opened.sqs, opened.delivery_queue),
        forwards=SqsForwardQueue(opened.sqs, opened.forward_queue),
        bodies=BodyMappings(
            config_dir,
            lambda source: check_with(source_of(stack.secrets, link_path(source))),
        ),
        clock=clock,
        resend_unknown=resend_unknown,
        is_named=bool(record_ids),
        dry_run=dry_run,
    )
    wanted = _filter(clock.now(), reason, source, kind, older_than, newer_than)
    ids, may_be_more = (record_ids, False) if record_ids else select(rows, wanted, limit)
    results: list[Replayed] = []
    with progress_bar("replaying", len(ids)) as advance:
        for done in replayer.run(ids):
            results.append(done)
            advance(len(results))
            if not stack.as_json:
                more = [done.job_id] if done.job_id else done.reasons
                typer.echo(harmless("  ".join([done.result.value, done.record_id, *more])))
    missed = len(ids) - len(results)
    counts = dict(Counter(done.result.value for done in results))
    stack.show(
        {
            "dry_run": dry_run,
            "results": [done._asdict() for done in results],
            "counts": counts,
            "not_reached": missed,
            "may_be_more": may_be_more,
        },
        (),
    )
    said = ", ".join(f"{count} {result}" for result, count in counts.items())
    stack.note(f"{'would be: ' if dry_run else ''}{said or 'nothing to replay'}")
    if missed:
        unavailable(f"{missed} not reached: SQS or DynamoDB does not answer")
    if may_be_more:
        stack.note(MORE)
    missing = record_ids and any(done.result is Result.GONE for done in results)
    if missing or not all(done.result.is_settled for done in results):
        not_done()


@app.command("drop")
@on_stack
def drop_rows(
    stack: OpenStack,
    record_ids: RecordIds = None,
    reason: Reason = None,
    limit: Limit = MOST,
    yes: Yes = False,
) -> None:
    """Remove rows for good: by id, or all that are counted by a reason."""
    if bool(record_ids) == (reason is not None):
        raise typer.BadParameter("give ids, or --reason")
    rows = _rows(stack, SystemClock().now())
    ids, may_be_more = (
        (record_ids, False) if record_ids else select(rows, Filter(reason=reason), limit)
    )
    if ids and not yes:
        typer.confirm(f"Remove {len(ids)} row(s) of {stack.name} for good?", abort=True, err=True)
    missing = []
    with progress_bar("dropping", len(ids)) as advance:
        for number, record_id in enumerate(ids, start=1):
            if not rows.drop(record_id, reason):
                missing.append(record_id)
            advance(number)
    dropped = len(ids) - len(missing)
    stack.show(
        {"dropped": dropped, "not_found": missing, "may_be_more": may_be_more},
        [f"{dropped} dropped"],
    )
    if may_be_more:
        stack.note(MORE)
    if missing:
        not_done(*(f"{harmless(record_id)}: no such row" for record_id in missing))


def _rows(stack: OpenStack, now: datetime) -> RejectedRows:
    opened = stack.access
    return DynamoRejectedRows(opened.dynamodb, opened.rejected_table, now)


def _filter(
    now: datetime,
    reason: str | None,
    source: str | None,
    kind: Kind | None,
    older_than: str | None,
    newer_than: str | None,
) -> Filter:
    until = _before(now, older_than, "--older-than")
    since = _before(now, newer_than, "--newer-than")
    if until is not None and since is not None and since > until:
        raise typer.BadParameter("nothing is older and newer than that")
    return Filter(reason, source, kind, since, until)


def _before(now: datetime, age: str | None, option: str) -> datetime | None:
    if age is None:
        return None
    try:
        return now - read_age(age)
    except (UnreadableAgeError, OverflowError) as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _row_cells(row: Row) -> tuple[object, ...]:
    reasons = _shown_reasons(row)
    return (
        row.last_seen,
        reasons[0]["code"],
        reasons[0]["field"],
        f"+{len(reasons) - 1}" if len(reasons) > 1 else "",
        row.kind,
        row.source,
        row.sightings,
        row.id,
    )


def _row_json(row: Row) -> dict[str, object]:
    plain = row.route is not None and _PLAIN_ROUTE.fullmatch(row.route) is not None
    shown = {"reasons": _shown_reasons(row), "route": row.route if plain else None}
    return {**row._asdict(), **shown}


def _shown_reasons(row: Row) -> list[dict[str, str | None]]:
    """Name code and field, without the detail: Braze's words may quote a value."""
    return [
        {
            "code": reason.code,
            # The "fields" of an unreadable job may be any text.
            "field": None if reason.code == "unreadable_job" else reason.field,
        }
        for reason in row.reasons
    ]
