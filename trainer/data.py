"""Solutions as token ids: tokenise once, find the step ends, mask the labels, bucket by length.

Reads value types that any caller can build; gives numpy arrays to `train` and `score`. Both go through `encode`, so the positions a
model is trained at are the positions it is read at. Imports no torch.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, PROBLEM, STEP, NEGATIVE, NEUTRAL, POSITIVE = "<|pad|>", "<|problem|>", "<|step|>", "<|negative|>", "<|neutral|>", "<|positive|>"
RATING_TOKENS = (NEGATIVE, NEUTRAL, POSITIVE)  # class 0, 1, 2 = rating -1, 0, +1
UNRATED = -1  # class of a step without a rating: no loss
SEPARATOR = "\n\n"  # ends the problem and every step of a pretrained base
# A number of at most three digits, a (LaTeX) word, a run of signs, a run of blanks; words and signs take a blank before them, and
# the blank after them when a digit follows.
PIECES = r"[0-9]{1,3}| ?\\?\p{L}+(?: (?=[0-9]))?| ?[^\s\p{L}0-9]+(?: (?=[0-9]))?|\s+"


class BadLabels(ValueError):
    """Labels that do not fit their solution; the message names the solution and what to mend."""


@dataclass(frozen=True, slots=True)
class Solution:
    """One solution: `key` names it, `problem_key` its problem (what a split must not tear apart)."""

    key: str
    problem_key: str
    problem: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another text for step `step_index`, following the same earlier steps, with its own rating."""

    step_index: int
    text: str
    rating: int


@dataclass(frozen=True, slots=True)
class GradedSolution:
    """A solution and whether its final answer is right: what an outcome reward model learns from."""

    solution: Solution
    right: bool

    def __post_init__(self) -> None:
        if not isinstance(self.right, bool):
            raise BadLabels(f"Solution {self.solution.key} has right = {self.right!r}: a grade is true or false. Leave ungraded ones out.")


@dataclass(frozen=True, slots=True)
class LabeledSolution:
    """A solution and its ratings (-1, 0, +1, None = unrated), which may stop early. What follows the first negative is never used.

    `soft`, if given, is what training aims at instead of the ratings of the steps: for each step the consensus posterior (negative,
    neutral, positive), None where every labeler had stopped. Ratings still judge a model, and alternatives keep theirs.
    """

    solution: Solution
    ratings: tuple[int | None, ...]
    alternatives: tuple[Alternative, ...] = ()
    soft: tuple[tuple[float, float, float] | None, ...] | None = None

    def __post_init__(self) -> None:
        key, n_steps = self.solution.key, len(self.solution.steps)
        if len(self.ratings) > n_steps:
            raise BadLabels(
                f"Solution {key} has {n_steps} steps but {len(self.ratings)} ratings: a rating belongs to a step that does not exist."
            )
        for rating in (*self.ratings, *(a.rating for a in self.alternatives)):
            if rating not in (-1, 0, 1, None) or isinstance(rating, bool):
                raise BadLabels(f"Solution {key} has the rating {rating!r}: a rating is -1, 0, 1 or nothing.")
        for step_index, posterior in enumerate(self.soft or ()):
            if step_index >= n_steps:
                raise BadLabels(f"Solution {key} has {n_steps} steps but {len(self.soft or ())} soft labels: one belongs to no step.")
            if posterior is not None and not (len(posterior) == 3 and min(posterior) >= 0 and abs(sum(posterior) - 1) < 1e-3):
                raise BadLabels(
                    f"Solution {key} has the soft label {posterior!r} at step index {step_index}: it takes three probabilities "
                    "(negative, neutral, positive) that add up to 1, or nothing."
                )
        for alternative in self.alternatives:
            if not 0 <= alternative.step_index < n_steps or alternative.rating is None:
                raise BadLabels(
                    f"Solution {key} has an alternative for step index {alternative.step_index} of {n_steps} steps, "
                    f"rated {alternative.rating}: it needs a step that exists and a rating."
                )

    @property
    def first_mistake(self) -> int | None:
        """Index of the first step rated negative."""
        return next((i for i, rating in enumerate(self.ratings) if rating == -1), None)

    @property
    def supervised(self) -> tuple[int | None, ...]:
        """The ratings up to and including the first negative; of soft labels, the likeliest ones."""
        if self.soft is not None:
            return tuple(None if p is None else p.index(max(p)) - 1 for p in self.soft)
        return self.ratings if self.first_mistake is None else self.ratings[: self.first_mistake + 1]

    @property
    def supervised_alternatives(self) -> tuple[Alternative, ...]:
        """The alternatives at or before the first negative: later ones would follow a wrong step."""
        last = len(self.solution.steps) if self.first_mistake is None else self.first_mistake
        return tuple(a for a in self.alternatives if a.step_index <= last)

    @property
    def n_rated(self) -> int:
        """How many ratings are supervised, alternatives included."""
        return sum(rating is not None for rating in self.supervised) + len(self.supervised_alternatives)


