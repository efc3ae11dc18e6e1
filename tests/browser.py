"""A real browser for the tests of pages: the system's Chromium, driven by playwright."""

import contextlib
import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextlib.contextmanager
def chromium():
    """A running browser. Fails where there is none: leave these tests out with -m 'not browser'."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.fail(
            "no Chromium is found: install one, name it in $CHROMIUM, or leave these tests out: -m 'not browser'"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextlib.contextmanager
def page(browser, allowed, **settings):
    """A page in a context of its own. Afterwards: nothing was complained about in its console, nothing failed, and
    nothing was asked of addresses that don't begin with `allowed`."""
    context = browser.new_context(**settings)
    made = context.new_page()
    made.set_default_timeout(10_000)
    wrong = []
    made.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("request", lambda one: None if one.url.startswith((allowed, "data:", "blob:")) else wrong.append(one.url))
    made.wrong = wrong
    yield made
    context.close()
    assert not wrong
