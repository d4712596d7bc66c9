"""Who may use the control routes."""

from __future__ import annotations

import pytest

from sandbox.braze.guard import is_loopback, refusal_of

OURS = "127.0.0.1:8000"


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


@pytest.mark.parametrize(
    "headers",
    [
        {"host": OURS},
        {"host": "localhost:8000"},
        {"host": "LOCALHOST:8000"},
        {"host": "[::1]:8000"},
        {"host": "[::1]"},
        {"host": "127.0.0.1"},
        {"host": OURS, "origin": f"http://{OURS}"},
        {"host": OURS, "origin": f"http://{OURS}", "sec-fetch-site": "same-origin"},
        {"host": OURS, "sec-fetch-site": "none"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_programs_of_this_machine_and_the_page_pass(method: str, headers: dict[str, str]) -> None:
    """A program sends no origin, the page its own."""
    assert refusal_of(method, headers) is None


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({}, "Host"),
        ({"host": ""}, "Host"),
        ({"host": "rebound.example.com:8000"}, "Host"),
        ({"host": "rebound.example.com:8000", "origin": "http://rebound.example.com:8000"}, "Host"),
        ({"host": OURS, "origin": "http://evil.example.com"}, "Origin"),
        ({"host": OURS, "origin": "http://127.0.0.1:9000"}, "Origin"),
        ({"host": OURS, "origin": f"https://{OURS}"}, "Origin"),
        ({"host": OURS, "origin": "null"}, "Origin"),
        ({"host": OURS, "origin": ""}, "Origin"),
        ({"host": OURS, "sec-fetch-site": "cross-site"}, "Sec-Fetch-Site"),
        ({"host": OURS, "sec-fetch-site": "same-site"}, "Sec-Fetch-Site"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_other_sites_do_not_pass(method: str, headers: dict[str, str], field: str) -> None:
    """Neither by posting across, nor under a name of their own that leads here."""
    refused = refusal_of(method, headers)

    assert refused is not None
    assert refused[0] == field


@pytest.mark.parametrize(("method", "passes"), [("GET", True), ("POST", False)])
def test_a_link_from_elsewhere_may_open_the_page_and_no_more(method: str, passes: bool) -> None:
    """A form of another site would navigate, too; it posts."""
    headers = {"host": OURS, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}

    assert (refusal_of(method, headers) is None) is passes
