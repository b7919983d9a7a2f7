"""Pretrained bases of other families than the preset's, with random weights: what a folder of a hub model looks like."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


def make_base(folder: Path, *, tied: bool = True) -> Path:
    """Write a GPT-2 with dropout and one matrix for input and output, or a Llama with two; with a tokenizer of single bytes."""
    save_tokenizer(folder)
    ends = {"bos_token_id": 256, "eos_token_id": 256}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if tied:
            GPT2LMHeadModel(GPT2Config(vocab_size=257, n_positions=200, n_embd=32, n_layer=2, n_head=2, **ends)).save_pretrained(folder)
        else:
            shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
            config = LlamaConfig(vocab_size=257, max_position_embeddings=200, tie_word_embeddings=False, **shape, **ends)
            LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def save_tokenizer(folder: Path) -> None:
    """Write a tokenizer of 256 single bytes and an end of text."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate([*sorted(alphabet), "<|endoftext|>"])}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>").save_pretrained(folder)
