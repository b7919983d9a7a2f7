"""Data set folders: files, card and Croissant metadata of a snapshot; whole or not there; pushed to a hub, or refused in a sentence."""

import csv
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pyarrow.parquet as pq
import pytest
import yaml
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from annotation import export, ingest, quality
from annotation.export.folders import BadFolder
from annotation.models import Problem, Project, Snapshot, SnapshotFile, Solution
from benchmarks import peers
from tests import make
from tests.annotation.test_formats import completion, step, write
from tests.annotation.test_ingest import KIM, LEE, record
from tests.exports import label
from tests.hub import TOKEN, Hub, hub
from trainer.contamination import Fingerprint
from trainer.files import OutputRefused
from trainer.writers import WRITERS

pytestmark = pytest.mark.django_db

PROBLEMS = [
    f"Anna has {number} apples. She gives 5 of them to Ben and buys {number} more at the market. How many apples does she have?"
    for number in range(10, 22)
]


def read_twice(text: str, *, second_finds: int) -> list[dict[str, Any]]:
    """Two people read one solution of three steps. The first finds no mistake."""
    steps = ["First.", "Then.", f"So 6. {text[:12]}\n\n# Answer\n\n6"]

    def reading(labeler: str, mistake: int | None) -> dict[str, Any]:
        rated = [step([completion(own, -1 if place == mistake else 1, None)], chosen=0) for place, own in enumerate(steps)]
        made = record(*(rated[: mistake + 1] if mistake is not None else rated), labeler=labeler)
        made["question"] = {"problem": text, "ground_truth_answer": "6", "pre_generated_steps": steps}
        made["label"]["finish_reason"] = "found_error" if mistake is not None else "solution"
        return made | {"generation": 3}

    return [reading(KIM, None), reading(LEE, second_finds)]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make.project("fruit")
    rows = [row for place, text in enumerate(PROBLEMS) for row in read_twice(text, second_finds=place % 3)]
    ingest.load_solutions(write(tmp_path / "labels.jsonl", *rows), project=made)
    return made


@pytest.fixture
def snapshot(project: Project) -> Snapshot:
    return export.take_dataset(project)


def folder_of(snapshot: Snapshot, place: Path, **options: Any) -> export.DatasetFolder:
    return export.write_dataset_folder(snapshot, place, export.CardFacts("Fruit", "cc-by-4.0"), **options)


def front_matter(place: Path) -> dict[str, Any]:
    head = (place / "README.md").read_text().split("---\n")[1]
    found: dict[str, Any] = yaml.safe_load(head)
    return found


# --- files ------------------------------------------------------------------------------------------------------------------------


def test_a_folder_has_a_file_for_each_format_and_part_and_the_card_names_them(snapshot: Snapshot, tmp_path: Path) -> None:
    made = folder_of(snapshot, tmp_path / "f", formats=("trl", "labels", "prm800k"))
    names = {str(path.relative_to(made.path)) for path in made.path.rglob("*") if path.is_file()}
    data = {"data/trl-train.parquet", "data/labels-train.parquet", "data/prm800k-train.parquet"}
    assert names == {"README.md", "croissant.json", *data}
    head = front_matter(made.path)
    assert (head["license"], head["pretty_name"], head["size_categories"]) == ("cc-by-4.0", "Fruit", ["n<1K"])
    assert {file["path"] for config in head["configs"] for file in config["data_files"]} == data
    assert [config["config_name"] for config in head["configs"] if config.get("default")] == ["trl"]
    assert pq.read_table(made.path / "data/trl-train.parquet").num_rows == 24


