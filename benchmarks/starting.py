"""Figure: seconds from `script/server` to the first page, with a fresh home and with one that exists; limit 5 s.

Dependencies are installed before. Starts the server in a temporary home on a free port and asks for the sign-in page until it is there.
`ratio` is the limit over the seconds of a fresh home. `--smoke`: one start, with a copied
database, so that it says nothing about speed.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.temporary_site import ROOT, free_port, template

LIMIT = 5
STOP_SECONDS = 60


def first_page(home: Path) -> float:
    """Start the server, wait for its first page, stop the server; return the seconds to the page."""
    port = free_port()
    command = ["script/server", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "PRODUCTION", "DEBUG")}
    began = time.monotonic()
    server = subprocess.Popen(command, cwd=ROOT, env=environment | {"STEPMARK_HOME": str(home)}, stdout=subprocess.DEVNULL)
    try:
        while not answers(f"http://127.0.0.1:{port}/sign-in/"):
            if server.poll() is not None:
                sys.exit(f"The server ended with exit code {server.returncode}.")
            time.sleep(0.02)
        return time.monotonic() - began
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            sys.exit(f"The server still ran {STOP_SECONDS} s after Ctrl-C.")


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as page:
            return page.status == 200
    except (urllib.error.URLError, OSError):
        return False


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench starting", description="Measure the time from script/server to the first page.")
    parser.add_argument("--repeats", type=int, default=5, help="starts of each kind; the medians count")
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest form: one start, with a copied database; says nothing about speed"
    )
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {"fresh": [], "second": []}
    for _ in range(1 if options.smoke else options.repeats):
        home = Path(tempfile.mkdtemp(prefix="stepmark-bench-"))
        home.chmod(0o755)  # PostgreSQL runs under another account when we are root
        try:
            if options.smoke:
                template.fill(home)
            for runs in [seconds["fresh"]] if options.smoke else seconds.values():
                runs.append(round(first_page(home), 2))
        finally:
            shutil.rmtree(home, ignore_errors=True)
    fresh, second = (statistics.median(runs) if runs else None for runs in seconds.values())
    assert fresh
    print(json.dumps({"ratio": round(LIMIT / fresh, 2), "limit": LIMIT, "fresh_seconds": fresh, "second_seconds": second, "runs": seconds}))


if __name__ == "__main__":
    main()
