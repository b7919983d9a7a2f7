"""A tokenizer that drops white space, so that steps run together, is refused with what it drops and a remedy."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.trainer.sums import SHAPE, sums
from trainer.config import BadBase
from trainer.data import encode
from trainer.model import build_tiny, load_base, load_tiny
from trainer.whitespace import check_white_space

WORDS = ["<unk>", "a", "b", "1", "2", "We", "add", ":", "+", "=", "."]
LETTERS = [chr(code) for code in range(33, 127)]


def words(pre_tokenizer: pre_tokenizers.PreTokenizer) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizer
    return tokenizer


def byte_level() -> Tokenizer:
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return tokenizer


def sentencepiece(*, breaks: bool = True, collapse: bool = False, scheme: str = "first") -> Tokenizer:
    """A unigram model with a dummy space before the text, as Llama 2 has; like T5's, it can make every run of white space one space."""
    pieces = ["<unk>", "▁", *(["\n"] if breaks else []), *LETTERS]
    tokenizer = Tokenizer(models.Unigram([(piece, -2.0) for piece in pieces], 0, False))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(prepend_scheme=scheme), decoders.Metaspace()
    if collapse:
        tokenizer.normalizer = normalizers.Replace(Regex(r"[ \n\t]+"), " ")
    return tokenizer


def byte_fallback() -> Tokenizer:
    """Llama 2's own: no piece for a line break, but one for each byte."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *LETTERS]
    model = models.BPE({piece: number for number, piece in enumerate(pieces)}, [], unk_token="<unk>", byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return tokenizer


def one_space_for_many() -> Tokenizer:
    tokenizer = sentencepiece()
    tokenizer.normalizer = normalizers.Replace(Regex(" {2,}"), " ")
    return tokenizer


def one_break_for_many() -> Tokenizer:
    tokenizer = byte_level()
    tokenizer.normalizer = normalizers.Replace(Regex("\n+"), "\n")
    return tokenizer


def no_spaces() -> Tokenizer:
    tokenizer = byte_level()
    tokenizer.normalizer = normalizers.Replace(" ", "")
    return tokenizer


def bert() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "b": 2, "1": 3, "2": 4, "##2": 5, "##b": 6}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    return tokenizer


def learned_words() -> Tokenizer:
    """A BPE of words, as people train one in five lines."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(
        [" ".join(label.solution.steps) for label in sums(5)],
        trainers.BpeTrainer(vocab_size=80, special_tokens=["<unk>"], show_progress=False),
    )
    return tokenizer


REFUSED = {
    "words between spaces": (lambda: words(pre_tokenizers.WhitespaceSplit()), "no token for a line break"),
    "words and signs": (lambda: words(pre_tokenizers.Whitespace()), "no token for a line break"),
    "characters with unknown breaks": (lambda: words(pre_tokenizers.Split(Regex(r"."), "isolated")), "no token for a line break"),
    "wordpiece": (bert, "no token for a line break"),
    "learned words": (learned_words, "no token for a line break"),
    "sentencepiece without a piece for breaks": (lambda: sentencepiece(breaks=False), "no token for a line break"),
    "sentencepiece that makes white space one space": (lambda: sentencepiece(collapse=True), "drops line breaks"),
    "one space for many": (one_space_for_many, "drops indentation"),
    "one break for many": (one_break_for_many, "drops blank lines"),
    "no spaces": (no_spaces, "drops the spaces between words"),
}
ACCEPTED = {
    "byte-level": byte_level,
    "sentencepiece with breaks": sentencepiece,
    "sentencepiece with a dummy space before every part": lambda: sentencepiece(scheme="always"),
    "sentencepiece without a dummy space": lambda: sentencepiece(scheme="never"),
    "bytes for what has no piece": byte_fallback,
}


def save_base(folder: Path, tokenizer: Tokenizer) -> Path:
    config = LlamaConfig(
        vocab_size=400,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=None,
        eos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    unknown = getattr(tokenizer.model, "unk_token", None) or ("<unk>" if isinstance(tokenizer.model, models.Unigram) else None)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=unknown).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", REFUSED)
def test_a_base_whose_tokenizer_drops_white_space_is_refused_with_the_remedy(kind: str, tmp_path: Path) -> None:
    make, lost = REFUSED[kind]
    with pytest.raises(BadBase, match=rf"The tokenizer of the base .*{lost}.*(?s:.*)Name a base whose tokenizer keeps white space"):
        load_base(str(save_base(tmp_path, make())), context=100)


@pytest.mark.parametrize("kind", ACCEPTED)
def test_a_base_whose_tokenizer_keeps_white_space_is_accepted(kind: str, tmp_path: Path) -> None:
    make: Callable[[], Tokenizer] = ACCEPTED[kind]
    model = load_base(str(save_base(tmp_path, make())), context=100)
    [encoded] = encode([sums(1)[0].solution], tokenizer=model.tokenizer, context=100)
    assert len(encoded.step_ends) == 3


def test_our_own_tokenizers_keep_white_space() -> None:
    for model in (load_tiny(context=100), build_tiny(["We add: 1 + 2 = 3."], shape=SHAPE, context=100, seed=0)):
        check_white_space(model.tokenizer, base="tiny")
