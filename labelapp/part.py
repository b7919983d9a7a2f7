"""Run one part of the site as a process of its own, for containers and for several machines: `python -m labelapp.part web`.

The parts are those of the supervisor, with the same commands. On one machine, script/server runs all of them.
"""

import argparse
import os
from typing import NoReturn

from labelapp import environment, supervisor


def main() -> NoReturn:
    """Become the process. The web part first collects the files of its pages in production; the database must be migrated."""
    parser = argparse.ArgumentParser(prog="python -m labelapp.part", description="Run one part of Stepmark, until SIGTERM.")
    parser.add_argument("part", choices=["web", "worker", "trainer", "beat"], help="trainer: the worker that trains and scores (GPU)")
    parser.add_argument("--host", default=os.environ.get("HOST", "127.0.0.1"), help="web: address to listen on (default: $HOST)")
    default_port = environment.number("PORT", 8000, lowest=1, highest=65535)
    parser.add_argument("--port", type=int, default=default_port, help="web: port to listen on (default: $PORT, else 8000)")
    options = parser.parse_args()
    bind = f"[{options.host}]:{options.port}" if ":" in options.host else f"{options.host}:{options.port}"
    command = supervisor.commands(bind=bind)[options.part]
    if options.part == "web" and environment.is_production():
        supervisor.collect_static_files()
    # A worker that gets SIGTERM would wait for its task, perhaps for hours. Its row says where another worker goes on.
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