@dataclass(frozen=True, slots=True)
class StepTokenizer:
    """A tokenizer and the ids that frame a solution: `prefix`, problem, `step_end`, then each step followed by `step_end`.

    `step_end` is one token of its own for `tiny` and the ids of a blank line for a pretrained base; it is appended as ids, so the token a
    rating is read at is the same one after every step whatever the step's text ends with.
    """

    tokenizer: Any  # transformers.PreTrainedTokenizerBase
    prefix: tuple[int, ...]
    step_end: tuple[int, ...]
    rating_ids: tuple[int, int, int]
    pad_id: int

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenise each text by itself; a text that spells a special token stays plain text."""
        if not texts:
            return []
        return self.tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]


@dataclass(frozen=True, slots=True)
class EncodedSolution:
    """Token ids of one solution, `step_ends[i]` being the position at which step i is judged."""

    ids: NDArray[np.int32]  # (T,)
    step_ends: NDArray[np.int32]  # (steps read,)
    n_steps: int

    @property
    def unread_steps(self) -> int:
        return self.n_steps - len(self.step_ends)


@dataclass(frozen=True, slots=True)
class TrainingSequence:
    """An encoded solution, a class per place (its step ends by default); the language-model loss covers positions from `text_from` on."""

    encoded: EncodedSolution
    classes: NDArray[np.int64]  # (places,) 0, 1, 2 or UNRATED
    text_from: int = 0
    soft: NDArray[np.float32] | None = None  # (places, 3): probabilities to aim at instead of the classes
    at: NDArray[np.int32] | None = None  # positions of the places; an outcome is aimed at from every token
    problem_key: str = ""
    family: str = ""  # shared by a solution and its alternatives, which begin alike

    def __len__(self) -> int:
        return len(self.encoded.ids)

    @property
    def places(self) -> NDArray[np.int32]:
        """The positions at which there is a class, (places,)."""
        return self.encoded.step_ends if self.at is None else self.at

    @property
    def n_rated(self) -> int:
        return int((self.classes != UNRATED).sum())


def encode(solutions: Sequence[Solution], *, tokenizer: StepTokenizer, context: int) -> list[EncodedSolution]:
    """Build ids and step ends of each solution: the one tokenisation of training and scoring.

    A solution longer than `context` tokens is cut after the last step that fits; `unread_steps` says how many did not.
    """
    problems = list(dict.fromkeys(s.problem for s in solutions))  # the samples of a problem share its text
    problem_ids = dict(zip(problems, tokenizer.token_ids(problems), strict=True))
    step_ids = iter(tokenizer.token_ids([step for s in solutions for step in s.steps]))
    encoded = []
    for solution in solutions:
        ids = [*tokenizer.prefix, *problem_ids[solution.problem], *tokenizer.step_end]
        ends: list[int] = []
        fits = len(ids) <= context
        for own in [next(step_ids) for _ in solution.steps]:
            fits = fits and len(ids) + len(own) + len(tokenizer.step_end) <= context
            if fits:
                ids += own
                ids += tokenizer.step_end
                ends.append(len(ids) - 1)
        encoded.append(EncodedSolution(np.array(ids[:context], np.int32), np.array(ends, np.int32), len(solution.steps)))
    return encoded


def encode_labeled(labeled: Sequence[LabeledSolution], *, tokenizer: StepTokenizer, context: int) -> list[TrainingSequence]:
    """Encode each solution and, as a sequence of its own, each alternative after the steps before it.

    Only ratings up to the first negative become classes. An alternative's shared prefix carries neither rating nor language-model loss
    again: it has both in the solution's own sequence.
    """
    sequences = []
    encodings = encode([one.solution for one in labeled], tokenizer=tokenizer, context=context)
    for number, (one, encoded) in enumerate(zip(labeled, encodings, strict=True)):
        n_read, soft = len(encoded.step_ends), None
        if one.soft is not None:
            soft = np.zeros((n_read, 3), np.float32)
            for row, posterior in zip(soft, one.soft, strict=False):  # both may stop early
                row[:] = posterior or 0.0
        family = str(number) if one.supervised_alternatives else ""
        classes = _classes(one.supervised, n_read)
        sequences.append(TrainingSequence(encoded, classes, soft=soft, problem_key=one.solution.problem_key, family=family))
    branches = [(str(number), one.solution, a) for number, one in enumerate(labeled) for a in one.supervised_alternatives]
    texts = [Solution(s.key, s.problem_key, s.problem, (*s.steps[: a.step_index], a.text)) for _, s, a in branches]
    for (family, solution, alternative), encoded in zip(branches, encode(texts, tokenizer=tokenizer, context=context), strict=True):
        if not encoded.unread_steps:
            ratings = (None,) * alternative.step_index + (alternative.rating,)
            text_from = int(encoded.step_ends[-2]) if alternative.step_index else 0
            classes = _classes(ratings, len(encoded.step_ends))
            sequences.append(TrainingSequence(encoded, classes, text_from, problem_key=solution.problem_key, family=family))
    return sequences


def encode_graded(graded: Sequence[GradedSolution], *, tokenizer: StepTokenizer, context: int) -> list[TrainingSequence]:
    """Encode each solution with one class, right (2) or wrong (0), at every token that is read of its steps (arXiv 2305.20050).

    A solution of which no step fits has no place, and so no part in the loss.
    """
    sequences = []
    problems = list(dict.fromkeys(one.solution.problem for one in graded))
    n_tokens = {problem: len(ids) for problem, ids in zip(problems, tokenizer.token_ids(problems), strict=True)}
    for one, encoded in zip(graded, encode([one.solution for one in graded], tokenizer=tokenizer, context=context), strict=True):
        first = len(tokenizer.prefix) + n_tokens[one.solution.problem] + len(tokenizer.step_end)
        at = np.arange(first, encoded.step_ends[-1] + 1 if len(encoded.step_ends) else first, dtype=np.int32)
        classes = np.full(len(at), 2 if one.right else 0, np.int64)
        sequences.append(TrainingSequence(encoded, classes, at=at, problem_key=one.solution.problem_key))
    return sequences


def cut_after_ratings(sequences: Iterable[TrainingSequence]) -> list[TrainingSequence]:
    """Drop the text after each sequence's last rated place, and sequences without one: attention is causal, so no rating loss changes.

    For training without a language-model loss. Labels that stop at the first mistake leave much of a wrong solution unread.
    """
    cut = []
    for one in sequences:
        rated = np.flatnonzero(one.classes != UNRATED)
        if len(rated):
            n_places = int(rated[-1]) + 1
            encoded = one.encoded
            last = int(one.places[n_places - 1])
            shorter = EncodedSolution(encoded.ids[: last + 1], encoded.step_ends[encoded.step_ends <= last], encoded.n_steps)
            soft, at = None if one.soft is None else one.soft[:n_places], None if one.at is None else one.at[:n_places]
            cut.append(replace(one, encoded=shorter, classes=one.classes[:n_places], soft=soft, at=at))
    return cut


def encode_unlabeled(solutions: Sequence[Solution], *, tokenizer: StepTokenizer, context: int) -> list[TrainingSequence]:
    """Encode solutions that carry the language-model loss only."""
    return [TrainingSequence(one, _classes((), len(one.step_ends))) for one in encode(solutions, tokenizer=tokenizer, context=context)]


def _classes(ratings: Sequence[int | None], n_read: int) -> NDArray[np.int64]:
    classes = np.full(n_read, UNRATED, np.int64)
    for i, rating in enumerate(ratings[:n_read]):
        if rating is not None:
            classes[i] = rating + 1
    return classes


def seeded(*parts: object) -> np.random.Generator:
    """Make a generator from a hash of `parts`: the order of an epoch depends on (seed, stage, epoch) and on nothing that ran before it."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def buckets(lengths: Sequence[int] | NDArray[np.int64], *, token_budget: int) -> list[NDArray[np.int64]]:
    """Group indices by length so that rows x longest <= token_budget; one row longer than the budget stands alone."""
    order = np.argsort(np.asarray(lengths, np.int64), kind="stable")[::-1]
    groups, start = [], 0
    while start < len(order):
        rows = max(1, token_budget // max(1, int(lengths[order[start]])))
        groups.append(order[start : start + rows])
        start += rows
    return groups


def shuffled_buckets(lengths: Sequence[int], *, token_budget: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Group a random order by length within windows, then shuffle the groups: little padding, and yet other neighbours every epoch."""
    sizes = np.asarray(lengths, np.int64)
    order = rng.permutation(len(sizes))
    window = max(1, 16 * token_budget // max(1, int(sizes.mean()))) if len(sizes) else 1
    groups = [
        chunk[group]
        for chunk in (order[i : i + window] for i in range(0, len(order), window))
        for group in buckets(sizes[chunk], token_budget=token_budget)
    ]
    return [groups[i] for i in rng.permutation(len(groups))]


def padded(encoded: Sequence[EncodedSolution], *, pad_id: int) -> NDArray[np.int64]:
    """Stack ids into (B, T), padded on the right.

    No mask is needed: pads come after every position that is read, and attention is causal.
    """
    width = max(len(one.ids) for one in encoded)
    ids = np.full((len(encoded), width), pad_id, np.int64)
    for row, one in zip(ids, encoded, strict=True):
        row[: len(one.ids)] = one.ids
    return ids


def windows(solutions: Iterable[Solution], *, size: int) -> Iterator[list[Solution]]:
    """Cut a stream into lists of `size`, so that a million solutions are never in memory at once."""
    window: list[Solution] = []
    for solution in solutions:
        window.append(solution)
        if len(window) == size:
            yield window
            window = []
    if window:
        yield window


def uniform_draw(solutions: Iterable[Solution], *, size: int, rng: np.random.Generator) -> list[Solution]:
    """Keep `size` solutions of a stream, each with the same chance (reservoir sampling), in the order of the stream."""
    kept: list[tuple[int, Solution]] = []
    for place, solution in enumerate(solutions if size else ()):
        if len(kept) < size:
            kept.append((place, solution))
        elif (slot := int(rng.integers(place + 1))) < size:
            kept[slot] = (place, solution)
    return [solution for _, solution in sorted(kept, key=lambda pair: pair[0])]


def broken_words(texts: Iterable[str], *, tokenizer: "Tokenizer") -> float:
    """Return the share of the words, numbers and signs of `texts` that take more than one token: how strange the texts are."""
    n_words = n_broken = 0
    for text in texts:
        words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
        n_words += len(words)
        n_broken += sum(len(tokenizer.model.tokenize(word)) > 1 for word in words)
    return n_broken / max(1, n_words)


def train_tokenizer(texts: Iterable[str], *, merges: int) -> "Tokenizer":
    """Train a byte-level BPE on `texts` in which every group of one to three digits is ONE token (longer numbers are cut from the left).

    Bytes underneath: any text round-trips. A blank before a number belongs to the piece before it, so a number is the same token
    wherever it stands. Digits are taken out before training and their 1,110 tokens are added, so they exist
    whether or not the text shows them.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    pieces = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PIECES), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pieces
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learner.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=len(alphabet) + merges, min_frequency=2, initial_alphabet=alphabet, show_progress=False)
    )
    learned = json.loads(learner.to_str())["model"]
    digits = "0123456789"
    rules = [tuple(rule) for rule in learned["merges"] if not set("".join(rule)) <= set(digits)]
    rules += [(a, b) for a in digits for b in digits]
    rules += [pair for a in digits for b in digits for c in digits for pair in ((a + b, c), (a, b + c))]  # whichever pair was joined first
    vocabulary = {piece: i for i, piece in enumerate((*sorted(alphabet), *dict.fromkeys(a + b for a, b in rules)))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=rules))
    tokenizer.pre_tokenizer, tokenizer.decoder = pieces, decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (PAD, PROBLEM, STEP, *RATING_TOKENS)])
    return tokenizer
