"""Secrets from Secrets Manager."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import boto3
import pytest
from botocore.exceptions import ClientError

from braze_bridge.aws.secrets import (
    KEY_KEPT_SECONDS,
    SECRET_MAX_AGE_SECONDS,
    SECRET_MIN_REFRESH_SECONDS,
    TOKEN_MAX_AGE_SECONDS,
    SecretPair,
    SecretsManagerSource,
    SecretUnavailableError,
)

if TYPE_CHECKING:
    from types_boto3_secretsmanager import SecretsManagerClient

NAME = "stack/partner/outgrow"


class Seconds:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def source_of(name: str, clock: Seconds | None = None) -> SecretsManagerSource:
    return SecretsManagerSource(
        name, lambda: boto3.client("secretsmanager"), clock or time.monotonic
    )


class FailingSecretsManager:
    """Fails while it is down."""

    def __init__(self) -> None:
        self.reads = 0
        self.is_down = False

    def get_secret_value(self, **_: str) -> dict[str, str]:
        self.reads += 1
        if self.is_down:
            raise ClientError({"Error": {"Code": "InternalServiceError"}}, "GetSecretValue")
        return {"SecretString": json.dumps({"current": f"token-{self.reads}"})}


class SlowSecretsManager(FailingSecretsManager):
    """Answers after all have asked."""

    def get_secret_value(self, **_: str) -> dict[str, str]:
        time.sleep(0.3)
        return super().get_secret_value()


def token_source(manager: FailingSecretsManager, clock: Seconds) -> SecretsManagerSource:
    client = cast("SecretsManagerClient", manager)
    return SecretsManagerSource(NAME, lambda: client, clock, max_age=TOKEN_MAX_AGE_SECONDS)


def test_a_revoked_token_is_forgotten_within_a_minute() -> None:
    """A caller with the old token makes no call itself: it matches what is kept."""
    manager, clock = FailingSecretsManager(), Seconds()
    source = token_source(manager, clock)
    assert source.get().current == "token-1"

    clock.now += TOKEN_MAX_AGE_SECONDS - 1
    assert source.get().current == "token-1"
    clock.now += 1
    assert source.get().current == "token-2"


def test_our_own_key_outlives_failed_reads_for_an_hour_unless_it_is_refused() -> None:
    """One failed read closes no gate. A key that Braze refused is not served again."""
    manager, clock = FailingSecretsManager(), Seconds()
    client = cast("SecretsManagerClient", manager)
    source = SecretsManagerSource(NAME, lambda: client, clock, kept=KEY_KEPT_SECONDS)
    source.get()
    manager.is_down = True
    for _ in range(10):
        clock.now += 300
        assert source.get().current == "token-1"
    assert manager.reads == 11
    source.drop()
    for _ in range(2):
        with pytest.raises(SecretUnavailableError):
            source.get()
    assert manager.reads == 12

    manager.is_down = False
    clock.now += SECRET_MIN_REFRESH_SECONDS
    assert source.get().current == "token-13"
    manager.is_down = True
    clock.now += KEY_KEPT_SECONDS
    with pytest.raises(SecretUnavailableError):
        source.get()


def test_threads_that_ask_at_once_read_once() -> None:
    """Also if the reading fails: they waited for it."""
    manager = SlowSecretsManager()
    client = cast("SecretsManagerClient", manager)
    source = SecretsManagerSource(NAME, lambda: client, time.monotonic)
    with ThreadPoolExecutor(8) as pool:
        manager.is_down = True
        failed = [pool.submit(source.get) for _ in range(8)]
        assert all(isinstance(each.exception(), SecretUnavailableError) for each in failed)
        assert manager.reads == 1
        manager.is_down = False
        assert {pool.submit(source.get).result().current for _ in range(8)} == {"token-2"}


def test_a_token_outlives_a_failed_read_but_not_five_minutes() -> None:
    """No caller is refused for one failed read; and it is tried at most each 30 s."""
    manager, clock = FailingSecretsManager(), Seconds()
    source = token_source(manager, clock)
    source.get()
    manager.is_down = True

    for _ in range(SECRET_MAX_AGE_SECONDS - 1):
        clock.now += 1
        assert source.get().current == "token-1"
    assert manager.reads == 1 + 8  # after 60 s, 90 s, … 270 s
    clock.now += 1
    with pytest.raises(SecretUnavailableError):
        source.get()


def store(**halves: str) -> None:
    client = boto3.client("secretsmanager")
    text = json.dumps(halves)
    if client.list_secrets()["SecretList"]:
        client.put_secret_value(SecretId=NAME, SecretString=text)
    else:
        client.create_secret(Name=NAME, SecretString=text)


def test_secret_is_read_once_and_kept() -> None:
    """A rotation is seen only after a refresh, because each read costs a call."""
    store(current="one")
    source = source_of(NAME)

    first = source.get()
    store(current="two")

    assert first == source.get() == SecretPair(current="one", previous="")


def test_refresh_reads_again_but_not_too_often() -> None:
    """A refresh sees the rotation; another one within 30 s makes no call."""
    store(current="one")
    clock = Seconds()
    source = source_of(NAME, clock)
    assert source.get().accepted == ("one",)

    store(current="two", previous="one")
    assert source.refresh().accepted == ("two", "one")
    store(current="three", previous="two")
    clock.now += SECRET_MIN_REFRESH_SECONDS - 1
    assert source.refresh().accepted == ("two", "one")
    clock.now += 1
    assert source.refresh().accepted == ("three", "two")


def test_empty_half_is_no_secret() -> None:
    """The Braze secret is created empty: nothing may match it."""
    store(current="", previous="")

    assert source_of(NAME).get().accepted == ()


@pytest.mark.parametrize("text", ["hush-hush", "[]", '{"previous": "hush-hush"}', '{"current": 7}'])
def test_malformed_secret_is_unavailable_and_not_quoted(text: str) -> None:
    """A secret that is not a pair is an error, without the secret's text."""
    boto3.client("secretsmanager").create_secret(Name=NAME, SecretString=text)

    with pytest.raises(SecretUnavailableError) as raised:
        source_of(NAME).get()

    assert raised.value.__cause__ is None
    assert "hush" not in repr(raised.value)


def test_missing_secret_is_unavailable() -> None:
    """A missing secret cannot be read."""
    with pytest.raises(SecretUnavailableError):
        source_of(NAME).get()


def test_repr_of_a_pair_has_no_secret() -> None:
    """A pair may end up in a traceback."""
    assert "hush" not in repr(SecretPair(current="hush-one", previous="hush-two"))
