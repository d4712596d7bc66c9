"""A browser window as a person has it: a size, colours, and what is on it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Callable

    from selenium.webdriver.chrome.webdriver import WebDriver
    from selenium.webdriver.remote.webelement import WebElement

SECONDS: Final = 20
SCREENSHOTS: Final = Path(__file__).parents[2] / ".local" / "screenshots"

SIZES: Final = {"desktop": (1360, 900, 1), "phone": (390, 844, 2)}
Colours = Literal["light", "dark"]
Size = Literal["desktop", "phone"]


class Screen:
    """One tab.

    Args:
        driver: Of the browser.
    """

    def __init__(self, driver: WebDriver) -> None:
        self.driver = driver
        self._expected: tuple[str, ...] = ()

    def look_like(self, colours: Colours, size: Size) -> None:
        """Be that window, on a system with those colours."""
        width, height, ratio = SIZES[size]
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": width,
                "height": height,
                "deviceScaleFactor": ratio,
                "mobile": size == "phone",
            },
        )
        features = [
            {"name": "prefers-color-scheme", "value": colours},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, braze_url: str) -> None:
        """Go to the page of a stand-in, and wait until it is alive."""
        self.driver.get(f"{braze_url}/_sandbox/")
        self.until(lambda: "Live" in self.text("#connection"))

    def leave(self) -> None:
        """Close the page; fail if it wrote errors, refused contents among them."""
        complaints = [
            entry["message"]
            for entry in self.driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's
            if entry["level"] == "SEVERE"
            and not any(words in entry["message"] for words in self._expected)
        ]
        self.driver.get("about:blank")
        assert complaints == [], complaints

    def expect_complaints(self, *words: str) -> None:
        """Let errors with these words pass: the test has asked for them."""
        self._expected = words

    def resize(self, width: int, height: int) -> None:
        """Be a smaller phone."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": True},
        )

    def import_from(self, module: str, name: str) -> Callable[[str], str]:
        """One of the page's own functions, of a text to a text."""
        script = (
            "const done = arguments[arguments.length - 1];"
            "import(`/_sandbox/page/${arguments[0]}`)"
            ".then((module) => done(module[arguments[1]](arguments[2])))"
        )

        def called(text: str) -> str:
            return str(self.driver.execute_async_script(script, module, name, text))

        return called

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def find_all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def button(self, name: str) -> WebElement:
        """A button by the words on it."""
        found: WebElement | None = self.run(
            "return [...document.querySelectorAll('button')]"
            ".find((each) => each.checkVisibility() && each.textContent.includes(arguments[0]))",
            name,
        )
        assert found is not None, f"no button {name!r}"
        return self._in_the_middle(found)

    def click(self, selector: str) -> None:
        """Click what a selector finds."""
        self._in_the_middle(self.find(selector)).click()

    def _in_the_middle(self, element: WebElement) -> WebElement:
        """As a person scrolls before clicking: not under the head of the page."""
        self.run("arguments[0].scrollIntoView({ block: 'center' })", element)
        return element

    def texts(self, selector: str) -> list[str]:
        """Return the text of each at one moment: the page may draw them again."""
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText)",
            selector,
        )
        return found

    def text(self, selector: str) -> str:
        """What is written there, seen or only read out."""
        written: str = self.run(
            "return document.querySelector(arguments[0])?.textContent ?? ''", selector
        )
        return " ".join(written.split())

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, check: Callable[[], object], seconds: float = SECONDS) -> None:
        """Wait for something to be true."""
        WebDriverWait(self.driver, seconds, 0.1).until(lambda _: check())

    def choose(self, selector: str, value: str) -> None:
        """Choose an option as a person would, by its value."""
        self._in_the_middle(self.find(selector))
        self.find(f'{selector} option[value="{value}"]').click()

    def write(self, selector: str, text: str) -> None:
        """Replace what a field holds."""
        field = self.find(selector)
        field.clear()
        field.send_keys(text)

    def photograph(self, name: str, *, whole: bool = True) -> Path:
        """Keep a picture of the page under `.local/screenshots`."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.run("scrollTo(0, 0)")
        options = {"format": "png", "captureBeyondViewport": whole}
        if whole:
            size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
            options["clip"] = {**size, "x": 0, "y": 0, "scale": 1}
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", options)
        path = SCREENSHOTS / f"{name}.png"
        path.write_bytes(base64.b64decode(taken["data"]))
        return path
