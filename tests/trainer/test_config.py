import subprocess
import sys

import pytest

from trainer.config import TINY_DEFAULTS, BadConfig, TinyShape, TrainConfig


def test_a_pretrained_base_gets_the_papers_recipe_and_tiny_its_own() -> None:
    paper, tiny = TrainConfig.for_base("owner/name"), TrainConfig.for_base()
    assert (paper.epochs, paper.language_model_epochs, paper.language_model_weight, paper.is_tiny) == (2, 0, 0.0, False)
    assert tiny.is_tiny and tiny.epochs == TINY_DEFAULTS["epochs"] and tiny.language_model_weight == 1.0


def test_a_config_survives_json_with_its_shape() -> None:
    config = TrainConfig.for_base(seed=7, shape=TinyShape(layers=3), held_out=0.3)
    assert TrainConfig.from_json(config.to_json()) == config


def test_settings_left_out_of_json_keep_the_recipe_of_the_base() -> None:
    assert TrainConfig.from_json('{"base": "tiny", "seed": 3}') == TrainConfig.for_base(seed=3)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"lerning_rate": 1}, "lerning_rate"),
        ({"epochs": 0}, "epochs"),
        ({"held_out": 1.0}, "held_out"),
        ({"learning_rate": -1.0}, "learning rate"),
        ({"warmup": 1.0}, "warmup"),
        ({"base": ""}, "base is empty"),
        ({"shape": {"width": 100, "heads": 3}}, "width"),
        ({"shape": {"depth": 3}}, "depth"),
        ({"epochs": "many"}, "many"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings: dict[str, object], named: str) -> None:
    with pytest.raises(BadConfig, match=named) as raised:
        TrainConfig.from_settings(settings)
    assert str(raised.value).endswith(".")


def test_text_that_is_no_json_is_a_bad_config() -> None:
    with pytest.raises(BadConfig, match="not JSON"):
        TrainConfig.from_json("{")


def test_config_data_and_evaluate_load_neither_torch_nor_transformers() -> None:
    modules = "trainer.config, trainer.data, trainer.evaluate, trainer.progress"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
