"""Colours, sizes, keyboard and screen readers."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.browser.test_page import Braze, control, seed

if TYPE_CHECKING:
    from tests.browser.screen import Colours, Screen, Size

LOOKS: Final = [(colours, size) for colours in ("light", "dark") for size in ("desktop", "phone")]
CONTROLS: Final = {
    "button",
    "checkbox",
    "combobox",
    "link",
    "searchbox",
    "spinbutton",
    "textbox",
    "progressbar",
    "DisclosureTriangle",
}

CONTRASTS: Final = (Path(__file__).parent / "contrasts.js").read_text(encoding="utf-8")


@pytest.fixture
def busy(screen: Screen, braze: Braze) -> Screen:
    """The page with something in every part of it, and the focus at its beginning."""
    seed(braze)
    control(braze, "faults", {"path": "/users/track", "status": 503})
    control(braze, "settings", {"limits": {"/users/track": [1, 60]}})
    screen.open(braze[1])
    screen.until(lambda: screen.find_all("#sample option") and screen.find_all("#person dt"))
    screen.button("ada@example.com").click()
    screen.until(lambda: "demo-email-group" in screen.text("#person"))
    screen.run("for (const each of document.querySelectorAll('details')) each.open = true")
    screen.run("document.body.tabIndex = -1; document.body.focus(); scrollTo(0, 0)")
    screen.run("document.body.removeAttribute('tabindex')")
    return screen


def tree(screen: Screen) -> list[dict[str, Any]]:
    """The accessibility tree: what a screen reader is given."""
    nodes = screen.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    return [
        {
            "role": node["role"]["value"],
            "name": node.get("name", {}).get("value", ""),
            **{each["name"]: each["value"].get("value") for each in node.get("properties", ())},
        }
        for node in nodes
        if not node["ignored"]
    ]


@pytest.mark.parametrize(("colours", "size"), LOOKS)
def test_every_text_stands_out(busy: Screen, colours: Colours, size: Size) -> None:
    """4.5 to 1, and 3 to 1 for the edges of fields (WCAG 2.2, 1.4.3 and 1.4.11)."""
    busy.look_like(colours, size)
    busy.until(lambda: busy.run("return document.documentElement.dataset.theme") == colours)

    found = busy.run(CONTRASTS)

    assert len(found) > 100
    assert [each for each in found if each[1] < 4.5] == []


@pytest.mark.parametrize(("colours", "size"), LOOKS)
def test_nothing_sticks_out(busy: Screen, colours: Colours, size: Size) -> None:
    """No sideways scrolling, down to 320 pixels; what fingers press is 24 pixels high or more."""
    busy.look_like(colours, size)
    sizes = [None, (320, 640)] if size == "phone" else [None]
    for extra in sizes:
        if extra is not None:
            busy.resize(*extra)
        wide = busy.run(
            "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert wide[0] <= wide[1]
    small = busy.run(
        "return [...document.querySelectorAll('button, select, input, summary, nav a')]"
        ".filter((each) => each.checkVisibility() && each.type !== 'checkbox')"
        ".filter((each) => each.getBoundingClientRect().height < 24).map((each) => each.outerHTML)"
    )
    assert small == []


def test_every_control_has_a_name_and_every_part_a_landmark(busy: Screen) -> None:
    """As a screen reader reads them."""
    nodes = tree(busy)

    nameless = [node for node in nodes if node["role"] in CONTROLS and not node["name"].strip()]
    assert nameless == []
    assert len([node for node in nodes if node["role"] in CONTROLS]) > 40
    roles = [node["role"] for node in nodes]
    for landmark in ("banner", "navigation", "main", "search"):
        assert roles.count(landmark) == 1, landmark
    regions = {node["name"] for node in nodes if node["role"] == "region"}
    assert {"Try it", "What happened to it", "Faults", "Profiles", "Limits and gate"} <= regions
    assert any(node["role"] == "status" for node in nodes)
    assert busy.run("return document.documentElement.lang") == "en"
    assert busy.run(
        "const ids = [...document.querySelectorAll('[id]')].map((each) => each.id);"
        "return ids.length === new Set(ids).size"
    )


def test_headings_tell_the_page_s_outline(busy: Screen) -> None:
    """One title, and no level is left out on the way down."""
    levels = [
        int(level)
        for level in busy.run(
            "return [...document.querySelectorAll('main :is(h1,h2,h3,h4)')]"
            ".filter((each) => each.checkVisibility()).map((each) => each.tagName[1])"
        )
    ]

    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_tab_key_reaches_everything_in_order(busy: Screen) -> None:
    """Each stop can be seen, is further down the document, and shows that it has the focus."""
    stops = "a[href], button, input, select, textarea, summary, [tabindex='0']"
    expected = busy.run(
        "return [...document.querySelectorAll(arguments[0])]"
        ".filter((each) => each.checkVisibility() && !each.disabled).length",
        stops,
    )
    seen = []
    for _ in range(expected):
        ActionChains(busy.driver).send_keys(Keys.TAB).perform()
        seen.append(
            busy.run(
                "const e = document.activeElement, s = getComputedStyle(e);"
                "return [[...document.querySelectorAll('*')].indexOf(e), e.matches(arguments[0]),"
                "s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2,"
                "e.outerHTML.slice(0, 80)]",
                stops,
            )
        )

    assert [each[3] for each in seen if not (each[1] and each[2])] == []
    places = [each[0] for each in seen]
    assert places == sorted(set(places))


def test_the_skip_link_leads_past_the_head(busy: Screen) -> None:
    """The first stop of all."""
    ActionChains(busy.driver).send_keys(Keys.TAB, Keys.ENTER).perform()

    assert busy.run("return document.activeElement.id") == "main"


def test_colours_follow_the_system_until_they_are_chosen(screen: Screen, braze: Braze) -> None:
    """And the choice is remembered."""

    def theme() -> object:
        return screen.run("return document.documentElement.dataset.theme")

    screen.look_like("dark", "desktop")
    screen.open(braze[1])
    assert theme() == "dark"
    screen.look_like("light", "desktop")
    screen.until(lambda: theme() == "light")

    screen.click("#theme")

    assert theme() == "dark"
    screen.until(lambda: screen.text("#theme") == "Use light colours")
    screen.open(braze[1])
    assert theme() == "dark"
    screen.run("localStorage.clear()")


def test_statuses_are_words_and_signs_as_well_as_colours(busy: Screen) -> None:
    """Each badge has a text of its own; each that is good or bad a sign, too."""
    badges = busy.run(
        "return [...document.querySelectorAll('.badge.good, .badge.bad, .badge.warn')]"
        ".map((each) => [each.textContent.trim(), each.querySelector('svg') !== null])"
    )

    assert len(badges) > 3
    assert [each for each in badges if not (each[0] and each[1])] == []
