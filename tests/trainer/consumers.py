"""Run by test_written_files_in_use with the packages of the peer `trl`: `datasets` loads every written folder, and TRL trains one step.

The argument is a folder with `data/` and `tokenizer/`. The last line is one JSON object.
"""

import json
import os
import sys
from pathlib import Path

os.environ |= {"TOKENIZERS_PARALLELISM": "false", "TRL_EXPERIMENTAL_SILENCE": "1"}

import torch
from datasets import Dataset, disable_progress_bars, load_dataset
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    LlamaForTokenClassification,
    PreTrainedTokenizerBase,
)
from trl import RewardConfig, RewardTrainer
from trl.experimental.kto import KTOConfig, KTOTrainer
from trl.experimental.prm import PRMConfig, PRMTrainer


def main(folder: Path) -> None:
    disable_progress_bars()
    torch.set_num_threads(1)
    loaded = {}
    for source in sorted((folder / "data").iterdir()):
        rows = load_dataset(str(source), split="train")
        loaded[source.name] = [len(rows), rows.column_names]
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    tokenizer.pad_token = tokenizer.eos_token = "<|im_end|>"
    steps, losses = {}, {}
    for name, trainer in trainers(folder, tokenizer).items():
        result = trainer.train()
        steps[name], losses[name] = result.global_step, result.training_loss
    print(json.dumps({"loaded": loaded, "steps": steps, "losses": losses}))


def trainers(folder: Path, tokenizer: PreTrainedTokenizerBase) -> dict:
    shape = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=512, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    few = {"max_steps": 1, "per_device_train_batch_size": 4, "use_cpu": True, "bf16": False, "report_to": "none", "save_strategy": "no"}

    def rows(name: str) -> Dataset:
        return load_dataset(str(folder / "data" / name), split="train")

    classes = LlamaConfig(**(shape.to_dict() | {"num_labels": 2}))
    single = LlamaConfig(**(shape.to_dict() | {"num_labels": 1}))
    return {
        "prm": PRMTrainer(
            LlamaForTokenClassification(classes),
            PRMConfig(output_dir=str(folder / "prm"), **few),
            train_dataset=rows("trl-parquet-zstd"),
            processing_class=tokenizer,
        ),
        "reward": RewardTrainer(
            LlamaForSequenceClassification(single),
            RewardConfig(output_dir=str(folder / "reward"), **few),
            train_dataset=rows("preferences-parquet-zstd"),
            processing_class=tokenizer,
        ),
        "kto": KTOTrainer(
            LlamaForCausalLM(shape),
            LlamaForCausalLM(shape),
            KTOConfig(output_dir=str(folder / "kto"), **few),
            train_dataset=rows("orm-jsonl-gzip"),
            processing_class=tokenizer,
        ),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
