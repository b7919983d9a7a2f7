"""Small heads on the states of a frozen base: linear ones or small networks, chosen by cross-validation over problems.

Reads states (N, F) with targets; gives `FrozenHeads`: one head that learned from everything, and an ensemble of which each head saw its own
bootstrap sample of the problems. A head sees the first principal components of the states. All heads are fitted at once, on the processor
in float64, so the same examples give the same bytes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer.data import bootstrap, seeded

COMPONENTS = 100  # principal components that a head sees, at most
EXACT = 2048  # widths up to which the components are computed exactly
FOLDS = 5
LINEAR = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)  # penalties of linear heads, on the sum of the losses
MLP = (1e-2, 3e-2, 1e-1)  # penalties of small networks, on the mean loss
CAUTIOUS = 300.0  # penalty of a linear head where there are too few problems to choose one
HIDDEN = 16
MLP_STEPS, MLP_RATE = 200, 0.02
CONFIDENCE = np.linspace(0.05, 1, 20)  # by which the distance of a logit from that of the base rate is multiplied; never 0: the order stays


@dataclass(frozen=True, slots=True)
class Examples:
    """What heads learn from: states (N, F) float16, targets (N, 3), the probabilities of each class times the weight, problems (N,).

    problem_keys: the keys of the problems, by number.
    """

    states: NDArray[np.float16]
    targets: NDArray[np.float64]
    problems: NDArray[np.int64]
    problem_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of head with its penalty: "linear" or "mlp"."""

    name: str
    penalty: float


class FrozenHeads(nn.Module):
    """Heads on states (N, F): the first predicts the ratings, all others are the ensemble that shows how sure it is.

    `weight` (M, P, 3) and `bias` (M, 3) are applied to the components (N, P), or to `hidden_weight` (M, P, H) and `hidden_bias` (M, H) of
    a small network first.
    """

    mean: Tensor
    projection: Tensor
    weight: Tensor
    bias: Tensor
    hidden_weight: Tensor | None
    hidden_bias: Tensor | None

    def __init__(self, parts: dict[str, Tensor]) -> None:
        super().__init__()
        for name in ("mean", "projection", "weight", "bias", "hidden_weight", "hidden_bias"):
            self.register_buffer(name, parts.get(name))

    def forward(self, states: Tensor) -> Tensor:
        """Turn states (N, F) into logits (M, N, 3), float32. States are rounded to float16 first, as the cache holds them."""
        places = (states.half().float() - self.mean) @ self.projection  # (N, P)
        return head_logits(places, self.weight, self.bias, self.hidden_weight, self.hidden_bias)

    def log_probabilities(self, states: Tensor, *, kind: str) -> Tensor:
        """Return log-probabilities (N, 3) of negative, neutral, positive by the first head; -inf for an ORM's neutral."""
        return masked(self(states)[0], kind=kind).log_softmax(-1)

    def uncertainty(self, states: Tensor, *, kind: str) -> Tensor:
        """Return mean and deviation of p(negative) over the ensemble, (N, 2) float32."""
        negative = masked(self(states)[1:], kind=kind).softmax(-1)[..., 0]  # (M - 1, N)
        return torch.stack((negative.mean(0), negative.std(0, correction=0)), -1)

    def expected_change(self, states: Tensor, *, kind: str) -> Tensor:
        """Return how long the gradient of the first head's loss is expected to be at states (N, F): (N,) float32.

        Expected gradient length (Settles, Craven and Ray, *Multiple-Instance Active Learning*, NIPS 2007; EMCM: Cai, Zhang and Zhou, ICDM
        2013). The last layer is a softmax of a linear function of x, so its gradient for class y is (p - e_y) x: the length is
        |x| |p - e_y|, and the model itself says how likely each class is. x has a 1 for the bias.
        """
        places = (states.half().float() - self.mean) @ self.projection  # (N, P)
        if self.hidden_weight is not None and self.hidden_bias is not None:
            places = torch.tanh(places @ self.hidden_weight[0] + self.hidden_bias[0])
        length = (places.square().sum(-1) + 1).sqrt()
        p = masked(places @ self.weight[0] + self.bias[0], kind=kind).softmax(-1)  # (N, 3)
        # |p - e_y|^2 = |p|^2 - 2 p_y + 1
        residuals = (p.square().sum(-1, keepdim=True) - 2 * p + 1).clamp_min(0).sqrt()
        return length * (p * residuals).sum(-1)

    @property
    def n_ensemble(self) -> int:
        return len(self.weight) - 1

    @property
    def n_parameters(self) -> int:
        return sum(value.numel() for name, value in self.named_buffers() if name not in ("mean", "projection"))


