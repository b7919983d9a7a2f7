"""Stage: generation, what it is told. Reads settings from a command or from a round's row, and checks them before anything is begun:
it looks at the folder and the environment, asks nobody and loads nothing, so a web process may. Writes nothing.
"""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from trainer.config import TINY, BadBase, check_base
from trainer.generators import KEY, OPENAI


class BadGeneration(ValueError):
    """Settings that cannot be used, or a generator that fails; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is drawn from, and how much. An endpoint's key is no setting: it comes from the environment and is stored nowhere."""

    model: str  # a folder or a hub id; with `url`, the name by which the endpoint knows the model
    n: int  # new solutions of each problem
    url: str = ""  # of an endpoint that speaks OpenAI's chat protocol; empty: the model runs here
    budget: int | None = None  # tokens, prompts included, that the run may use over all its calls
    budget_requests: int | None = None  # texts, likewise
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 1024  # of one solution
    width: int | None = None  # texts at a time; None: the generator's own
    seed: int = 0
    source: str = ""  # what Solution.source will say; empty: the model's name
    prompt: str = ""  # with {problem} where its text belongs; empty: two worked examples
    revision: str | None = None  # commit of a hub id
    chat: bool = False  # a model run here gets the prompt in its chat template
    timeout: float = 120.0  # seconds of one try of a request
    retries: int = 6
    request: dict[str, Any] = field(default_factory=dict)  # changes to the body of each request

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Read settings, or raise BadGeneration."""
        known = {one.name: one for one in fields(cls)}
        if unknown := next((str(name) for name in told if name not in known), None):
            if "key" in unknown.lower():
                raise BadGeneration(f"{unknown} is no setting: it would be stored. Set {KEY} in the environment of the worker instead.")
            raise BadGeneration(f"There is no setting {unknown!r} of a generation. Known: {', '.join(known)}.")
        values = {name: told.get(name, _default(one)) for name, one in known.items()}
        _check_texts(values)
        for name, (kind, lowest) in NUMBERS.items():
            if values[name] is not None or known[name].default is not None:
                values[name] = _number(name, values[name], kind=kind, lowest=lowest)
        if not 0 < values["top_p"] <= 1 or not values["timeout"]:
            raise BadGeneration("top_p must be above 0 and at most 1, and timeout above 0 seconds.")
        if foreign := next((name for name in ELSEWHERE[bool(values["url"])] if values[name] != _default(known[name])), None):
            where = "a model that runs here: leave it or the url out" if values["url"] else "an endpoint: leave it out, or give a url"
            raise BadGeneration(f"{foreign} is for {where}.")
        if values["url"]:
            _check_url(values["url"])
        else:
            values["model"] = _local(values["model"])
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Return what differs from the defaults, as JSON can hold it."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) != _default(one)}

    @property
    def name(self) -> str:
        """Name the run of somebody who names none: the same settings are the same run."""
        source = self.source or (self.model if self.url or not Path(self.model).exists() else Path(self.model).name)
        return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{source}-t{self.temperature:g}-seed{self.seed}")[-100:].lstrip("._-")


NUMBERS: dict[str, tuple[type, float]] = {  # kind and least value
    "n": (int, 1), "budget": (int, 1), "budget_requests": (int, 1), "max_tokens": (int, 1), "width": (int, 1), "retries": (int, 0),
    "seed": (int, 0), "temperature": (float, 0), "top_p": (float, 0), "timeout": (float, 0),
}  # fmt: skip
ELSEWHERE = (("timeout", "retries", "request"), ("revision", "chat"))  # what a model run here does not take; what an endpoint does not


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as a round may keep them, what is left at its default left out. Raises BadGeneration."""
    return Settings.of(settings).as_dict()


def _default(one: "Field[Any]") -> Any:
    if one.default is MISSING:
        return {} if one.default_factory is not MISSING else None
    return one.default


def _check_texts(values: dict[str, Any]) -> None:
    if not isinstance(values["model"], str) or not values["model"].strip():
        raise BadGeneration("model is missing: name a model folder or a hub id, or with a url the model to ask the endpoint for.")
    for name in ("url", "source", "prompt", "revision"):
        if not isinstance(values[name], str) and not (name == "revision" and values[name] is None):
            raise BadGeneration(f"{name} must be a text, not {values[name]!r}.")
    if not isinstance(values["chat"], bool) or not isinstance(values["request"], dict):
        raise BadGeneration("chat must be true or false, and request a mapping of changes to the body of each request.")
    if values["prompt"] and "{problem}" not in values["prompt"]:
        raise BadGeneration("The prompt has no place for the problem. Write {problem} where its text belongs.")
    if len(values["source"] or values["model"]) > 200:
        raise BadGeneration("The source, by default the model's name, has more than 200 characters. Give a shorter one as source.")


def _number(name: str, value: Any, *, kind: type, lowest: float) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value < lowest or (kind is int and value != int(value)):
        said = "it is missing" if value is None else f"not {value!r}"
        raise BadGeneration(f"{name} must be a {'whole ' if kind is int else ''}number of at least {lowest:g}, {said}.")
    return kind(value)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_address = False
    if not is_address:
        raise BadGeneration(f"The url {url!r} is no web address. Give one such as http://localhost:8000/v1.")
    if "@" in parts.netloc or parts.query:
        raise BadGeneration(f"The url holds more than an address, and would be stored. Give a key as {KEY} in the environment instead.")
    if url.startswith(OPENAI) and not os.environ.get(KEY, "").strip():
        raise BadGeneration(f"{url} asks for a key. Set {KEY} in the environment, or name an endpoint of your own.")


def _local(model: str) -> str:
    if model == TINY:
        raise BadGeneration(f"{TINY} is a base of reward models and writes no solutions. Name a language model's folder or hub id.")
    try:
        check_base(model)
    except BadBase as error:
        raise BadGeneration(str(error)) from error
    return str(Path(model).resolve()) if Path(model).exists() else model  # a worker may stand in another folder
