"""Take a picture of every page of a folder in a real browser: light and dark, on a desktop and on a phone.

Ends with 1 where a page is wider than the screen, asks for anything beside itself, or writes to the console. Needs
Chromium and Playwright, which nothing else in this project does:

    python3 -m venv /tmp/browser && /tmp/browser/bin/pip install playwright
    /tmp/browser/bin/python tests/browser/screenshots.py FOLDER [CHROMIUM]
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

SIZES = {"desktop": (1280, 900), "phone": (390, 844), "narrow": (320, 568)}
SCHEMES = ("light", "dark")


def picture(browser: Browser, file: Path, size: str, scheme: str) -> list[str]:
    """Take one picture beside the page, and return what is wrong."""
    width, height = SIZES[size]
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
    )
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.goto(file.as_uri())
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    faults += [f"asks for {url}" for url in asked if url not in (file.as_uri(), "data:,")]
    if overflow > 0:
        faults.append(f"{overflow} pixels wider than the screen")
    page.screenshot(path=file.with_name(f"{file.stem}-{size}-{scheme}.png"), full_page=True)
    page.close()
    return faults


def main(folder: Path, chromium: str) -> int:
    """Take all pictures, and return how many had a fault."""
    faulty = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for file in sorted(folder.resolve().glob("*.html")):
            for size in SIZES:
                for scheme in SCHEMES:
                    faults = picture(browser, file, size, scheme)
                    faulty += bool(faults)
                    for fault in faults:
                        sys.stdout.write(f"{file.name}, {size}, {scheme}: {fault}\n")
        browser.close()
    return faulty


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "/usr/bin/chromium") > 0)
