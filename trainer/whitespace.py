"""Refuse a tokenizer that drops white space: line breaks end the steps, so without them the steps of a solution run together.

Compares token ids of texts that differ in white space alone. What a tokenizer adds before a text (the dummy space of SentencePiece) does
not matter.
"""

from trainer.config import BadBase
from trainer.data import SEPARATOR, StepTokenizer

REMEDY = "Name a base whose tokenizer keeps white space, such as one of byte-level BPE (Llama 3, Qwen, GPT-2)."
DIFFERENT = (  # what is lost if both texts get the same ids
    ("line breaks", "a\n\nb", "a b"),
    ("line breaks", "a\n\nb", "ab"),
    ("line breaks", "a\nb", "a b"),
    ("blank lines", "a\n\nb", "a\nb"),
    ("the spaces between words", "a b", "ab"),
    ("the spaces between words", "1 2", "12"),
    ("indentation", "a\n    b", "a\nb"),
    ("indentation", "a\n    b", "a\n  b"),
)


def check_white_space(tokenizer: StepTokenizer, *, base: str) -> None:
    """Raise BadBase, with what is lost, if the tokenizer of a base gives texts with other white space the same ids."""
    unknown = getattr(tokenizer.tokenizer, "unk_token_id", None)
    if not tokenizer.step_end or (unknown is not None and unknown in tokenizer.step_end):
        raise BadBase(
            f"The tokenizer of the base {base} has no token for a line break ({SEPARATOR!r} becomes {list(tokenizer.step_end)}), "
            f"so the steps of a solution would run together. {REMEDY}"
        )
    texts = list(dict.fromkeys(text for _, *pair in DIFFERENT for text in pair))
    ids = dict(zip(texts, tokenizer.token_ids(texts), strict=True))
    for lost, one, other in DIFFERENT:
        if ids[one] == ids[other]:
            raise BadBase(
                f"The tokenizer of the base {base} drops {lost}: {one!r} and {other!r} become the same tokens, "
                f"so the parts of a solution would run together. {REMEDY}"
            )