def head_logits(places: Tensor, weight: Tensor, bias: Tensor, hidden_weight: Tensor | None, hidden_bias: Tensor | None) -> Tensor:
    """Apply heads to components (N, P): logits (M, N, 3)."""
    if hidden_weight is None or hidden_bias is None:
        flat = places @ weight.permute(1, 0, 2).reshape(weight.shape[1], -1)  # one product for all heads
        return flat.view(len(places), len(weight), 3).transpose(0, 1) + bias[:, None]
    flat = places @ hidden_weight.permute(1, 0, 2).reshape(hidden_weight.shape[1], -1)
    hidden = torch.tanh(flat.view(len(places), len(weight), -1).transpose(0, 1) + hidden_bias[:, None])
    return hidden @ weight + bias[:, None]


def masked(logits: Tensor, *, kind: str) -> Tensor:
    """Make neutral impossible for an ORM."""
    return logits.masked_fill(torch.tensor([False, kind == "orm", False], device=logits.device), -torch.inf)


@torch.no_grad()
def principal(states: NDArray[np.float16], *, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean (F,) of states, the projection (F, P) on their standardised components, and the components (N, P), float64."""
    whole = torch.from_numpy(states).double()
    mean = whole.mean(0)
    whole -= mean
    spread = whole.square().mean(0).sqrt()
    scale = torch.where(spread > 1e-6, spread, torch.inf).reciprocal()  # a number that never changes says nothing
    whole *= scale
    n_components = max(1, min(COMPONENTS, len(whole) - 1, whole.shape[1]))
    if whole.shape[1] <= EXACT:
        _, vectors = torch.linalg.eigh(whole.T @ whole)
        axes = vectors.flip(1)[:, :n_components]
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            axes = torch.svd_lowrank(whole, q=min(n_components + 20, *whole.shape), niter=4)[2][:, :n_components]
    places = whole @ axes
    size = places.square().mean().sqrt().clamp_min(1e-9)  # one scale for all: the penalties then mean the same for every base
    return mean, scale[:, None] * axes / size, places / size


def fit(
    examples: Examples,
    *,
    kind: str,
    n_ensemble: int,
    seed: int,
    head: str = "",
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[FrozenHeads, dict[str, Any]]:
    """Choose a kind of head and its penalty by cross-validation over problems, fit it, and return it with a report.

    kind: "prm" or "orm". head: "linear", "mlp", or empty: what cross-validation chooses. The report says what was tried, and in `note`, as
    a sentence, if there were too few problems to choose. tick: called with how many parts of the work are done.
    """
    mean, projection, places = principal(examples.states, seed=seed)
    targets = torch.from_numpy(examples.targets)
    rates = base_rates_of(targets, kind=kind)
    folds = split_folds(examples)
    names = (head,) if head else ("linear", "mlp")
    candidates = [Kind("linear", penalty) for penalty in LINEAR if "linear" in names] + [Kind("mlp", p) for p in MLP if "mlp" in names]
    report: dict[str, Any] = {"n_components": places.shape[1], "n_folds": len(folds), "note": ""}
    n_parts = len(names) + 2
    if len(folds) < 2:
        chosen, confidence = Kind("linear", CAUTIOUS) if "linear" in names else Kind("mlp", MLP[-1]), 1.0
        report["note"] = (
            "Too few problems have both kinds of labels to choose the head by cross-validation. It is a cautious one. "
            "Label solutions of more problems."
        )
    else:
        inside = torch.stack([torch.from_numpy(~np.isin(examples.problems, fold)) for fold in folds]).double()  # (K, N): what a fold learns
        losses: dict[Kind, float] = {}
        outside: dict[Kind, Tensor] = {}
        for number, name in enumerate(names):
            mine = [candidate for candidate in candidates if candidate.name == name]
            parts = fit_heads(places, targets, inside, mine, kind=kind, seed=seed)
            logits = head_logits(places, *parts).view(len(mine), len(folds), len(places), 3)
            for candidate, own in zip(mine, logits, strict=True):
                outside[candidate] = torch.einsum("kn,knc->nc", 1 - inside, own)  # each example is outside of one fold
                losses[candidate] = mean_loss(outside[candidate], targets, kind=kind)
            tick(number + 1, n_parts)
        chosen = min(losses, key=lambda candidate: losses[candidate])
        confidence, after = calibrate(outside[chosen], targets, rates, kind=kind)
        report["cross_validation"] = {
            "log_loss": after,
            "base_rate_log_loss": mean_loss(rates.log().nan_to_num(neginf=0.0).expand_as(targets), targets, kind=kind),
            "tried": [{"head": c.name, "penalty": c.penalty, "log_loss": loss} for c, loss in losses.items()],
        }
    times = np.stack([bootstrap(key, n_heads=n_ensemble, seed=seed) for key in examples.problem_keys], 1)  # (E, problems)
    drawn = torch.from_numpy(times[:, examples.problems]).double()  # (E, N)
    weights = torch.cat([torch.ones(1, len(places), dtype=torch.float64), drawn])
    weight, bias, *hidden = fit_heads(places, targets, weights, [chosen], kind=kind, seed=seed)
    tick(n_parts, n_parts)
    prior = rates.log().nan_to_num(neginf=0.0)
    found = {"mean": mean, "projection": projection, "weight": weight * confidence, "bias": bias * confidence + (1 - confidence) * prior}
    found |= {name: value for name, value in zip(("hidden_weight", "hidden_bias"), hidden, strict=True) if value is not None}
    report |= {"head": chosen.name, "penalty": chosen.penalty, "confidence": confidence}
    return FrozenHeads({name: value.float().contiguous() for name, value in found.items()}), report


def base_rates_of(targets: Tensor, *, kind: str) -> Tensor:
    """Return the shares of the classes (3,), each counted once more than seen."""
    counts = targets.sum(0) + torch.tensor([1.0, float(kind != "orm"), 1.0], dtype=targets.dtype)
    return counts / counts.sum()


def split_folds(examples: Examples) -> list[NDArray[np.int64]]:
    """Split the problems into at most FOLDS parts, each with negative labels and with others; fewer than two if that is impossible.

    A problem stays in its place when others come, as far as the number of parts allows.
    """
    negative = np.bincount(examples.problems, examples.targets[:, 0], minlength=len(examples.problem_keys))
    rest = np.bincount(examples.problems, examples.targets[:, 1:].sum(1), minlength=len(examples.problem_keys))
    n_folds = min(FOLDS, int((negative > 0).sum()), int((rest > 0).sum()))
    order = sorted(range(len(negative)), key=lambda number: seeded("folds", examples.problem_keys[number]).random())
    having = [number for number in order if negative[number] > 0]
    others = [number for number in order if not negative[number] > 0]
    folds = [np.array([*having[i::n_folds], *others[i::n_folds]], np.int64) for i in range(n_folds)] if n_folds > 1 else []
    is_rest = rest > 0
    return folds if all(is_rest.sum() > is_rest[fold].sum() for fold in folds) else []


def mean_loss(logits: Tensor, targets: Tensor, *, kind: str) -> float:
    """Return the cross-entropy in nats of logits (N, 3), in proportion to the weights in the targets."""
    return float(cross_entropy(logits, targets, kind=kind).sum() / targets.sum().clamp_min(1e-9))


def cross_entropy(logits: Tensor, targets: Tensor, *, kind: str) -> Tensor:
    """Return -sum of targets times log-probabilities: (.., N, 3) -> (.., N)."""
    logs = masked(logits, kind=kind).log_softmax(-1)
    return -(targets * logs.masked_fill(targets == 0, 0.0)).sum(-1)


def calibrate(logits: Tensor, targets: Tensor, rates: Tensor, *, kind: str) -> tuple[float, float]:
    """Return by what the distance of the logits from those of the base rates is best multiplied, and the log-loss then.

    Near 0 is to answer the base rates. The logits are those of examples that the heads did not learn from.
    """
    prior = rates.log().nan_to_num(neginf=0.0)
    losses = [mean_loss(prior + share * (logits - prior), targets, kind=kind) for share in CONFIDENCE.tolist()]
    best = int(np.argmin(losses))
    return float(CONFIDENCE[best]), losses[best]


Parts = tuple[Tensor, Tensor, Tensor | None, Tensor | None]  # weight (M, P, 3), bias (M, 3), and of small networks hidden (M, P, H), (M, H)


def fit_heads(places: Tensor, targets: Tensor, weights: Tensor, kinds: Sequence[Kind], *, kind: str, seed: int) -> Parts:
    """Fit a head for each of `kinds` (all linear or all small networks) and each row of weights (W, N), in this order."""
    penalties = torch.tensor([own.penalty for own in kinds], dtype=torch.float64).repeat_interleave(len(weights))
    weights = weights.repeat(len(kinds), 1)  # (M, N)
    rates = base_rates_of(targets, kind=kind)
    start = rates.log().nan_to_num(neginf=0.0)
    if kinds[0].name == "linear":
        return fit_linear(places, targets, weights, penalties, start, kind=kind)
    return fit_mlp(places, targets, weights, penalties, start, kind=kind, seed=seed)


def fit_linear(places: Tensor, targets: Tensor, weights: Tensor, penalties: Tensor, start: Tensor, *, kind: str) -> Parts:
    """Fit multinomial logistic regressions with a quadratic penalty on the weights, by L-BFGS.

    Each class counts once more at the mean state, so a class that nobody saw stays possible.
    """
    n_heads, n_components = len(weights), places.shape[1]
    counts = (weights @ targets.sum(-1)).clamp_min(1.0)  # (M,)
    # The curvature of the loss along each component is about this: in these units L-BFGS needs few steps.
    units = (penalties[:, None] + 0.2 * counts[:, None] * places.square().mean(0)).rsqrt()[..., None]  # (M, P, 1)
    own = torch.zeros(n_heads, n_components, 3, dtype=torch.float64, requires_grad=True)
    bias_units = (0.2 * counts).rsqrt()[:, None]
    bias = torch.zeros(n_heads, 3, dtype=torch.float64, requires_grad=True)
    once = torch.tensor([1.0, float(kind != "orm"), 1.0], dtype=torch.float64)

    def whole() -> Tensor:
        weight, level = own * units, start + bias * bias_units
        losses = (weights * cross_entropy(head_logits(places, weight, level, None, None), targets, kind=kind)).sum()
        return losses + cross_entropy(level, once, kind=kind).sum() + 0.5 * (penalties * weight.square().sum((1, 2))).sum()

    optimizer = torch.optim.LBFGS([own, bias], max_iter=150, history_size=20, tolerance_grad=1e-4, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = whole()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return (own * units).detach(), (start + bias * bias_units).detach(), None, None


def fit_mlp(places: Tensor, targets: Tensor, weights: Tensor, penalties: Tensor, start: Tensor, *, kind: str, seed: int) -> Parts:
    """Fit networks of one hidden layer by AdamW over all examples at once. Each has its own start."""
    n_heads, n_components = len(weights), places.shape[1]
    generator = torch.Generator().manual_seed(seed)
    single, aims, counted = places.float(), targets.float(), weights.float()
    first = torch.randn(n_heads, n_components, HIDDEN, generator=generator) / math.sqrt(n_components)
    second = torch.randn(n_heads, HIDDEN, 3, generator=generator) * 0.01
    parameters = [first, torch.zeros(n_heads, HIDDEN), second, start.float().expand(n_heads, 3).clone()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    totals = (counted @ aims.sum(-1)).clamp_min(1.0)
    optimizer = torch.optim.Adam(parameters, lr=MLP_RATE, fused=True)
    with torch.enable_grad():
        for step in range(MLP_STEPS):
            for group in optimizer.param_groups:
                group["lr"] = MLP_RATE * 0.5 * (1 + math.cos(math.pi * step / MLP_STEPS))
            optimizer.zero_grad()
            logits = head_logits(single, parameters[2], parameters[3], parameters[0], parameters[1])
            loss = (counted * cross_entropy(logits, aims, kind=kind)).sum(-1) / totals
            size = parameters[0].square().sum((1, 2)) + parameters[2].square().sum((1, 2))
            (loss + penalties.float() * size).sum().backward()
            optimizer.step()
    hidden, hidden_bias, weight, bias = (parameter.detach().double() for parameter in parameters)
    return weight, bias, hidden, hidden_bias
