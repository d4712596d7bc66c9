"""Acquisitions: ``POST /quikly/acquisitions`` takes one, ``GET …/{id}`` tells what became of it."""

from __future__ import annotations

import re
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

from braze_bridge.cold_start import collector_off

with collector_off():
    from braze_bridge.aws import clients
    from braze_bridge.aws.secrets import SecretsManagerSource
    from braze_bridge.clock import SystemClock
    from braze_bridge.keys import fingerprint_key
    from braze_bridge.observability import EmfMeter, Metric, logger, metrics
    from braze_bridge.partner_config.compiled import load_compiled
    from braze_bridge.partner_config.quikly import QuiklyConfig
    from braze_bridge.reasons import Reason
    from braze_bridge.settings import load_settings
    from braze_bridge.web.door import Door, DoorError, ProxyResponse, Route, answer, unavailable
    from braze_bridge.web.edge import lambda_handler_of
    from quikly_acquisition.api_models import AcquisitionRequest, Refusal, read_request
    from quikly_acquisition.dynamo_records import dynamo_records
    from quikly_acquisition.models import new_record, status_document
    from quikly_acquisition.records import IdempotencyKeyReusedError, RecordsUnavailableError
    from quikly_acquisition.settings import AcquisitionApiSettings
    from quikly_acquisition.step_queue import QueuedStep, SqsStepQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aws_lambda_powertools import Logger

    from braze_bridge.observability import Meter
    from braze_bridge.partner_config.quikly_acquisitions import AcquisitionRule
    from braze_bridge.web.door import Admitted
    from quikly_acquisition.models import AcquisitionRecord
    from quikly_acquisition.records import Begun
    from quikly_acquisition.step_queue import StepQueue

INTAKE: Final = Route("POST", "/quikly/acquisitions")
STATUS: Final = Route("GET", "/quikly/acquisitions/{id}", has_body=False)
ROUTES: Final = (INTAKE, STATUS)

_ID: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")

ID_BYTES: Final = 18
"""24 characters of base64: who has no token must not guess one either."""


class IntakeRecords(Protocol):
    """What of :class:`quikly_acquisition.records.AcquisitionRecords` the API uses."""

    def begin(self, record: AcquisitionRecord, idempotency_key: str | None) -> Begun:
        """See :meth:`quikly_acquisition.records.AcquisitionRecords.begin`."""
        ...

    def get(self, acquisition_id: str) -> AcquisitionRecord | None:
        """See :meth:`quikly_acquisition.records.AcquisitionRecords.get`."""
        ...


class AcquisitionApi:
    """Answers one call."""

    def __init__(
        self,
        *,
        door: Door,
        acquisitions: Mapping[str, AcquisitionRule],
        records: IntakeRecords,
        queue: StepQueue,
        meter: Meter,
        log: Logger,
        new_id: Callable[[], str],
    ) -> None:
        """Build one.

        Args:
            door: Lets the routes' callers in.
            acquisitions: The configured activations, by scope.
            records: Where acquisitions are kept.
            queue: Takes the first step.
            meter: Counts.
            log: Says so, by ids and codes.
            new_id: Makes an id that nobody can guess.
        """
        self._door = door
        self._acquisitions = acquisitions
        self._records = records
        self._queue = queue
        self._meter = meter
        self._log = log
        self._new_id = new_id

    def __call__(self, event: object) -> ProxyResponse:
        """Answer an API Gateway proxy event.

        Returns:
            202 with the acquisition's id once the record is kept; 200 with its state.

        Raises:
            DoorError: As the door; 404 for an unknown id; 422 for a body that is no acquisition, of
                which nothing is kept; 503 where the record could not be kept or read.
        """
        admitted = self._door.admit(event)
        return self._tell(admitted) if admitted.route == STATUS else self._take(admitted)

    def _take(self, admitted: Admitted) -> ProxyResponse:
        request = read_request(
            admitted.body, acquisitions=self._acquisitions, now=admitted.received_at
        )
        if isinstance(request, Refusal):
            raise DoorError(HTTPStatus.UNPROCESSABLE_ENTITY, request.reasons)
        record = self._record_of(request, admitted)
        begun = self._begin(record, request.idempotency_key, admitted)
        if begun.is_new:
            # Kept is taken: a message that does not come about is made by the sweep.
            queued = not self._queue.send([QueuedStep(record.message)])
            self._meter.add(Metric.ACQUISITIONS_ACCEPTED)
        else:
            queued = False
        self._log.info(
            "acquisition accepted",
            acquisition=begun.acquisition_id,
            q_scope=request.q_scope,
            channel=request.channel,
            new=begun.is_new,
            queued=queued,
            correlation_id=admitted.correlation_id,
        )
        return answer(
            HTTPStatus.ACCEPTED, {"status": "accepted", "acquisition_id": begun.acquisition_id}
        )

    def _record_of(self, request: AcquisitionRequest, admitted: Admitted) -> AcquisitionRecord:
        return new_record(
            acquisition_id=self._new_id(),
            q_scope=request.q_scope,
            channel=request.channel,
            email=request.email,
            phone=request.phone,
            consent=request.consent,
            attributes=request.attributes,
            correlation_id=admitted.correlation_id,
            now=admitted.received_at,
        )

    def _begin(self, record: AcquisitionRecord, key: str | None, admitted: Admitted) -> Begun:
        try:
            return self._records.begin(record, key)
        except IdempotencyKeyReusedError:
            raise DoorError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                [
                    Reason(
                        code="idempotency_key_reused",
                        field="idempotency_key",
                        detail="it came before with another person, scope or channel",
                    )
                ],
            ) from None
        except RecordsUnavailableError as error:
            raise self._not_available(error, admitted) from error

    def _tell(self, admitted: Admitted) -> ProxyResponse:
        acquisition_id = admitted.path_parameters.get("id", "")
        try:
            record = self._records.get(acquisition_id) if _ID.fullmatch(acquisition_id) else None
        except RecordsUnavailableError as error:
            raise self._not_available(error, admitted) from error
        if record is None:
            raise DoorError(HTTPStatus.NOT_FOUND, [Reason(code="not_found", field="id")])
        return answer(HTTPStatus.OK, status_document(record))

    def _not_available(self, error: RecordsUnavailableError, admitted: Admitted) -> DoorError:
        self._log.error(
            "acquisitions are not available",
            error=str(error),
            correlation_id=admitted.correlation_id,
        )
        return unavailable("unavailable", "it could not be kept or read; send it again")


def new_acquisition_id() -> str:
    """A random id, safe in a URL."""
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
            secret=SecretsManagerSource(settings.partner_secret),
            meter=meter,
            clock=clock,
            allow_query_token=config.door.allow_query_token,
        ),
        acquisitions=config.acquisitions,
        records=dynamo_records(
            clients.dynamodb(),
            settings.acquisition_table,
            clock=clock,
            key=fingerprint_key(SecretsManagerSource(settings.ledger_secret)),
        ),
        queue=SqsStepQueue(clients.sqs(), settings.acquisition_queue_url),
        meter=meter,
        log=logger(),
        new_id=new_acquisition_id,
    )


lambda_handler = lambda_handler_of(compose)
