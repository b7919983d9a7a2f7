"""The Chromium of the tests and of the pictures."""

import os
import shutil

from playwright.sync_api import Browser, Playwright

from tests.waiting import PATIENCE

ARGUMENTS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def launch(playwright: Playwright) -> Browser:
    """Start $STEPMARK_CHROMIUM, else the system's Chromium or Chrome, else the one that Playwright installed."""
    executable = os.environ.get("STEPMARK_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses root otherwise
    return playwright.chromium.launch(executable_path=executable, args=ARGUMENTS + sandbox, timeout=PATIENCE * 1000)
