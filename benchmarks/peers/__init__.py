"""The peers that benchmarks compare Stepmark with.

A peer runs on Stepmark's own Python, PyTorch and transformers. NAME.txt pins the packages that it needs besides these. They are installed
once for all checkouts of a user, under $XDG_CACHE_HOME/stepmark/peers (default: ~/.cache/stepmark/peers), and kept. Label Studio does not
fit Stepmark's packages: it gets a virtual environment of its own, for which label_studio.txt pins all.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DONE = "installed"  # a file in an environment of its own
PACKAGES = "site-packages"  # by this name dill knows installed modules, which it does not pickle


def install(name: str) -> Path:
    """Install a peer's packages unless they are there; return their folder, for PYTHONPATH. Exits with 2 if pip fails."""
    pins = HERE / f"{name}.txt"
    folder = cache() / f"{name}-{fingerprint(pins)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of two checkouts that start at once, one installs and the other waits
        if not folder.is_dir():
            print(f"Installing the peer {name} (once) ...", file=sys.stderr, flush=True)
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            # Without dependencies: all of them are pinned, here or by Stepmark. A resolver could choose another PyTorch.
            pip("install", "--quiet", "--no-deps", "--target", str(unfinished / PACKAGES), "--requirement", str(pins))
            pip("check", path=unfinished / PACKAGES)
            unfinished.rename(folder)
    return folder / PACKAGES


def install_apart(name: str) -> Path:
    """Install a peer whose packages do not fit Stepmark's into a virtual environment of its own; return that. Exits with 2 if pip fails."""
    pins = HERE / f"{name}.txt"
    folder = cache() / f"{name}-{fingerprint(pins, base=None)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / DONE).is_file():  # an environment cannot be renamed: its programs name its folder
            print(f"Installing the peer {name} (once) ...", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True)
            pip("install", "--quiet", "--no-deps", "--requirement", str(pins), python=str(folder / "bin" / "python"))
            (folder / DONE).touch()
    return folder


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stepmark" / "peers"


def fingerprint(pins: Path, *, base: Path | None = ROOT / "requirements.txt") -> str:
    """Name one install: its pins, those of Stepmark below it (`base`), and the Python and machine that wheels are built for."""
    built_for = f"{sys.implementation.cache_tag} {sys.platform} {os.uname().machine}"
    parts = (pins.read_bytes(), base.read_bytes() if base else b"", built_for.encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def pip(*words: str, path: Path | None = None, python: str = sys.executable) -> None:
    environment = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    done = subprocess.run([python, "-m", "pip", "--disable-pip-version-check", *words], env=environment, stdout=sys.stderr, check=False)
    if done.returncode:
        print("The peer could not be installed; pip's message above says why. Most often there is no network.", file=sys.stderr)
        sys.exit(2)
