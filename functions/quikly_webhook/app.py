"""The webhook that Braze campaigns call: ``POST /quikly/webhook``, answered with the award."""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from braze_bridge.cold_start import collector_off

with collector_off():
    from braze_bridge.aws import clients
    from braze_bridge.aws.clients import claims_client
    from braze_bridge.aws.secrets import (
        TOKEN_MAX_AGE_SECONDS,
        SecretsManagerSource,
        SecretUnavailableError,
    )
    from braze_bridge.clock import SystemClock
    from braze_bridge.jobs.forward import SqsForwardQueue
    from braze_bridge.jobs.queue import QueueUnavailableError, SqsJobQueue
    from braze_bridge.keys import claims_key
    from braze_bridge.observability import EmfMeter, Metric, logger, metrics
    from braze_bridge.partner_config.compiled import load_compiled
    from braze_bridge.partner_config.quikly import QuiklyConfig
    from braze_bridge.partner_config.quikly_activations import Status
    from braze_bridge.reasons import Reason
    from braze_bridge.settings import load_settings
    from braze_bridge.web.door import Door, DoorError, ProxyResponse, Route, answer, unavailable
    from braze_bridge.web.edge import lambda_handler_of
    from quikly_webhook.claim_jobs import claim_id
    from quikly_webhook.claim_store import ClaimConflictError, ClaimsUnavailableError
    from quikly_webhook.claims import Claims, ClaimsBusyError
    from quikly_webhook.dynamo_claims import DynamoClaimStore
    from quikly_webhook.models import check_since, read_call, unprocessable, with_usable_ids
    from quikly_webhook.outbox import Outbox
    from quikly_webhook.settings import WebhookSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from aws_lambda_powertools import Logger

    from braze_bridge.observability import Meter
    from braze_bridge.partner_config.quikly_activations import ActivationRule
    from quikly_webhook.claim_records import ClaimRecord
    from quikly_webhook.claims import Decided
    from quikly_webhook.models import WebhookCall

ROUTES: Final = (Route("POST", "/quikly/webhook"),)

_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

BUSY_RETRY_AFTER_SECONDS: Final = 5
"""Given with 429: the conflicts on one row are over by then."""

_LAST_EPOCH: Final = 32_503_680_000_000
"""The year 3000, in milliseconds."""

_COUNTED: Final = {
    Status.AWARDED: Metric.CLAIMS_AWARDED,
    Status.NO_AWARD: Metric.CLAIMS_WITHOUT_AWARD,
    Status.ENTERED: Metric.CLAIMS_ENTERED,
    Status.FORWARDED: Metric.CLAIMS_FORWARDED,
    Status.NOT_OPEN: Metric.CLAIMS_OUTSIDE,
    Status.CLOSED: Metric.CLAIMS_OUTSIDE,
}


