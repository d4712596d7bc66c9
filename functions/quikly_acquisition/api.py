"""``POST /quikly/acquisitions`` begins an acquisition, ``GET …/{id}`` returns its state."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from braze_bridge.cold_start import collector_off

with collector_off():
    from braze_bridge.aws import clients
    from braze_bridge.aws.secrets import TOKEN_MAX_AGE_SECONDS, SecretsManagerSource
    from braze_bridge.clock import SystemClock
    from braze_bridge.keys import fingerprint_key
    from braze_bridge.ledger.new_names import DynamoNames, NewNames
    from braze_bridge.mapping.names import ANY_NAME, NameGuard, none_over_cap
    from braze_bridge.observability import EmfMeter, Metric, logger, metrics
    from braze_bridge.partner_config.compiled import load_compiled
    from braze_bridge.partner_config.quikly import QuiklyConfig
    from braze_bridge.reasons import Reason
    from braze_bridge.settings import load_settings
    from braze_bridge.web.door import Door, DoorError, ProxyResponse, Route, answer, unavailable
    from braze_bridge.web.edge import lambda_handler_of
    from quikly_acquisition.api_models import Refusal, new_record, read_request
    from quikly_acquisition.dynamo_records import DynamoAcquisitionRecords
    from quikly_acquisition.models import status_document
    from quikly_acquisition.records import IdempotencyKeyReusedError, RecordsUnavailableError
    from quikly_acquisition.settings import AcquisitionApiSettings
    from quikly_acquisition.step_queue import QueuedStep, SqsStepQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

    from aws_lambda_powertools import Logger

    from braze_bridge.mapping.names import NamesOverCap
    from braze_bridge.observability import Meter
    from braze_bridge.partner_config.quikly_acquisitions import AcquisitionRule
    from braze_bridge.web.door import Admitted
    from quikly_acquisition.models import AcquisitionRecord
    from quikly_acquisition.records import AcquisitionRecords, Begun
    from quikly_acquisition.step_queue import StepQueue

INTAKE: Final = Route("POST", "/quikly/acquisitions")
STATUS: Final = Route("GET", "/quikly/acquisitions/{id}", has_body=False)
ROUTES: Final = (INTAKE, STATUS)

_ID: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")

ID_BYTES: Final = 18
"""24 characters of base64, so that an id cannot be guessed."""


@dataclass(frozen=True, kw_only=True)
class AcquisitionApi:
    """Answers one call.

    Attributes:
        acquisitions: The configured activations, by scope.
        placeholders: Of the file, in lower case.
        guard: Names of attributes that no sign-up may write.
        new_id: Makes an id that cannot be guessed.
    """

    door: Door
    acquisitions: Mapping[str, AcquisitionRule]
    records: AcquisitionRecords
    queue: StepQueue
    meter: Meter
    log: Logger
    new_id: Callable[[], str]
    placeholders: AbstractSet[str] = frozenset()
    guard: NameGuard = ANY_NAME
    names_over_cap: NamesOverCap = none_over_cap

    def __call__(self, event: object) -> ProxyResponse:
        """Answer an API Gateway proxy event.

        Returns:
            202 with the acquisition's id once the record is stored; 200 with its state.

        Raises:
            DoorError: As the door; 404 for an unknown id; 422 for a refused body, of which nothing
                is stored; 503 if the record could not be stored or read.
        """
        admitted = self.door.admit(event)
        return self._status(admitted) if admitted.route == STATUS else self._intake(admitted)

    def _intake(self, admitted: Admitted) -> ProxyResponse:
        request = read_request(
            admitted.body,
            acquisitions=self.acquisitions,
            now=admitted.received_at,
            placeholders=self.placeholders,
            guard=self.guard,
            names_over_cap=self.names_over_cap,
        )
        if isinstance(request, Refusal):
            raise DoorError(HTTPStatus.UNPROCESSABLE_ENTITY, request.reasons)
        record = new_record(
            request,
            acquisition_id=self.new_id(),
            correlation_id=admitted.correlation_id,
            now=admitted.received_at,
        )
        begun = self._begin(record, request.idempotency_key, admitted)
        queued = False
        if begun.is_new:
            # The stored record is enough: the sweep makes a message that is missing.
            queued = not self.queue.send([QueuedStep(record.message)])
            self.meter.add(Metric.ACQUISITIONS_ACCEPTED)
        self.log.info(
            "acquisition accepted",
            acquisition=begun.acquisition_id,
            q_scope=request.q_scope,
            channel=request.channel,
            new=begun.is_new,
            queued=queued,
            left_out=[warning.code for warning in request.warnings],
            correlation_id=admitted.correlation_id,
        )
        if request.warnings:
            self.meter.add(Metric.ATTRIBUTES_SKIPPED, len(request.warnings))
        warnings = [each.model_dump(include={"code", "field"}) for each in request.warnings]
        return answer(
            HTTPStatus.ACCEPTED,
            {"status": "accepted", "acquisition_id": begun.acquisition_id}
            | ({"warnings": warnings} if warnings else {}),
        )

    def _begin(self, record: AcquisitionRecord, key: str | None, admitted: Admitted) -> Begun:
        try:
            return self.records.begin(record, key)
        except IdempotencyKeyReusedError:
            reason = Reason(
                code="idempotency_key_reused",
                field="idempotency_key",
                detail="it came before with another person, scope or channel",
            )
            raise DoorError(HTTPStatus.UNPROCESSABLE_ENTITY, [reason]) from None
        except RecordsUnavailableError as error:
            raise self._not_available(error, admitted) from error

    def _status(self, admitted: Admitted) -> ProxyResponse:
        acquisition_id = admitted.path_parameters.get("id", "")
        try:
            record = self.records.get(acquisition_id) if _ID.fullmatch(acquisition_id) else None
        except RecordsUnavailableError as error:
            raise self._not_available(error, admitted) from error
        if record is None:
            raise DoorError(HTTPStatus.NOT_FOUND, [Reason(code="not_found", field="id")])
        return answer(HTTPStatus.OK, status_document(record))

    def _not_available(self, error: RecordsUnavailableError, admitted: Admitted) -> DoorError:
        self.log.error(
            "acquisitions are not available",
            error=str(error),
            correlation_id=admitted.correlation_id,
        )
        return unavailable("unavailable", "it could not be kept or read; send it again")


def new_acquisition_id() -> str:
    """Make a random id, safe in a URL."""
    return secrets.token_urlsafe(ID_BYTES)


def compose() -> AcquisitionApi:
    """Wire the function as it runs in Lambda."""
    settings = load_settings(AcquisitionApiSettings)
    config = load_compiled(settings.partner_config_dir, "quikly", QuiklyConfig)
    meter = EmfMeter(metrics())
    clock = SystemClock()
    return AcquisitionApi(
        door=Door(
            routes=ROUTES,
            secret=SecretsManagerSource(settings.partner_secret, max_age=TOKEN_MAX_AGE_SECONDS),
            meter=meter,
            clock=clock,
            allow_query_token=config.door.allow_query_token,
        ),
        acquisitions=config.acquisitions,
        records=DynamoAcquisitionRecords(
            clients.dynamodb(),
            settings.acquisition_table,
            clock=clock,
            key=fingerprint_key(SecretsManagerSource(settings.ledger_secret)),
        ),
        queue=SqsStepQueue(clients.sqs(), settings.acquisition_queue_url),
        meter=meter,
        log=logger(),
        new_id=new_acquisition_id,
        placeholders=config.placeholders,
        guard=config.names,
        names_over_cap=NewNames(
            lambda: DynamoNames(clients.names_client(), settings.ledger_table, "quikly"),
            config.names.new_a_day,
            meter=meter,
            log=logger(),
        ),
    )


lambda_handler = lambda_handler_of(compose)
