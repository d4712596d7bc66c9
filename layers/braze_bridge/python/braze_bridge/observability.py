"""Logs and metrics: their names, and the last check for personal data in them."""

from __future__ import annotations

import re
import traceback
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol, cast

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_lambda_powertools.logging.types import LogRecord


class Metric(StrEnum):
    """Every metric this project emits, with the dimension ``service``.

    Those of :data:`BY_PARTNER` have the dimensions ``service`` and ``partner``. CloudWatch bills
    each name and combination of dimensions, $0.30 for a month with a figure in each hour. So each
    is in an alarm, on the dashboard or in a page of instructions; the rest is in log lines.
    """

    JOBS_ACCEPTED = "JobsAccepted"
    BODIES_PARKED = "BodiesParked"
    BODY_TOO_LARGE = "BodyTooLarge"
    UNAUTHORIZED = "Unauthorized"
    RESPONSES_IGNORED = "ResponsesIgnored"
    ATTRIBUTES_SKIPPED = "AttributesSkipped"
    NAMES_OVER_CAP = "NamesOverCap"
    NAMES_UNCHECKED = "NamesUnchecked"
    QUESTIONS_UNANSWERED = "QuestionsUnanswered"
    TIMES_UNREADABLE = "TimesUnreadable"
    SURROGATES_REPLACED = "SurrogatesReplaced"
    JOBS_BY_BRAZE_ID = "JobsByBrazeId"

    JOBS_DELIVERED = "JobsDelivered"
    JOBS_REJECTED = "JobsRejected"
    SENDERS_REFUSED = "SendersRefused"
    UNCLEAR_ANSWERS = "UnclearAnswers"
    PEOPLE_UNRECORDED = "PeopleUnrecorded"
    EVENTS_ARRIVED = "EventsArrived"
    EVENTS_NOT_ARRIVED = "EventsNotArrived"
    EVENTS_UNVERIFIED = "EventsUnverified"
    OLDEST_WAIT = "OldestWait"
    BRAZE_REQUESTS = "BrazeRequests"
    BRAZE_RATE_LIMITED = "BrazeRateLimited"
    GATE_CLOSED = "GateClosed"
    BRAZE_KEY_REFUSED = "BrazeKeyRefused"

    ACQUISITIONS_ACCEPTED = "AcquisitionsAccepted"
    ACQUISITIONS_CREDITED = "AcquisitionsCredited"
    ACQUISITIONS_FAILED = "AcquisitionsFailed"
    ACQUISITIONS_DECLINED = "AcquisitionsDeclined"
    ACQUISITIONS_EXPIRED = "AcquisitionsExpired"
    PROFILE_LOOK_UPS = "ProfileLookUps"
    CLAIMS_AWARDED = "ClaimsAwarded"
    CLAIMS_WITHOUT_AWARD = "ClaimsWithoutAward"
    CLAIMS_ENTERED = "ClaimsEntered"
    CLAIMS_FORWARDED = "ClaimsForwarded"
    CLAIMS_OUTSIDE = "ClaimsOutside"
    CLAIMS_BUSY = "ClaimsBusy"
    CLAIMS_SWEPT = "ClaimsSwept"

    FORWARDS_TOLD = "ForwardsTold"
    FORWARDS_RETRIED = "ForwardsRetried"
    FORWARDS_REJECTED = "ForwardsRejected"
    QUIKLY_KEY_REFUSED = "QuiklyKeyRefused"


BY_PARTNER: Final = frozenset({Metric.JOBS_DELIVERED, Metric.JOBS_REJECTED})
"""Only these are counted by partner. ``JobsRejected`` also has a total, for its alarm."""

_UNITS: Final = {Metric.OLDEST_WAIT: MetricUnit.Seconds}


class Meter(Protocol):
    """Takes figures."""

    def add(self, metric: Metric, value: float = 1) -> None:
        """Add a figure: seconds for ``OldestWait``, a count for every other.

        Zero is not written: no alarm needs it, and CloudWatch would bill it.
        """
        ...


