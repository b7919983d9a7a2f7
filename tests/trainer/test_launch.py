"""Several processes train one model: gradients as of one big batch, one writer, the same curve; whole copies or shards."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.sums import SHAPE, small, sums
from tests.trainer.test_command_line import line, write
from tests.trainer.test_train import model_and_sequences
from trainer.losses import Trained
from trainer.model import load_prm, new_heads
from trainer.phases import Phase, take_step
from trainer.score import score_solutions
from trainer.train import train

ROOT = Path(__file__).resolve().parents[2]
# Five batches for two processes: one of them has nothing of its own in the last round.
WORKER = """
import copy, os, sys, torch
from dataclasses import replace
from safetensors.torch import save_file
from tests.trainer.sums import SHAPE, small
from tests.trainer.test_train import model_and_sequences
from trainer.losses import Trained
from trainer.model import new_heads
from trainer.processes import Processes
from trainer.phases import Phase, take_step

model, sequences = model_and_sequences()
start = Trained(replace(model, heads=new_heads(4, width=SHAPE.width, seed=0)))
bounds = [0, 5, 6, 11, 14, 16]
batches = [sequences[a:b] for a, b in zip(bounds, bounds[1:])]
phase = Phase("reward model", [], 1, 1e-3, 0.7, 1.0)
runs, kept = [], []
for name, shards in (("copies", "false"), ("shards", "true")):
    os.environ["ACCELERATE_USE_FSDP"] = shards
    trained = copy.deepcopy(start)
    runs.append(processes := Processes())
    wrapped = processes.wrap(trained)
    optimizer = torch.optim.SGD(trained.parameters(), lr=1.0)
    sums = take_step(
        trained.model, batches, phase=phase, optimizer=optimizer, config=small(clip_norm=0.5), trained=wrapped, processes=processes
    )
    whole = processes.whole(trained)
    if processes.is_first:
        tensors = {name: p.detach().clone() for name, p in whole.named_parameters()}
        save_file({**tensors, "sums": torch.from_numpy(sums)}, f"{sys.argv[1]}/{name}.safetensors")
    kept.append((trained, wrapped, whole, optimizer))  # a training has them when it leaves
for processes in runs:
    processes.leave()
print(*[open(f"/proc/self/task/{thread}/comm").read().strip() for thread in os.listdir("/proc/self/task")], sep="\\n")
"""


def launch(*command: str, shards: bool, dies: bool = False) -> str:
    """Start two processes of a command and wait for them; return what they printed."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_FSDP": str(shards).lower(), "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*launcher, *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert bool(done.returncode) == dies, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """One step by two processes, with whole copies and then with shards: their models, and the threads that were left at the end."""
    folder = tmp_path_factory.mktemp("launched")
    (folder / "worker.py").write_text(WORKER)
    return folder, launch(str(folder / "worker.py"), str(folder), shards=False).splitlines()


@pytest.mark.parametrize("kind", ["copies", "shards"])
def test_two_processes_take_the_step_of_one_big_batch(kind: str, launched: tuple[Path, list[str]]) -> None:
    model, sequences = model_and_sequences()
    trained = Trained(replace(model, heads=new_heads(4, width=SHAPE.width, seed=0)))
    optimizer = torch.optim.SGD(trained.parameters(), lr=1.0)
    phase = Phase("reward model", [], 1, 1e-3, 0.7, 1.0)
    sums_of_one = take_step(trained.model, [sequences], phase=phase, optimizer=optimizer, config=small(clip_norm=0.5), trained=trained)

    two = load_file(launched[0] / f"{kind}.safetensors")
    assert np.allclose(two.pop("sums").numpy(), sums_of_one, rtol=1e-6)
    for name, p in trained.named_parameters():
        assert torch.allclose(two[name], p.detach(), rtol=0, atol=1e-6), name


def test_no_thread_of_the_exchange_outlives_the_training(launched: tuple[Path, list[str]]) -> None:
    threads = launched[1]
    assert threads.count("python") >= 2 and not [name for name in threads if "gloo" in name]  # one that runs on can abort Python's end


# Saves after every optimizer step, and dies after the third of the reward model's phase.
DYING = """
import os, sys
from pathlib import Path
from tests.trainer.sums import sums
from trainer import phases
from trainer.config import TrainConfig
from trainer.train import train

folder, save = Path(sys.argv[1]), phases.save_checkpoint

def save_and_die(path, checkpoint, *, fingerprint):
    save(path, checkpoint, fingerprint=fingerprint)
    if (checkpoint.phase, checkpoint.done) == (1, 3):
        os._exit(9)

phases.save_checkpoint = save_and_die
config = TrainConfig.from_json((folder / "config.json").read_text())
train(sums(20), config=config, folder=folder / "model", checkpoint=folder / "checkpoint")
"""


@pytest.mark.long
@pytest.mark.parametrize("shards", [False, True], ids=["copies", "shards"])
def test_a_launched_run_that_died_ends_as_the_model_of_one_process(shards: bool, tmp_path: Path) -> None:
    changes = {"batches_per_update": 2, "learning_rate": 1e-3, "uncertainty_heads": 2, "token_budget": 512, "checkpoint_minutes": 0}
    config = small(epochs=2, language_model_epochs=1, **changes)
    alone = train(sums(20), config=config, folder=tmp_path / "alone")
    (tmp_path / "config.json").write_text(config.to_json())
    (tmp_path / "dying.py").write_text(DYING)
    launch(str(tmp_path / "dying.py"), str(tmp_path), shards=shards, dies=True)
    assert sorted(path.name for path in (tmp_path / "checkpoint").glob("[0-9]*")) == ["01-000000002", "01-000000003"]

    labeled = write(tmp_path / "labeled.jsonl", *map(line, sums(20)))
    asked = ["--labeled", str(labeled), "--config", str(tmp_path / "config.json"), "--out", str(tmp_path / "model")]
    said = json.loads(launch("-m", "trainer", "train", *asked, "--checkpoint", str(tmp_path / "checkpoint"), shards=shards))
    assert said["metrics"]["training"]["n_processes"] == 2  # and only one of them printed
    for here, there in zip(said["metrics"]["training"]["curve"], alone.metrics["training"]["curve"], strict=True):
        assert (here["phase"], here["done"]) == (there["phase"], there["done"])
        assert here["token_loss"] == pytest.approx(there["token_loss"], abs=1e-3)
    solutions = [one.solution for one in sums(5)]
    ours, theirs = (score_solutions(load_prm(folder), solutions) for folder in (tmp_path / "model", tmp_path / "alone"))
    for one, other in zip(ours, theirs, strict=True):
        assert np.allclose(one.probabilities, other.probabilities, atol=1e-2)
