"""Which requests of a browser the servers of this machine take."""

from __future__ import annotations

import pytest

from sandbox.guard import is_loopback, refusal_of

OURS = "127.0.0.1:8000"

PROGRAMS = [
    [("host", OURS)],
    [("host", "localhost:8000")],
    [("host", "LOCALHOST:8000")],
    [("host", "[::1]:8000")],
    [("host", "[::1]")],
    [("host", "127.0.0.1")],
]
OWN_PAGE = [
    [("host", OURS), ("origin", f"http://{OURS}")],
    [("host", OURS), ("origin", f"http://{OURS}"), ("sec-fetch-site", "same-origin")],
    [("host", OURS), ("sec-fetch-site", "none")],
]
OTHERS = [
    ([], "Host"),
    ([("host", "")], "Host"),
    ([("host", OURS), ("host", OURS)], "Host"),
    ([("host", "127.0.0.1:80@evil.example.com")], "Host"),
    ([("host", "localhost:x")], "Host"),
    ([("host", "localhost:")], "Host"),
    ([("host", "127.0.0.1/x")], "Host"),
    ([("host", "::1")], "Host"),
    ([("host", "rebound.example.com:8000")], "Host"),
    (
        [("host", "rebound.example.com:8000"), ("origin", "http://rebound.example.com:8000")],
        "Host",
    ),
    ([("host", OURS), ("origin", "http://evil.example.com")], "Origin"),
    ([("host", OURS), ("origin", "http://127.0.0.1:9000")], "Origin"),
    ([("host", OURS), ("origin", f"https://{OURS}")], "Origin"),
    ([("host", OURS), ("origin", "null")], "Origin"),
    ([("host", OURS), ("origin", "")], "Origin"),
    ([("host", OURS), ("origin", f"http://{OURS}"), ("origin", "http://evil.example")], "Origin"),
    ([("host", OURS), ("sec-fetch-site", "cross-site")], "Sec-Fetch-Site"),
    ([("host", OURS), ("sec-fetch-site", "same-site")], "Sec-Fetch-Site"),
    (
        [("host", OURS), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
        "Sec-Fetch-Site",
    ),
]


def sent(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers]


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - refused
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("127.1", False),
        ("::", False),
    ],
)
def test_only_names_that_mean_this_machine_are_loopback(host: str, is_ours: bool) -> None:
    """A name that a foreign name server may answer is not one of them."""
    assert is_loopback(host) is is_ours


@pytest.mark.parametrize("headers", PROGRAMS, ids=str)
@pytest.mark.parametrize("has_page", [True, False])
def test_programs_of_this_machine_pass(headers: list[tuple[str, str]], has_page: bool) -> None:
    """A program names no web page."""
    assert refusal_of(sent(headers), has_page=has_page) is None


@pytest.mark.parametrize("headers", OWN_PAGE, ids=str)
def test_the_server_s_own_page_passes(headers: list[tuple[str, str]]) -> None:
    """A server without a page refuses every page."""
    assert refusal_of(sent(headers), has_page=True) is None
    assert refusal_of(sent(headers), has_page=False) is not None


@pytest.mark.parametrize(("headers", "field"), OTHERS, ids=str)
@pytest.mark.parametrize("has_page", [True, False])
def test_other_sites_do_not_pass(
    headers: list[tuple[str, str]], field: str, has_page: bool
) -> None:
    """Neither across sites, nor under a name of their own that leads here, nor by a link."""
    refused = refusal_of(sent(headers), has_page=has_page)

    assert refused is not None
    assert refused[0] == field
