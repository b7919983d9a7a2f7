"""Where scores lie: a partition attached when whole, files for those of old versions."""

import errno
import gzip
import logging
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from active_learning import scoring
from active_learning.models import ModelVersion, ProblemMean, Score, ScoreShard, ShardState
from active_learning.scoring import files, partitions
from tests import make
from tests.scorings import begun, reading, rows, score, version_of

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)  # several connections are needed, or a commit


# --- the partition ------------------------------------------------------------------------------------------------------------


@committed
def test_a_scoring_leaves_autovacuum_nothing_to_rewrite(version: ModelVersion) -> None:
    def seen_by_all() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT relallvisible = relpages FROM pg_class WHERE oid = to_regclass(%s)", [scoring.partition(version)])
            return cursor.fetchone()[0]

    score(version)
    assert seen_by_all()
    scoring.drop_to_file(version)
    scoring.restore(version)
    assert seen_by_all()


@committed
def test_half_a_scoring_is_never_seen_and_readers_hold_nothing_up(version: ModelVersion) -> None:
    seen: list[int] = []
    with reading():
        score(version, progress=lambda *_: seen.append(Score.objects.filter(model_version=version).count()))
    assert set(seen) == {0} and len(rows(version)) == 10


def test_a_table_has_every_index_before_it_is_attached(version: ModelVersion) -> None:
    begun(version)
    with connection.cursor() as cursor:
        partitions.index(cursor, scoring.partition(version), version=version)
        cursor.execute(
            "SELECT tablename, indexdef FROM pg_indexes WHERE tablename IN ('active_learning_score', %s)", [scoring.partition(version)]
        )
        found: dict[str, list[str]] = {}
        for table, definition in cursor.fetchall():
            found.setdefault(table, []).append(definition.partition(" USING ")[2])
    assert len(found["active_learning_score"]) > 1
    assert sorted(found[scoring.partition(version)]) == sorted(found["active_learning_score"])


def test_what_helped_to_attach_is_gone_afterwards(version: ModelVersion) -> None:
    score(version)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_constraint WHERE conname = %s", [f"{scoring.partition(version)}_version"])
        assert cursor.fetchone() == (0,)


def test_a_fence_that_falls_attaches_nothing_and_the_next_run_does(version: ModelVersion) -> None:
    class Fallen(Exception): ...

    def falls_when_all_is_scored() -> None:
        if not ScoreShard.objects.exclude(state=ShardState.DONE).exists() and ScoreShard.objects.exists():
            raise Fallen

    with pytest.raises(Fallen):
        score(version, fence=falls_when_all_is_scored)
    assert rows(version) == []
    score(version)
    assert len(rows(version)) == 10
    assert Counter(ScoreShard.objects.values_list("attempt", flat=True)) == {1: 3}


# --- files --------------------------------------------------------------------------------------------------------------------


@committed
def test_scores_go_to_a_file_and_come_back_the_same(version: ModelVersion, home: Path) -> None:
    score(version)
    before, means = rows(version), dict(ProblemMean.objects.values_list("problem", "per_step"))
    file = scoring.drop_to_file(version)
    assert file == home / "scores" / "sums" / "1.csv.gz"
    assert rows(version) == [] and not ScoreShard.objects.exists() and not ProblemMean.objects.exists()
    assert ModelVersion.objects.get().scores_file == "scores/sums/1.csv.gz" and len(ModelVersion.objects.get().scores_sha256) == 64
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    assert lines[0] == partitions.COLUMNS.replace(" ", "") and len(lines) == 11
    written = file.read_bytes()
    assert scoring.restore(version) == 10
    assert rows(version) == before and not file.exists() and ModelVersion.objects.get().scores_file == ""
    assert means and dict(ProblemMean.objects.values_list("problem", "per_step")) == pytest.approx(means)
    assert scoring.drop_to_file(version).read_bytes() == written


def test_a_version_that_serves_again_gets_its_scores_back_and_scores_what_is_new(version: ModelVersion) -> None:
    score(version)
    before = rows(version)
    scoring.drop_to_file(version)
    added = make.solution(make.problem(version.project))
    score(version)
    assert rows(version)[:-1] == before and rows(version)[-1][1] == added.pk
    assert ScoreShard.objects.count() == 1


