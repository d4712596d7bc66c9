"""The only reader of the environment, and the way to secrets: by name, on first use, cached.

A function's settings are a model; its fields are the environment variables in lower case, and a
test holds them against ``template.yaml``.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from braze_bridge import aws_clients

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from types_boto3_secretsmanager import SecretsManagerClient

SECRET_MAX_AGE_SECONDS: Final = 300
SECRET_MIN_REFRESH_SECONDS: Final = 30
"""A refused token or key makes us read the secret again, but not more often than this: a stranger
who tries tokens must not turn into a stream of Secrets Manager calls."""


class SettingsError(Exception):
    """The environment of the function is not what the template gives it."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class IngestSettings(_Settings):
    """What an ingest function needs to know.

    Attributes:
        partner_secret: Name of the secret with the partner's ``current`` and ``previous`` token.
        partner_config_dir: Folder that holds ``<partner>.toml``.
    """

    delivery_queue_url: str
    rejected_table: str
    partner_secret: str
    partner_config_dir: Path = Path("/opt/partner_config")


class DeliverySettings(_Settings):
    """What delivery needs to know.

    Attributes:
        braze_endpoint: Overrides the instance's REST endpoint where not empty.
        allow_loopback_braze: Only the local stack sets it.
        send_concurrency: Requests to Braze at once, of one Lambda.
        on_unknown_outcome: What becomes of events whose request timed out: they may or may not be
            at Braze already, and Braze does not de-duplicate them.
        queue_retention_seconds: Of the delivery queue; a job older than three quarters is parked.
        queue_visibility_seconds: Of the delivery queue; a lease ends before it does.
        function_timeout_seconds: After which Lambda ends this function; a lease outlives it.
        ledger_table: Holds the ledger and the gate.
        ledger_secret: Name of the secret that keys the ledger's fingerprints.
        delivery_lambdas: How many Lambdas may call Braze at the same time.
    """

    braze_instance: str
    braze_endpoint: str = ""
    allow_loopback_braze: bool = False
    braze_secret: str
    delivery_queue_url: str
    rejected_table: str
    send_concurrency: Annotated[int, Field(ge=1, le=256)] = 20
    on_unknown_outcome: Literal["resend", "park"] = "resend"
    queue_retention_seconds: Annotated[int, Field(ge=60, le=1_209_600)]
    queue_visibility_seconds: Annotated[int, Field(ge=1, le=43_200)]
    function_timeout_seconds: Annotated[int, Field(ge=1, le=900)]
    ledger_table: str
    ledger_secret: str
    delivery_lambdas: Annotated[int, Field(ge=1, le=1000)] = 10


class AcquisitionApiSettings(_Settings):
    """What Quikly's acquisition API needs to know.

    Attributes:
        partner_secret: Name of the secret with Quikly's ``current`` and ``previous`` token.
        partner_config_dir: Folder that holds ``quikly.toml``.
        acquisition_table: Holds the acquisitions.
        acquisition_queue_url: Takes a message for each step that is due.
        ledger_secret: Name of the secret that keys the hashes under which people are known.
    """

    partner_secret: str
    partner_config_dir: Path = Path("/opt/partner_config")
    acquisition_table: str
    acquisition_queue_url: str
    ledger_secret: str


class AcquisitionWorkerSettings(_Settings):
    """What the acquisition worker needs to know.

    Attributes:
        braze_endpoint: As for delivery.
        allow_loopback_braze: Only the local stack sets it; it holds for Quikly's address, too.
        delivery_queue_url: Takes what goes by way of delivery: events and attributes.
        send_concurrency: Requests to Braze and Quikly at once, of one Lambda.
        acquisition_lambdas: How many workers may call Braze at the same time.
        function_timeout_seconds: After which Lambda ends this function.
        ledger_table: Holds the gate.
        ledger_secret: As for the API.
        quikly_api_url: Where Quikly is told; empty: Quikly asks the status route instead.
        quikly_api_secret: Name of the secret with the key for it.
        profile_wait_seconds: Between creating a profile and subscribing it. Quikly's page says
            about two minutes (docs/partners/…/retargeting/quikly).
        on_unknown_outcome: What becomes of a credit whose answer was lost.
    """

    braze_instance: str
    braze_endpoint: str = ""
    allow_loopback_braze: bool = False
    braze_secret: str
    partner_config_dir: Path = Path("/opt/partner_config")
    acquisition_table: str
    acquisition_queue_url: str
    delivery_queue_url: str
    send_concurrency: Annotated[int, Field(ge=1, le=256)] = 20
    acquisition_lambdas: Annotated[int, Field(ge=1, le=1000)] = 2
    function_timeout_seconds: Annotated[int, Field(ge=1, le=900)]
    ledger_table: str
    ledger_secret: str
    quikly_api_url: str = ""
    quikly_api_secret: str
    profile_wait_seconds: Annotated[int, Field(ge=0, le=900)] = 120
    on_unknown_outcome: Literal["resend", "park"] = "resend"


class AcquisitionSweepSettings(_Settings):
    """What the acquisition sweep needs to know.

    Attributes:
        acquisition_table: As for the API.
        acquisition_queue_url: As for the API.
    """

    acquisition_table: str
    acquisition_queue_url: str


