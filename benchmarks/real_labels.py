"""Figure: what labels teach on real labels, and whether a way of choosing teaches more than a draw at random.

Hides the human labels of two sets, reveals them solution by solution, and fits heads on the states of a frozen base again at each size:
(i) `prm800k`, the distinct labeled paths of PRM800K, at most 6 of a problem; (ii) `processbench`, 1,400 whole solutions of ProcessBench.
A third of the problems is held out in each split. Sizes, arms, splits and figures stand in benchmarks/real_labels.json. Its SHA-256 is
printed where it holds: for these sets, this base and these layers, but not for --smoke.

`--full`: all arms on splits 100 to 129 (`arms`), which pick the best one; splits 130 to 159 say what it and the arm named beforehand gain
(`told`), so that picking is not counted as gain. Otherwise a few arms on the last 30 splits, and nothing is picked: `best` is the named
arm. For each set: `auc_all` with all labels of the pool, `auc_none` with none (the AUC of the step's place alone: without a label there is
no head), `best`, and of it `gain`, `low` and `high`: the difference to uniform in the area under the curve of AUC. `ratio` is the area of
the arm that the protocol names over that of uniform, in the set where it is smaller: no arm and no set is picked for
it. `best_ratio` of each set is that of the picked arm. `--smoke`: four splits and two sizes, figures without meaning. The data is
read from $STEPMARK_DATA (default ../shared/data). States are kept in a cache, as by `python -m trainer train --frozen`.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

# One thread: the products are small, and a second thread that waits for its turn costs four times the work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
import torch

from benchmarks.hidden_labels.gains import Reading, about, reaching, rounded
from benchmarks.hidden_labels.splits import (
    OTHER,
    SETS,
    Kept,
    LabeledSet,
    NothingToRead,
    identity,
    prm800k_paths,
    processbench_solutions,
    product_check,
    refuse_small_pools,
    run_splits,
    with_states,
)

if TYPE_CHECKING:
    from trainer.model import RewardModel

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("STEPMARK_DATA") or ROOT.parent / "shared" / "data")
PROTOCOL = Path(__file__).with_suffix(".json")
BOOTSTRAP = 500
# What the protocol was written for: SmolLM2-135M-Instruct up to the protocol's last layer, as script/base makes it, and both sets as read.
WRITTEN_FOR = {
    "base": "c865156dc876ab68769560b9a11dd146053dcb8c022e1a4c8dc1098ae83e5f5f",
    "data": {
        "prm800k": "c888daa0b5b253a7aa70bfe655d049c0696ad085bfc706a2b169b7264e11b6ba",
        "processbench": "73a8a6aa29f1d45fe8f6b1fc8f3e0b3af75132e2294dfb3d560530606710c7ec",
    },
}


def prepare() -> None:
    """Set Django up without a database: strategies are pure, but their package also holds what reads the database."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labelapp.settings")
    if "STEPMARK_HOME" not in os.environ:
        os.environ["STEPMARK_HOME"] = tempfile.mkdtemp(prefix="stepmark-bench-")
    django.setup()


def files(options: argparse.Namespace) -> tuple[Path, list[Path]]:
    """Return the files of both sets. Raises NothingToRead."""
    paths = options.paths or DATA / "prm800k" / "phase2_labeled_paths_1818.jsonl"
    whole = options.whole or [DATA / "processbench" / name for name in ("gsm8k.json", "math.json")]
    if missing := [path for path in (paths, *whole) if not path.is_file()]:
        raise NothingToRead(f"{missing[0]} is missing. Set STEPMARK_DATA to the folder that holds prm800k/ and processbench/.")
    return paths, whole


def read_sets(paths: Path, whole: Sequence[Path], model: "RewardModel", *, most: int) -> dict[str, LabeledSet]:
    """Read both sets. Raises NothingToRead."""
    from trainer.lines import BadInput

    try:
        found = {"prm800k": prm800k_paths(paths, most=most), "processbench": processbench_solutions(whole)}
    except BadInput as error:
        raise NothingToRead(str(error)) from error
    return {name: with_states(name, rows, model) for name, rows in found.items()}


def load_base(options: argparse.Namespace, layers: Sequence[int]) -> "RewardModel":
    """Load the base with the cache of its states. Raises NothingToRead."""
    from trainer.config import BadBase, BadConfig
    from trainer.model import load_frozen_base
    from trainer.states import default_folder

    try:
        return load_frozen_base(options.base, context=2048, layers=layers).keeping_states(options.states or default_folder())
    except (BadBase, BadConfig) as error:
        raise NothingToRead(str(error)) from error


