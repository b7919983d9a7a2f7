"""Generators of solutions: a local causal language model, or an endpoint with OpenAI's chat protocol.

Reads prompts, one `Draw` for each text wanted; gives `Drawn` texts as they arrive. torch and openai are imported only when a generator
is made, so a process that uses an endpoint never loads torch.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trainer.config import BadBase
from trainer.naming import find_base

if TYPE_CHECKING:
    import httpx2
    from torch import Tensor

    from trainer.sample import SampleReport

OPENAI = "https://api.openai.com/v1"
KEY = "OPENAI_API_KEY"
BROKEN = 8  # failed texts one after the other that show that the endpoint itself does not work
# The final answer: the text under the heading, up to the first blank line, the next heading or the end.
ANSWER = re.compile(r"^[ \t]*# Answer\b:?[ \t]*(?:\n\s*)?(?P<answer>(?!#)\S.*?)\s*?(?:(?P<end>\n\s*\n|\n#)|\s*\Z)", re.M | re.S)


class GeneratorFailed(ValueError):
    """A generator that cannot be used, or stopped working; the message says why and what to do. `report`: what the call did before."""

    report: "SampleReport | None" = None


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

    `refused` says why there is no text for this prompt; other prompts can still work. `failed` says why this one text did not arrive;
    another try can still work. `filtered` tells that the endpoint's content filter stopped the text.
    """

    draw: Draw
    text: str
    n_tokens: int
    cut: bool = False
    refused: str = ""
    failed: str = ""
    filtered: bool = False


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
    """A model behind an endpoint, asked with `width` requests at a time.

    A request is repeated up to `retries` times, after growing pauses: after 429, 5xx, a timeout, and an answer that breaks off or is no
    chat completion. If that does not help, this text has failed and the others go on; after BROKEN failed texts in a row, or if none ever
    arrived, `draw` raises GeneratorFailed. `request` changes the body of every request: a value replaces the default, null removes a key.
    The API key is read from OPENAI_API_KEY.
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
    _health: "_Health" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        from openai import DefaultHttpxClient, OpenAI

        key = os.environ.get(KEY, "").strip()
        if not key and self.endpoint.startswith(OPENAI):
            raise GeneratorFailed(f"{self.endpoint} needs a key. Set {KEY} in the environment, or name an endpoint of your own.")
        if not self.endpoint.startswith(("http://", "https://")):
            raise GeneratorFailed(f"The endpoint {self.endpoint!r} is not a web address. Give one such as http://localhost:8000/v1.")
        checking = DefaultHttpxClient(event_hooks={"response": [_check_reply]})
        client = OpenAI(api_key=key or "none", base_url=self.endpoint, timeout=self.timeout, max_retries=self.retries, http_client=checking)
        object.__setattr__(self, "_client", client)
        object.__setattr__(self, "_health", _Health())

    @property
    def name(self) -> str:
        return self.model

    @property
    def settings(self) -> dict[str, Any]:
        """Return what the texts depend on besides prompt and seed."""
        names = ("model", "endpoint", "temperature", "top_p", "max_tokens")
        return {name: getattr(self, name) for name in names} | {"request": dict(self.request)}

    def most_tokens(self, prompt: str) -> int:
        """Return the token limit plus an estimate of the prompt's tokens: three bytes each, since the tokenizer is not known here."""
        return self.max_tokens + len(prompt.encode()) // 3

    def draw(self, draws: Iterable[Draw]) -> Iterator[Drawn]:
        """Keep `width` requests running. After a failure no new request starts, and the running ones are still yielded."""
        waiting, failure, drawn = iter(draws), None, None
        with ThreadPoolExecutor(self.width, thread_name_prefix="generator") as pool:
            running = {pool.submit(self._ask, draw) for draw in islice(waiting, self.width)}
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    try:
                        drawn = future.result()
                        self._health.note(drawn)
                        yield drawn
                    except GeneratorFailed as error:
                        failure = failure or error
                if self._health.n_failed >= BROKEN:
                    failure = failure or GeneratorFailed(self._health.reason)
                while failure is None and len(running) < self.width and (draw := next(waiting, None)):
                    running.add(pool.submit(self._ask, draw))
        if failure is None and drawn is not None and not self._health.has_answered:
            failure = GeneratorFailed(self._health.reason)
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
        except openai.APITimeoutError:
            return self._failed(draw, f"{here} gave no answer within {self.timeout:g} s in {tries}. Raise --timeout or lower --width.")
        except openai.APIConnectionError as error:
            return self._unconnected(draw, error, tries=tries)
        except openai.InternalServerError as error:
            return Drawn(
                draw, "", 0, failed=f"{here} fails with status {error.status_code} after {tries}: {_short(error)} Try again later."
            )
        except openai.APIStatusError as error:
            raise GeneratorFailed(
                f"{here} answers with status {error.status_code}: {_short(error)} Check the address and --request."
            ) from error
        choice = reply.choices[0]  # `_check_reply` has seen that it is there
        text, tokens = choice.message.content or "", getattr(reply.usage, "total_tokens", None)
        guess = len((draw.prompt + text).encode(errors="replace")) // 3 + 1
        return Drawn(
            draw,
            text,
            tokens if isinstance(tokens, int) else guess,
            cut=choice.finish_reason == "length",
            filtered=choice.finish_reason == "content_filter",
        )

    def _failed(self, draw: Draw, reason: str) -> Drawn:
        """Give up one text that the endpoint has perhaps written: it counts with all tokens that it can have used."""
        return Drawn(draw, "", self.most_tokens(draw.prompt), failed=reason)

    def _unconnected(self, draw: Draw, error: Exception, *, tries: str) -> Drawn:
        """Tell an endpoint that is not there, which ends the run, from an answer that did not arrive whole."""
        import httpx2

        here, cause = f"The endpoint {self.endpoint}", error.__cause__ or error
        if isinstance(cause, httpx2.DecodingError):
            reason = (
                f"{here} gives an answer that is not a chat completion, in {tries}: {_short(cause)} Check that the address ends in /v1."
            )
            return self._failed(draw, reason)
        if isinstance(cause, (httpx2.ReadError, httpx2.RemoteProtocolError)):
            reason = f"{here} breaks off its answer, in {tries}: {_short(cause)} Look at the log of its server, or try again later."
            return self._failed(draw, reason)
        raise GeneratorFailed(f"{here} cannot be reached ({_short(cause)}). Check the address and the network.") from error