def test_parts_are_divided_by_problems_and_a_part_without_rows_has_no_file(snapshot: Snapshot, tmp_path: Path) -> None:
    made = folder_of(snapshot, tmp_path / "f", formats=("labels",), rule=export.SplitRule(train=0.6, valid=0.4, test=0))
    assert [file.part for file in made.files] == ["train", "valid"]
    problems = [set(pq.read_table(made.path / file.path)["problem_id"].to_pylist()) for file in made.files]
    assert problems[0] and problems[1] and not problems[0] & problems[1]
    assert [file["split"] for file in front_matter(made.path)["configs"][0]["data_files"]] == ["train", "validation"]


def test_the_same_snapshot_gives_the_same_bytes_whatever_happened_meanwhile(snapshot: Snapshot, tmp_path: Path) -> None:
    folder_of(snapshot, tmp_path / "one")
    ingest.load_solutions(write(tmp_path / "more.jsonl", *read_twice("What is 3 + 3?", second_finds=0)), project=snapshot.project)
    folder_of(snapshot, tmp_path / "two")
    files = [sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("one", "two")]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


def test_every_file_is_noted_with_its_hash_under_the_place_where_it_is(snapshot: Snapshot, tmp_path: Path) -> None:
    made = folder_of(snapshot, tmp_path / "f")
    for noted in SnapshotFile.objects.filter(snapshot=snapshot):
        assert hashlib.sha256((made.path / "data" / Path(noted.name).name).read_bytes()).hexdigest() == noted.sha256
    assert SnapshotFile.objects.filter(snapshot=snapshot).count() == 2


def test_croissant_names_each_file_with_its_hash_and_each_field_of_a_table(snapshot: Snapshot, tmp_path: Path) -> None:
    made = folder_of(snapshot, tmp_path / "f", formats=("trl", "prm800k"))
    about = json.loads((made.path / "croissant.json").read_bytes())
    assert {file["contentUrl"]: file["sha256"] for file in about["distribution"]} == {
        file.path: hashlib.sha256((made.path / file.path).read_bytes()).hexdigest() for file in made.files
    }
    [table] = about["recordSet"]
    assert [(field["name"], field["dataType"], field.get("repeated", False)) for field in table["field"]] == [
        ("prompt", "sc:Text", False), ("completions", "sc:Text", True), ("labels", "sc:Boolean", True),
    ]  # fmt: skip


# --- the card ---------------------------------------------------------------------------------------------------------------------


def test_the_card_says_how_many_labeled_what_and_how_far_they_agree(snapshot: Snapshot, tmp_path: Path) -> None:
    made = folder_of(snapshot, tmp_path / "f")
    card = (made.path / "README.md").read_text()
    assert "24 annotations of 12 solutions to 12 problems by 2 people" in card
    assert "24 annotations were made elsewhere and loaded from files." in card
    assert "At least two people read 12 solutions." in card
    assert "| same first mistake, or both none | 0% (0% to " in card
    assert "| positive (1) | 48 |" in card and "| negative (-1) | 12 |" in card
    assert "`cc-by-4.0`" in card and "## Limits" in card
    assert "labels of one person only" not in card


def test_an_agreement_of_nobody_is_not_claimed(tmp_path: Path) -> None:
    project = make.project()
    make.batch(project, make.solutions(project, 1))
    label(project, 1, -1, finish_reason="found_error")
    made = folder_of(export.take_dataset(project), tmp_path / "f")
    card = (made.path / "README.md").read_text()
    assert "No solution here has labels of two people. So it does not show" in card and "1 solution has labels of one person only." in card
    assert "1 annotation was made in Stepmark" in card
    assert "What was asked for: problems of the training split; decisions of reviewers beside other labels." in card


@pytest.mark.parametrize(
    ("spec", "said", "not_said"),
    [
        ({"labels": "consensus"}, ["The data set has one label of each solution. So it does not show", "have a consensus"], []),
        ({"agreement": "disagree"}, ["A filter chose by what people said", "people differ on the first mistake"], ["of one person only"]),
    ],
)
def test_a_card_claims_nothing_that_only_its_filter_made(
    project: Project, tmp_path: Path, spec: dict[str, Any], said: list[str], not_said: list[str]
) -> None:
    quality.settle(project)
    made = folder_of(export.take_dataset(project, export.SnapshotFilter.from_spec(spec)), tmp_path / "f")
    card = (made.path / "README.md").read_text()
    assert all(words in card for words in said)
    assert not any(words in card for words in [*not_said, "labels of one person only"])


