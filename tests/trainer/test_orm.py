"""The outcome reward model: the same target at every token, the score at the last, one epoch, no dropout."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.trainer.sums import SHAPE, small, sums
from tests.trainer.test_command_line import line, write
from trainer.__main__ import main
from trainer.adapters import without_dropout
from trainer.config import TrainConfig
from trainer.data import BadLabels, GradedSolution, encode, encode_graded
from trainer.losses import summed_losses
from trainer.model import RewardModel, build_tiny, load_prm
from trainer.outcome import report_outcomes
from trainer.score import score_solutions
from trainer.split import TooLittleToLearn
from trainer.train import prepared_model, train

QUICK = {"kind": "orm", "epochs": 1, "language_model_epochs": 1}


def graded(n_problems: int, *, seed: int = 0) -> list[GradedSolution]:
    """Right if no sum is wrong; the labels of `sums` stop at the first mistake, so the last rating tells."""
    return [GradedSolution(one.solution, one.ratings[-1] == 1) for one in sums(n_problems, seed=seed)]


def orm(seed: int = 0) -> RewardModel:
    texts = [text for one in graded(20) for text in (one.solution.problem, *one.solution.steps)]
    return replace(build_tiny(texts, shape=SHAPE, context=256, seed=seed), kind="orm")


def test_every_token_of_the_steps_has_the_outcome_as_its_class() -> None:
    model, one = orm(), graded(1)[0]
    [sequence] = encode_graded([one], tokenizer=model.tokenizer, context=256)
    [encoded] = encode([one.solution], tokenizer=model.tokenizer, context=256)
    n_problem = 2 + len(model.tokenizer.token_ids([one.solution.problem])[0])  # the prefix and the problem's own end
    assert sequence.places.tolist() == list(range(n_problem, len(encoded.ids)))
    assert set(sequence.classes.tolist()) == {2 if one.right else 0} and sequence.n_rated == len(encoded.ids) - n_problem


def test_a_cut_solution_aims_at_its_outcome_up_to_the_last_step_that_is_read() -> None:
    model, one = orm(), graded(1)[0]
    [whole] = encode([one.solution], tokenizer=model.tokenizer, context=256)
    [sequence] = encode_graded([one], tokenizer=model.tokenizer, context=int(whole.step_ends[1]) + 3)
    assert sequence.places[-1] == whole.step_ends[1] and sequence.encoded.unread_steps == 1
    [nothing] = encode_graded([one], tokenizer=model.tokenizer, context=5)
    assert nothing.n_rated == 0 and len(nothing.places) == 0


def test_no_step_of_an_orm_is_neutral_and_its_gradient_is_finite() -> None:
    model = orm()
    sequences = encode_graded(graded(4), tokenizer=model.tokenizer, context=256)
    rating, _, _ = summed_losses(model, sequences, language_model=False)
    rating.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.network.parameters() if p.grad is not None)
    with torch.no_grad():
        probabilities = model.rating_log_probabilities(torch.randn(7, SHAPE.width)).exp()
    assert not probabilities[:, 1].any() and torch.allclose(probabilities.sum(1), torch.ones(7))


def test_an_orm_has_no_dropout_and_one_epoch() -> None:
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention_dropout, self.inner = 0.3, nn.Dropout(0.5)

    layer = Layer()
    without_dropout(layer)
    assert layer.attention_dropout == 0.0 and layer.inner.p == 0.0
    assert TrainConfig.for_base("owner/name", kind="orm").epochs == TrainConfig.for_base(kind="orm").epochs == 1
    assert TrainConfig.for_base(kind="orm").settled(text_suits=True).epochs == 1
    model = prepared_model(small(kind="orm"), solutions=[one.solution for one in graded(5)])
    assert model.kind == "orm" and not any(m.p for m in model.network.modules() if isinstance(m, nn.Dropout))


def test_an_orm_learns_which_answers_are_right(tmp_path: Path) -> None:
    trained = train(graded(200), config=small(kind="orm", epochs=20, seed=1), folder=tmp_path / "model")
    metrics = trained.metrics
    assert metrics["solution_auc"] > 0.7
    model = load_prm(trained.folder)
    assert model.kind == "orm" and model.base_rates[1] == 0.0
    scores = list(score_solutions(model, [one.solution for one in graded(3)]))
    assert all(not s.probabilities[:, 1].any() for s in scores)
    card = (trained.folder / "README.md").read_text()
    assert "# Outcome reward model" in card and f"{metrics['solution_auc']:.3f}" in card and "graded by their final answer" in card


def test_outcome_figures_are_read_at_the_last_step_and_unread_solutions_left_out() -> None:
    solutions = graded(2)
    rows = [np.tile(np.array([[0.9, 0.0, 0.1]], np.float32), (3, 1)) for _ in solutions]
    for one, row in zip(solutions, rows, strict=True):
        row[-1] = [0.2, 0.0, 0.8] if one.right else [0.7, 0.0, 0.3]
    rows[0] = rows[0][:2]
    report = report_outcomes(solutions, rows, base_rates=(0.5, 0.0, 0.5))
    right = [one.right for one in solutions[1:]]
    by_hand = -np.mean(np.log([0.8 if r else 0.7 for r in right]))
    assert report.n_unread_solutions == 1 and report.log_loss == pytest.approx(by_hand, rel=1e-5)
    assert report.base_rate_log_loss == pytest.approx(np.log(2)) and report.solution_auc in (1.0, None)


@pytest.mark.parametrize(
    ("solutions", "sentence"),
    [
        (graded(2)[:3], "There are 3 graded solutions, but at least 6"),
        ([replace(one, right=True) for one in graded(4)], "Of 8 graded solutions, 0 are wrong"),
        (graded(40)[:2] * 3, "cover 1 problem, but at least 3"),
    ],
)
def test_too_few_grades_are_said_with_numbers(solutions: list[GradedSolution], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(TooLittleToLearn, match=sentence):
        train(solutions, config=small(**QUICK), folder=tmp_path / "model")


def test_ratings_do_not_train_an_orm_nor_grades_a_prm(tmp_path: Path) -> None:
    for labels, kind in ((sums(5), "orm"), (graded(5), "prm")):
        with pytest.raises(BadLabels, match="Change the labels or the kind"):
            train(labels, config=small(**QUICK | {"kind": kind}), folder=tmp_path / "model")  # type: ignore[arg-type]


def test_an_orm_trains_from_a_file_and_a_line_without_a_grade_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.json"
    config.write_text(small(**QUICK).to_json())
    lines = [json.dumps(json.loads(line(one)) | {"right": one.ratings[-1] == 1}) for one in sums(12)]
    asked = ["train", "--kind", "orm", "--config", str(config), "--out", str(tmp_path / "model"), "--labeled"]
    assert main([*asked, str(write(tmp_path / "graded.jsonl", *lines))]) == 0
    assert "solution_auc" in json.loads(capsys.readouterr().out)["metrics"]
    asked.insert(-1, "--overwrite")
    assert main([*asked, str(write(tmp_path / "ungraded.jsonl", *lines[:6], "", line(sums(30)[-1])))]) == 2
    assert "line 8: right must be true or false" in capsys.readouterr().err
