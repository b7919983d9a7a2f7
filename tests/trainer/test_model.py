import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from tests.trainer.bases import make_base
from tests.trainer.sums import SHAPE, small, sums
from trainer.data import encode
from trainer.model import BadBase, RewardModel, build_tiny, load_base, load_prm
from trainer.score import score_solutions
from trainer.train import TrainedModel, train

TEXTS = ["Problem 1: add the numbers.", "We add: 1 + 2 = 3."]


@pytest.fixture
def base_folder(tmp_path: Path) -> Path:
    """A pretrained base of another family: GPT-2 with its own tokenizer, random weights."""
    return make_base(tmp_path / "a base")


def tiny(seed: int = 0) -> RewardModel:
    return build_tiny(TEXTS, shape=SHAPE, context=256, seed=seed)


def test_the_same_seed_gives_the_same_weights_and_leaves_torchs_own_alone() -> None:
    before = torch.random.get_rng_state()
    first, second, other = (tiny(seed).network.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_rating_probabilities_are_the_next_token_distribution_over_the_three_rating_tokens() -> None:
    model = tiny()
    ids = torch.randint(0, 300, (2, 12))
    with torch.no_grad():
        logits = model.network(input_ids=ids).logits[..., list(model.tokenizer.rating_ids)]
        own = model.rating_log_probabilities(model.hidden_states(ids).flatten(0, 1))
    assert torch.allclose(own, logits.flatten(0, 1).log_softmax(-1), atol=1e-6)


def test_token_logits_are_those_of_the_network_itself() -> None:
    model = tiny()
    ids = torch.randint(0, 300, (2, 12))
    with torch.no_grad():
        assert torch.allclose(model.token_logits(model.hidden_states(ids)), model.network(input_ids=ids).logits, atol=1e-6)


def test_a_pretrained_base_starts_with_equal_rating_probabilities(base_folder: Path) -> None:
    model = load_base(str(base_folder), context=150)
    with torch.no_grad():
        states = model.hidden_states(torch.randint(0, 256, (1, 10)))[0]
        assert torch.allclose(model.rating_log_probabilities(states).exp(), torch.full((10, 3), 1 / 3), atol=1e-5)


def test_a_pretrained_base_reads_steps_at_the_end_of_a_blank_line(base_folder: Path) -> None:
    model = load_base(str(base_folder), context=150)
    [encoded] = encode([sums(1)[0].solution], tokenizer=model.tokenizer, context=150)
    blank_line = model.tokenizer.tokenizer("\n\n", add_special_tokens=False)["input_ids"]
    assert encoded.ids[0] == model.tokenizer.tokenizer.bos_token_id
    for end in encoded.step_ends:
        assert encoded.ids[end - len(blank_line) + 1 : end + 1].tolist() == blank_line


def test_a_context_longer_than_the_base_attends_to_is_lowered(base_folder: Path) -> None:
    assert load_base(str(base_folder), context=4096).context == 200


def test_a_pretrained_base_trains_scores_and_comes_back_from_disk(base_folder: Path, tmp_path: Path) -> None:
    labeled = sums(20)
    config = small(base=str(base_folder), epochs=1, language_model_epochs=0, context=200)
    trained = train(labeled, config=config, folder=tmp_path / "model")
    scores = list(score_solutions(load_prm(trained.folder), [one.solution for one in labeled]))
    assert all(s.probabilities.shape == (3, 3) and abs(s.probabilities.sum(1) - 1).max() < 1e-5 for s in scores)


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadBase, match="no config.json"):
        load_base(str(tmp_path), context=100)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadBase, match="There is no model folder .*nowhere"):
        load_base(str(tmp_path / "nowhere"), context=100)


def test_a_base_without_a_tokenizer_is_refused(base_folder: Path) -> None:
    for file in base_folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(BadBase, match="holds no tokenizer"):
        load_base(str(base_folder), context=100)


def test_pickle_weights_are_refused_without_being_opened(base_folder: Path) -> None:
    (base_folder / "model.safetensors").rename(base_folder / "pytorch_model.bin")
    with pytest.raises(BadBase, match="pickle.*safetensors"):
        load_base(str(base_folder), context=100)


def test_a_base_without_weights_is_refused(base_folder: Path) -> None:
    (base_folder / "model.safetensors").unlink()
    with pytest.raises(BadBase, match="holds no weights"):
        load_base(str(base_folder), context=100)


def test_damaged_weights_of_a_base_are_named(base_folder: Path) -> None:
    (base_folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(BadBase, match="cannot be loaded"):
        load_base(str(base_folder), context=100)


def test_code_in_a_base_is_never_run(base_folder: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (base_folder / "modeling.py").write_text(f"open({str(ran)!r}, 'w')\n")
    config = json.loads((base_folder / "config.json").read_text())
    config |= {"model_type": "made_up", "auto_map": {"AutoConfig": "modeling.C", "AutoModelForCausalLM": "modeling.M"}}
    (base_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadBase):
        load_base(str(base_folder), context=100)
    assert not ran.exists()


def test_an_unreachable_hub_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(BadBase, match="hub.*preset tiny"):
        load_base("nobody/no-such-model", context=100)


def test_a_hub_id_is_pinned_to_the_commit_that_was_found(base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    for loader in (AutoConfig, AutoTokenizer, AutoModelForCausalLM):
        original = loader.from_pretrained

        def from_pretrained(base: str, *, original: Any = original, **options: Any) -> Any:
            asked.append(options["revision"])
            found = original(base, **options)
            if len(asked) == 1:  # the configuration, read first; a folder, standing in for the hub, has no commit of its own
                found._commit_hash = "c0ffee"
            return found

        monkeypatch.setattr(loader, "from_pretrained", from_pretrained)
    config = small(base=str(base_folder), epochs=1, language_model_epochs=0, context=200)
    trained = train(sums(5), config=config, folder=tmp_path / "model")
    assert asked[:3] == [None, "c0ffee", "c0ffee"]  # nothing of a later commit beside the configuration of this one
    assert "at revision `c0ffee`" in (trained.folder / "README.md").read_text() and trained.config.revision == "c0ffee"


def test_a_model_folder_comes_back_as_it_was(trained: TrainedModel) -> None:
    model = load_prm(trained.folder)
    assert model.sha256 == trained.sha256 and model.context == 256 and model.threshold == trained.metrics["threshold"]
    assert model.base_rates == tuple(trained.metrics["base_rates"])


@pytest.mark.parametrize("damage", ["model.safetensors", "tokenizer.json", "stepmark.json", "config.json"])
def test_a_damaged_file_of_a_model_folder_is_named(model_folder: Path, tmp_path: Path, damage: str) -> None:
    copy = shutil.copytree(model_folder, tmp_path / "model")
    content = bytearray((copy / damage).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / damage).write_bytes(content)
    with pytest.raises(BadBase, match=damage):
        load_prm(copy)


def test_an_unfinished_model_folder_is_refused(model_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model_folder, tmp_path / "model")
    (copy / "manifest.json").unlink()
    with pytest.raises(BadBase, match="not a finished reward model"):
        load_prm(copy)
