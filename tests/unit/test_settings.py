"""Settings from the environment, and secrets that are never shown."""

from __future__ import annotations

import pytest

from braze_bridge.aws.secrets import SecretPair
from braze_bridge.settings import IngestSettings, SettingsError, load_settings
from braze_delivery.settings import DeliverySettings

DELIVERY = {
    "BRAZE_INSTANCE": "US-01",
    "BRAZE_SECRET": "stack/braze",
    "DELIVERY_QUEUE_URL": "https://sqs.example/queue",
    "REJECTED_TABLE": "rejected",
    "QUEUE_RETENTION_SECONDS": "345600",
    "QUEUE_VISIBILITY_SECONDS": "420",
    "FUNCTION_TIMEOUT_SECONDS": "60",
    "LEDGER_TABLE": "ledger",
    "LEDGER_SECRET": "stack/ledger",
    "JOB_SENDERS": '{"AROAIN": ["outgrow"]}',
}


def test_settings_are_read_by_their_upper_case_names() -> None:
    """A missing variable has its default if there is one; other variables do not matter."""
    settings = load_settings(DeliverySettings, DELIVERY | {"PATH": "x", "SEND_CONCURRENCY": "64"})

    assert (settings.braze_instance, settings.send_concurrency) == ("US-01", 64)
    assert (settings.on_unknown_outcome, settings.allow_loopback_braze) == ("verify", False)
    assert (settings.on_unverified, settings.verify_lag_seconds) == ("resend", 300)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"BRAZE_SECRET": None}, "BRAZE_SECRET"),
        ({"SEND_CONCURRENCY": "many"}, "SEND_CONCURRENCY"),
        ({"SEND_CONCURRENCY": "0"}, "SEND_CONCURRENCY"),
        ({"ON_UNKNOWN_OUTCOME": "drop"}, "ON_UNKNOWN_OUTCOME"),
        ({"ON_UNVERIFIED": "verify"}, "ON_UNVERIFIED"),
        ({"QUEUE_RETENTION_SECONDS": "1"}, "QUEUE_RETENTION_SECONDS"),
    ],
)
def test_a_wrong_variable_is_named_and_its_value_is_not(
    change: dict[str, str | None], named: str
) -> None:
    """The error says which variable to look at."""
    environ = {name: value for name, value in (DELIVERY | change).items() if value is not None}

    with pytest.raises(SettingsError) as caught:
        load_settings(DeliverySettings, environ)

    assert str(caught.value) == f"environment variables missing or unreadable: {named}"


def test_all_missing_variables_are_named_at_once() -> None:
    """One error is enough to correct a deployment."""
    with pytest.raises(SettingsError, match="DELIVERY_QUEUE_URL, PARTNER_SECRET, REJECTED_TABLE"):
        load_settings(IngestSettings, {})


def test_an_empty_half_of_a_secret_is_no_secret() -> None:
    """A secret created empty must not accept an empty token."""
    assert SecretPair(current="", previous="").accepted == ()
    assert SecretPair(current="new", previous="old").accepted == ("new", "old")


def test_a_secret_does_not_show_in_a_repr_or_an_error() -> None:
    """Neither whole nor when it is malformed."""
    assert "hush" not in repr(SecretPair(current="hush", previous="hush"))
    with pytest.raises(ValueError, match="current") as caught:
        SecretPair.model_validate_json('{"current": ["hush"]}')
    assert "hush" not in str(caught.value)
