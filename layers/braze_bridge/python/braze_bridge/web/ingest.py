"""An ingest function: it checks a call, maps its body, and queues or parks the outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from braze_bridge.aws import clients
from braze_bridge.aws.secrets import (
    TOKEN_MAX_AGE_SECONDS,
    SecretsManagerSource,
    SecretUnavailableError,
)
from braze_bridge.clock import SystemClock
from braze_bridge.jobs.queue import SqsJobQueue
from braze_bridge.jobs.rejected import DynamoRejectedStore
from braze_bridge.ledger.new_names import DynamoNames, NewNames
from braze_bridge.mapping.link_signatures import check_with
from braze_bridge.mapping.names import none_over_cap
from braze_bridge.observability import EmfMeter, logger, metrics
from braze_bridge.settings import IngestSettings, NamingIngestSettings, load_settings
from braze_bridge.web.door import Door, unavailable
from braze_bridge.web.intake import Intake

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from braze_bridge.mapping.link_signatures import SignatureCheck
    from braze_bridge.mapping.names import NamesOverCap
    from braze_bridge.mapping.outcomes import Outcome
    from braze_bridge.observability import Meter
    from braze_bridge.partner_config.rules import DoorConfig
    from braze_bridge.web.door import Admitted, ProxyResponse, Route
    from braze_bridge.web.edge import Answering


class PartnerConfig(Protocol):
    """What the configurations of all partners have."""

    @property
    def door(self) -> DoorConfig:
        """The switches of the partner's routes."""
        ...


ConfigT = TypeVar("ConfigT", bound=PartnerConfig)


class Checks(NamedTuple):
    """What a mapping asks while it maps."""

    signature_fits: SignatureCheck
    names_over_cap: NamesOverCap


class Ingest(NamedTuple, Generic[ConfigT]):
    """What differs between the ingest functions.

    Attributes:
        source: The partner, as in ``DeliveryJob.source``.
        load_config: Loads the partner's compiled configuration from a folder.
        map_call: Maps the body of a call.
        new_names_a_day: The cap, for a partner whose bodies name attributes.
    """

    source: str
    routes: tuple[Route, ...]
    load_config: Callable[[Path], ConfigT]
    map_call: Callable[[Admitted, ConfigT, Checks], Outcome]
    new_names_a_day: Callable[[ConfigT], int] | None = None

    def compose(self) -> Answering:
        """Wire the function as it runs in Lambda."""
        settings = load_settings(IngestSettings)
        config = self.load_config(settings.partner_config_dir)
        meter = EmfMeter(metrics())
        door = Door(
            routes=self.routes,
            secret=SecretsManagerSource(settings.partner_secret, max_age=TOKEN_MAX_AGE_SECONDS),
            meter=meter,
            clock=SystemClock(),
            allow_query_token=config.door.allow_query_token,
        )
        intake = Intake(
            source=self.source,
            queue=SqsJobQueue(clients.sqs(), settings.delivery_queue_url),
            rejected=lambda: DynamoRejectedStore(clients.dynamodb(), settings.rejected_table),
            meter=meter,
            log=logger(),
        )
        # Only a stack with signed links has this secret (`bridge link new-key`).
        link_key = SecretsManagerSource(
            f"{settings.partner_secret}-link", max_age=TOKEN_MAX_AGE_SECONDS
        )
        return self.answering(
            config, door, intake, Checks(check_with(link_key), self._new_names(config, meter))
        )

    def _new_names(self, config: ConfigT, meter: Meter) -> NamesOverCap:
        if self.new_names_a_day is None:
            return none_over_cap
        table = load_settings(NamingIngestSettings).ledger_table
        return NewNames(
            lambda: DynamoNames(clients.names_client(), table, self.source),
            self.new_names_a_day(config),
            meter=meter,
            log=logger(),
        )

    def answering(
        self,
        config: ConfigT,
        door: Door,
        intake: Intake,
        checks: Checks,
    ) -> Answering:
        """Make the function that answers an API Gateway proxy event."""

        def answer(event: object) -> ProxyResponse:
            call = door.admit(event)
            try:
                outcome = self.map_call(call, config, checks)
            except SecretUnavailableError:
                what = "the link's signature could not be checked; send it again"
                raise unavailable("unavailable", what) from None
            return intake.settle(call, outcome)

        return answer
