"""Written files in use: transformers tokenises chats, our trainer learns, and, with --long, `datasets` and TRL read all of them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import peers
from tests.trainer.contents import CONSENSUS, rated
from tests.trainer.sums import SHAPE, sums
from trainer.__main__ import main
from trainer.config import TinyShape, TrainConfig
from trainer.formats import MARK, STEP_END
from trainer.model import build_tiny
from trainer.writers import WRITERS, Labeled, suffix_of, write

ROOT = Path(__file__).resolve().parent.parent.parent
CHAT_ML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"  # as Qwen2.5 has it
)


def labeled(count: int) -> list[Labeled]:
    """Solutions of sums, each with a consensus and another text for its last rated step."""
    annotations = []
    for number, one in enumerate(sums(count)):
        ratings = [rating for rating in one.ratings if rating is not None]
        n_steps = len(one.solution.steps)
        consensus = CONSENSUS | {"p_first": [0.1] * n_steps, "p_neutral": [0.1] * n_steps}
        about: dict[str, Any] = {"solution": number, "outcome": "wrong" if -1 in ratings else "correct", **consensus}
        others = [("We add: 1 + 1 = 2.", -ratings[-1])]
        annotations.append(rated(one.solution.steps, ratings, problem=f"{one.solution.problem} ({number})", others=others, **about))
    return annotations


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    texts = [text for one in labeled(10) for text in (one.problem, *one.steps)]
    made = build_tiny(texts, shape=TinyShape(layers=1, width=8, heads=1, feed_forward=8), context=64, seed=0).tokenizer
    made = getattr(made, "tokenizer", made)
    made.add_special_tokens({"additional_special_tokens": [STEP_END, "<|im_start|>", "<|im_end|>"]})
    made.add_tokens([MARK])
    made.chat_template = CHAT_ML
    return made


def test_a_tokenizer_finds_one_step_end_for_each_label_of_a_chat(tokenizer: Any) -> None:
    step_end = tokenizer.convert_tokens_to_ids(STEP_END)
    for one, row in zip(labeled(10), WRITERS["chat"].rows(labeled(10)), strict=True):
        ids = tokenizer.apply_chat_template(row["messages"], tokenize=True, return_dict=False)
        assert ids.count(step_end) == len(row["labels"]) <= len(one.steps)
        assert tokenizer.decode(ids).count("<|im_start|>") == 3


def test_a_tokenizer_finds_one_mark_for_each_sign_of_openrlhf(tokenizer: Any) -> None:
    mark = tokenizer.convert_tokens_to_ids(MARK)
    for row in WRITERS["openrlhf"].rows(labeled(10)):
        ids = tokenizer(row["input"], add_special_tokens=False)["input_ids"]
        assert ids.count(mark) == len(row["value"])


def test_a_chat_template_takes_the_turns_of_rlhflow(tokenizer: Any) -> None:
    for row in WRITERS["rlhflow"].rows(labeled(10)):
        text = tokenizer.apply_chat_template(row["conversations"], tokenize=False)
        assert text.count("<|im_start|>assistant\n") == len(row["conversations"]) / 2


@pytest.mark.parametrize(
    ("name", "container", "compression"),
    [("trl", "parquet", "zstd"), ("chat", "jsonl", "zstd"), ("prm800k", "jsonl", "gzip"), ("math_shepherd", "jsonl", "none")],
)
def test_our_trainer_learns_from_a_written_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, container: str, compression: str
) -> None:
    writer, path, config = WRITERS[name], tmp_path / f"train{suffix_of(container, compression)}", tmp_path / "config.json"
    write(writer.rows(labeled(20)), path, schema=writer.schema, container=container, compression=compression)
    config.write_text(TrainConfig.for_base(shape=SHAPE, token_budget=1024, epochs=1).to_json())
    assert main(["train", "--labeled", str(path), "--out", str(tmp_path / "model"), "--config", str(config)]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["metrics"]["training"]["n_solutions"] > 20
    assert f"The format is {name}" in printed.err


def test_our_trainer_learns_outcomes_from_a_written_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, config = tmp_path / "train.jsonl", tmp_path / "config.json"
    (written,) = write(WRITERS["orm"].rows(labeled(20)), path)
    config.write_text(TrainConfig.for_base(shape=SHAPE, token_budget=1024, epochs=1, kind="orm").to_json())
    assert main(["train", "--kind", "orm", "--labeled", str(path), "--out", str(tmp_path / "model"), "--config", str(config)]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["training"]["n_solutions"] > written.n_records / 2


@pytest.mark.long  # installs datasets and TRL once, in a folder of their own
def test_datasets_loads_every_format_and_trl_trains(tmp_path: Path, tokenizer: Any) -> None:
    """The folder has every format in each container; the process with the other packages says how many rows it loaded of each."""
    annotations, expected = labeled(24), {}
    for writer in WRITERS.values():
        for container, compression in (("jsonl", "none"), ("jsonl", "gzip"), ("parquet", "none"), ("parquet", "zstd"), ("parquet", "gzip")):
            folder = tmp_path / "data" / f"{writer.name}-{container}-{compression}"
            folder.mkdir(parents=True)
            path = folder / f"train{suffix_of(container, compression)}"
            files = write(
                writer.rows(annotations), path, schema=writer.schema, container=container, compression=compression, max_bytes=10_000
            )
            expected[folder.name] = [sum(file.n_records for file in files), writer.schema.names]
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    environment = os.environ | {"PYTHONPATH": str(peers.install("trl")), "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "tests.trainer.consumers", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3_000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["loaded"] == expected
    assert seen["steps"] == {"prm": 1, "reward": 1, "kto": 1} and all(loss > 0 for loss in seen["losses"].values())