class ClaimsSettings(_Settings):
    """What the sweep of claims needs to know, and the webhook, too.

    Attributes:
        claims_table: Holds activations' counters and people's claims.
        claims_secret: Name of the secret that keys people's hashes in it and seeds the draws.
        forward_queue_url: Takes the calls that go on to Quikly's own API.
        partner_config_dir: Folder that holds ``quikly.toml``.
    """

    claims_table: str
    claims_secret: str
    delivery_queue_url: str
    forward_queue_url: str
    partner_config_dir: Path = Path("/opt/partner_config")


class WebhookSettings(ClaimsSettings):
    """What the webhook that Braze campaigns call needs to know.

    Attributes:
        partner_secret: Name of the secret with the token that Braze sends.
    """

    partner_secret: str


class ForwardSettings(_Settings):
    """What telling Quikly needs to know.

    Attributes:
        quikly_api_url: Quikly's address; empty where no activation is forwarded.
        allow_loopback_quikly: Only the local stack sets it.
        quikly_api_secret: Name of the secret with Quikly's key.
        claims_table: Remembers which calls Quikly took.
        queue_retention_seconds: Of the forward queue; a call older than three quarters is parked.
        function_timeout_seconds: After which Lambda ends this function; a lease outlives it.
    """

    quikly_api_url: str = ""
    allow_loopback_quikly: bool = False
    quikly_api_secret: str
    claims_table: str
    forward_queue_url: str
    rejected_table: str
    queue_retention_seconds: Annotated[int, Field(ge=60, le=1_209_600)]
    function_timeout_seconds: Annotated[int, Field(ge=1, le=900)]


SettingsT = TypeVar("SettingsT", bound=_Settings)


def load_settings(model: type[SettingsT], environ: Mapping[str, str] | None = None) -> SettingsT:
    """Read a function's settings.

    Args:
        model: Which function's.
        environ: The variables; those of the process where left out.

    Raises:
        SettingsError: Names the variables that are missing or unreadable, without their values.
    """
    variables = os.environ if environ is None else environ
    given = {
        field: variables[field.upper()]
        for field in model.model_fields
        if field.upper() in variables
    }
    try:
        return model.model_validate(given)
    except ValidationError as error:
        wrong = sorted({str(item["loc"][0]).upper() for item in error.errors()})
        raise SettingsError(
            f"environment variables missing or unreadable: {', '.join(wrong)}"
        ) from None


class SecretPair(BaseModel):
    """A secret under rotation: both halves are valid.

    An empty half is no secret at all: it never matches anything.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    current: str = Field(repr=False)
    previous: str = Field(default="", repr=False)

    @property
    def accepted(self) -> tuple[str, ...]:
        """The halves that are set."""
        return tuple(half for half in (self.current, self.previous) if half)


class SecretUnavailableError(Exception):
    """The secret could not be read: fail closed and have the caller come again."""


class SecretSource(Protocol):
    """One secret."""

    def get(self) -> SecretPair:
        """The secret, from the cache where it is fresh.

        Raises:
            SecretUnavailableError: It cannot be read, or is not in the expected form.
        """
        ...

    def refresh(self) -> SecretPair:
        """The secret read again, unless that was done in the last 30 s: then as :meth:`get`.

        Raises:
            SecretUnavailableError: As :meth:`get`.
        """
        ...

    def drop(self) -> None:
        """Have the next :meth:`get` read the secret again: what it held was refused."""
        ...


class SecretsManagerSource:
    """A :class:`SecretSource` on AWS Secrets Manager, JSON ``{"current": …, "previous": …}``.

    Powertools' parameters utility would do the same, but it loads boto3 and every other provider on
    the first request, which doubles what that request costs.

    Args:
        name: The secret's name.
        client: Makes the Secrets Manager client; called on first use.
        monotonic: Seconds.
    """

    def __init__(
        self,
        name: str,
        client: Callable[[], SecretsManagerClient] = aws_clients.secretsmanager,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._client = client
        self._monotonic = monotonic
        self._pair: SecretPair | None = None
        self._read_at = float("-inf")
        self._refreshed_at = float("-inf")
        self._dropped = False

    def get(self) -> SecretPair:
        """See :meth:`SecretSource.get`."""
        age = self._monotonic() - self._read_at
        if self._pair is None or age >= SECRET_MAX_AGE_SECONDS:
            return self._read()
        return self.refresh() if self._dropped else self._pair

    def drop(self) -> None:
        """See :meth:`SecretSource.drop`."""
        self._dropped = True

    def refresh(self) -> SecretPair:
        """See :meth:`SecretSource.refresh`."""
        now = self._monotonic()
        if self._pair is None or now - self._refreshed_at >= SECRET_MIN_REFRESH_SECONDS:
            self._refreshed_at = now
            return self._read()
        return self._pair

    def _read(self) -> SecretPair:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            text = self._client().get_secret_value(SecretId=self._name)["SecretString"]
            pair = SecretPair.model_validate_json(text)
        except (BotoCoreError, ClientError, KeyError, ValidationError):
            # Neither the cause nor the text may travel: both can quote the secret.
            raise SecretUnavailableError(self._name) from None
        self._pair, self._read_at, self._dropped = pair, self._monotonic(), False
        return pair
