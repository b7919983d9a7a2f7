"""Generators of solutions: a local causal language model, or an endpoint with OpenAI's chat protocol.

Reads prompts, one `Draw` for each text wanted; gives `Drawn` texts as they arrive. torch and openai are imported only when a generator
is made, so a process that uses an endpoint never loads torch.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trainer.config import BadBase, check_base

if TYPE_CHECKING:
    from torch import Tensor

OPENAI = "https://api.openai.com/v1"
KEY = "OPENAI_API_KEY"
# The final answer: the text under the heading, up to the first blank line, the next heading or the end.
ANSWER = re.compile(r"^[ \t]*# Answer\b:?[ \t]*(?:\n\s*)?(?P<answer>(?!#)\S.*?)\s*?(?:(?P<end>\n\s*\n|\n#)|\s*\Z)", re.M | re.S)


class GeneratorFailed(ValueError):
    """A generator that cannot be used, or stopped working; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class ProblemText:
    """A problem to solve. `key` identifies it in a split; `fields` are copied into each line about it."""

    key: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draw:
    """One text to draw: number `number` for its problem, with its own seed."""

    problem: ProblemText
    number: int
    prompt: str
    seed: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """The result of a draw: the text without the prompt, whether the token limit cut it, and the tokens of prompt and text.

    `refused` says why there is no text for this prompt; other prompts can still work.
    """

    draw: Draw
    text: str
    n_tokens: int
    cut: bool = False
    refused: str = ""


class Generator(Protocol):
    """Anything that draws texts. `name` becomes the source in each line."""

    @property
    def name(self) -> str: ...

    def most_tokens(self, prompt: str) -> int:
        """Return the most tokens, prompt included, that one draw can use."""
        ...

    def draw(self, draws: Iterable[Draw]) -> Iterator[Drawn]:
        """Yield the text of each draw, in any order. Take a draw only when it starts. Raises GeneratorFailed."""
        ...


@dataclass(frozen=True)
class EndpointGenerator:
    """A model behind an endpoint, asked with `width` requests at a time. After 429, 5xx or a timeout a request is repeated.

    It is repeated `retries` times, after growing pauses. `request` changes the body of every request: a value replaces the default, null
    removes a key. The API key is read from OPENAI_API_KEY.
    """

    model: str
    endpoint: str = OPENAI
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 1024
    width: int = 8
    timeout: float = 120.0  # seconds of one try
    retries: int = 6
    request: Mapping[str, Any] = field(default_factory=dict)
    _client: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        from openai import OpenAI

        key = os.environ.get(KEY, "").strip()
        if not key and self.endpoint.startswith(OPENAI):
            raise GeneratorFailed(f"{self.endpoint} needs a key. Set {KEY} in the environment, or name an endpoint of your own.")
        if not self.endpoint.startswith(("http://", "https://")):
            raise GeneratorFailed(f"The endpoint {self.endpoint!r} is not a web address. Give one such as http://localhost:8000/v1.")
        client = OpenAI(api_key=key or "none", base_url=self.endpoint, timeout=self.timeout, max_retries=self.retries)
        object.__setattr__(self, "_client", client)

    @property
    def name(self) -> str:
        return self.model

    def most_tokens(self, prompt: str) -> int:
        """Return the token limit plus an estimate of the prompt's tokens: three bytes each, since the tokenizer is not known here."""
        return self.max_tokens + len(prompt.encode()) // 3

    def draw(self, draws: Iterable[Draw]) -> Iterator[Drawn]:
        """Keep `width` requests running. After a failure no new request starts, and the running ones are still yielded."""
        waiting, failure = iter(draws), None
        with ThreadPoolExecutor(self.width, thread_name_prefix="generator") as pool:
            running = {pool.submit(self._ask, draw) for draw in islice(waiting, self.width)}
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    try:
                        yield future.result()
                    except GeneratorFailed as error:
                        failure = failure or error
                while failure is None and len(running) < self.width and (draw := next(waiting, None)):
                    running.add(pool.submit(self._ask, draw))
        if failure:
            raise failure

    def _ask(self, draw: Draw) -> Drawn:
        import openai

        settings = {"temperature": self.temperature, "top_p": self.top_p, "max_tokens": self.max_tokens, "seed": draw.seed}
        body = {name: value for name, value in (settings | dict(self.request)).items() if value is not None}
        here, tries = f"The endpoint {self.endpoint}", f"{self.retries + 1} tries" if self.retries else "one try"
        try:
            reply = self._client.chat.completions.create(
                model=self.model, messages=[{"role": "user", "content": draw.prompt}], extra_body=body
            )
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise GeneratorFailed(f"{here} does not accept the key. Set {KEY} to a key that can use {self.model}.") from error
        except openai.NotFoundError as error:
            raise GeneratorFailed(
                f"{here} has no model {self.model}, or no chat: {_short(error)} Check --model, and that the address ends in /v1."
            ) from error
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            return Drawn(draw, "", 0, refused=_short(error))
        except openai.RateLimitError as error:
            raise GeneratorFailed(f"{here} still answers 'too many requests' after {tries}. Lower --width, or try again later.") from error
        except openai.APITimeoutError as error:
            raise GeneratorFailed(
                f"{here} gave no answer within {self.timeout:g} s in {tries}. Raise --timeout or lower --width."
            ) from error
        except openai.APIConnectionError as error:
            raise GeneratorFailed(
                f"{here} cannot be reached ({_short(error.__cause__ or error)}). Check the address and the network."
            ) from error
        except openai.APIStatusError as error:
            raise GeneratorFailed(
                f"{here} fails with status {error.status_code} after {tries}: {_short(error)} Try again later."
            ) from error
        except (openai.OpenAIError, ValueError) as error:
            raise GeneratorFailed(
                f"{here} gives an answer that cannot be read: {_short(error)} Check that the address ends in /v1."
            ) from error
        return self._read(draw, reply)

    def _read(self, draw: Draw, reply: Any) -> Drawn:
        """Take the text out of a reply, whose form is not known."""
        try:
            choice = reply.choices[0]
            text, reason = choice.message.content or "", choice.finish_reason
            tokens = getattr(reply.usage, "total_tokens", None)
            if not isinstance(text, str):
                raise TypeError
        except (TypeError, LookupError, AttributeError) as error:
            raise GeneratorFailed(
                f"The endpoint {self.endpoint} gives an answer that is not a chat completion: {str(reply)[:100]!r}. "
                "Check that the address ends in /v1."
            ) from error
        guess = len((draw.prompt + text).encode(errors="replace")) // 3 + 1
        return Drawn(draw, text, tokens if isinstance(tokens, int) else guess, cut=reason == "length")


