"""The model card: what a reward model was trained on, how, how well it does on problems it never saw, and what it is not good for."""

from collections.abc import Mapping
from typing import Any

from trainer.config import TrainConfig


def model_card(*, config: TrainConfig, metrics: Mapping[str, Any], provenance: Mapping[str, str]) -> str:
    """Write the README.md of a model folder from the run's own figures (the metrics that `train` returns)."""
    training, first = metrics["training"], metrics["first_mistake"]
    if config.from_shipped_base:
        base = "the preset `tiny`, from the base in `trainer/bases/tiny`, which has read text of the simulated world and no label"
    elif config.is_tiny:
        base = "the preset `tiny`, trained from scratch"
    else:
        base = f"`{config.base}`" + (f" at revision `{config.revision}`" if config.revision else "")
    origin = "".join(f"- {name}: {value}\n" for name, value in provenance.items())
    cut = (
        f"{training['n_cut_solutions']} solutions were longer than {config.context} tokens and were cut at a step boundary "
        f"({training['n_unread_steps']} steps not read).\n"
        if training["n_cut_solutions"]
        else ""
    )
    small = (
        ""
        if metrics["n_rated_steps"] >= 500
        else f"**The held-out figures rest on {metrics['n_rated_steps']} rated steps: treat them as an indication only.**\n\n"
    )
    token_rate, rating_rate = f"{config.language_model_learning_rate:g}", f"{config.learning_rate:g}"
    wrong, right = (first["n_wrong"], first["n_right"]) if first else (0, 0)
    rates = ", ".join(f"{rate:.3f}" for rate in metrics["base_rates"])
    return f"""---
library_name: transformers
tags: [process-reward-model, step-ratings]
---
# Process reward model

Predicts, after each step of a solution, whether a person would rate it negative, neutral or positive (Lightman et al., arXiv 2305.20050).
Made by Stepmark from {base}; {training["n_parameters"]:,} parameters.

## Data
- {training["n_rated_steps"]:,} rated steps of {training["n_solutions"]:,} solutions of {training["n_problems"]:,} problems; \
nothing after a first negative step
- {training["n_unlabeled_solutions"]:,} unlabeled solutions, text only
{origin}{cut}
## Recipe
{config.language_model_epochs} passes over the text with the language-model loss (learning rate {token_rate}), then
{config.epochs} passes over the labeled solutions with the rating loss (learning rate {rating_rate}) plus {config.language_model_weight:g}
times the language-model loss; AdamW, seed {config.seed}, {training["seconds"]:g} seconds. Every setting is in `stepmark.json`.

## On {metrics["n_problems"]:,} held-out problems ({metrics["n_solutions"]:,} solutions, {metrics["n_rated_steps"]:,} rated steps)
{small}| figure | this model | always the base rate |
|---|---|---|
| step AUC, negative against the rest | {_figure(metrics["step_auc"])} | 0.500 |
| log-loss, three classes, nats | {_figure(metrics["log_loss"])} | {_figure(metrics["base_rate_log_loss"])} |
| first-mistake F1 | {_figure(first and first["f1"])} | 0.000 |
| first mistake named exactly, {wrong} solutions with one | {_figure(first and first["accuracy_wrong"])} | 0.000 |
| no mistake claimed, {right} solutions without one | {_figure(first and first["accuracy_right"])} | 1.000 |

Base rates of the training part (negative, neutral, positive): {rates}.
Threshold of the first mistake, p(negative) > {metrics["threshold"]:.3f}: {metrics["threshold_split"]}.
The held-out problems are named in `split.json`.

## Limits
It has seen only solutions of the kind above and says nothing reliable about others. A score is the model's guess at a person's rating,
not a proof; a solution that was not read to its end scores 0.
"""


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