def test_no_account_is_in_a_folder(project: Project, tmp_path: Path) -> None:
    make.batch(project, make.solutions(project, 1))
    label(project, 1, -1, finish_reason="found_error")
    User.objects.filter(username=make.ann(project).username).update(first_name="Canarina", last_name="Bird", email="canary@example.org")
    made = folder_of(export.take_dataset(project), tmp_path / "f", formats=("labels", "prm800k"))
    for path in made.path.rglob("*"):
        content = b"" if path.is_dir() else path.read_bytes()
        if path.suffix == ".parquet":  # its columns are packed
            content = repr(pq.read_table(path).to_pylist()).encode()
        for word in (b"Canarina", b"Bird", b"canary@"):
            assert word not in content, path


def test_guidelines_are_in_the_card_in_the_versions_that_labels_were_made_under(tmp_path: Path) -> None:
    project = make.project()
    Project.objects.filter(pk=project.pk).update(guidelines="Mark the **first** mistake.")
    make.batch(project, make.solutions(project, 2))
    label(project, 1, -1, finish_reason="found_error")
    Project.objects.filter(pk=project.pk).update(guidelines="A newer text that no label was made under.")
    card = (folder_of(export.take_dataset(project), tmp_path / "f").path / "README.md").read_text()
    assert "> Mark the **first** mistake." in card and "newer text" not in card


def test_a_text_with_bars_and_line_ends_breaks_no_table(project: Project, tmp_path: Path) -> None:
    Solution.objects.update(source="model | with\nbars")
    card = (folder_of(export.take_dataset(project), tmp_path / "f").path / "README.md").read_text()
    assert "| model \\| with bars | 24 | 100.0% |" in card


def test_a_path_that_two_people_walked_is_not_called_the_work_of_one(tmp_path: Path) -> None:
    project, walked = make.project(), step([completion("wrong", -1), completion("right")], chosen=1)
    ingest.load_solutions(write(tmp_path / "f.jsonl", record(walked, labeler=KIM), record(walked, labeler=LEE)), project=project)
    snapshot = export.take_dataset(project)
    made = folder_of(snapshot, tmp_path / "f", formats=("labels",))
    assert (snapshot.counts["solutions"], made.description.alone, made.description.shared) == (1, 0, 1)
    card = (made.path / "README.md").read_text()
    assert "People made solutions step by step." in card and "stopped at the first mistake" not in card
    assert "2 other texts for single steps were rated too." in card and "So the number of people can be wrong." in card


def test_a_format_without_rows_is_refused_with_the_reasons(snapshot: Snapshot, tmp_path: Path) -> None:
    with pytest.raises(OutputRefused, match="No row of preferences can be written. 24 annotations are left out: no step has two texts"):
        folder_of(snapshot, tmp_path / "g", formats=("trl", "preferences"))
    assert not (tmp_path / "g").exists()


def test_an_empty_snapshot_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OutputRefused, match="The snapshot is empty"):
        folder_of(export.take_dataset(make.project()), tmp_path / "f")


def test_an_id_with_a_bar_breaks_no_table(project: Project, tmp_path: Path) -> None:
    Problem.objects.filter(statement=PROBLEMS[0]).update(external_id="a|b")
    own = {"Own": Fingerprint.of([("c|d", PROBLEMS[0])])}
    card = (folder_of(export.take_dataset(project), tmp_path / "f", benchmarks=own).path / "README.md").read_text()
    assert "| `a\\|b` | Own | `c\\|d` | the same |" in card