@pytest.mark.parametrize("harm", [lambda file: file.unlink(), lambda file: file.write_bytes(file.read_bytes()[:-9])], ids=["gone", "cut"])
def test_a_damaged_file_is_named_and_a_round_scores_again(
    version: ModelVersion, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    score(version)
    harm(scoring.drop_to_file(version))
    with pytest.raises(scoring.ScoreFileDamaged, match="The scores of model 1 .*Restore scores/sums/1.csv.gz from a backup"):
        scoring.restore(version)
    with caplog.at_level(logging.WARNING):
        score(version)
    assert "The model scores again now" in caplog.text and len(rows(version)) == 10
    assert ModelVersion.objects.get().scores_file == ""


def test_the_scores_of_a_version_in_service_or_to_be_kept_stay(version: ModelVersion) -> None:
    score(version)
    with pytest.raises(scoring.ScoresRefused, match="still needs model 1"):
        scoring.drop_to_file(version, keep={1})
    ModelVersion.objects.update(champion=True)  # meanwhile: the version at hand does not know it
    with pytest.raises(scoring.ScoresRefused, match="serves, so"):
        scoring.drop_to_file(version)
    assert len(rows(version)) == 10


def test_half_a_scoring_is_not_dropped(version: ModelVersion) -> None:
    begun(version)
    with pytest.raises(scoring.ScoresRefused, match="cannot be dropped yet"):
        scoring.drop_to_file(version)
    with pytest.raises(scoring.ScoresRefused, match="are not in a file"):
        scoring.restore(version)


def test_scores_that_came_while_the_file_was_written_are_not_lost(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    score(version)
    written = files._written

    def and_more_are_scored(*args: Any) -> Any:
        made = written(*args)
        make.solution(make.problem(version.project))
        score(version)
        return made

    monkeypatch.setattr(files, "_written", and_more_are_scored)
    with pytest.raises(scoring.ScoresRefused, match="scored more solutions while"):
        scoring.drop_to_file(version)
    assert len(rows(version)) == 11


@committed
def test_killed_between_file_and_drop_the_scores_are_still_there(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException): ...

    def killed(draft: Path, path: Path) -> None:
        draft.rename(path)
        raise Killed

    score(version)
    with monkeypatch.context() as patched:
        patched.setattr(files, "rename_file", killed)
        with pytest.raises(Killed):
            scoring.drop_to_file(version)
    assert len(rows(version)) == 10 and ModelVersion.objects.get().scores_file == ""
    assert scoring.drop_to_file(version).is_file()


def test_a_full_disk_leaves_the_scores_where_they_are_and_no_half_file(
    version: ModelVersion, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    score(version)
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(scoring.ScoresRefused, match="The disk is full: the scores of model 1"):
        scoring.drop_to_file(version)
    assert len(rows(version)) == 10 and list((home / "scores" / "sums").iterdir()) == []


@committed
def test_a_reader_is_not_waited_for_long_behind_a_drop(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOCK_TRIES", 2)
    monkeypatch.setattr(files, "LOCK_TIMEOUT", "20ms")
    score(version)
    with reading(), pytest.raises(scoring.ScoresRefused, match="other processes kept reading scores"):
        scoring.drop_to_file(version)
    assert len(rows(version)) == 10 and version.scores_file == ""
    assert scoring.drop_to_file(version).is_file()


def test_old_versions_are_dropped_but_not_the_last_two_nor_those_that_serve_or_are_kept(
    version: ModelVersion, home: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fields: dict[int, dict[str, Any]] = {2: {"champion": True}, 3: {}, 4: {"kind": "orm", "champion": True}}
    versions = [version, *(version_of(version.project, home, folder, number=number, **fields.get(number, {})) for number in range(2, 8))]
    for one in versions:
        score(one)
    assert scoring.drop_old(version.project, keep={3}) == [5, 1]
    places = {one.version.number: one.place for one in scoring.stored(version.project)}
    assert places == {1: "file", 2: "database", 3: "database", 4: "database", 5: "file", 6: "database", 7: "database"}
    assert scoring.drop_old(version.project, keep={3}) == []


def test_a_drop_that_fails_fails_no_round(
    version: ModelVersion, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("not yours")

    for one in (version, *(version_of(version.project, home, folder, number=number) for number in (2, 3))):
        score(one)
    monkeypatch.setattr(files, "drop_to_file", refuse)
    assert scoring.drop_old(version.project, keep=set()) == []
    assert "The scores of model 1 of sums stay in the database: not yours" in caplog.text


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("scores", "--project", "sums", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_lists_drops_and_restores(version: ModelVersion, home: Path) -> None:
    assert said() == "No model has scored this project yet.\n"
    score(version)
    assert said().startswith("model 1 (PRM): 10 scores, ") and said().endswith("KB, database\n")
    assert said("--drop", "1") == f"The scores of model 1 are in {home}/scores/sums/1.csv.gz now.\n"
    assert said().endswith("bytes, scores/sums/1.csv.gz\n")
    assert said("--restore", "1") == "The scores of model 1 are in the database again: 10.\n"
    for wrong, why in ((("--drop", "9"), "has no model 9"), (("--restore", "1"), "are not in a file")):
        with pytest.raises(CommandError, match=why) as refused:
            said(*wrong)
        assert refused.value.returncode == 2
