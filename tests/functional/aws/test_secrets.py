"""Secrets from Secrets Manager."""

from __future__ import annotations

import json
import time

import boto3
import pytest

from braze_bridge.aws.secrets import (
    SECRET_MIN_REFRESH_SECONDS,
    SecretPair,
    SecretsManagerSource,
    SecretUnavailableError,
)

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
