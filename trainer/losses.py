"""The losses of a batch: of ratings, of the next token, and of the uncertainty heads. Each is a sum in nats, so batches can be added.

Reads training sequences and a reward model; gives tensors to `phases`. `Trained` holds everything with a gradient in one module, so that
copies and shards (DDP, FSDP) see every use of a weight.
"""

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, nll_loss

from trainer.data import UNRATED, EncodedSolution, TrainingSequence, bootstrap, padded
from trainer.last_layer import reads_only
from trainer.model import RewardModel
from trainer.trees import families, masked, plant


class Trained(nn.Module):
    """The network, its uncertainty heads, and the three rating rows if they are trained apart from the output matrix.

    A rating loss alone does not use the other rows. Without them there is no gradient, no optimizer state and no decay to compute. If the
    other weights are frozen (LoRA), the rating rows are the only output weights that learn.
    """

    def __init__(self, model: RewardModel, *, rows_apart: bool = False) -> None:
        super().__init__()
        self.model, self.network, self.heads = model, model.network, model.heads
        self.spared: tuple[nn.Module, ...] = ()  # in a tuple, so that its weights, which belong to the network, are not counted twice
        self.rating_rows: nn.Parameter | None = None
        if rows_apart:
            output = cast(nn.Linear, model.network.get_output_embeddings())
            self.rating_rows = nn.Parameter(output.weight.detach()[list(model.tokenizer.rating_ids)].clone())

    def forward(
        self, batch: Sequence[TrainingSequence], *, language_model: bool, ratings: bool, seed: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the summed losses of a batch; see `summed_losses`."""
        spared = None if language_model else next(iter(self.spared), None)
        return summed_losses(
            self.model, batch, language_model=language_model, ratings=ratings, rows=self.rating_rows, seed=seed, spared=spared
        )

    def only(self, *, language_model: bool, ratings: bool, adapters: bool) -> None:
        """Turn gradients on only for the weights that these losses use; with adapters, for no others of the network."""
        output = cast(nn.Linear, self.network.get_output_embeddings())
        tied = output.weight is cast(nn.Embedding, self.network.get_input_embeddings()).weight
        if not adapters and not tied:
            output.requires_grad_(language_model or self.rating_rows is None)
        if self.rating_rows is not None:
            self.rating_rows.requires_grad_(ratings)
        if self.heads is not None:
            self.heads.requires_grad_(ratings)

    def write_rows(self) -> None:
        """Copy the rating rows back into the output matrix of the network."""
        if self.rating_rows is not None:
            output = cast(nn.Linear, self.network.get_output_embeddings())
            with torch.no_grad():
                output.weight[list(self.model.tokenizer.rating_ids)] = self.rating_rows.to(output.weight)


def summed_losses(
    model: RewardModel,
    batch: Sequence[TrainingSequence],
    *,
    language_model: bool = True,
    ratings: bool = True,
    rows: Tensor | None = None,
    seed: int = 0,
    spared: nn.Module | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return three sums in nats: the rating loss over the rated places, the next-token loss over the text, the mean loss of the heads.

    The loss of a soft label is the cross-entropy times its weight; for a certain label this is the negative log-likelihood. `spared` is a
    part of the network that only needs to run at the rated places, if there is no language-model loss.
    """
    device = model.network.device
    run, place, width = _laid_out(model, batch, device=device)
    rating = token = heads = torch.zeros((), device=device)
    rated = [sequence.classes != UNRATED for sequence in batch]
    flat = np.concatenate([place(i, sequence.places[r]) for i, (sequence, r) in enumerate(zip(batch, rated, strict=True))])
    few = 4 * len(flat) < len(batch) * width  # an ORM has a class at nearly every place: there this costs more than it saves
    row, column = (torch.from_numpy(index).to(device) for index in np.divmod(flat, width))
    with reads_only(spared if few else None, (row, column)):
        flat_states = run().flatten(0, 1)  # (B x T, D)
    if ratings:
        judged = flat_states[torch.from_numpy(flat).to(device)]  # (N, D)
        log_probabilities = model.rating_log_probabilities(judged, rows=rows)
        if any(sequence.soft is not None for sequence in batch):
            targets = torch.from_numpy(np.concatenate([_targets(sequence)[r] for sequence, r in zip(batch, rated, strict=True)])).to(
                device
            )  # (N, 3)
            rating = -(targets * log_probabilities).sum()
            counts = targets.sum(-1)  # (N,): what each place counts
            negative = targets[:, 0] / counts.clamp_min(1e-9)
        else:
            classes = torch.from_numpy(np.concatenate([sequence.classes[r] for sequence, r in zip(batch, rated, strict=True)])).to(
                device
            )  # (N,)
            rating = nll_loss(log_probabilities, classes, reduction="sum")
            negative, counts = (classes == 0).float(), torch.ones(len(classes), device=device)
        if model.heads is not None:
            weights = np.repeat(
                [bootstrap(sequence.problem_key, n_heads=model.heads.out_features, seed=seed) for sequence in batch],
                [r.sum() for r in rated],
                axis=0,
            )
            logits = model.heads(judged.detach().to(model.heads.weight.dtype)).float()  # (N, H): one product for all heads
            target = negative[:, None].expand_as(logits)
            weighted = torch.from_numpy(weights).to(device) * counts[:, None]
            heads = binary_cross_entropy_with_logits(logits, target, weighted, reduction="sum") / logits.shape[1]
    if language_model:
        flat = np.concatenate(
            [place(i, np.arange(sequence.text_from, len(sequence) - 1)) for i, sequence in enumerate(batch)]
        )  # positions with a next token
        following = np.concatenate([sequence.encoded.ids[sequence.text_from + 1 :] for sequence in batch]).astype(np.int64)  # (M,)
        logits = model.token_logits(flat_states[torch.from_numpy(flat).to(device)]).float()  # (M, V)
        token = cross_entropy(logits, torch.from_numpy(following).to(device), reduction="sum")
    return rating, token, heads


def _laid_out(
    model: RewardModel, batch: Sequence[TrainingSequence], *, device: torch.device
) -> tuple[Callable[[], Tensor], Callable[[int, NDArray[np.integer]], NDArray[np.int64]], int]:
    """Lay the batch out in rows. Return a function that runs it (B, T, D), one that finds a sequence's positions in B x T, and T."""
    groups = families(batch)
    if len(groups) == len(batch):  # nothing is shared: causal attention, no mask
        ids = torch.from_numpy(padded([sequence.encoded for sequence in batch], pad_id=model.tokenizer.pad_id)).to(device)  # (B, T)
        width = ids.shape[1]
        return lambda: model.hidden_states(ids), lambda i, positions: i * width + positions.astype(np.int64), width
    trees = [plant([batch[i] for i in group]) for group in groups]
    rows = {i: (row, number) for row, group in enumerate(groups) for number, i in enumerate(group)}
    laid_out = masked(trees, pad_id=model.tokenizer.pad_id)
    ids, positions, seen = (torch.from_numpy(array).to(device) for array in laid_out)
    width = ids.shape[1]

    def place(i: int, at: NDArray[np.integer]) -> NDArray[np.int64]:
        row, number = rows[i]
        return row * width + trees[row].at(number, at)

    return lambda: model.hidden_states(ids, positions=positions, seen=seen), place, width


@torch.no_grad()
def shares_beginnings(model: RewardModel) -> bool:
    """Try whether the network gives the sequences of a tree the same states as each alone. Convolutions, for example, do not."""
    config = model.network.config.get_text_config()
    if getattr(config, "sliding_window", None) or set(getattr(config, "layer_types", None) or ()) - {"full_attention"}:
        return False  # our mask would replace theirs
    stem: list[int] = [5, 9, 2, 7, 3]
    tails: tuple[list[int], ...] = ([], [8, 4, 6], [1, 2, 8, 7])
    texts = [np.array(stem[: 5 - 2 * bool(tail)] + tail, np.int32) for tail in tails]
    batch = [TrainingSequence(EncodedSolution(ids, ids[:0], 0), np.empty(0, np.int64), family="tried") for ids in texts]
    was_training, device = model.network.training, model.network.device
    model.network.eval()
    try:
        run, place, _ = _laid_out(model, batch, device=device)
        states = run().flatten(0, 1)
        alone = [_laid_out(model, [sequence], device=device)[0]().flatten(0, 1) for sequence in batch]
        ours = [states[torch.from_numpy(place(i, np.arange(len(sequence))))] for i, sequence in enumerate(batch)]
        return all(torch.allclose(a, b, atol=1e-3 * float(b.abs().max())) for a, b in zip(ours, alone, strict=True))
    except (TypeError, ValueError, RuntimeError, AttributeError):  # a network that does not accept a mask of four dimensions, or positions
        return False
    finally:
        model.network.train(was_training)


def _targets(sequence: TrainingSequence) -> NDArray[np.float32]:
    return sequence.soft if sequence.soft is not None else np.eye(3, dtype=np.float32)[np.maximum(sequence.classes, 0)]
