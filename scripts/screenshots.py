"""Photographs a report in headless Chromium, on a phone and a desktop, light and dark.

Usage: .venv/bin/python scripts/screenshots.py REPORT [--out docs/images] [--whole]

Needs the Debian packages chromium and chromium-driver, or their like.
"""

from __future__ import annotations

import argparse
import base64
import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SIZES = {"phone": (390, 844), "desktop": (1280, 900)}
SCHEMES = ("light", "dark")
FIRST = {"phone": "body", "desktop": "#stock"}  # what stands at the top of the picture
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip


def find_browser() -> tuple[str, str] | None:
    """Returns the paths of Chromium and its driver, or None if one is missing."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextmanager
def open_browser(profile: Path) -> Iterator[Chrome]:
    """Starts Chromium with a profile of its own; it logs its console and its requests."""
    found = find_browser()
    if found is None:
        raise FileNotFoundError("chromium and chromedriver are needed; apt-get install them")
    options = ChromeOptions()
    options.binary_location = found[0]
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = Chrome(options=options, service=Service(found[1]))
    try:
        browser.get("about:blank")  # Chromium's own first page keeps loading things
        yield browser
    finally:
        browser.quit()


def show_report(browser: Chrome, report: Path, size: str, scheme: str) -> None:
    """Loads a report as a device would show it and waits until its figures are drawn."""
    width, height = SIZES[size]
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"},
    )
    set_scheme(browser, scheme)
    browser.get(report.resolve().as_uri())
    WebDriverWait(browser, 30).until(
        lambda b: b.execute_script("return document.documentElement.dataset.drawn === 'true'")
    )


def set_scheme(browser: Chrome, scheme: str) -> None:
    """Makes the browser prefer light or dark."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def take_screenshot(browser: Chrome, path: Path, *, whole: bool) -> None:
    """Writes what the window shows, or the whole page, as a small PNG."""
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": whole})
    picture = Image.open(io.BytesIO(base64.b64decode(shot["data"])))
    # A palette is enough for text and charts and halves the file; this way of finding one keeps
    # small patches of colour.
    picture.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE).save(path, optimize=True)


def main() -> None:
    """Writes report-SIZE-SCHEME.png for every size and scheme."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--whole", action="store_true", help="the whole page, not one window")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, open_browser(Path(profile)) as browser:
        for size in SIZES:
            for scheme in SCHEMES:
                show_report(browser, arguments.report, size, scheme)
                first = browser.find_element(By.CSS_SELECTOR, FIRST[size])
                browser.execute_script("arguments[0].scrollIntoView()", first)
                path = arguments.out / f"report-{size}-{scheme}.png"
                take_screenshot(browser, path, whole=arguments.whole)
                print(f"{path} ({path.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
