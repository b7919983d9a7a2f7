"""Turn solutions into token ids: tokenise, find the step ends, mask the labels, group by length.

Reads value types that any caller can build and gives numpy arrays to `train` and `score`. Both use `encode`, so a model is read at the
positions at which it was trained. Imports no torch.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainer.counting import counted

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, PROBLEM, STEP, NEGATIVE, NEUTRAL, POSITIVE = "<|pad|>", "<|problem|>", "<|step|>", "<|negative|>", "<|neutral|>", "<|positive|>"
RATING_TOKENS = (NEGATIVE, NEUTRAL, POSITIVE)  # class 0, 1, 2 = rating -1, 0, +1
UNRATED = -1  # class of a step without a rating, which has no loss
SEPARATOR = "\n\n"  # ends the problem and every step of a pretrained base
# A number of at most three digits, a (LaTeX) word, a run of signs, or a run of spaces. Words and signs include the space before them,
# and also the space after them if a digit follows.
PIECES = r"[0-9]{1,3}| ?\\?\p{L}+(?: (?=[0-9]))?| ?[^\s\p{L}0-9]+(?: (?=[0-9]))?|\s+"


class BadLabels(ValueError):
    """Labels that do not fit their solution; the message names the solution and what to correct."""


@dataclass(frozen=True, slots=True)
class SolutionText:
    """The text of one solution. `key` identifies it, `problem_key` its problem: a split keeps all solutions of a problem together."""

    key: str
    problem_key: str
    problem: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RatedAlternative:
    """Another text for step `step_index` after the same earlier steps, with its own rating.

    `soft`, if given, replaces the rating as the target of training, and `weight`, from 0 to 1, says how much it counts. It was given to an
    alternative of merged repeats (`repeats`), and some of them did not end before it.
    """

    step_index: int
    text: str
    rating: int
    soft: tuple[float, float, float] | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class GradedSolution:
    """A solution and whether its final answer is right. An outcome reward model learns from these."""

    solution: SolutionText
    right: bool

    def __post_init__(self) -> None:
        if not isinstance(self.right, bool):
            raise BadLabels(
                f"Solution {self.solution.key} has right = {self.right!r}: a grade is true or false. Leave out ungraded solutions."
            )


@dataclass(frozen=True, slots=True)
class LabeledSolution:
    """A solution and its ratings (-1, 0, +1, None = unrated), which can stop early. Nothing after the first negative is used.

    `soft`, if given, replaces the ratings of the steps as the target of training: for each step the consensus posterior (negative,
    neutral, positive), or None where every labeler had stopped. `weights` says how much each of them counts, from 0 to 1 (all 1, if None):
    the probability that no step before it is a mistake. A model is still judged by the ratings; alternatives keep their own.
    """

    solution: SolutionText
    ratings: tuple[int | None, ...]
    alternatives: tuple[RatedAlternative, ...] = ()
    soft: tuple[tuple[float, float, float] | None, ...] | None = None
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        key, n_steps = self.solution.key, len(self.solution.steps)
        if len(self.ratings) > n_steps:
            raise BadLabels(
                f"Solution {key} has {counted(n_steps, 'step')} but {counted(len(self.ratings), 'rating')}. Give at "
                f"most one rating for each step."
            )
        for rating in (*self.ratings, *(a.rating for a in self.alternatives)):
            if rating not in (-1, 0, 1, None) or isinstance(rating, bool):
                raise BadLabels(f"Solution {key} has the rating {rating!r}: a rating is -1, 0, 1 or null.")
        for step_index, posterior in enumerate(self.soft or ()):
            if step_index >= n_steps:
                raise BadLabels(
                    f"Solution {key} has {counted(n_steps, 'step')} but "
                    f"{counted(len(self.soft or ()), 'soft label')}. Give at most one for each step."
                )
            if posterior is not None and not (len(posterior) == 3 and min(posterior) >= 0 and abs(sum(posterior) - 1) < 1e-3):
                raise BadLabels(
                    f"Solution {key} has the soft label {posterior!r} at step index {step_index}. Give three probabilities "
                    "(negative, neutral, positive) that add up to 1, or null."
                )
        if self.weights is not None and (len(self.weights) != len(self.soft or ()) or not all(0 <= weight <= 1 for weight in self.weights)):
            raise BadLabels(f"Solution {key} has the weights {self.weights!r}. Give one from 0 to 1 for each of its soft labels.")
        for alternative in self.alternatives:
            if not 0 <= alternative.step_index < n_steps or alternative.rating is None:
                raise BadLabels(
                    f"Solution {key} has {counted(n_steps, 'step')} and an alternative at step index "
                    f"{alternative.step_index} with the rating "
                    f"{alternative.rating}. An alternative needs a step that exists and a rating."
                )

    @property
    def first_mistake(self) -> int | None:
        """Index of the first step rated negative."""
        return next((i for i, rating in enumerate(self.ratings) if rating == -1), None)

    @property
    def supervised(self) -> tuple[int | None, ...]:
        """The ratings up to and including the first negative; with soft labels, the most likely ones, where they count half or more."""
        if self.soft is not None:
            likely = zip(self.most_likely, self.weights or (1.0,) * len(self.soft), strict=True)
            return tuple(rating if weight >= 0.5 else None for rating, weight in likely)
        return self.ratings if self.first_mistake is None else self.ratings[: self.first_mistake + 1]

    @property
    def most_likely(self) -> tuple[int | None, ...]:
        """The most likely rating of each soft label."""
        return tuple(None if p is None else p.index(max(p)) - 1 for p in self.soft or ())

    @property
    def supervised_alternatives(self) -> tuple[RatedAlternative, ...]:
        """The alternatives at or before the first negative. Later ones would follow a wrong step, unless merged repeats differ on it."""
        last = len(self.solution.steps) if self.first_mistake is None else self.first_mistake
        return tuple(a for a in self.alternatives if a.step_index <= last or a.soft is not None)

    @property
    def n_rated(self) -> int:
        """The number of supervised ratings, alternatives included."""
        return sum(rating is not None for rating in self.supervised) + len(self.supervised_alternatives)


@dataclass(frozen=True, slots=True)
class StepTokenizer:
    """A tokenizer and the ids that frame a solution: `prefix`, problem, `step_end`, then each step followed by `step_end`.

    `step_end` is a special token for `tiny` and the ids of a blank line for a pretrained base. It is appended as ids, so a rating is read
    at the same token after every step, however the step's text ends.
    """

    tokenizer: Any  # transformers.PreTrainedTokenizerBase
    prefix: tuple[int, ...]
    step_end: tuple[int, ...]
    rating_ids: tuple[int, int, int]
    pad_id: int

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokenise each text alone. A text that spells a special token stays plain text."""
        if not texts:
            return []
        return self.tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]