def against_the_protocol(own: Mapping[str, Any], *, layers: Sequence[int], is_smoke: bool) -> list[str]:
    """Return why the protocol does not hold for a run of this identity; nothing if it holds."""
    held: dict[str, Any] = {**WRITTEN_FOR, "layers": list(layers)}
    return [OTHER[name] for name in held if own[name] != held[name]] + ["sizes, arms and splits of --smoke"] * is_smoke


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="script/bench real_labels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    form = found.add_mutually_exclusive_group()
    form.add_argument("--full", action="store_true", help="all arms, 60 splits")
    form.add_argument("--smoke", action="store_true", help="the smallest form: shows that it runs")
    found.add_argument("--base", default="smollm2", help="fetched base, model folder or hub id (default: smollm2, see script/base)")
    found.add_argument("--layers", type=int, nargs="+", help="layers of the base (default: those of the protocol; of tiny, its last ones)")
    found.add_argument("--paths", type=Path, help="labeled paths, instead of those of PRM800K")
    found.add_argument("--whole", type=Path, nargs="+", help="whole solutions, instead of those of ProcessBench")
    found.add_argument("--states", type=Path, help="folder of the cache of states (default: in your folder of caches)")
    found.add_argument(
        "--keep", type=Path, help="folder for the figures of each split; the same run continues from there, another begins anew"
    )
    found.add_argument("--processes", type=int, default=2, help="processes for the splits, and threads while states are read (default: 2)")
    return found


def main() -> None:
    options = parser().parse_args()
    began = time.monotonic()
    written = PROTOCOL.read_bytes()
    protocol, digest = json.loads(written), hashlib.sha256(written).hexdigest()
    protocol |= {"sizes": [4, 8], "draws_of_uniform": 1, "pick_on": [1, 2], "report_on": [3, 4]} if options.smoke else {}
    arms = ["herding", "uncertain", "paper"] if options.smoke else list(protocol["arms"])
    picking, telling = (list(range(first, last + 1)) for first, last in (protocol["pick_on"], protocol["report_on"]))
    try:
        paths, whole = files(options)
        prepare()
        torch.set_num_threads(options.processes)
        model = load_base(options, options.layers or (() if options.base == "tiny" else protocol["layers"]))
        SETS.update(read_sets(paths, whole, model, most=protocol["most_of_one_problem"]))
        for labeled in SETS.values():
            refuse_small_pools(labeled, [*picking, *telling], protocol)
    except NothingToRead as error:
        sys.exit(str(error))
    own = identity(SETS, model, protocol)
    against = against_the_protocol(own, layers=protocol["layers"], is_smoke=options.smoke)
    if against:
        print(f"The protocol of benchmarks/real_labels.json does not hold for this run: {', '.join(against)}.", file=sys.stderr)
    else:
        print(f"Protocol: benchmarks/real_labels.json, SHA-256 {digest}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="stepmark-bench-") as temporary:
        kept = Kept(options.keep or Path(temporary), own)
        try:
            said = kept.begin()
        except OSError as error:
            sys.exit(f"{kept.root} cannot keep splits ({error.strerror}). Give --keep a folder that can be written.")
        if options.keep:
            print(said, file=sys.stderr)
        reading = Reading(kept, protocol, 20 if options.smoke else BOOTSTRAP)
        sets: dict[str, Any] = {name: about(labeled) for name, labeled in SETS.items()}
        named = protocol["named"]
        if options.full or options.smoke:
            run_splits(picking, arms, kept, protocol, processes=options.processes)
            bests = {name: reading.best(labeled, picking, arms) for name, labeled in SETS.items()}
            told = list(dict.fromkeys([named, *bests.values()]))
            for name, labeled in SETS.items():
                sets[name]["arms"] = reading.table(labeled, picking, arms)
        else:  # nothing is picked
            picking, told, bests = [], protocol["short"], dict.fromkeys(SETS, named)
        run_splits(telling, told, kept, protocol, processes=options.processes)
        for name, labeled in SETS.items():
            found = sets[name]
            found |= reading.taught(labeled, [*picking, *telling])
            found["named"] = {"arm": named, **reading.table(labeled, [*picking, *telling], [named])[named]}
            found["told"] = reading.table(labeled, telling, told)
            gain = found["told"][bests[name]]["auc_over_solutions"]
            found |= {"best": bests[name], **{part: gain[part] for part in ("gain", "low", "high")}}
            planned = found["told"][named]["auc_over_solutions"]["gain"]
            found |= {key: 1 + own / found["area_of_uniform"] for key, own in (("ratio", planned), ("best_ratio", gain["gain"]))}
            if options.full:
                found["fitted_by_the_trainer"] = product_check(labeled, telling[:2], protocol)
        sets = rounded(sets)
    print(
        json.dumps(
            {
                "form": "smoke" if options.smoke else "full" if options.full else "short",
                "protocol_sha256": None if against else digest,
                "of": own,
                "ratio": min((found["ratio"] for found in sets.values() if found["ratio"] is not None), default=None),
                "reach_the_criterion": reaching(sets),
                "seconds": round(time.monotonic() - began, 1),
                "sets": sets,
            }
        )
    )


if __name__ == "__main__":
    main()
