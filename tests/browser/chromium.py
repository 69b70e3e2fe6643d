"""Where the system's Chromium is, how the tests start it, and which addresses a page may ask."""

import re
import shutil

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

HERE = re.compile(r"^(file:|data:|blob:|about:|(http|ws)://(127\.0\.0\.1|localhost)[:/])")


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)
