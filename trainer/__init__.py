"""Process reward models: train, score and judge them. Knows no web framework, no database and no network of its own."""

import os

# Read by OpenMP when torch loads it. Threads that spin while they wait are ruinous beside other busy processes: on two shared cores
# a run took 48 s spinning and 2.5 s sleeping. Whoever sets the variable before is obeyed.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
