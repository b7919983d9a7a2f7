import json

import numpy as np
import pytest

from trainer.evaluate import Judged, calibration, evaluate_steps, log_loss

RATES = (0.2, 0.1, 0.7)


def drawn(n: int, *, sharper: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and classes drawn from them; then the probabilities are made surer than they should be, or less sure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, 3))
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = (rng.random((n, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    said = np.exp(sharper * logits)
    return (said / said.sum(axis=1, keepdims=True)).astype(np.float32), classes


@pytest.mark.parametrize("sharper", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_what_made_probabilities_too_sure_or_too_timid(sharper: float) -> None:
    probabilities, classes = drawn(40_000, sharper=sharper)
    found = calibration(probabilities, classes)
    assert found.temperature == pytest.approx(sharper, rel=0.03)
    assert found.log_loss_before == pytest.approx(log_loss(probabilities, classes))
    assert found.log_loss_after == pytest.approx(calibration(*drawn(40_000)).log_loss_after, abs=1e-5)


def test_no_other_temperature_gives_a_lower_log_loss() -> None:
    probabilities, classes = drawn(300, sharper=1.7, seed=1)
    found = calibration(probabilities, classes)
    for temperature in np.geomspace(0.2, 20, 400):
        powers = probabilities.astype(np.float64) ** (1 / temperature)
        assert (log_loss(powers / powers.sum(axis=1, keepdims=True), classes) or 0) >= found.log_loss_after - 1e-9


def test_classes_told_apart_without_a_mistake_or_always_mistaken_have_a_temperature_at_its_bound() -> None:
    sure = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    assert calibration(sure, np.array([0, 2])).temperature == pytest.approx(0.01)
    assert calibration(sure, np.array([2, 0])).temperature == pytest.approx(100.0)


def test_a_bin_sets_what_was_said_beside_what_was_found() -> None:
    negative = np.array([0.05, 0.15, 0.15, 0.18, 0.95, 1.0])
    found = calibration(np.stack([negative, 0 * negative, 1 - negative], axis=1), np.array([2, 0, 2, 1, 0, 0]))
    assert [(round(one.low, 9), round(one.high, 9), one.n) for one in found.bins] == [(0.0, 0.1, 1), (0.1, 0.2, 3), (0.9, 1.0, 2)]
    assert [one.predicted for one in found.bins] == pytest.approx([0.05, 0.16, 0.975])
    assert [one.observed for one in found.bins] == pytest.approx([0.0, 1 / 3, 1.0])
    assert found.expected_error == pytest.approx((1 * 0.05 + 3 * (1 / 3 - 0.16) + 2 * 0.025) / 6)


def test_a_class_that_a_model_does_not_know_takes_no_part_in_the_temperature() -> None:
    rng = np.random.default_rng(2)
    logit = rng.normal(size=5000)
    classes = np.where(rng.random(5000) < 1 / (1 + np.exp(-logit)), 0, 2)
    negative = 1 / (1 + np.exp(-4 * logit))  # four times too sure
    found = calibration(np.stack([negative, 0 * negative, 1 - negative], axis=1), classes)  # as an outcome reward model says it
    assert found.temperature == pytest.approx(4.0, rel=0.05)
    tempered = 1 / (1 + np.exp(-4 * logit / found.temperature))
    assert found.log_loss_after == pytest.approx(-np.log(np.where(classes == 0, tempered, 1 - tempered)).mean(), abs=1e-6)


def test_the_report_calibrates_rated_steps_up_to_the_first_negative() -> None:
    rows = np.array([[0.1, 0.2, 0.7], [0.8, 0.1, 0.1], [0.9, 0.05, 0.05], [0.3, 0.3, 0.4]], np.float32)
    one = Judged("p", rows, (1, None, -1, 1), 4)
    report = evaluate_steps([one], base_rates=RATES, threshold=0.5)
    assert report.calibration == calibration(rows[[0, 2]], np.array([2, 0]))
    plain = report.as_dict()
    assert json.loads(json.dumps(plain["calibration"])) == plain["calibration"]
    assert set(plain["calibration"]) == {"temperature", "log_loss_before", "log_loss_after", "expected_error", "bins"}


def test_one_class_of_ratings_is_not_calibrated() -> None:
    report = evaluate_steps([Judged("p", np.array([[0.1, 0.2, 0.7]], np.float32), (1,), 1)], base_rates=RATES, threshold=0.5)
    assert report.calibration is None and report.as_dict()["calibration"] is None


def test_calibration_without_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match="no rated step"):
        calibration(np.empty((0, 3)), np.empty(0, np.int64))