def test_problems_of_benchmarks_are_counted_and_listed(snapshot: Snapshot, tmp_path: Path) -> None:
    benchmark = tmp_path / "own.jsonl"
    benchmark.write_text(
        "".join(json.dumps({"problem": text, "answer": "1", "id": f"own-{place}"}) + "\n" for place, text in enumerate(PROBLEMS[:2]))
    )
    place = tmp_path / "f"
    call_command("make_folder", project="fruit", snapshot=1, out=str(place), licence="mit", benchmark=[f"Own={benchmark}"], formats=["trl"])
    rows = list(csv.DictReader((place / "contamination.csv").read_text().splitlines()))
    exact = [row for row in rows if row["share_of_word_sequences"] == "1.000"]
    assert [(row["benchmark"], row["benchmark_id"]) for row in exact] == [("Own", "own-0"), ("Own", "own-1")]
    assert f"| Own | 2 | 2 | {len(rows) - 2} |" in (place / "README.md").read_text()
    assert "| MATH-500 | 500 | 0 | 0 |" in (place / "README.md").read_text()


@pytest.mark.long
def test_datasets_loads_each_configuration_and_split_of_a_folder(snapshot: Snapshot, tmp_path: Path) -> None:
    made = folder_of(snapshot, tmp_path / "f", formats=tuple(WRITERS), rule=export.SplitRule(train=0.6, valid=0.4, test=0))
    code = (
        "import json, sys, datasets\n"
        "names = datasets.get_dataset_config_names(sys.argv[1])\n"
        "sizes = lambda name: {split: len(rows) for split, rows in datasets.load_dataset(sys.argv[1], name).items()}\n"
        "print(json.dumps({name: sizes(name) for name in names}))"
    )
    environment = os.environ | {"PYTHONPATH": str(peers.install("trl")), "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code, str(made.path)], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3_000:]
    expected: dict[str, dict[str, int]] = {}
    for file in made.files:
        expected.setdefault(file.config, {})["validation" if file.part == "valid" else file.part] = file.written.n_records
    assert json.loads(done.stdout.splitlines()[-1]) == expected


# --- the place --------------------------------------------------------------------------------------------------------------------


def test_a_folder_with_other_files_is_never_replaced(snapshot: Snapshot, tmp_path: Path) -> None:
    place = tmp_path / "mine"
    place.mkdir()
    (place / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(OutputRefused):
            folder_of(snapshot, place, overwrite=overwrite)
    made = folder_of(snapshot, tmp_path / "made")
    (made.path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputRefused, match="thesis.txt"):
        folder_of(snapshot, made.path, overwrite=True)
    assert (made.path / "thesis.txt").read_text() == (place / "thesis.txt").read_text() == "years of work"


def test_a_data_set_folder_is_replaced_when_asked(snapshot: Snapshot, tmp_path: Path) -> None:
    folder_of(snapshot, tmp_path / "f")
    with pytest.raises(OutputRefused, match="--overwrite"):
        folder_of(snapshot, tmp_path / "f", formats=("labels",))
    folder_of(snapshot, tmp_path / "f", formats=("labels",), overwrite=True)
    assert [path.name for path in (tmp_path / "f" / "data").iterdir()] == ["labels-train.parquet"]


def test_a_writing_that_fails_leaves_nothing(snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("annotation.export.folders.write_card", full)
    with pytest.raises(ingest.BadFile, match="No space left"):
        folder_of(snapshot, tmp_path / "f")
    assert [path.name for path in tmp_path.iterdir()] == ["labels.jsonl"]
    assert not SnapshotFile.objects.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"licence": "CC BY 4.0"}, "--licence CC BY 4.0"),
        ({"option": ["neutral=bad"]}, "FORMAT.NAME=VALUE"),
        ({"option": ["trl.neutral=ugly"]}, "cannot be 'ugly'"),
        ({"option": ["chat.neutral=bad"]}, "has no chat, and there is an option for it"),
        ({"benchmark": ["own.jsonl"]}, "NAME=FILE"),
        ({"snapshot": 9}, "no snapshot 9"),
        ({"shares": "1"}, "three numbers"),
    ],
)
def test_a_wrong_option_is_refused_and_nothing_is_written(snapshot: Snapshot, tmp_path: Path, options: dict[str, Any], words: str) -> None:
    given = {"project": "fruit", "snapshot": 1, "out": str(tmp_path / "f"), "licence": "mit", **options}
    with pytest.raises(CommandError, match=words) as refusal:
        call_command("make_folder", **given)
    assert refusal.value.returncode == 2 and not (tmp_path / "f").exists()


