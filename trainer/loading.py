"""Read a network from a folder or the hub. Refuse one whose weights are missing, left over, of another shape or not finite.

transformers fills a missing weight with random numbers and goes on. `load_network` names it instead. Weights are read from safetensors
only, and no code in a folder is run.
"""

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import errors as hub
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging as hf_logging

from trainer.config import BadBase

log = logging.getLogger(__name__)

UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    ImportError,
    RuntimeError,
    SafetensorError,
    hub.StrictDataclassError,
)
CAUSAL = "Name a base that predicts the next token of a text, such as Llama, Qwen or GPT-2."
FLOATING = ("F64", "F32", "F16", "BF16")  # kinds of numbers in safetensors that are weights as they are
# Tables that older versions of transformers stored beside the weights and that a network makes anew.
HARMLESS = re.compile(r"(rotary_emb\.inv_freq|position_ids|(attn|attention)\.(masked_)?bias|(cos|sin)_cached)$")
# Parts that read images or sound, or predict several tokens at once: not needed for the next token of a text.
OTHER_SENSES = re.compile(r"(^|\.)(\w*(vision|visual|image|audio|speech)\w*|multi_modal_projector|mm_projector|mtp)\.")


def load_network(source: str | Path, *, what: str, **options: Any) -> PreTrainedModel:
    """Load a causal language model. `what` begins the message of a refusal, such as "The base gpt2". Raises BadBase."""
    try:
        with quietly(), torch.random.fork_rng(devices=[]):
            loaded = AutoModelForCausalLM.from_pretrained(
                source, use_safetensors=True, trust_remote_code=False, output_loading_info=True, ignore_mismatched_sizes=True, **options
            )
    except UNREADABLE as error:
        raise BadBase(why_unusable(str(source), error)) from error
    network, report = cast(tuple[PreTrainedModel, dict[str, Any]], loaded)
    check_loaded(type(network).__name__, report, what=what)
    check_stored(Path(source), what=what)
    check_finite(network.state_dict(), what=what)
    _keep_own_output(network)
    return network


def check_stored(folder: Path, *, what: str) -> None:
    """Raise BadBase if a file of a local folder holds weights as whole numbers: they would be read without their scale."""
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118  (not a mapping)
                if name.endswith(("weight", "bias")) and (kind := stored.get_slice(name).get_dtype()) not in FLOATING:
                    raise BadBase(
                        f"{what} holds {name} in {file.name} as {kind}: its weights are quantized. "
                        "Name the base from which it was quantized."
                    )


def _keep_own_output(network: PreTrainedModel) -> None:
    """Correct a config that says that input and output share one matrix where the file has two: a larger vocabulary would replace one."""
    output, embedding = network.get_output_embeddings(), network.get_input_embeddings()
    if output is not None and output.weight is not embedding.weight:
        for config in (network.config, network.config.get_text_config()):
            config.tie_word_embeddings = False


def check_loaded(kind: str, report: dict[str, Any], *, what: str) -> None:
    """Raise BadBase, with names, if weights of a network were missing, left over or of another shape. Takes transformers' loading info."""
    if missing := set(report["missing_keys"]):
        hint = (
            " So it has no output for the next token and is not a causal language model."
            if any(name.split(".")[0] in ("lm_head", "embed_out", "cls") for name in missing)
            else ""
        )
        raise BadBase(
            f"{what} is incomplete: its file holds no {_listed(missing)}. {kind} would get random numbers there.{hint} "
            "Give a folder with all its weights, or another base."
        )
    if mismatched := sorted(report["mismatched_keys"]):
        name, stored, wanted = mismatched[0]
        more = f" ({len(mismatched) - 1} more like it)" if len(mismatched) > 1 else ""
        raise BadBase(
            f"{what} does not fit its config.json: {name} has the shape {tuple(stored)} in the file, "
            f"but {kind} needs {tuple(wanted)}{more}. Give the config.json that belongs to these weights."
        )
    left_over = {name for name in report["unexpected_keys"] if not HARMLESS.search(name)}
    other = {name for name in left_over if OTHER_SENSES.search(name)}
    if left_over - other:
        raise BadBase(
            f"{what} does not fit its config.json: {kind} has no place for {_listed(left_over - other)}. "
            "A part of the model would be lost. Give a causal language model with the config.json that belongs to its weights."
        )
    if other:
        log.warning("%s also has parts that a text does not need, such as those for images. They are not used: %s.", what, _listed(other))


