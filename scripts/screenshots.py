"""Takes the pictures of docs/page.md, each screen in both themes, of a Leeward that runs (`leeward demo`):

python scripts/screenshots.py URL TOKEN [FOLDER]
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

SCREENS = {
    "overview": "overview", "inventory": "inventory", "runtime": "runtime", "layers": "runtime?layers=4", "incidents": "threats",
    "findings": "threats?view=findings", "policies": "policies/new", "exchanges": "exchanges", "coverage": "coverage",
    "audit": "audit", "settings": "settings", "search": "search?q=openai",
}  # fmt: skip


def take(page: Page, folder: Path, theme: str, name: str) -> None:
    time.sleep(2)  # the charts and the map are there
    page.screenshot(path=folder / f"{name}-{theme}.jpg", type="jpeg", quality=82)


def main(url: str, token: str, folder: str = "docs/images") -> None:
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for theme in ("light", "dark"):
            page = browser.new_context(viewport={"width": 1360, "height": 850}, color_scheme=theme).new_page()
            page.goto(url)
            page.fill("input[name=token]", token)
            page.click("button")
            page.wait_for_selector("header.top")
            for name, place in SCREENS.items():
                page.goto(f"{url}/#/{place}")
                page.wait_for_function("() => document.querySelector('h1') && !document.querySelector('.loading')")
                take(page, Path(folder), theme, name)
            page.goto(f"{url}/#/threats")
            page.locator("tbody tr", has_text="critical").last.click()
            page.locator(".chain .step").first.wait_for()
            take(page, Path(folder), theme, "incident")
            page.goto(f"{url}/#/exchanges?q=assistant")
            page.locator("tbody tr", has_text="assistant").first.click()
            page.locator(".turns").wait_for()
            take(page, Path(folder), theme, "conversation")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
