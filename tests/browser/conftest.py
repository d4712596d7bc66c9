"""Debian's Chromium without a window, and a stand-in whose page it opens."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from sandbox.server import Sandbox, running
from tests.browser.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the browser tests out of `make test`."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.campaign)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Open a browser for the session. Without Chromium the tests are skipped, but fail in CI."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        absent = "no Chromium here: apt-get install chromium chromium-driver"
        if os.environ.get("BRIDGE_BROWSER_REQUIRED"):
            pytest.fail(absent)
        pytest.skip(absent)
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (
        "--headless=new",
        "--no-sandbox",  # containers have none to offer, and it sees this machine's page only
        "--disable-dev-shm-usage",  # which is small in containers
        "--disable-gpu",
        "--no-proxy-server",
        "--host-resolver-rules=MAP *.example 127.0.0.1",  # sites that a test needs
        "--disable-background-networking",
        "--lang=en-GB",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options, Service(driver))
    opened.set_page_load_timeout(30)
    opened.set_script_timeout(30)
    yield opened
    opened.quit()


@pytest.fixture
def braze() -> Iterator[tuple[Sandbox, str]]:
    """A stand-in of the test's own, without a stack."""
    sandbox = Sandbox(key="the-key")
    with running(sandbox) as url:
        yield sandbox, url


@pytest.fixture
def screen(chromium: webdriver.Chrome, braze: tuple[Sandbox, str]) -> Iterator[Screen]:
    """A desktop in light colours; whatever the page complained of fails the test.

    It is left before the stand-in goes, which the page would complain of.
    """
    del braze
    shown = Screen(chromium)
    shown.look_like("light", "desktop")
    yield shown
    shown.leave()
