"""Settings of a sampling: from a command or from a round's row, checked before anything starts. Writes nothing.

The check looks at folders and the environment only. It sends no request and loads no model, so a web process can run it.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from trainer.config import TINY, BadBase
from trainer.generators import KEY, OPENAI
from trainer.naming import check_base, is_named


class BadSampling(ValueError):
    """Settings that cannot be used, or a generator that fails; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What to sample from, and how much. The key of an endpoint is not a setting: it comes from the environment and is not stored."""

    model: str  # a folder or a hub id; with `url`, the name of the model at the endpoint
    n: int  # new solutions of each problem
    url: str = ""  # of an endpoint with OpenAI's chat protocol; empty: the model runs here
    budget: int | None = None  # most tokens, prompts included, that the run uses over all its calls
    budget_requests: int | None = None  # most texts, likewise
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 1024  # of one solution
    width: int | None = None  # texts at a time; None: the generator's own
    seed: int = 0
    source: str = ""  # value of Solution.source; empty: the model's name
    prompt: str = ""  # with {problem} in place of its text; empty: two worked examples
    revision: str | None = None  # commit of a hub id
    chat: bool = False  # put the prompt into the model's chat template, for a model that runs here
    timeout: float = 120.0  # seconds of one try of a request
    retries: int = 6
    request: dict[str, Any] = field(default_factory=dict)  # changes to the body of each request

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Read settings. Raises BadSampling."""
        known = {setting.name: setting for setting in fields(cls)}
        if unknown := next((str(name) for name in given if name not in known), None):
            if "key" in unknown.lower():
                raise BadSampling(
                    f"{unknown} is not a setting, because settings are stored. Set {KEY} in the environment of the worker instead."
                )
            raise BadSampling(f"Sampling has no setting {unknown!r}. Known: {', '.join(known)}.")
        values = {name: given.get(name, _default(setting)) for name, setting in known.items()}
        _check_texts(values)
        for name, (kind, lowest) in NUMBERS.items():
            if values[name] is not None or known[name].default is not None:
                values[name] = _number(name, values[name], kind=kind, lowest=lowest)
        if not 0 < values["top_p"] <= 1 or not values["timeout"]:
            raise BadSampling("top_p must be above 0 and at most 1, and timeout above 0 seconds.")
        if foreign := next((name for name in ELSEWHERE[bool(values["url"])] if values[name] != _default(known[name])), None):
            where = "a model that runs here. Leave it or the url out" if values["url"] else "an endpoint. Leave it out, or give a url"
            raise BadSampling(f"{foreign} is only for {where}.")
        if values["url"]:
            _check_url(values["url"])
        else:
            values["model"] = _local(values["model"])
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Return what differs from the defaults, fit for JSON."""
        return {setting.name: value for setting in fields(self) if (value := getattr(self, setting.name)) != _default(setting)}

    @property
    def of_texts(self) -> dict[str, Any]:
        """Return the settings that the texts of a run depend on, fit for JSON: all its calls have the same."""
        return {setting.name: getattr(self, setting.name) for setting in fields(self) if setting.name not in OF_A_CALL}

    @property
    def name(self) -> str:
        """Return the name of a run without one of its own. The same settings give the same run."""
        source = self.source or (self.model if self.url or not Path(self.model).exists() else Path(self.model).name)
        return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{source}-t{self.temperature:g}-seed{self.seed}")[-100:].lstrip("._-")


NUMBERS: dict[str, tuple[type, float]] = {  # kind and least value
    "n": (int, 1), "budget": (int, 1), "budget_requests": (int, 1), "max_tokens": (int, 1), "width": (int, 1), "retries": (int, 0),
    "seed": (int, 0), "temperature": (float, 0), "top_p": (float, 0), "timeout": (float, 0),
}  # fmt: skip
OF_A_CALL = (
    "n",
    "budget",
    "budget_requests",
    "width",
    "timeout",
    "retries",
)  # can change while a run continues: its texts do not depend on them
ELSEWHERE = (("timeout", "retries", "request"), ("revision", "chat"))  # not for a model that runs here; not for an endpoint


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that differ from the defaults, as a round stores them. Raises BadSampling."""
    return Settings.of(settings).as_dict()


def _default(setting: "Field[Any]") -> Any:
    if setting.default is MISSING:
        return {} if setting.default_factory is not MISSING else None
    return setting.default


def _check_texts(values: dict[str, Any]) -> None:
    if not isinstance(values["model"], str) or not values["model"].strip():
        raise BadSampling(
            "model is missing. Name smollm2, a model folder or a hub id, or with a url the name of the model at the endpoint."
        )
    for name in ("url", "source", "prompt", "revision"):
        if not isinstance(values[name], str) and not (name == "revision" and values[name] is None):
            raise BadSampling(f"{name} must be a text, not {values[name]!r}.")
    if not isinstance(values["chat"], bool) or not isinstance(values["request"], dict):
        raise BadSampling("chat must be true or false, and request a mapping of changes to the body of each request.")
    if values["prompt"] and "{problem}" not in values["prompt"]:
        raise BadSampling("The prompt has no place for the problem. Write {problem} where its text should be.")
    if len(values["source"] or values["model"]) > 200:
        raise BadSampling("The source, by default the model's name, has more than 200 characters. Give a shorter one as source.")


def _number(name: str, value: Any, *, kind: type, lowest: float) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value < lowest or (kind is int and value != int(value)):
        fault = "but it is missing" if value is None else f"not {value!r}"
        raise BadSampling(f"{name} must be a {'whole ' if kind is int else ''}number of at least {lowest:g}, {fault}.")
    return kind(value)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_address = False
    if not is_address:
        raise BadSampling(f"The url {url!r} is not a web address. Give one such as http://localhost:8000/v1.")
    if "@" in parts.netloc or parts.query:
        raise BadSampling(f"The url has more than an address, and it would be stored. Put a key into {KEY} in the environment instead.")
    if url.startswith(OPENAI) and not os.environ.get(KEY, "").strip():
        raise BadSampling(f"{url} needs a key. Set {KEY} in the environment, or name another endpoint.")


def _local(model: str) -> str:
    if model == TINY:
        raise BadSampling(
            f"{TINY} is a base of reward models and writes no solutions. Name smollm2, or a language model's folder or hub id."
        )
    try:
        check_base(model)
    except BadBase as error:
        raise BadSampling(str(error)) from error
    if is_named(model) or not Path(model).exists():
        return model
    return str(Path(model).resolve())  # a worker may run in another folder
