"""The pieces of ``docs/iterate/``, rendered: the link that people click says who they are."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from braze_bridge.mapping.identifiers import normal_email
from braze_bridge.mapping.link_signatures import is_signed
from ops.links.commands import SignedKind, snippet
from tests.fakes.braze_liquid import render

PIECES = Path(__file__).parents[2] / "docs" / "iterate"
SIGNED = "signed_link.liquid"
FILES = sorted(
    path.name
    for path in PIECES.iterdir()
    if path.suffix in {".html", ".liquid"} and path.name != SIGNED
)
PLACEHOLDER = "https://iteratehq.com/YOUR-SURVEY"
ODD_IDS = [
    "5f1a0000c0ffee0000000001",
    "a b",
    "a+b",
    "a&b=c",
    "a#b?c/d",
    "50%",
    "%2B",
    "é🎉",
    "<\"'>",
]


class Links(HTMLParser):
    """The addresses of a page's links, as a browser reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name == "href" and value is not None]


def link_in(name: str, braze_id: str | None, survey: str = PLACEHOLDER) -> str:
    text = (PIECES / name).read_text(encoding="utf-8")
    assert text.count(PLACEHOLDER) == 1
    profile = {} if braze_id is None else {"braze_id": braze_id}
    rendered = render(text.replace(PLACEHOLDER, survey), profile)
    if name.endswith(".html"):
        links = Links()
        links.feed(rendered)
        (link,) = links.found
        return link
    (link,) = re.findall(r"https://\S+", rendered)
    return str(link)


def test_there_is_a_piece_for_every_way() -> None:
    """And each is in the README."""
    readme = (PIECES / "README.md").read_text(encoding="utf-8")

    assert FILES == [
        "embed_in_email.html",
        "in_app_message.html",
        "link_in_email.html",
        "link_in_push.liquid",
        "link_in_sms.liquid",
        "survey_link.liquid",
    ]
    assert [name for name in (*FILES, SIGNED) if f"]({name})" not in readme] == []
    assert "Inline CSS" in readme


@pytest.mark.parametrize("braze_id", ODD_IDS)
@pytest.mark.parametrize("name", FILES)
def test_the_link_says_who_it_was_sent_to(name: str, braze_id: str) -> None:
    """The query has the id unchanged, for any id; the result is only a URL."""
    link = link_in(name, braze_id)

    parts = urlsplit(link)
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "iteratehq.com", "/YOUR-SURVEY")
    assert parse_qs(parts.query) == {"user_braze_id": [braze_id]}
    assert parts.fragment == ""
    assert re.search(r"[\s{}<>\"]", link) is None


@pytest.mark.parametrize("name", FILES)
def test_without_a_profile_the_link_still_opens_the_survey(name: str) -> None:
    """In a test message without a profile the id is empty."""
    parts = urlsplit(link_in(name, None))

    assert (parts.path, parts.query) == ("/YOUR-SURVEY", "user_braze_id=")


@pytest.mark.parametrize(
    ("survey", "query", "fragment"),
    [
        (PLACEHOLDER, {}, ""),
        (PLACEHOLDER + "?lang=fr", {"lang": ["fr"]}, ""),
        (PLACEHOLDER + "?lang=fr&via=mail", {"lang": ["fr"], "via": ["mail"]}, ""),
        (PLACEHOLDER + "#start", {}, "start"),
        (PLACEHOLDER + "?lang=fr#start", {"lang": ["fr"]}, "start"),
    ],
)
def test_a_link_with_a_query_of_its_own_keeps_it(
    survey: str, query: dict[str, list[str]], fragment: str
) -> None:
    """The Content Block adds to any address."""
    parts = urlsplit(link_in("survey_link.liquid", "b-1", survey))

    assert parse_qs(parts.query) == {**query, "user_braze_id": ["b-1"]}
    assert parts.fragment == fragment


def test_the_signed_link_is_the_one_that_the_command_prints() -> None:
    """With the key in its place; its signature fits the id in the link."""
    piece = (PIECES / SIGNED).read_text(encoding="utf-8").strip()
    captures, address = snippet("braze_id", "YOUR-LINK-KEY").rsplit("{% endcapture %}", 1)

    assert piece == f"{captures}{{% endcapture %}}{PLACEHOLDER}?{address}"
    assert urlsplit(render(piece, {"braze_id": "5f1a"})).query.startswith("user_braze_id=5f1a&")


@pytest.mark.parametrize(
    ("kind", "field", "values"),
    [
        ("braze_id", "braze_id", ["5f1a0000c0ffee0000000001"]),
        ("external_id", "user_id", ODD_IDS),
        ("email", "email_address", ["ada+quiz@example.com", "Ada&Co@example.com"]),
    ],
)
def test_the_signature_of_a_link_fits_its_identifier(
    kind: SignedKind, field: str, values: list[str]
) -> None:
    """Also for an identifier with a plus sign, which a URL reads as a space."""
    for value in values:
        query = parse_qs(render(snippet(kind, "the key"), {field: value}))
        found = normal_email(value) if kind == "email" else value

        assert query[f"user_{kind}"] == [found]
        assert is_signed(["the key"], kind, str(found), query["user_signature"][0])


def test_the_plain_tag_of_iterate_s_own_link_would_not_survive_an_odd_id() -> None:
    """Negative control: without the filters the odd ids of this test come out wrong."""
    plain = PLACEHOLDER + "?user_braze_id={{${braze_id}}}"

    links = {braze_id: urlsplit(render(plain, {"braze_id": braze_id})) for braze_id in ODD_IDS}

    survived = [
        id_ for id_, link in links.items() if parse_qs(link.query) == {"user_braze_id": [id_]}
    ]
    assert "5f1a0000c0ffee0000000001" in survived
    assert {"a+b", "a&b=c", "a#b?c/d", "%2B"}.isdisjoint(survived)
