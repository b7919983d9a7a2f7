"""The files of the pages in production: collected when they have changed, under names with a hash."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.templatetags.static import static
from django.test import Client, override_settings

from labelapp import static_files


@pytest.fixture
def source(tmp_path: Path) -> Any:
    """A folder of sources, in settings as production has them."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "site.css").write_text("a { color: red }")
    storages = {"staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}}
    finders = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    with override_settings(
        STATICFILES_DIRS=[folder], STATICFILES_FINDERS=finders, STATIC_ROOT=tmp_path / "static", STORAGES=storages, DEBUG=False
    ):
        yield folder


def test_files_are_collected_once(source: Path) -> None:
    assert (static_files.collect(), static_files.collect()) == (True, False)


def test_a_changed_file_is_collected_and_its_old_version_stays(source: Path, tmp_path: Path) -> None:
    static_files.collect()
    (source / "site.css").write_text("a { color: tan }")  # as long as before
    assert static_files.collect()
    assert len([path for path in (tmp_path / "static").glob("site.*.css")]) == 2


def test_a_new_prefix_or_a_lost_folder_is_collected_again(source: Path, tmp_path: Path) -> None:
    static_files.collect()
    with override_settings(STATIC_URL="/stepmark/static/"):
        assert static_files.collect()
    assert static_files.collect()
    shutil.rmtree(tmp_path / "static")
    assert static_files.collect()
    assert "site.css" in json.loads((tmp_path / "static" / "staticfiles.json").read_text())["paths"]


def test_pages_name_files_by_their_hash(source: Path) -> None:
    static_files.collect()
    assert static("site.css").startswith("/static/site.") and static("site.css") != "/static/site.css"


def test_collecting_that_breaks_off_is_done_again(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(static_files, "call_command", full)
        with pytest.raises(OSError):
            static_files.collect()
    assert static_files.collect()


def test_of_two_web_processes_that_start_together_one_collects(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collect, running, results = static_files.call_command, threading.Semaphore(1), []

    def alone(*arguments: Any, **options: Any) -> None:
        assert running.acquire(blocking=False), "two at once"
        collect(*arguments, **options)
        running.release()

    monkeypatch.setattr(static_files, "call_command", alone)
    threads = [threading.Thread(target=lambda: results.append(static_files.collect())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, False, False, True]


def test_the_icon_that_browsers_ask_for_is_answered_without_signing_in(client: Client) -> None:
    answer = client.get("/favicon.ico")
    assert answer.status_code == 200 and b"".join(answer).startswith(b"\0\0\1\0")


def test_the_administration_names_its_lists_in_plain_english() -> None:
    admin.autodiscover()
    plurals = {str(model._meta.verbose_name_plural) for model in admin.site._registry}
    assert "batches" in plurals and not [words for words in plurals if words.endswith(("chs", "shs", "sss", "xs"))]