@dataclass(frozen=True, slots=True)
class EncodedSolution:
    """The token ids of one solution. Step i is judged at position `step_ends[i]`."""

    ids: NDArray[np.int32]  # (T,)
    step_ends: NDArray[np.int32]  # (steps read,)
    n_steps: int

    @property
    def unread_steps(self) -> int:
        return self.n_steps - len(self.step_ends)


@dataclass(frozen=True, slots=True)
class TrainingSequence:
    """An encoded solution with a class at each place (by default its step ends). The language-model loss begins at `text_from`."""

    encoded: EncodedSolution
    classes: NDArray[np.int64]  # (places,) 0, 1, 2 or UNRATED
    text_from: int = 0
    soft: NDArray[np.float32] | None = None  # (places, 3): target probabilities instead of the classes, times the weight of the place
    at: NDArray[np.int32] | None = None  # positions of the places, if not the step ends: an ORM predicts at every token
    problem_key: str = ""
    family: str = ""  # the same for a solution and its alternatives, which share a beginning

    def __len__(self) -> int:
        return len(self.encoded.ids)

    @property
    def places(self) -> NDArray[np.int32]:
        """The positions at which there is a class, (places,)."""
        return self.encoded.step_ends if self.at is None else self.at

    @property
    def n_rated(self) -> int:
        return int((self.classes != UNRATED).sum())

    @property
    def weight(self) -> float:
        """How much its ratings count together: their number, or the sum of the weights of its soft labels."""
        return self.n_rated if self.soft is None else float(self.soft[self.classes != UNRATED].sum())


