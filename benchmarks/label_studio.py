"""Figure: how fast tasks go in and out, against Label Studio 1.23.2 with its default SQLite, in the same run; goals 10 and 50.

10,000 made-up solutions of six steps, as the same files of tasks for both: without labels, and with one label each. Label Studio gets them
through its API, as its page sends them, and exports JSON. Stepmark loads each file with one `manage.py load_solutions`, and exports the
labels with one `manage.py export --format labelstudio`, which takes a snapshot first. The tasks have no reference answers, because Label
Studio grades none. `lines`: the tasks without labels as JSON lines, which Label Studio does not take. `start_seconds`, what a command takes
that does nothing, is taken off: Label Studio runs already. What Label Studio exports must load into Stepmark as the same labels.

`ratio` = `import_ratio`: our tasks per second over theirs, without labels; `import_ratio_labeled`: with labels. `export_ratio`: their
seconds over ours. `published`: the same over what was published of Label Studio, import of 1,123 to 2,027 tasks/s and export of 10,000 in
17.7 to 58.3 s, each over the better one. `--without-peer`: only that. `--smoke`: 50 tasks, without the peer.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.load import made_up, timed
from benchmarks.peers import label_studio
from benchmarks.temporary_site import running_home
from trainer.formats import FORMATS, read_lines
from trainer.writers import LABELING_CONFIG

PUBLISHED_TASKS, PUBLISHED_IMPORT, PUBLISHED_EXPORT = 10_000, 2_027, 17.7


def tasks(count: int, *, labeled: bool) -> Iterator[dict[str, Any]]:
    """Yield tasks of Label Studio; a labeled one has the last of its steps rated bad."""
    for number, one in enumerate(made_up(count, labeled=False)):
        steps = [{"author": str(at), "text": text} for at, text in enumerate(one["steps"], 1)]
        result = [
            {
                "id": f"step{at + 1}",
                "from_name": "rating",
                "to_name": "steps",
                "type": "paragraphlabels",
                "value": {
                    "start": str(at),
                    "end": str(at),
                    "startOffset": 0,
                    "endOffset": len(text),
                    "text": text,
                    "paragraphlabels": ["bad" if at == len(steps) - 1 else "good"],
                },
            }
            for at, text in enumerate(one["steps"])
        ]
        given = [{"id": number + 1, "was_cancelled": False, "ground_truth": False, "lead_time": 9.5, "result": result}] if labeled else []
        yield {"data": {"problem": one["problem"], "steps": steps}, "annotations": given}


def write(path: Path, rows: Iterator[dict[str, Any]]) -> Path:
    """Write one JSON array, an object a line."""
    with path.open("w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    return path


def labels_in(path: Path) -> list[tuple[Any, ...]]:
    """Return what our reader finds in a file of tasks: the problem, the steps and the ratings of each annotation."""
    read = FORMATS["labelstudio"].solutions
    assert read
    found = [one for _, fields in read_lines(path, megabytes=1_000) for one in read(fields)]
    return [
        (one.problem.statement, one.steps, [label.rating for label in one.annotation.labels] if one.annotation else None) for one in found
    ]


def measure_ours(files: dict[str, Path], home: Path, count: int) -> dict[str, Any]:
    from annotation import projects

    start = timed("check", "--tag", "compatibility")["seconds"]
    figures: dict[str, Any] = {"start_seconds": start}
    for name, path in files.items():
        projects.create_project(name, name=name)
        took = timed("load_solutions", str(path), "--project", name)
        figures[name] = {**took, "tasks_per_s": round(count / max(took["seconds"] - start, 0.1))}
    out = home / "ours.json"
    seconds = timed("export", "--project", "labeled", "--format", "labelstudio", "--split", "all", "--out", str(out))["seconds"]
    figures["export_seconds"] = round(max(seconds - start, 0.1), 1)
    if sorted(labels_in(out)) != sorted(labels_in(files["labeled"])):
        sys.exit("What Stepmark exported is not what it loaded.")
    return figures


def measure_theirs(files: dict[str, Path], folder: Path, count: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with label_studio.running(folder) as peer:
        for name, path in files.items():
            project = peer.make_project(LABELING_CONFIG)
            began = time.monotonic()
            counted = peer.import_file(project, path)
            seconds = time.monotonic() - began
            if counted["task_count"] != count:
                sys.exit(f"Label Studio took {counted['task_count']:,} of {count:,} tasks.")
            figures[name] = {"seconds": round(seconds, 1), "tasks_per_s": round(count / seconds)}
        began = time.monotonic()
        exported = peer.export(project)
        figures["export_seconds"] = round(time.monotonic() - began, 1)
    (folder / "theirs.json").write_bytes(exported)
    if sorted(labels_in(folder / "theirs.json")) != sorted(labels_in(files["labeled"])):
        sys.exit("What Label Studio exported is not what it was given.")
    return figures


def measure(home: Path, *, count: int, has_peer: bool) -> dict[str, Any]:
    files = {
        name: write(home / f"{name}.json", tasks(count, labeled=is_labeled)) for name, is_labeled in (("plain", False), ("labeled", True))
    }
    lines = home / "lines.jsonl"
    lines.write_text("".join(json.dumps(task) + "\n" for task in tasks(count, labeled=False)), encoding="utf-8")
    ours = measure_ours(files | {"lines": lines}, home, count)
    published = {
        "import_ratio": round(ours["plain"]["tasks_per_s"] / PUBLISHED_IMPORT, 2),
        "export_ratio": round(PUBLISHED_EXPORT * count / PUBLISHED_TASKS / ours["export_seconds"], 2),
    }
    if not has_peer:
        return {"ratio": published["import_ratio"], "tasks": count, "published": published, "ours": ours, "label_studio": None}
    with tempfile.TemporaryDirectory() as folder:
        theirs = measure_theirs(files, Path(folder), count)
    import_ratio = round(ours["plain"]["tasks_per_s"] / theirs["plain"]["tasks_per_s"], 2)
    return {
        "ratio": import_ratio,
        "import_ratio": import_ratio,
        "import_ratio_labeled": round(ours["labeled"]["tasks_per_s"] / theirs["labeled"]["tasks_per_s"], 2),
        "export_ratio": round(theirs["export_seconds"] / ours["export_seconds"], 2),
        "tasks": count,
        "published": published,
        "ours": ours,
        "label_studio": theirs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench label_studio", description="Measure imports and exports against Label Studio.")
    parser.add_argument("--smoke", action="store_true", help="the smallest form: shows that the benchmark runs, says nothing about speed")
    parser.add_argument("--count", type=int, default=10_000, help="tasks (default: %(default)s)")
    parser.add_argument("--without-peer", action="store_true", help="do not install and start Label Studio; compare with published figures")
    options = parser.parse_args()
    with running_home() as home:
        count = 50 if options.smoke else options.count
        print(json.dumps(measure(home, count=count, has_peer=not (options.smoke or options.without_peer))))


if __name__ == "__main__":
    main()
