"""``bridge rejected``: what was parked, and what to do about it."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - Typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Final

import typer

from braze_bridge.clock import SystemClock
from braze_bridge.jobs.forward import SqsForwardQueue
from braze_bridge.jobs.queue import SqsJobQueue
from braze_bridge.partner_config.problems import ConfigError
from ops.preview.body_mappings import BodyMappings
from ops.rejected.replay import Replayed, Replayer, Result, select
from ops.rejected.rows import (
    MAX_PAGE,
    DynamoRejectedRows,
    Filter,
    InvalidCursorError,
    Kind,
    RowsUnavailableError,
    UnreadableRowError,
)
from ops.stack.config_directory import CONFIG_DIRECTORY
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
from ops.stack.screen import (
    UnreadableAgeError,
    as_json,
    columns,
    harmless,
    progress_bar,
    read_age,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from ops.rejected.rows import Parked, RejectedRows, Row
    from ops.stack.access import StackAccess

MOST: Final = 1_000
"""What one call replays or drops unless told otherwise; called again, it goes on."""

_PLAIN_ROUTE: Final = re.compile(r"[A-Za-z0-9._:/-]{1,100}")
"""A route ends in what the sender made of our URL: listed where it is a plain id, as in a job's."""

app = typer.Typer(no_args_is_help=True, help="Bodies and jobs that could not be delivered.")

Reason = Annotated[str | None, typer.Option(help="Only those counted by this reason.")]
Source = Annotated[str | None, typer.Option(help="Only this partner's: outgrow, quikly_events …")]
KindOption = Annotated[
    Kind | None, typer.Option(help="Whole bodies, or the refused objects of a job.")
]
OlderThan = Annotated[
    str | None, typer.Option(help="Last seen so long ago or longer: 90s, 15m, 6h, 2d.")
]
NewerThan = Annotated[str | None, typer.Option(help="Last seen within so long: 90s, 15m, 6h, 2d.")]
RecordIds = Annotated[list[str] | None, typer.Argument(help="Ids, as `list` prints them.")]


@app.command("list")
def list_rows(  # noqa: PLR0913, PLR0917 - each argument is an option
    ctx: typer.Context,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    reason: Reason = None,
    source: Source = None,
    kind: KindOption = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_PAGE, help="Rows a page.")] = 50,
    after: Annotated[str | None, typer.Option(help="The cursor of the page before.")] = None,
    as_json_: Json = False,
) -> None:
    """List what is parked, without any answers; newest first where a reason is given."""
    opened = access(ctx, stack, region, folder)
    now = SystemClock().now()
    wanted = _filter(now, reason, source, kind, older_than, newer_than)
    with _ended_well():
        try:
            page = _rows(opened, now).page(wanted, limit=limit, cursor=after)
        except InvalidCursorError:
            raise typer.BadParameter("is no cursor of such a list", param_hint="--after") from None
    if as_json_:
        rows = [_row_json(row) for row in page.rows]
        typer.echo(as_json({"rows": rows, "cursor": page.cursor}))
        return
    headings = ("LAST SEEN", "REASON", "FIELD", "MORE", "KIND", "SOURCE", "SEEN", "ID")
    echo(columns(headings, [_row_cells(row) for row in page.rows]))
    if page.cursor is not None:
        typer.echo(f"More: --after {page.cursor}", err=True)


@app.command("count")
def count_rows(
    ctx: typer.Context,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    as_json_: Json = False,
) -> None:
    """Count what is parked, by reason."""
    opened = access(ctx, stack, region, folder)
    with _ended_well():
        counts = _rows(opened, SystemClock().now()).counts()
    if as_json_:
        typer.echo(as_json({"reasons": counts, "total": sum(counts.values())}))
        return
    echo(columns(("REASON", "ROWS"), [*counts.items(), ("(all)", sum(counts.values()))]))


@app.command("show")
def show_row(
    ctx: typer.Context,
    record_id: Annotated[str, typer.Argument(help="An id, as `list` prints it.")],
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    as_json_: Json = False,
) -> None:
    """Show one row and the answers in it: this prints personal data."""
    opened = access(ctx, stack, region, folder)
    with _ended_well():
        parked = _rows(opened, SystemClock().now()).find(record_id)
    if parked is None:
        not_done(f"{harmless(record_id)}: no such row")
    if as_json_:
        typer.echo(as_json(_parked_json(parked)))
        return
    record = parked.record
    facts = [
        ("id", record.id),
        ("kind", record.kind),
        ("source", record.source),
        ("route", record.route),
        ("correlation id", record.correlation_id),
        ("first seen", record.first_seen),
        ("last seen", record.last_seen),
        ("expires", record.expires_at),
        ("seen", parked.sightings),
    ]
    echo(columns(("", ""), facts)[1:])
    typer.echo("reasons")
    for reason in record.reasons:
        said = [part for part in (reason.field, reason.detail) if part is not None]
        typer.echo(harmless("  " + ": ".join([reason.code, *said])))
    typer.echo("payload")
    typer.echo(harmless(record.payload))


