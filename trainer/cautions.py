"""What a person should know about a trained model before using it: sentences, from the metrics that `train` returns.

Standard library only, so that the command line, the model card and the pages of a site write the same sentences.
"""

import math
from collections.abc import Mapping
from typing import Any

from trainer.counting import counted


def cautions(metrics: Mapping[str, Any]) -> list[str]:
    """Return why the figures of a model are no reason to trust it, as sentences; nothing if they are one."""
    if "log_loss" not in metrics:
        return []
    loss, base = metrics["log_loss"], metrics.get("base_rate_log_loss")
    if loss is None or base is None:
        if metrics.get("n_solutions"):
            return ["None of the held-out solutions was read to a label, so nothing shows what the model has learned. Raise the context."]
        return ["No labels are held out, so nothing shows what the model has learned. Label solutions of other problems."]
    sentences = []
    what, share = ("steps", metrics.get("share_negative")) if "share_right" not in metrics else ("solutions", metrics["share_right"])
    if share in (0.0, 1.0):
        kind = "negative" if what == "steps" else "right"
        sentences.append(
            f"{'Every one' if share else 'None'} of the held-out {what} is {kind}, so nothing shows whether the model tells them apart."
        )
    if loss < base:
        return sentences
    n_labels = metrics.get("n_rated_steps", metrics.get("n_solutions", 0))
    return [
        *sentences,
        f"The model does not beat the base rate: on {n_labels:,} held-out labels its log-loss is {loss:.3f}, and that of always answering "
        f"how often each label occurs is {base:.3f}. Do not trust its probabilities yet. Label more solutions, or give other settings.",
    ]


def why_not_better(metrics: Mapping[str, Any]) -> str:
    """Return why nothing shows that a model is better than always answering the base rates; empty if it is better.

    It is better if, on held-out labels, its log-loss is below theirs and its AUC is above 0.5. The end of a sentence about "it".
    """
    loss, base = metrics.get("log_loss"), metrics.get("base_rate_log_loss")
    what, auc = ("steps", metrics.get("step_auc")) if "solution_auc" not in metrics else ("solutions", metrics["solution_auc"])
    if loss is None or base is None:
        return "no held-out label shows what it has learned"
    if not (math.isfinite(loss) and math.isfinite(base) and (auc is None or math.isfinite(auc))):
        return "on held-out problems its figures are not finite numbers"
    if loss >= base:
        return f"on held-out problems its log-loss is {loss:.3f}, and that of always answering how often each label occurs is {base:.3f}"
    if auc is None:
        return f"all held-out {what} have the same label, so nothing shows whether it tells wrong from right"
    if auc <= 0.5:
        return f"on held-out problems it does not tell wrong from right {what}: its AUC is {auc:.3f}, and chance gives 0.5"
    return ""


def pace_sentences(metrics: Mapping[str, Any]) -> list[str]:
    """Return in sentences what was done with repeats of labels, and how phases with little data were read otherwise than by the config."""
    note = metrics.get("training", {}).get("frozen", {}).get("note")  # heads on a frozen base that could not be chosen
    sentences = [*_repeat_sentences(metrics.get("training", {}).get("repeats") or {}), *([note] if note else [])]
    for pace in metrics.get("training", {}).get("paces", []):
        wanted, changes = pace["wanted"], []
        if pace["token_budget"] < wanted["token_budget"]:
            changes.append(f"in batches of up to {pace['token_budget']:,} tokens instead of {wanted['token_budget']:,}")
        if pace["batches_per_update"] < wanted["batches_per_update"]:
            changes.append(f"with {pace['batches_per_update']} of {wanted['batches_per_update']} batches in an optimizer step")
        if pace["epochs"] > wanted["epochs"]:
            changes.append(f"{pace['epochs']} times instead of {wanted['epochs']}")
        if changes:
            n_steps = f"{pace['updates']} optimizer steps"
            if pace["updates"] < wanted["updates"]:
                n_steps += f", fewer than the {wanted['updates']} that a training needs"
            sentences.append(f"There is little data for the phase {pace['phase']!r}. It was read {', '.join(changes)}: {n_steps}.")
    return sentences


def _repeat_sentences(repeats: Mapping[str, Any]) -> list[str]:
    sentences = []
    if repeats and repeats["n_remaining"] < repeats["n_labeled"]:
        shares = f" In {repeats['n_conflicting']:,} of them a step was rated differently, and the shares of its ratings are learned."
        different = counted(repeats["n_remaining"], "different solution was", "different solutions were")
        sentences.append(
            f"{different} labeled {repeats['n_labeled']:,} times in all, and the labels of each one were merged."
            + (shares if repeats["n_conflicting"] else "")
        )
    if n_capped := repeats.get("n_capped_problems", 0):
        has, they = ("was capped, which has", "they count") if n_capped == 1 else ("were capped, which have", "those of each of them count")
        sentences.append(
            f"{counted(n_capped, 'problem')} {has} {repeats['n_capped_steps']:,} rated steps: {they} as much as "
            f"{repeats['counts_as']:,.0f}, so that no problem outweighs all others."
        )
    return sentences
