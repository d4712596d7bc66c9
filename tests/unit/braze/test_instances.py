"""Where a key may be sent."""

from __future__ import annotations

import pytest

from braze_bridge.braze.errors import InvalidEndpointError, InvalidReason
from braze_bridge.braze.instances import INSTANCES, rest_endpoint


def test_the_table_has_no_us_09() -> None:
    """Fifteen instances, none of them US-09, each at a rest. host without a trailing slash."""
    assert len(INSTANCES) == 15
    assert "US-09" not in INSTANCES
    assert all(url.startswith("https://rest.") and url[-1] != "/" for url in INSTANCES.values())


@pytest.mark.parametrize(
    ("instance", "endpoint"),
    [
        ("US-01", "https://rest.iad-01.braze.com"),
        ("us-10 ", "https://rest.us-10.braze.com"),
        ("EU-02", "https://rest.fra-02.braze.eu"),
        ("KR-01", "https://rest.kr-01.braze.com"),
    ],
)
def test_an_instance_has_its_endpoint(instance: str, endpoint: str) -> None:
    """An instance's name, in any case, gives the endpoint of Braze's table."""
    assert rest_endpoint(instance, None, allow_loopback=False) == endpoint
    assert rest_endpoint(instance, "", allow_loopback=False) == endpoint


@pytest.mark.parametrize("instance", ["US-09", "", "EU-1", "https://rest.iad-01.braze.com"])
def test_an_unknown_instance_is_refused(instance: str) -> None:
    """A name outside the table is refused with the names that exist."""
    with pytest.raises(InvalidEndpointError, match="US-01, ") as caught:
        rest_endpoint(instance, None, allow_loopback=False)

    assert caught.value.reason is InvalidReason.INSTANCE_UNKNOWN


@pytest.mark.parametrize(
    ("override", "endpoint"),
    [
        ("https://rest.fra-01.braze.eu", "https://rest.fra-01.braze.eu"),
        ("https://rest.fra-01.braze.eu/", "https://rest.fra-01.braze.eu"),
        ("https://REST.fra-01.braze.EU:443", "https://rest.fra-01.braze.eu"),
        ("https://rest.fra-03.braze.eu", "https://rest.fra-03.braze.eu"),
    ],
)
def test_an_override_names_a_rest_endpoint(override: str, endpoint: str) -> None:
    """An override wins over the instance, and comes out in one spelling."""
    assert rest_endpoint("US-01", override, allow_loopback=False) == endpoint


@pytest.mark.parametrize(
    "override",
    [
        "http://rest.iad-01.braze.com",
        "https://sdk.iad-01.braze.com",
        "https://rest.iad-09.braze.com",
        "https://rest.iad-01.braze.com.example.net",
        "https://rest.iad-01.braze.com@example.net",
        "https://user:secret@rest.iad-01.braze.com",
        "https://rest.iad-01.braze.com:8443",
        "https://rest.iad-01.braze.com/users",
        "https://rest.iad-01.braze.com?x=1",
        "https://rest.iad-01.braze.com#x",
        "https://rest.iad-01.braze.com\\@example.net",
        "rest.iad-01.braze.com",
        "https://[::1",
        "https://rest.iad-01.braze.com:port",
        "https://example.net",
        "http://127.0.0.1:8080",
        "http://localhost:8080",
        "file:///etc/passwd",
        "   ",
    ],
)
def test_anything_else_is_refused(override: str) -> None:
    """No other host, scheme, port, path or credentials get the key, and none is repeated."""
    with pytest.raises(InvalidEndpointError) as caught:
        rest_endpoint("US-01", override, allow_loopback=False)

    assert caught.value.reason is InvalidReason.ENDPOINT_REFUSED
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "endpoint"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://localhost", "http://localhost"),
        ("http://[::1]:81", "http://[::1]:81"),
        ("https://rest.iad-01.braze.com", "https://rest.iad-01.braze.com"),
    ],
)
def test_loopback_needs_its_setting(override: str, endpoint: str) -> None:
    """With the local setting, this machine may stand in for Braze."""
    assert rest_endpoint("US-01", override, allow_loopback=True) == endpoint


@pytest.mark.parametrize(
    "override",
    ["http://10.0.0.1", "http://example.net", "http://169.254.169.254", "ftp://127.0.0.1"],
)
def test_loopback_is_this_machine_only(override: str) -> None:
    """The local setting opens no other host."""
    with pytest.raises(InvalidEndpointError):
        rest_endpoint("US-01", override, allow_loopback=True)