def check_finite(weights: Mapping[str, Tensor], *, what: str) -> None:
    """Raise BadBase with the name of the first weight that holds NaN or infinity."""
    if spoiled := not_finite(weights):
        raise BadBase(f"{what} is damaged: {spoiled}. Give an intact copy of it.")


def not_finite(weights: Mapping[str, Tensor]) -> str:
    """Say which weight holds NaN or infinity first, and in how many of its numbers; nothing if all are finite."""
    for name, value in weights.items():
        if value.is_floating_point() and not (good := torch.isfinite(value)).all():
            spoiled = value[~good]
            bad = "NaN (not a number)" if spoiled.isnan().any() else "infinity"
            return f"{name} holds {bad} in {len(spoiled):,} of its {value.numel():,} numbers"
    return ""


def why_unusable(base: str, error: Exception) -> str:
    """Say in a sentence why a base cannot be loaded, from the error that transformers raised."""
    reason = " ".join(str(error).split())
    if "does not recognize this architecture" in reason:
        kind = re.search(r"model type `([^`]*)`", reason)
        return (
            f"This version of transformers does not know the model type {kind[1] if kind else ''} of the base {base}, "
            "and code that comes with a model is never run. Update transformers, or name another base."
        )
    if "Unrecognized configuration class" in reason:
        return f"The base {base} is not a causal language model. {CAUSAL}"
    if Path(base).exists():
        return (
            f"The model folder {base} cannot be loaded: {reason[:300].rstrip('.')}. If a file of it is incomplete or missing, copy or "
            "convert the model again. Otherwise name another base."
        )
    causes = tuple(_causes(error))
    here = f"There is no folder {base} here, and"
    if any(isinstance(cause, hub.GatedRepoError) for cause in causes):
        return f"The hub model {base} is only for people who accepted its terms. Accept them on its page, and log in with: hf auth login"
    if any(isinstance(cause, hub.RevisionNotFoundError) for cause in causes):
        return f"The hub model {base} has no such revision. Check --revision on its page."
    if any(isinstance(cause, hub.RepositoryNotFoundError) for cause in causes):
        return (
            f"{here} the hub has no model {base} that you can read. Check the spelling. If the model is private, log in with: hf auth login"
        )
    if "safetensors" in reason:
        return f"The hub model {base} has no safetensors weights, and pickles are never loaded. Choose a revision with safetensors."
    offline = (hub.OfflineModeIsEnabled, hub.LocalEntryNotFoundError, ConnectionError, TimeoutError)
    if any(isinstance(cause, offline) or type(cause).__name__ in ("ConnectError", "ConnectTimeout", "ReadTimeout") for cause in causes) or (
        re.search("couldn't connect|offline|internet", reason, re.I)
    ):
        return (
            f"{here} the hub cannot be reached to look for a model {base}; the local cache does not hold it either. "
            "Check the spelling, download the model and give its folder, or use the preset tiny."
        )
    return f"The base {base} cannot be loaded from the hub: {reason[:300]}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _listed(names: Collection[str]) -> str:
    """Name at most three of the weights, and count the others."""
    first = sorted(names)[:3]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


@contextmanager
def quietly() -> Iterator[None]:
    """Turn off the progress bars and warnings of transformers. What matters in them becomes an error here."""
    shown, level = hf_logging.is_progress_bar_enabled(), hf_logging.get_verbosity()
    hf_logging.disable_progress_bar()
    hf_logging.set_verbosity_error()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if shown:
            hf_logging.enable_progress_bar()