def encode(solutions: Sequence[SolutionText], *, tokenizer: StepTokenizer, context: int) -> list[EncodedSolution]:
    """Return ids and step ends of each solution. Training and scoring both use this tokenisation.

    A solution longer than `context` tokens is cut after the last step that fits; `unread_steps` counts the others.
    """
    problems = list(dict.fromkeys(s.problem for s in solutions))  # solutions of one problem share its text
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
    """Encode each solution, and each alternative with the steps before it as another sequence.

    Only ratings up to the first negative become classes. The steps before an alternative have no rating and no language-model loss there:
    they have both in the sequence of the solution.
    """
    sequences = []
    encodings = encode([labels.solution for labels in labeled], tokenizer=tokenizer, context=context)
    for number, (labels, encoded) in enumerate(zip(labeled, encodings, strict=True)):
        n_read, soft = len(encoded.step_ends), None
        if labels.soft is not None:
            soft = np.zeros((n_read, 3), np.float32)
            weights = labels.weights or (1.0,) * len(labels.soft)
            for row, posterior, weight in zip(soft, labels.soft, weights, strict=False):  # soft and the steps read can stop early
                row[:] = np.multiply(posterior or 0.0, weight)
        family = str(number) if labels.supervised_alternatives else ""
        classes = _classes(labels.supervised if labels.soft is None else labels.most_likely, n_read)
        sequences.append(TrainingSequence(encoded, classes, soft=soft, problem_key=labels.solution.problem_key, family=family))
    branches = [(str(number), labels.solution, a) for number, labels in enumerate(labeled) for a in labels.supervised_alternatives]
    texts = [SolutionText(s.key, s.problem_key, s.problem, (*s.steps[: a.step_index], a.text)) for _, s, a in branches]
    for (family, solution, alternative), encoded in zip(branches, encode(texts, tokenizer=tokenizer, context=context), strict=True):
        if not encoded.unread_steps:
            ratings = (None,) * alternative.step_index + (alternative.rating,)
            text_from = int(encoded.step_ends[-2]) if alternative.step_index else 0
            classes, soft = _classes(ratings, len(encoded.step_ends)), None
            if alternative.soft is not None:
                soft = np.zeros((len(classes), 3), np.float32)
                soft[-1] = np.multiply(alternative.soft, alternative.weight)
            sequences.append(TrainingSequence(encoded, classes, text_from, soft=soft, problem_key=solution.problem_key, family=family))
    return sequences


def encode_graded(graded: Sequence[GradedSolution], *, tokenizer: StepTokenizer, context: int) -> list[TrainingSequence]:
    """Encode each solution with one class, right (2) or wrong (0), at every token of the steps that fit (arXiv 2305.20050).

    A solution whose first step does not fit has no place and no loss.
    """
    sequences = []
    problems = list(dict.fromkeys(grade.solution.problem for grade in graded))
    n_tokens = {problem: len(ids) for problem, ids in zip(problems, tokenizer.token_ids(problems), strict=True)}
    for grade, encoded in zip(graded, encode([grade.solution for grade in graded], tokenizer=tokenizer, context=context), strict=True):
        first = len(tokenizer.prefix) + n_tokens[grade.solution.problem] + len(tokenizer.step_end)
        at = np.arange(first, encoded.step_ends[-1] + 1 if len(encoded.step_ends) else first, dtype=np.int32)
        classes = np.full(len(at), 2 if grade.right else 0, np.int64)
        sequences.append(TrainingSequence(encoded, classes, at=at, problem_key=grade.solution.problem_key))
    return sequences


def cut_after_ratings(sequences: Iterable[TrainingSequence]) -> list[TrainingSequence]:
    """Drop the text after the last rated place of each sequence, and sequences without a rated place.

    For training without a language-model loss: attention is causal, so the rating loss stays the same. Labels stop at the first mistake,
    so much of a wrong solution need not be read.
    """
    cut = []
    for sequence in sequences:
        rated = np.flatnonzero(sequence.classes != UNRATED)
        if len(rated):
            n_places = int(rated[-1]) + 1
            encoded = sequence.encoded
            last = int(sequence.places[n_places - 1])
            shorter = EncodedSolution(encoded.ids[: last + 1], encoded.step_ends[encoded.step_ends <= last], encoded.n_steps)
            soft, at = None if sequence.soft is None else sequence.soft[:n_places], None if sequence.at is None else sequence.at[:n_places]
            cut.append(replace(sequence, encoded=shorter, classes=sequence.classes[:n_places], soft=soft, at=at))
    return cut


