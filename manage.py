#!/usr/bin/env python3
"""Run a management command of Stepmark."""

import gc
import os
import sys


def main() -> None:
    gc.set_threshold(100_000)  # imports make many objects that stay: to look through them again and again takes a tenth of the start
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labelapp.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed here. Run script/setup, then .venv/bin/python manage.py ...")
    if sys.argv[1:] == ["--version"]:
        from trainer import __version__

        print(f"Stepmark {__version__}")
        return
    from labelapp import embedded_postgres

    embedded_postgres.join_if_wanted()
    from django.db import ProgrammingError

    try:
        execute_from_command_line(sys.argv)
    except ProgrammingError as error:
        if "--traceback" in sys.argv or type(error.__cause__).__name__ not in ("UndefinedTable", "UndefinedColumn"):
            raise
        what = str(error).splitlines()[0]
        sys.exit(f"The database does not fit this version: {what}. Run `python manage.py migrate`, then this command again.")


if __name__ == "__main__":
    main()
