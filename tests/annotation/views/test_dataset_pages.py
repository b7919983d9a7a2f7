"""The pages of data sets: a snapshot with a filter is looked at and taken, exported, downloaded, compared, and its files are deleted."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from annotation import export
from annotation.export import orders, previews
from annotation.models import DataOrder, Event, Membership, Project, Snapshot
from tests import make
from tests.clients import signed_in
from tests.exports import label

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.STEPMARK_HOME = tmp_path
    monkeypatch.setattr(orders, "notify_worker", lambda order_id: None)
    return tmp_path


@pytest.fixture
def project() -> Project:
    project = make.project()
    make.batch(project, make.solutions(project, 2))
    for _ in range(2):
        label(project, 1, -1, finish_reason="found_error")
    return project


@pytest.fixture
def rita(project: Project) -> Client:
    return signed_in(make.rita(project))


def at(page: str, **more: Any) -> str:
    return reverse(page, kwargs={"slug": "sums", **more})


def text(client: Client, address: str) -> str:
    return client.get(address).content.decode()


def work(order: DataOrder | None = None) -> DataOrder:
    """Be the worker that does the newest order."""
    order = order or DataOrder.objects.latest("pk")
    assert export.run_order(order.pk) is not None
    return export.find_order(order.project, order.pk)


def exported(rita: Client, **choice: str) -> DataOrder:
    export.take_dataset(Project.objects.get(slug="sums"))
    body = {"format": "trl", "trl.neutral": "bad", "container": "jsonl", "compression": "none", **choice}
    assert rita.post(at("order-export", number=1), body).status_code == 302
    return work()


def test_a_preview_shows_counts_and_records_and_stores_nothing(rita: Client) -> None:
    page = text(rita, at("new-snapshot") + "?preview=1&finish_reasons=found_error&min_labels=1")
    assert "<dt>annotations</dt><dd>2</dd>" in page and "<dt>people</dt><dd>1</dd>" in page
    assert "At least 1 person judged the solution to the end" not in page and "at least 1 person judged the solution to the end" in page
    assert str(Membership.objects.get(user=make.ann()).export_uuid) in page
    assert not DataOrder.objects.exists() and not Snapshot.objects.exists()


def test_a_snapshot_is_taken_by_the_filter_that_the_preview_showed(rita: Client) -> None:
    body = {"splits": "all", "generations": ["0"], "people": f"{Membership.objects.get(user=make.ann()).export_uuid}\n"}
    answer = rita.post(at("new-snapshot"), body)
    order = work()
    assert answer["Location"] == at("order", order_id=order.pk)
    assert order.snapshot and order.snapshot.spec["splits"] == ["train", "test"] and len(order.snapshot.spec["people"]) == 1
    assert rita.get(answer["Location"])["Location"] == at("snapshot", number=1)
    page = text(rita, at("snapshot", number=1))
    assert "problems of both splits; generation 0; labels of" in page and order.snapshot.sha256 in page
    assert "by rita" in page and '<th scope="row"><a href="/p/sums/data/snapshots/1/">1</a></th>' in text(rita, at("data"))


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("batches=987", "987: sums has no such batch. The page Batches of the project lists them."),
        ("generations=7", "7: sums has no such generation. Its generations are: 0."),
        ("people=nobody", "nobody: it is no pseudonym."),
        ("sources=gpt-9", "gpt-9: sums has no solution of this source."),
        ("since=2026-13-01", "2026-13-01: it is no date."),
        ("since=2026-02-01&until=2026-01-01", "it is not after since 2026-02-01T00:00:00+00:00."),
        ("min_labels=0", "0: it must be a whole number, at least 1."),
        ("min_labels=many", "many: it must be a whole number, at least 1."),
        ("agreement=maybe", "Select a valid choice."),
    ],
)
def test_a_filter_that_the_project_cannot_fulfil_is_named_at_its_field(rita: Client, query: str, sentence: str) -> None:
    answer = rita.get(f"{at('new-snapshot')}?preview=1&{query}")
    assert answer.status_code == 400 and sentence in answer.content.decode() and "Take this snapshot" not in answer.content.decode()


def test_a_filter_that_leaves_nothing_cannot_be_taken(rita: Client) -> None:
    page = text(rita, at("new-snapshot") + "?preview=1&min_labels=9")
    assert "No label fulfils this filter" in page and "Take this snapshot" not in page


@pytest.mark.django_db(transaction=True)
def test_a_preview_that_takes_too_long_says_so_and_the_snapshot_can_be_taken(rita: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "_COUNT", f"SELECT pg_sleep(60), 1, 1, 1, {previews._COUNT.partition('SELECT')[2]}")
    monkeypatch.setattr(previews.preview_snapshot, "__kwdefaults__", {"seconds": 0.1})
    page = text(rita, at("new-snapshot") + "?preview=1")
    assert "not counted within 0.1 seconds" in page and "Take this snapshot" in page


def test_an_export_is_asked_for_on_the_page_and_its_file_downloaded_again(rita: Client, home: Path) -> None:
    order = exported(rita, divided="on", train="50", valid="0", test="50", seed="1")
    page = text(rita, at("order", order_id=order.pk))
    assert "A neutral step counts as bad: the first one is the first mistake." in page and "Divided by problems: 50 % train" in page
    for file in order.files.all():
        name = Path(file.name).name
        assert at("export-file", order_id=order.pk, file=name) in page
        answer = rita.get(at("export-file", order_id=order.pk, file=name))
        assert b"".join(answer) == (home / file.name).read_bytes() and answer["ETag"] == f'"{file.sha256}"'
    name = Path(max(order.files.all(), key=lambda file: file.n_bytes).name).name  # which parts are empty is decided by keys
    part = rita.get(at("export-file", order_id=order.pk, file=name), headers={"Range": "bytes=0-3"})
    assert part.status_code == 206 and b"".join(part) == next(home.rglob(name)).read_bytes()[:4]
    assert rita.get(at("export-file", order_id=order.pk, file="other.jsonl")).status_code == 404


def test_shares_that_are_not_a_hundred_are_refused_at_their_field(rita: Client) -> None:
    export.take_dataset(Project.objects.get(slug="sums"))
    answer = rita.post(
        at("order-export", number=1), {"format": "trl", "container": "jsonl", "compression": "none", "divided": "on", "train": "50"}
    )
    assert answer.status_code == 400 and "must be 100 in sum" in answer.content.decode() and not DataOrder.objects.exists()


def test_a_large_set_is_asked_for_in_several_files_and_each_is_downloaded(rita: Client, home: Path) -> None:
    order = exported(rita, several="on", max_records="1", max_megabytes="2.5")
    page = text(rita, at("order", order_id=order.pk))
    assert "Several files, each with at most 1 row and 2.5 MB before packing." in page and "2 files</h2>" in page
    for file in order.files.all():
        address = at("export-file", order_id=order.pk, file=Path(file.name).name)
        assert address in page and file.sha256 in page and b"".join(rita.get(address)) == (home / file.name).read_bytes()
    assert exported(rita, max_records="1").limits == {}, "what is not chosen does not count"


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({}, "Write how many rows or MB a file holds at most."),
        ({"max_records": "0"}, "greater than or equal to 1"),
        ({"max_megabytes": "many"}, "Enter a number."),
    ],
)
def test_a_limit_of_files_that_cannot_be_kept_is_refused_at_its_field(rita: Client, choice: dict[str, str], sentence: str) -> None:
    export.take_dataset(Project.objects.get(slug="sums"))
    body = {"format": "trl", "container": "jsonl", "compression": "none", "several": "on", **choice}
    answer = rita.post(at("order-export", number=1), body)
    assert answer.status_code == 400 and sentence in answer.content.decode() and not DataOrder.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_deleted_files_keep_a_record_that_names_who_deleted_them(rita: Client) -> None:
    order = exported(rita)
    name, sha256 = "sums-snapshot-1-trl.jsonl", order.files.get().sha256
    rita.post(at("delete-export-files", order_id=order.pk))
    page = text(rita, at("order", order_id=order.pk))
    assert "rita deleted the files" in page and name in page and sha256 in page
    answer = rita.get(at("export-file", order_id=order.pk, file=name), follow=True)
    assert "was deleted from the server. Export snapshot 1 again: the bytes are the same." in answer.content.decode()
    assert Event.objects.filter(verb="delete exported files", actor__username="rita").exists()


def test_the_labels_are_downloaded_with_one_click_and_a_worker(rita: Client) -> None:
    answer = rita.post(at("download-labels"))
    assert "It waits for a worker." in text(rita, answer["Location"])
    order = work()
    assert "Download sums-snapshot-1-prm800k.jsonl" in text(rita, answer["Location"])
    content = b"".join(rita.get(at("export-file", order_id=order.pk, file="sums-snapshot-1-prm800k.jsonl")))
    assert content.count(b"\n") == 2


def test_a_failed_order_says_why_and_a_cancelled_one_can_be_asked_for_again(rita: Client) -> None:
    rita.post(at("new-snapshot"), {"min_labels": "9"})
    assert "No label of sums fulfils the filter" in text(rita, at("order", order_id=work().pk))
    rita.post(at("download-labels"))
    order = DataOrder.objects.latest("pk")
    assert "It is cancelled." in rita.post(at("cancel-order", order_id=order.pk), follow=True).content.decode()
    assert "It has ended already." in rita.post(at("cancel-order", order_id=order.pk), follow=True).content.decode()
    rita.post(at("download-labels"))
    assert DataOrder.objects.latest("pk").pk != order.pk


def test_a_page_that_looks_on_gets_the_progress_and_is_loaded_again_at_the_end(rita: Client) -> None:
    rita.post(at("download-labels"))
    order = DataOrder.objects.latest("pk")
    progress = {"stage": "writing", "done": 500, "total": 2_000, "seconds_left": 90}
    DataOrder.objects.update(state="running", heartbeat_at="2026-11-26T00:00Z", progress=progress)
    fragment = rita.get(at("order", order_id=order.pk) + "?seen=running", headers={"HX-Request": "true"}).content.decode()
    assert "Writing: 500 of 2,000" in fragment and "about 1.5\N{NO-BREAK SPACE}min left" in fragment and "<h1>" not in fragment
    DataOrder.objects.update(state="done")
    assert rita.get(at("order", order_id=order.pk) + "?seen=running", headers={"HX-Request": "true"})["HX-Refresh"] == "true"


def test_a_folder_is_packed_with_its_card_which_the_page_shows(rita: Client, home: Path) -> None:
    export.take_dataset(Project.objects.get(slug="sums"))
    folder = {"title": "Sums of <b>Rita</b>", "language": "en", "formats": ["trl", "prm800k"]}
    refused = rita.post(at("order-folder", number=1), folder | {"licence": "my own"}).content.decode()
    assert "is no identifier of a licence. Write one such as cc-by-4.0 or mit." in refused
    assert "Select a valid choice." in rita.post(at("order-folder", number=1), folder | {"trl.neutral": "blue"}).content.decode()
    folder |= {"trl.neutral": "bad", "chat.neutral": "bad"}  # the second is of a format that was not chosen
    rita.post(at("order-folder", number=1), folder | {"licence": "cc-by-4.0"})
    order = work()
    page = text(rita, at("order", order_id=order.pk))
    bad = "A neutral step counts as bad: the first one is the first mistake."
    assert f"trl: {bad}" in page and bad in export.card_of(order) and set(order.options["options"]) == {"trl", "prm800k"}
    assert "Sums of &lt;b&gt;Rita" in page and "cc-by-4.0" in page
    content = b"".join(rita.get(at("export-file", order_id=order.pk, file="sums-snapshot-1.zip")))
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert {"sums-snapshot-1/README.md", "sums-snapshot-1/croissant.json", "sums-snapshot-1/data/trl-train.parquet"} <= set(names)
    assert sorted(path.name for path in (home / "exports").rglob("*") if path.is_file()) == ["README.md", "sums-snapshot-1.zip"]
    first = order.files.get(name__endswith=".zip").sha256
    DataOrder.objects.update(files_deleted_at="2026-11-26T00:00Z")
    rita.post(at("order-folder", number=1), folder | {"licence": "cc-by-4.0"})
    assert work().files.get(name__endswith=".zip").sha256 == first


def test_two_snapshots_and_the_labels_of_now_are_compared(rita: Client, project: Project) -> None:
    export.take_dataset(project)
    make.batch(project, make.solutions(project, 1))
    label(project, 1, -1, finish_reason="found_error")
    assert "<dt>added</dt><dd>1</dd></div><div><dt>removed</dt><dd>0</dd>" in text(rita, at("snapshot", number=1) + "?with=now")
    export.take_dataset(project)
    page = text(rita, at("snapshot", number=2) + "?with=1")
    assert "From snapshot 1 to snapshot 2" in page and "<dt>added</dt><dd>1</dd>" in page and "With new labels: problem" in page
    assert "sums has no snapshot 9." in text(rita, at("snapshot", number=1) + "?with=9")


def test_a_list_that_a_training_took_is_shown_without_exports(rita: Client, project: Project) -> None:
    export.take_snapshot(project, use=export.datasets.Use.TRAINING)
    page = text(rita, at("snapshot", number=1))
    assert "It cannot be exported." in page and "what a training learns from" in page and "by a training" in page
    refused = rita.post(at("order-export", number=1), {"format": "trl", "container": "jsonl", "compression": "none"})
    assert refused.status_code == 400 and not DataOrder.objects.exists()