def encode_unlabeled(solutions: Sequence[SolutionText], *, tokenizer: StepTokenizer, context: int) -> list[TrainingSequence]:
    """Encode solutions that have only the language-model loss."""
    return [
        TrainingSequence(encoded, _classes((), len(encoded.step_ends)))
        for encoded in encode(solutions, tokenizer=tokenizer, context=context)
    ]


def _classes(ratings: Sequence[int | None], n_read: int) -> NDArray[np.int64]:
    classes = np.full(n_read, UNRATED, np.int64)
    for i, rating in enumerate(ratings[:n_read]):
        if rating is not None:
            classes[i] = rating + 1
    return classes


def seeded(*parts: object) -> np.random.Generator:
    """Return a random generator seeded with a hash of `parts`, so that nothing that ran before has an effect."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


@cache
def bootstrap(problem_key: str, *, n_heads: int, seed: int) -> NDArray[np.float32]:
    """Return how often each head's bootstrap sample contains this problem: (H,) from Poisson(1), so no list of problems is needed."""
    return seeded(seed, "uncertainty heads", problem_key).poisson(1.0, n_heads).astype(np.float32)


def buckets(lengths: Sequence[int] | NDArray[np.int64], *, token_budget: int) -> list[NDArray[np.int64]]:
    """Group indices by length so that rows x longest <= token_budget. A row longer than the budget is a group of its own."""
    order = np.argsort(np.asarray(lengths, np.int64), kind="stable")[::-1]
    groups, start = [], 0
    while start < len(order):
        rows = max(1, token_budget // max(1, int(lengths[order[start]])))
        groups.append(order[start : start + rows])
        start += rows
    return groups


def shuffled_buckets(lengths: Sequence[int], *, token_budget: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Group by length within windows of a random order, then shuffle the groups: little padding, other neighbours in each epoch."""
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

    No mask is needed: attention is causal, and pads follow every position that is read.
    """
    width = max(len(solution.ids) for solution in encoded)
    ids = np.full((len(encoded), width), pad_id, np.int64)
    for row, solution in zip(ids, encoded, strict=True):
        row[: len(solution.ids)] = solution.ids
    return ids


def windows(solutions: Iterable[SolutionText], *, size: int) -> Iterator[list[SolutionText]]:
    """Cut a stream into lists of `size`, so that never all solutions are in memory."""
    window: list[SolutionText] = []
    for solution in solutions:
        window.append(solution)
        if len(window) == size:
            yield window
            window = []
    if window:
        yield window


def uniform_draw(solutions: Iterable[SolutionText], *, size: int, rng: np.random.Generator) -> list[SolutionText]:
    """Keep `size` solutions of a stream, each with the same chance (reservoir sampling), in the order of the stream."""
    kept: list[tuple[int, SolutionText]] = []
    for place, solution in enumerate(solutions if size else ()):
        if len(kept) < size:
            kept.append((place, solution))
        elif (slot := int(rng.integers(place + 1))) < size:
            kept[slot] = (place, solution)
    return [solution for _, solution in sorted(kept, key=lambda pair: pair[0])]


def broken_words(texts: Iterable[str], *, tokenizer: "Tokenizer") -> float:
    """Return the share of the words, numbers and signs of `texts` that need more than one token: how unfamiliar the texts are."""
    n_words = n_broken = 0
    for text in texts:
        words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
        n_words += len(words)
        n_broken += sum(len(tokenizer.model.tokenize(word)) > 1 for word in words)
    return n_broken / max(1, n_words)


def train_tokenizer(texts: Iterable[str], *, merges: int) -> "Tokenizer":
    """Train a byte-level BPE on `texts` in which each group of one to three digits is ONE token. Longer numbers are cut from the left.

    Any text can be decoded again, because bytes are the smallest pieces. A space before a number belongs to the piece before it, so a
    number is the same token everywhere. The 1,110 number tokens are added after training, so they exist even if `texts` do not use them.
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
    rules += [
        pair for a in digits for b in digits for c in digits for pair in ((a + b, c), (a, b + c))
    ]  # in whichever order pairs are joined
    vocabulary = {piece: i for i, piece in enumerate((*sorted(alphabet), *dict.fromkeys(a + b for a, b in rules)))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=rules))
    tokenizer.pre_tokenizer, tokenizer.decoder = pieces, decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (PAD, PROBLEM, STEP, *RATING_TOKENS)])
    return tokenizer
