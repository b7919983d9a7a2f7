"""Process reward models: train, score and judge them. Knows no web framework and no database."""

import os

__version__ = "0.1.0"  # the same as in pyproject.toml: tests/trainer/test_command_line.py

# OpenMP reads this when torch loads it. Threads that spin while they wait slow down other busy processes: on two shared cores a run took
# 48 s with spinning threads and 2.5 s with sleeping ones. A value that is already set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
