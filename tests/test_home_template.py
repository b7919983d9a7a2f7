"""The migrated database that benchmarks copy: made once, and made anew when what decides about it changes."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.temporary_site import template


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The databases that were made; nothing is migrated."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    calls: list[Path] = []

    def make(source: Path) -> None:
        calls.append(source)
        (source / "data").mkdir(parents=True)
        (source / "data" / "PG_VERSION").write_text("18")
        (source / "made").touch()

    monkeypatch.setattr(template, "_make", make)
    return calls


def test_of_several_homes_that_are_filled_at_once_one_makes_the_database(made: list[Path], tmp_path: Path) -> None:
    homes = [tmp_path / f"home{number}" for number in range(6)]
    with ThreadPoolExecutor(len(homes)) as pool:
        list(pool.map(template.fill, homes))
    assert len(made) == 1
    assert {(home / "postgres" / "data" / "PG_VERSION").read_text() for home in homes} == {"18"}
    assert all((home / "postgres" / "made").exists() for home in homes)


def test_a_database_that_nobody_used_for_a_week_is_deleted_when_another_is_made(made: list[Path], tmp_path: Path) -> None:
    old, recent = template.cache() / "old", template.cache() / "recent"
    for folder in (old, recent):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    template.fill(tmp_path / "home")
    assert not old.exists() and recent.exists() and made[0].exists()


@pytest.mark.parametrize("name", ["annotation/migrations/0001_initial.py", "requirements.txt", "labelapp/embedded_postgres.py"])
def test_a_change_of_what_decides_about_the_database_makes_another_one(name: str, tmp_path: Path) -> None:
    for folder in ("annotation/migrations", "active_learning/migrations"):
        shutil.copytree(template.ROOT / folder, tmp_path / folder)
    for file in ("requirements.txt", "labelapp/settings.py", "labelapp/embedded_postgres.py", "benchmarks/temporary_site/template.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(template.ROOT / file, tmp_path / file)
    before = template.fingerprint(tmp_path)
    assert before == template.fingerprint()
    with (tmp_path / name).open("a") as changed:
        changed.write("# changed\n")
    assert template.fingerprint(tmp_path) != before