@app.command("replay")
def replay_rows(  # noqa: PLR0913, PLR0917 - each argument is an option
    ctx: typer.Context,
    record_ids: RecordIds = None,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    all_: Annotated[bool, typer.Option("--all", help="All that the filters leave.")] = False,
    reason: Reason = None,
    source: Source = None,
    kind: KindOption = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    config_dir: Annotated[
        Path, typer.Option(help="The folder with the partners' TOML files, as deployed.")
    ] = CONFIG_DIRECTORY,
    resend_unknown: Annotated[
        bool,
        typer.Option(
            help="Also send events whose request timed out: Braze may count them twice then."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Tell what would happen, change nothing.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = MOST,
    as_json_: Json = False,
) -> None:
    """Send what is parked: bodies through their mapping as it is now, objects as they are.

    A row goes when the queue has its job, or its call to Quikly. What still cannot be sent stays;
    exit 1 then.
    """
    if bool(record_ids) == (all_ or reason is not None):
        raise typer.BadParameter("give ids, or --reason, or --all")
    opened = access(ctx, stack, region, folder)
    clock = SystemClock()
    rows = _rows(opened, clock.now())
    replayer = Replayer(
        rows=rows,
        queue=SqsJobQueue(opened.sqs, opened.delivery_queue),
        forwards=SqsForwardQueue(opened.sqs, opened.forward_queue),
        bodies=BodyMappings(config_dir),
        clock=clock,
        resend_unknown=resend_unknown,
        dry_run=dry_run,
    )
    wanted = _filter(clock.now(), reason, source, kind, older_than, newer_than)
    results: list[Replayed] = []
    with _ended_well():
        ids, may_be_more = (record_ids, False) if record_ids else select(rows, wanted, limit)
        try:
            with progress_bar("replaying", len(ids)) as advance:
                for done in replayer.run(ids):
                    results.append(done)
                    advance(len(results))
                    if not as_json_:
                        _say(done)
        except ConfigError as error:
            not_done(*(str(problem) for problem in error.problems))
    missed = len(ids) - len(results)
    counts = dict(Counter(done.result.value for done in results))
    if as_json_:
        typer.echo(
            as_json(
                {
                    "dry_run": dry_run,
                    "results": [done._asdict() for done in results],
                    "counts": counts,
                    "not_reached": missed,
                    "may_be_more": may_be_more,
                }
            )
        )
    else:
        said = ", ".join(f"{count} {result}" for result, count in counts.items())
        typer.echo(f"{'would be: ' if dry_run else ''}{said or 'nothing to replay'}", err=True)
    if missed:
        unavailable(f"{missed} not reached: SQS or DynamoDB does not answer")
    if may_be_more and not as_json_:
        typer.echo("There may be more: call it again.", err=True)
    missing = record_ids and any(done.result is Result.GONE for done in results)
    if missing or not all(done.result.is_settled for done in results):
        raise typer.Exit(1)


@app.command("drop")
def drop_rows(  # noqa: PLR0913, PLR0917 - each argument is an option
    ctx: typer.Context,
    record_ids: RecordIds = None,
    stack: Stack = None,
    region: Region = None,
    folder: Folder = LOCAL_FOLDER,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = MOST,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json_: Json = False,
) -> None:
    """Forget rows for good: by id, or all that are counted by a reason."""
    if bool(record_ids) == (reason is not None):
        raise typer.BadParameter("give ids, or --reason")
    opened = access(ctx, stack, region, folder)
    with _ended_well():
        rows = _rows(opened, SystemClock().now())
        ids, may_be_more = (
            (record_ids, False) if record_ids else select(rows, Filter(reason=reason), limit)
        )
        if ids and not yes:
            typer.confirm(
                f"Forget {len(ids)} row(s) of {opened.name} for good?", abort=True, err=True
            )
        missing = []
        with progress_bar("dropping", len(ids)) as advance:
            for number, record_id in enumerate(ids, start=1):
                if not rows.drop(record_id, reason):
                    missing.append(record_id)
                advance(number)
    dropped = len(ids) - len(missing)
    if as_json_:
        typer.echo(as_json({"dropped": dropped, "not_found": missing, "may_be_more": may_be_more}))
    else:
        typer.echo(f"{dropped} dropped")
        if may_be_more:
            typer.echo("There may be more: call it again.", err=True)
    if missing:
        not_done(*(f"{harmless(record_id)}: no such row" for record_id in missing))


def _rows(opened: StackAccess, now: datetime) -> RejectedRows:
    return DynamoRejectedRows(opened.dynamodb, opened.rejected_table, now)


@contextmanager
def _ended_well() -> Iterator[None]:
    """End the program with a word where the table does not answer."""
    try:
        yield
    except RowsUnavailableError as error:
        unavailable(f"the rejected table does not answer: {error}")
    except UnreadableRowError as error:
        not_done(f"{harmless(str(error))}: a row of another version; update this tool")


def _filter(
    now: datetime,
    reason: str | None,
    source: str | None,
    kind: Kind | None,
    older_than: str | None,
    newer_than: str | None,
) -> Filter:
    until, since = (
        _before(now, older_than, "--older-than"),
        _before(now, newer_than, "--newer-than"),
    )
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


def _say(done: Replayed) -> None:
    more = [done.job_id] if done.job_id else list(done.reasons)
    typer.echo(harmless("  ".join([done.result.value, done.record_id, *more])))


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
    """Code and field. Not the detail, which may be Braze's own words about a value."""
    return [
        {
            "code": reason.code,
            # The "fields" of what is no job at all are whatever somebody wrote.
            "field": None if reason.code == "unreadable_job" else reason.field,
        }
        for reason in row.reasons
    ]


def _parked_json(parked: Parked) -> dict[str, object]:
    record = parked.record
    return {
        **record.model_dump(mode="json"),
        "expires_at": record.expires_at,
        "sightings": parked.sightings,
    }
