"""The peer of benchmarks/training.py: TRL's PRMTrainer on prepared data. Its last line is one JSON object.

Reads a model folder (weights and tokenizer) and JSON lines of prompt, completions, labels. TRL's defaults are kept, except for those that
would make it slower or do work that ours does not: gradient checkpointing, logging and saving are off.
"""

import argparse
import json
import os
import time

os.environ |= {"TOKENIZERS_PARALLELISM": "false", "TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_OFFLINE": "1"}

import torch
from datasets import Dataset, disable_progress_bars
from transformers import AutoModelForTokenClassification, AutoTokenizer
from trl.experimental.prm import PRMConfig, PRMTrainer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--separator", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--bf16", type=int, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--sampling", required=True)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    disable_progress_bars()
    with open(options.data, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    network = AutoModelForTokenClassification.from_pretrained(options.model, num_labels=2, dtype=torch.float32)
    config = PRMConfig(
        output_dir=options.out,
        per_device_train_batch_size=options.batch,
        num_train_epochs=options.epochs,
        step_separator=options.separator,
        max_length=None,
        bf16=bool(options.bf16),
        use_cpu=options.device == "cpu",
        train_sampling_strategy=options.sampling,
        gradient_checkpointing=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = PRMTrainer(network, config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    began, worked = time.monotonic(), time.process_time()
    trainer.train()
    seconds, processor_seconds = time.monotonic() - began, time.process_time() - worked
    tokens = options.epochs * sum(map(len, trainer.train_dataset["input_ids"]))
    print(
        json.dumps(
            {
                "tokens": tokens,
                "seconds": seconds,
                "processor_seconds": processor_seconds,
                "steps": trainer.state.global_step,
                "loss": trainer.state.log_history[-1]["train_loss"],
            }
        )
    )


if __name__ == "__main__":
    main()