# huggingface_hub uploads in a way that its HTTP client calls old.
OF_ITS_CLIENT = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

# --- pushing ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with hub() as state:
        monkeypatch.setenv("HF_ENDPOINT", state.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield state


@OF_ITS_CLIENT
def test_a_pushed_folder_is_on_the_hub_byte_for_byte_in_one_commit(snapshot: Snapshot, tmp_path: Path, site: Hub) -> None:
    made = folder_of(snapshot, tmp_path / "f")
    site.files |= {"data/old.parquet": b"of an earlier push", "notes.md": b"of somebody else"}
    call_command("push", str(made.path), to="anna/fruit")
    there = {str(path.relative_to(made.path)): path.read_bytes() for path in made.path.rglob("*") if path.is_file()}
    assert site.files == there | {"notes.md": b"of somebody else"}
    assert (len(site.commits), site.private) == (1, {"anna/fruit": True})


def test_a_damaged_folder_is_not_pushed(snapshot: Snapshot, tmp_path: Path, site: Hub) -> None:
    made = folder_of(snapshot, tmp_path / "f")
    path = made.path / made.files[0].path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CommandError, match="is not what was written"):
        call_command("push", str(made.path), to="anna/fruit")
    path.unlink()
    with pytest.raises(BadFolder, match="is missing"):
        export.push_dataset_folder(made.path, "anna/fruit")
    assert not site.commits and not site.private


def test_a_token_that_the_hub_does_not_accept_is_a_sentence(
    snapshot: Snapshot, tmp_path: Path, site: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = folder_of(snapshot, tmp_path / "f")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(CommandError, match="does not accept the token"):
        call_command("push", str(made.path), to="anna/fruit")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(CommandError, match="no token for the hub"):
        call_command("push", str(made.path), to="anna/fruit")
    assert not site.files


@OF_ITS_CLIENT
def test_a_hub_that_refuses_or_is_gone_is_a_sentence(
    snapshot: Snapshot, tmp_path: Path, site: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = folder_of(snapshot, tmp_path / "f")
    site.refusal = (403, "You have no right to write here.")
    with pytest.raises(CommandError, match="cannot write to anna/fruit. It says: You have no right"):
        call_command("push", str(made.path), to="anna/fruit")
    assert not site.files
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CommandError, match="does not answer"):
        call_command("push", str(made.path), to="anna/fruit")
    with pytest.raises(CommandError, match="OWNER/NAME"):
        call_command("push", str(made.path), to="fruit")


@pytest.mark.parametrize("error", [ConnectionError("Network error: connection reset"), TimeoutError("timed out")])
def test_a_network_that_breaks_below_the_hubs_client_is_a_sentence(
    snapshot: Snapshot, tmp_path: Path, site: Hub, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    made = folder_of(snapshot, tmp_path / "f", formats=("labels",))

    def break_off(*args: Any, **options: Any) -> None:
        raise error  # as the transfer through Xet does, which the stand-in does not have

    monkeypatch.setattr(huggingface_hub.HfApi, "preupload_lfs_files", break_off)
    with pytest.raises(CommandError, match=f"does not answer .{error}.. Check the network, and push again"):
        call_command("push", str(made.path), to="anna/fruit")
    assert not site.commits