class LocalGenerator:
    """A causal language model in this process. Draws `width` texts at a time, each until its answer is complete or `max_tokens` is reached.

    The prompt is continued as plain text; with `chat` it becomes the user's message in the model's chat template. Weights are read from
    safetensors only, and no code in the folder is run. Raises BadBase.
    """

    def __init__(
        self,
        base: str,
        *,
        revision: str | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_tokens: int = 1024,
        width: int = 16,
        chat: bool = False,
    ) -> None:
        import torch

        self.name = Path(base).resolve().name if Path(base).exists() else base
        self.temperature, self.top_p, self.max_tokens, self.width, self.chat = temperature, top_p, max_tokens, width, chat
        self._network, self._tokenizer = _language_model(base, revision=revision)
        self._network.to(*(("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)))
        if chat and not self._tokenizer.chat_template:
            raise BadBase(f"{base} has no chat template. Leave out --chat: then the prompt is continued as plain text.")
        ends = self._network.generation_config.eos_token_id
        ends = self._tokenizer.eos_token_id if ends is None else ends
        self._ends: list[int] = ends if isinstance(ends, list) else [] if ends is None else [ends]
        pad = self._tokenizer.pad_token_id
        self._pad: int = pad if pad is not None else (self._ends or [0])[0]
        n_rows = self._network.get_input_embeddings().num_embeddings  # some models have more rows than the tokenizer has tokens
        pieces = self._tokenizer.batch_decode([[number] for number in range(max(n_rows, len(self._tokenizer)))])
        # Only these tokens can end an answer, so a text is decoded only after them.
        self._closing = torch.tensor(["\n" in piece or "#" in piece for piece in pieces], device=self._network.device)

    def _ids(self, prompt: str) -> list[int]:
        if self.chat:
            message = [{"role": "user", "content": prompt}]
            return self._tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]
        return self._tokenizer(prompt, verbose=False)["input_ids"]

    def most_tokens(self, prompt: str) -> int:
        """Return the tokens of the prompt plus the token limit."""
        return len(self._ids(prompt)) + self.max_tokens

    def draw(self, draws: Iterable[Draw]) -> Iterator[Drawn]:
        """Draw batches of `width`. A batch uses the seed of its first draw, so the same batches give the same texts."""
        waiting = iter(draws)
        while batch := list(islice(waiting, self.width)):
            yield from self._batch(batch)

    def _batch(self, batch: list[Draw]) -> Iterator[Drawn]:
        import torch

        longest = getattr(self._network.config.get_text_config(), "max_position_embeddings", None) or 1 << 30
        prompts = {draw.prompt: self._ids(draw.prompt) for draw in batch}
        fitting = [draw for draw in batch if len(prompts[draw.prompt]) < longest]
        for draw in batch:
            if len(prompts[draw.prompt]) >= longest:
                yield Drawn(draw, "", 0, refused=f"the prompt has {len(prompts[draw.prompt])} tokens, but the base reads only {longest}.")
        if not fitting:
            return
        try:
            texts = self._continue([prompts[draw.prompt] for draw in fitting], longest=longest, seed=fitting[0].seed)
        except torch.OutOfMemoryError as error:
            if len(fitting) == 1:
                raise GeneratorFailed("One text alone does not fit into the device's memory. Lower --max-tokens.") from error
            for half in (fitting[: len(fitting) // 2], fitting[len(fitting) // 2 :]):
                yield from self._batch(half)
            return
        for draw, ids in zip(fitting, texts, strict=True):
            ended = next((at for at, number in enumerate(ids) if number in self._ends), len(ids))
            text = self._tokenizer.decode(ids[:ended], skip_special_tokens=True)
            answer = ANSWER.search(text)
            cut = ended == len(ids) and not (answer and answer["end"])
            yield Drawn(draw, text, len(prompts[draw.prompt]) + min(ended + 1, len(ids)), cut=cut)

    def _continue(self, prompts: list[list[int]], *, longest: int, seed: int) -> list[list[int]]:
        """Return the ids that follow each prompt, up to the end of its answer. Prompts are padded on the left, with a mask."""
        import torch
        from transformers import GenerationConfig, StoppingCriteriaList

        width, device = max(map(len, prompts)), self._network.device
        ids = torch.tensor([[self._pad] * (width - len(prompt)) + prompt for prompt in prompts], device=device)  # (B, T)
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
        hot = self.temperature > 0
        how = GenerationConfig(
            max_new_tokens=min(self.max_tokens, longest - width),
            do_sample=hot,
            **({"temperature": self.temperature, "top_p": self.top_p, "top_k": 0} if hot else {}),
            pad_token_id=self._pad,
            eos_token_id=self._ends or None,
        )
        ends: dict[int, int] = {}  # by row: the tokens up to the end of its answer
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.inference_mode():
            torch.manual_seed(seed)
            made = self._network.generate(
                ids, attention_mask=mask, generation_config=how, stopping_criteria=StoppingCriteriaList([self._answered(width, ends)])
            )
        return [row[: ends.get(number)] for number, row in enumerate(made[:, width:].tolist())]

    def _answered(self, width: int, ends: dict[int, int]) -> "Callable[..., Tensor]":
        """Return a criterion that stops each row of a batch when its answer is complete, and notes in `ends` after how many tokens."""
        import torch

        def answered(ids: "Tensor", scores: object, **_: object) -> "Tensor":
            for row in self._closing[ids[:, -1]].nonzero()[:, 0].tolist():
                answer = ANSWER.search(self._tokenizer.decode(ids[row, width:], skip_special_tokens=True))
                if answer and answer["end"]:
                    ends.setdefault(row, ids.shape[1] - width)
            return torch.tensor([row in ends for row in range(len(ids))], device=ids.device)  # (B,)

        return answered


def _language_model(base: str, *, revision: str | None) -> tuple[Any, Any]:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from trainer.model import why_unusable, without_bars

    check_base(base)
    source = {"revision": revision, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(base, **source)
        with without_bars():
            return AutoModelForCausalLM.from_pretrained(base, use_safetensors=True, **source).eval(), tokenizer
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise BadBase(why_unusable(base, error)) from error


def _short(error: BaseException) -> str:
    """Return the first 200 characters of an error's reason on one line, as a sentence."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, Mapping) else None
    text = " ".join(str(message or error).split())[:200] or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."