@dataclass(slots=True)
class _Health:
    """Whether an endpoint has ever answered, how many texts in a row have failed, and why the last one did."""

    has_answered: bool = False
    n_failed: int = 0
    reason: str = ""

    def note(self, drawn: Drawn) -> None:
        self.n_failed, self.reason = (self.n_failed + 1, drawn.failed) if drawn.failed else (0, self.reason)
        self.has_answered |= not drawn.failed


def _check_reply(response: "httpx2.Response") -> None:
    """Raise DecodingError for a reply that is no chat completion, so that openai repeats its request like one that failed."""
    import httpx2

    if response.is_success:
        response.read()
        if fault := _fault_of(response.content):
            raise httpx2.DecodingError(fault, request=response.request)


def _fault_of(body: bytes) -> str:
    """Return why a body is no chat completion with one text; empty if it is one."""
    beginning = " ".join(body[:100].decode(errors="replace").split())
    try:
        fields = json.loads(body)
    except ValueError:
        return f"it is not JSON and begins with {beginning!r}." if body else "it is empty."
    if isinstance(fields, dict) and isinstance(error := fields.get("error"), (dict, str)) and error:
        return str(error.get("message") or error if isinstance(error, dict) else error)
    try:
        is_text = isinstance(fields["choices"][0]["message"]["content"], str | None)
    except (TypeError, LookupError):
        is_text = False
    return "" if is_text else f"it is {beginning!r}."


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
        self.settings: dict[str, Any] = {"revision": revision, "chat": chat} | {
            "model": str(Path(base).resolve()) if Path(base).exists() else base,
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_tokens,
        }
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
    from trainer.loading import load_network
    from trainer.model import load_tokenizer
    from trainer.output import check_causal

    source = find_base(base)
    tokenizer = load_tokenizer(source, revision=revision)
    network = load_network(source, what=f"The base {base}", revision=revision)
    check_causal(network, what=f"The base {base}")
    return network.eval(), tokenizer


def _short(error: BaseException) -> str:
    """Return the first 200 characters of an error's reason on one line, as a sentence."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, Mapping) else None
    text = " ".join(str(message or error).split())[:200] or type(error).__name__
    return text if text.endswith((".", "!", "?")) else f"{text}."
