"""Make the fingerprints of public benchmarks anew: trainer/contamination/fingerprints.npz.

Run it as python -m script.benchmark_problems FOLDER. The folder holds math/math500.jsonl, gsm8k/test.jsonl and processbench/*.json as they
are published. The fingerprints are hashes: they hold no text of a problem.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from trainer.contamination import SHIPPED, Fingerprint, store


def fingerprints(folder: Path) -> dict[str, Fingerprint]:
    """Return the fingerprints of the benchmarks in a folder, by their names."""
    return {
        "MATH-500": Fingerprint.of(_lines(folder / "math" / "math500.jsonl", "unique_id", "problem")),
        "GSM8K test": Fingerprint.of((f"test {place}", text) for place, text in _lines(folder / "gsm8k" / "test.jsonl", "", "question")),
        "ProcessBench": Fingerprint.of(
            (row["id"], row["problem"])
            for part in ("gsm8k", "math")
            for row in json.loads((folder / "processbench" / f"{part}.json").read_text())
        ),
    }


def _lines(path: Path, id_field: str, text_field: str) -> Iterator[tuple[str, str]]:
    """Yield id and text of each line. Without a field for the id, it is the number of the line, from 0."""
    for place, line in enumerate(path.read_text().splitlines()):
        row = json.loads(line)
        yield (row[id_field] if id_field else str(place)), row[text_field]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    made = fingerprints(parser.parse_args().folder)
    store(made, SHIPPED)
    print(f"Wrote {', '.join(f'{len(fingerprint):,} problems of {name}' for name, fingerprint in made.items())} to {SHIPPED.name}.")
