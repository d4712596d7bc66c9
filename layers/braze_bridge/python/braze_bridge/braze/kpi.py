"""Monthly active users: docs/api/endpoints/export/kpi/get_kpi_mau_30_days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from braze_bridge.braze import limits
from braze_bridge.braze.answers import count, member_list, unreadable
from braze_bridge.braze.errors import InvalidReason, InvalidRequestError

if TYPE_CHECKING:
    from braze_bridge.braze.answers import Answer
    from braze_bridge.braze.rate_limits import RateLimit


@dataclass(frozen=True, slots=True)
class MauDataSeriesRequest:
    """A daily series of unique active users, each over the 30 days before.

    Attributes:
        length: days in the series, 1-100.
        ending_at: its end, with a zone; None for now.
        app_id: one app; None for all of the workspace.

    Raises:
        InvalidRequestError: the length is out of range, or the end has no zone.
    """

    length: int
    ending_at: datetime | None = None
    app_id: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.length <= limits.MAX_MAU_DAYS:
            raise InvalidRequestError(
                InvalidReason.OUT_OF_RANGE,
                f"length is 1 to {limits.MAX_MAU_DAYS} days",
                name="length",
            )
        if self.ending_at is not None and self.ending_at.utcoffset() is None:
            raise InvalidRequestError(
                InvalidReason.TIME_WITHOUT_ZONE, "a time without a zone", name="ending_at"
            )

    def params(self) -> tuple[tuple[str, str], ...]:
        """The query."""
        params = [("length", str(self.length))]
        if self.ending_at is not None:
            params.append(("ending_at", self.ending_at.isoformat(timespec="seconds")))
        if self.app_id is not None:
            params.append(("app_id", self.app_id))
        return tuple(params)


@dataclass(frozen=True, slots=True)
class MauPoint:
    """Unique users of the 30 days up to a day."""

    time: date
    mau: int


@dataclass(frozen=True, slots=True)
class MauDataSeriesResponse:
    """The series, in Braze's order."""

    data: tuple[MauPoint, ...]
    rate_limit: RateLimit | None = None

    @classmethod
    def of(cls, answer: Answer) -> MauDataSeriesResponse:
        """Read an accepted answer.

        Raises:
            UnexpectedResponseError: the series, or a day of it, cannot be read.
        """
        return cls(
            tuple(_point(item, answer) for item in member_list(answer, "data")), answer.rate_limit
        )


def _point(item: dict[str, object], answer: Answer) -> MauPoint:
    day, mau = item.get("time"), count(item.get("mau"))
    if not isinstance(day, str) or mau is None:
        raise unreadable(answer, "data")
    try:
        return MauPoint(date.fromisoformat(day[:10]), mau)
    except ValueError:
        raise unreadable(answer, "data") from None