@dataclass(frozen=True, kw_only=True)
class QuiklyWebhook:
    """Answers one call: admit, decide, send the claim's messages.

    Attributes:
        activations: By ``q_scope``.
        placeholders: Of the file, in lower case.
    """

    door: Door
    activations: Mapping[str, ActivationRule]
    claims: Claims
    outbox: Outbox
    meter: Meter
    log: Logger
    placeholders: AbstractSet[str] = frozenset()

    def __call__(self, event: object) -> ProxyResponse:
        """Answer an API Gateway proxy event."""
        admitted = self.door.admit(event)
        call, unusable = with_usable_ids(read_call(admitted.body), self.placeholders)
        rule = self._rule_for(call)
        arrived_at = arrival(event, admitted.received_at)
        check_since(call, arrived_at)
        decided = self._decide(rule, call, arrived_at, admitted.correlation_id)
        if not decided.is_repeat or decided.claim.due_at is not None:
            # The sweep sends everything, and then removes due_at.
            self._send(rule, decided.claim)
        self._report(call, decided, unusable, admitted.correlation_id)
        return answer(HTTPStatus.OK, body_of(decided.claim))

    def _rule_for(self, call: WebhookCall) -> ActivationRule:
        rule = self.activations.get(call.q_scope)
        if rule is None:
            raise unprocessable(
                Reason(code="unknown", field="q_scope", detail="no activation has this name")
            )
        if call.event not in rule.events:
            raise unprocessable(
                Reason(code="unknown", field="event", detail="the activation does not take it")
            )
        return rule

    def _decide(
        self, rule: ActivationRule, call: WebhookCall, arrived_at: datetime, correlation_id: str
    ) -> Decided:
        try:
            return self.claims.claim(rule, call, arrived_at, correlation_id)
        except (ClaimsBusyError, ClaimConflictError):
            self.meter.add(Metric.CLAIMS_BUSY)
            raise DoorError(
                HTTPStatus.TOO_MANY_REQUESTS,
                [Reason(code="busy", detail="too many at the same time; send it again")],
                {"Retry-After": str(BUSY_RETRY_AFTER_SECONDS)},
            ) from None
        except (ClaimsUnavailableError, SecretUnavailableError) as error:
            raise self._not_available(
                "it could not be decided; send it again",
                "claim not decided",
                {"error": type(error).__name__, "correlation_id": correlation_id},
            ) from error

    def _send(self, rule: ActivationRule, claim: ClaimRecord) -> None:
        try:
            self.outbox.send(claim, rule.profile)
        except QueueUnavailableError as error:
            raise self._not_available(
                "the queue did not take it; send it again",
                "queue refused a claim",
                {
                    "error": str(error),
                    "claim": claim_id(claim),
                    "correlation_id": claim.correlation_id,
                },
            ) from error

    def _not_available(self, detail: str, message: str, extra: Mapping[str, str]) -> DoorError:
        self.log.error(message, extra=extra)
        return unavailable("unavailable", detail)

    def _report(
        self, call: WebhookCall, decided: Decided, unusable: Sequence[str], correlation_id: str
    ) -> None:
        claim = decided.claim
        if not decided.is_repeat:
            self.meter.add(_COUNTED[claim.status])
        self.log.info(
            "claim answered",
            claim=claim_id(claim),
            status=claim.status.value,
            tier=claim.award.tier if claim.award else None,
            rank=claim.rank,
            is_repeat=decided.is_repeat,
            pauses=decided.pauses,
            dispatch_id=_loggable(call.dispatch_id),
            unusable_identifiers=list(unusable),
            correlation_id=correlation_id,
        )


def _loggable(dispatch_id: str | None) -> str | None:
    return dispatch_id if dispatch_id and _PLAIN_ID.fullmatch(dispatch_id) else None


def arrival(event: object, received_at: datetime) -> datetime:
    """Return when API Gateway took a call: one clock for all, however long a Lambda's start takes.

    Args:
        event: A REST API proxy event, or anything else.
        received_at: By the Lambda's clock; used if the event has no time.

    Returns:
        Whole milliseconds.
    """
    context = event.get("requestContext") if isinstance(event, dict) else None
    epoch = context.get("requestTimeEpoch") if isinstance(context, dict) else None
    if isinstance(epoch, int) and not isinstance(epoch, bool) and 0 < epoch < _LAST_EPOCH:
        return datetime.fromtimestamp(epoch // 1000, UTC).replace(microsecond=epoch % 1000 * 1000)
    return received_at.replace(microsecond=received_at.microsecond // 1000 * 1000)


def body_of(claim: ClaimRecord) -> dict[str, Any]:
    """Build the answer of a call."""
    body: dict[str, Any] = {"status": claim.status.value}
    if claim.award is not None:
        body["tier"] = claim.award.tier
    if claim.rank is not None:
        body["rank"] = claim.rank
    if claim.award is not None and claim.award.value is not None:
        body |= {"value": claim.award.value, "currency": claim.award.currency}
    return body


def compose() -> QuiklyWebhook:
    """Wire the function as it runs in Lambda."""
    settings = load_settings(WebhookSettings)
    config = load_compiled(settings.partner_config_dir, "quikly", QuiklyConfig)
    clock = SystemClock()
    meter = EmfMeter(metrics())
    return QuiklyWebhook(
        door=Door(
            routes=ROUTES,
            secret=SecretsManagerSource(settings.partner_secret, max_age=TOKEN_MAX_AGE_SECONDS),
            meter=meter,
            clock=clock,
            # A campaign can set headers: its token never needs to be in the address.
            allow_query_token=False,
        ),
        activations=config.activations,
        claims=Claims(
            DynamoClaimStore(claims_client(), settings.claims_table),
            claims_key(SecretsManagerSource(settings.claims_secret)),
            clock=clock,
            sleep=time.sleep,
            random=random.random,
        ),
        outbox=Outbox(
            SqsJobQueue(clients.sqs(), settings.delivery_queue_url),
            SqsForwardQueue(clients.sqs(), settings.forward_queue_url),
            clock,
        ),
        meter=meter,
        log=logger(),
        placeholders=config.placeholders,
    )


lambda_handler = lambda_handler_of(compose)
