"""Logs and metrics: their names, and the last guard against personal data in them."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics import MetricUnit

if TYPE_CHECKING:
    from aws_lambda_powertools.logging.types import LogRecord

NAMESPACE: Final = "BrazeBridge"


class Metric(StrEnum):
    """Every metric this project emits, with the dimension ``service``."""

    JOBS_ACCEPTED = "JobsAccepted"
    BODIES_PARKED = "BodiesParked"
    BODY_TOO_LARGE = "BodyTooLarge"
    UNAUTHORIZED = "Unauthorized"
    RESPONSES_IGNORED = "ResponsesIgnored"
    ATTRIBUTES_SKIPPED = "AttributesSkipped"
    QUESTIONS_UNANSWERED = "QuestionsUnanswered"

    JOBS_RECEIVED = "JobsReceived"
    JOBS_DELIVERED = "JobsDelivered"
    JOBS_DUPLICATE = "JobsDuplicate"
    JOBS_REJECTED = "JobsRejected"
    JOBS_RETRIED = "JobsRetried"
    OLDEST_WAIT = "OldestWait"
    BRAZE_REQUESTS = "BrazeRequests"
    BRAZE_RATE_LIMITED = "BrazeRateLimited"
    BRAZE_KEY_REFUSED = "BrazeKeyRefused"

    ACQUISITIONS_ACCEPTED = "AcquisitionsAccepted"
    ACQUISITIONS_CREDITED = "AcquisitionsCredited"
    ACQUISITIONS_FAILED = "AcquisitionsFailed"
    ACQUISITIONS_DECLINED = "AcquisitionsDeclined"
    ACQUISITIONS_EXPIRED = "AcquisitionsExpired"
    ACQUISITIONS_RESUMED = "AcquisitionsResumed"
    PROFILES_CREATED = "ProfilesCreated"
    PROFILE_LOOK_UPS = "ProfileLookUps"
    CLAIMS_AWARDED = "ClaimsAwarded"
    CLAIMS_WITHOUT_AWARD = "ClaimsWithoutAward"
    CLAIMS_ENTERED = "ClaimsEntered"
    CLAIMS_FORWARDED = "ClaimsForwarded"
    CLAIMS_OUTSIDE = "ClaimsOutside"
    CLAIMS_REPEATED = "ClaimsRepeated"
    CLAIMS_BUSY = "ClaimsBusy"
    CLAIMS_SWEPT = "ClaimsSwept"

    FORWARDS_TOLD = "ForwardsTold"
    FORWARDS_RETRIED = "ForwardsRetried"
    FORWARDS_REJECTED = "ForwardsRejected"
    QUIKLY_KEY_REFUSED = "QuiklyKeyRefused"


_UNITS: Final = {Metric.OLDEST_WAIT: MetricUnit.Seconds}


class Meter(Protocol):
    """Where figures go."""

    def add(self, metric: Metric, value: float = 1) -> None:
        """Add a figure: seconds for ``OldestWait``, a count for every other."""
        ...


class EmfMeter:
    """A :class:`Meter` that writes CloudWatch's embedded metric format when the handler returns."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def add(self, metric: Metric, value: float = 1) -> None:
        """See :meth:`Meter.add`."""
        self._metrics.add_metric(metric.value, _UNITS.get(metric, MetricUnit.Count), value)


_PERSONAL: Final = re.compile(
    r"[^\s\"\\<>@,;:]+@[^\s\"'\\<>@,;:=/]+\.[A-Za-z]{2,}"  # an e-mail address
    r"|\+[1-9]\d{6,14}\b"  # an E.164 number
    r"|(?i:bearer)\s+[^\s\"\\]+"  # a token
)


def scrub(text: str) -> str:
    """Replace whatever looks like an e-mail address, a phone number or a bearer token by ``***``.

    The last guard: nothing personal should be given to a log in the first place.
    """
    return _PERSONAL.sub("***", text)


class ScrubbingFormatter(LambdaPowertoolsFormatter):
    """Powertools' JSON lines, scrubbed."""

    def serialize(self, log: LogRecord) -> str:
        """One line of JSON without anything that looks personal."""
        # Before it becomes JSON: in the text, an escape would be taken for part of a name.
        return super().serialize(cast("LogRecord", _scrubbed(log)))


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


@cache
def logger() -> Logger:
    """The process's logger; service and level come from the ``POWERTOOLS_*`` variables."""
    return Logger(logger_formatter=ScrubbingFormatter())


@cache
def metrics() -> Metrics:
    """The process's metrics, in namespace ``BrazeBridge``."""
    return Metrics(namespace=NAMESPACE)


LogFields = dict[str, Any]
