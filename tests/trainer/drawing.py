"""What the tests of sampling draw from: a chat endpoint on this machine, a model of one layer, texts written beforehand."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.waiting import PATIENCE
from trainer.generators import Draw, Drawn, EndpointGenerator, ProblemText

SEVEN = "We add the two.\n\n$3 + 4 = 7$.\n\n# Answer\n\n7"
Reply = tuple[int, str]  # status and body
BROKEN_OFF = "(the connection ends in the middle of the answer)"
FIRST, FIVE, SIX, NEXT = "We add.\n", "So 5.\n\n# Answer\n\n5", "So 6.\n\n# Answer\n\n6", "\n\n# Problem\n\n"
OPEN = "# Solution\n\n"
SHORT = "{problem}\n" + OPEN


def chat(text: str, *, tokens: int = 100, reason: str = "stop") -> Reply:
    """A chat completion as OpenAI's endpoint sends it."""
    message = {"role": "assistant", "content": text}
    return 200, json.dumps(
        {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {"prompt_tokens": 1, "completion_tokens": tokens - 1, "total_tokens": tokens},
        }
    )


class Endpoint:
    """A server that answers each request with what `reply` says, and remembers what it was asked and how many at once."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.reply: Callable[[int, dict[str, Any]], Reply] = lambda number, body: chat(f"Number {number}.\n\n# Answer\n\n{number}")
        self.at_once = self.most_at_once = 0
        lock, endpoint = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    number = len(endpoint.asked)
                    endpoint.asked.append(body | {"path": self.path})
                    endpoint.headers.append({name.lower(): value for name, value in self.headers.items()})
                    endpoint.at_once += 1
                    endpoint.most_at_once = max(endpoint.most_at_once, endpoint.at_once)
                status, text = endpoint.reply(number, body)
                with lock:
                    endpoint.at_once -= 1
                self.send_response(status)
                self.send_header("Content-Type", "application/json" if text.startswith("{") else "text/html")
                self.send_header("retry-after-ms", "1")
                self.send_header("Content-Length", str(len(text.encode()) + (text == BROKEN_OFF)))
                self.end_headers()
                self.wfile.write(text.encode())
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # a client that gave up is part of the tests
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def generator(self, **settings: Any) -> EndpointGenerator:
        return EndpointGenerator("sums-1b", endpoint=self.url, **({"width": 1, "timeout": PATIENCE, "retries": 3} | settings))


def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """Give an endpoint that asks for no key, and close it at the end."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.0)  # the pause before a try, where the server asks for none
    endpoint = Endpoint()
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()


class Written:
    """A generator of texts that were written beforehand, for one problem after the other."""

    name = "written"

    def __init__(self, *texts: str, tokens: int = 10) -> None:
        self.texts, self.tokens = list(texts), tokens
        self.draws: list[Draw] = []

    def most_tokens(self, prompt: str) -> int:
        return self.tokens

    def draw(self, draws: Any) -> Iterator[Drawn]:
        for one in draws:
            self.draws.append(one)
            yield Drawn(one, self.texts.pop(0) if self.texts else "Nothing to say.", self.tokens)


def answers(*numbers: int) -> list[str]:
    return [f"So.\n\n# Answer\n\n{number}" for number in numbers]


def save_chain(folder: Path) -> Path:
    """Save a model without attention, whose next token hangs on the last one alone: a first step, then 5 or 6, then another problem.

    After the 5 it says the eighth of its tokens, of which the tokenizer knows only seven.
    """
    texts = ["<pad>", "?", OPEN, FIRST, FIVE, SIX, NEXT]
    tokenizer = Tokenizer(models.WordLevel({text: number for number, text in enumerate(texts)}, unk_token="?"))
    split = Regex("|".join(re.escape(text) for text in texts[2:]) + r"|[\s\S]")
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Split(split, "isolated"), decoders.Fuse()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="?")
    config = LlamaConfig(
        vocab_size=8,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
        tie_word_embeddings=False,
    )
    network = LlamaForCausalLM(config)
    layer = network.model.layers[0]
    with torch.no_grad():
        network.model.embed_tokens.weight.copy_(torch.eye(8))
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        network.lm_head.weight.zero_()
        for now, then in ((2, 3), (3, 4), (3, 5), (4, 7), (7, 6), (5, 6), (6, 3)):
            network.lm_head.weight[then, now] = 30
    network.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


def problems(count: int) -> list[ProblemText]:
    return [ProblemText(f"p{i}", f"Add {i} and 4.", {"id": f"p{i}", "answer": str(i + 4), "split": "test"}) for i in range(count)]


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]
