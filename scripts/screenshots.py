"""Takes the pictures of docs/page.md, each screen in both themes and on a phone, of a Leeward that runs (`leeward demo`):

python scripts/screenshots.py URL TOKEN [FOLDER]

Fonts for what the conversations are written in: fonts-noto-core, fonts-noto-color-emoji, fonts-wqy-zenhei.

It does what a user does to get there: an incident is acknowledged, and the policy that would stop a leak is simulated and saved.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

SCREENS = {
    "overview": "overview", "inventory": "inventory", "runtime": "runtime", "layers": "runtime?layers=4", "incidents": "threats",
    "findings": "threats?view=findings", "exchanges": "exchanges", "coverage": "coverage", "audit": "audit",
    "settings": "settings", "search": "search?q=mistral",
}  # fmt: skip
PHONE = ("overview", "runtime", "incidents")
_STILL = """
() => new Promise(done => {
  // nothing is asked for any more, and two frames were drawn since
  const drawn = () => requestAnimationFrame(() => requestAnimationFrame(done));
  const settle = () => document.querySelector(".loading, [aria-busy=true]") ? setTimeout(settle, 50) : drawn();
  document.fonts.ready.then(settle);
})
"""


@contextmanager
def logged_in(
    browser: Browser, url: str, token: str, theme: str, width: int = 1360, height: int = 850
) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
    page = context.new_page()
    page.goto(url)
    page.fill("input[name=token]", token)
    page.click("button")
    page.wait_for_selector("header.top")
    yield page
    context.close()


def go(page: Page, url: str, place: str) -> None:
    page.goto(f"{url}/#/{place}")
    page.wait_for_selector("h1")
    page.wait_for_function("() => !document.querySelector('.loading, [aria-busy=true]')")


def take(page: Page, folder: Path, name: str) -> None:
    page.evaluate(_STILL)
    page.screenshot(path=folder / f"{name}.jpg", type="jpeg", quality=82)


def open_incident(page: Page, url: str) -> None:
    """The one that is told of at greatest length among the worst."""
    go(page, url, "threats?severity=critical")
    page.locator("tbody tr", has_text="answers anybody").last.click()
    page.locator(".chain .step").first.wait_for()


def open_leak(page: Page, url: str) -> None:
    go(page, url, "exchanges?q=api.mistral.ai")
    page.locator("tbody tr", has_text="pii.date_of_birth").first.click()
    page.locator(".turns mark").first.wait_for()


def open_policy(page: Page, url: str) -> None:
    """The policy that would stop the leak, with what it would have done."""
    go(page, url, "threats?view=findings&q=financial.card")
    page.locator("tbody tr", has_text="data-leak").first.click()
    page.get_by_role("button", name="The policy that would stop this").click()
    page.get_by_text("No complaints").wait_for()
    page.get_by_role("button", name="Simulate").click()
    page.locator(".figure").wait_for()


def act(page: Page, url: str) -> None:
    """What the audit log will tell of."""
    open_incident(page, url)
    triage = page.locator(".triage")
    triage.get_by_label("Assign to").fill("ann")
    triage.get_by_label("Reason").fill("Langflow is taken off the net")
    triage.get_by_role("button", name="Acknowledge").click()
    triage.get_by_text("acknowledged", exact=True).wait_for()
    open_policy(page, url)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="stop-data-leak.yaml").wait_for()
    go(page, url, "audit")
    page.get_by_text("policies-loaded").first.wait_for()


def main(url: str, token: str, folder: str = "docs/images") -> None:
    where = Path(folder)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with logged_in(browser, url, token, "light") as page:
            open_policy(page, url)
            take(page, where, "policies-light")
        with logged_in(browser, url, token, "dark") as page:
            open_policy(page, url)
            take(page, where, "policies-dark")
            act(page, url)
        for theme in ("light", "dark"):
            with logged_in(browser, url, token, theme) as page:
                for name, place in SCREENS.items():
                    go(page, url, place)
                    take(page, where, f"{name}-{theme}")
                open_incident(page, url)
                take(page, where, f"incident-{theme}")
                open_leak(page, url)
                take(page, where, f"conversation-{theme}")
        with logged_in(browser, url, token, "light", 390, 844) as page:
            for name in PHONE:
                go(page, url, SCREENS[name])
                take(page, where, f"phone-{name}")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