class PartnerMeter(Meter, Protocol):
    """A meter that also counts by partner."""

    def add_for(self, partner: str, figures: Mapping[Metric, float]) -> None:
        """Add figures of one partner, beside the totals.

        Args:
            partner: As in ``DeliveryJob.source``.
            figures: Of :data:`BY_PARTNER`, in the units of :meth:`add`.
        """
        ...


class EmfMeter:
    """A :class:`PartnerMeter` in CloudWatch's embedded metric format.

    Totals are written when the handler returns. Figures of a partner are written at once, in a line
    of their own: a line has one value for each dimension.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def add(self, metric: Metric, value: float = 1) -> None:
        """See :meth:`Meter.add`."""
        if value:
            self._metrics.add_metric(metric.value, _UNITS.get(metric, MetricUnit.Count), value)

    def add_for(self, partner: str, figures: Mapping[Metric, float]) -> None:
        """See :meth:`PartnerMeter.add_for`."""
        line = EphemeralMetrics()
        line.add_dimension("partner", partner)
        for metric, value in figures.items():
            if value:
                line.add_metric(metric.value, _UNITS.get(metric, MetricUnit.Count), value)
        if line.metric_set:
            line.flush_metrics()


_PERSONAL: Final = re.compile(
    r"[^\s\"\\<>@,;:]+@[^\s\"'\\<>@,;:=/]+\.[A-Za-z]{2,}"  # an e-mail address
    r"|\+[1-9]\d{6,14}\b"  # an E.164 number
    r"|(?i:bearer)\s+[^\s\"\\]+"  # a token
    r"|\bh-[0-9a-f]{32}\b"  # the hash of an id that may be an address: guesses confirm it
)


def scrub(text: str) -> str:
    """Replace e-mail addresses, phone numbers, their hashes and bearer tokens with ``***``.

    The last check: no code should give personal data to a log.
    """
    if "@" in text or "+" in text or "h-" in text or "bearer" in text.lower():
        return _PERSONAL.sub("***", text)
    return text  # the search alone would cost as much as the rest of the line


_KNOWN_ANYWAY: Final = frozenset({"timestamp", "service", "location", "xray_trace_id"})
"""CloudWatch has the time of each line, and the log group names the service. A message stands at
one place in the code. ``function_request_id`` names the invocation."""


class ScrubbingFormatter(LambdaPowertoolsFormatter):
    """Powertools' JSON lines without personal data, and without what says nothing.

    CloudWatch bills each byte. So fields that are zero, false or empty are left out, and those of
    :data:`_KNOWN_ANYWAY`.
    """

    def serialize(self, log: LogRecord) -> str:
        """Make one line of JSON without anything that looks personal."""
        # Before it becomes JSON: an escape in the text would look like part of a name.
        said = {
            name: _scrubbed(value)
            for name, value in cast("dict[str, object]", log).items()
            if value and name not in _KNOWN_ANYWAY
        }
        return super().serialize(cast("LogRecord", said))


def _scrubbed(value: object) -> object:
    match value:
        case str():
            return scrub(value)
        case dict():
            return {_scrubbed(name): _scrubbed(each) for name, each in value.items()}
        case list() | tuple():
            return [_scrubbed(each) for each in value]
        case _:
            return value


def described(error: Exception) -> dict[str, object]:
    """Describe an unexpected error for a log: its kind and place, but not its text.

    The text can quote a body or an address.
    """
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.name}:{frame.lineno}" for frame in frames]
    return {"error": type(error).__name__, "where": where}


@cache
def logger() -> Logger:
    """Make the process's logger; ``POWERTOOLS_*`` variables give its service and level."""
    return Logger(logger_formatter=ScrubbingFormatter())


@cache
def metrics() -> Metrics:
    """Make the process's metrics; ``POWERTOOLS_*`` variables give service and namespace."""
    return Metrics()


def flush_metrics() -> None:
    """Write the metrics of this call, if there are any."""
    collected = metrics()
    if collected.metric_set:
        collected.flush_metrics()
