"""A file of `manage.py export` trains a model on the command line, from the same labels as a training on the site."""

import json
from pathlib import Path

import pytest
from django.core.management import call_command

from active_learning.models import ModelVersion
from active_learning.registry.training import labeled
from annotation import export, ingest
from annotation.models import Project
from tests import make
from tests.annotation.test_formats import completion, step
from tests.annotation.test_ingest import LEE, record
from tests.trainer.sums import SHAPE, sums
from trainer.__main__ import main
from trainer.config import TrainConfig
from trainer.data import LabeledSolution
from trainer.lines import read_solutions

pytestmark = pytest.mark.django_db


def exported(project: Project, folder: Path) -> Path:
    call_command("export", "--project", project.slug, "--format", "prm800k", "--out", str(folder / "export.jsonl"))
    return folder / "export.jsonl"


def texts(solution: LabeledSolution) -> tuple[object, ...]:
    return solution.solution.problem, solution.solution.steps, solution.ratings, sorted(map(repr, solution.alternatives))


def test_the_trainer_reads_an_export_as_the_site_reads_its_labels(tmp_path: Path, samples: Path) -> None:
    project = make.project()
    shown = [completion("mine", -1), completion("own"), completion("other", 0)]
    more = tmp_path / "more.jsonl"
    more.write_text("\n".join(json.dumps(record(step(shown, chosen=1), labeler=labeler)) for labeler in (None, LEE)))
    for path in (samples / "prm800k/records.jsonl", samples / "prm800k/labeled_paths.jsonl", more):
        ingest.load_solutions(path, project=project)
    of_the_site = [texts(solution) for solution in labeled(ModelVersion(), export.take_snapshot(project))]
    of_the_file = [texts(solution) for solution in read_solutions(exported(project, tmp_path))]
    assert sorted(map(repr, of_the_file)) == sorted(map(repr, of_the_site)) and len(of_the_site) >= 10


def test_an_export_trains_a_model_directly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project, path, config = make.project(), tmp_path / "rated.jsonl", tmp_path / "config.json"
    lines = [{"problem": one.solution.problem, "steps": one.solution.steps, "ratings": one.ratings} for one in sums(20)]
    path.write_text("\n".join(map(json.dumps, lines)))
    ingest.load_solutions(path, project=project)
    config.write_text(TrainConfig.for_base(shape=SHAPE, token_budget=1024, epochs=1).to_json())
    file = exported(project, tmp_path)
    capsys.readouterr()
    assert main(["train", "--labeled", str(file), "--out", str(tmp_path / "model"), "--config", str(config)]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["metrics"]["training"]["n_solutions"] > 20
    assert "The format is prm800k" in printed.err
