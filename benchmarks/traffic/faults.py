"""What happens to a running site: parts are killed, sessions of the database ended, its disk fills, leases run out, people are suspended.

The database comes and goes, so each statement of the harness is tried again on a new connection.
"""

import contextlib
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
from django.db import DatabaseError, connection

from benchmarks.temporary_site.parts import BACK_SECONDS, PARTS, SupervisedSite, kill, longest_gap, wait_for
from benchmarks.traffic.journal import Journal

Value = TypeVar("Value")
SIGNS = {"worker": "default", "trainer": "gpu", "beat": "beat"}  # what each reports as its queues
SESSIONS = "backend_type = 'client backend' AND pid <> pg_backend_pid()"


def insist(act: Callable[[], Value], *, seconds: float = BACK_SECONDS) -> Value:
    """Do something with the database, again on a new connection if it is missing. Raises DatabaseError after some time."""
    until = time.monotonic() + seconds
    while True:
        try:
            return act()
        except DatabaseError:
            connection.close()
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def rows(query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""

    def ask() -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    return insist(ask)


def has_recovered() -> bool:
    """Tell whether the server has ended this thread's session, as it ends all when one was killed. Then wait until it answers again."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        connection.close()
        return rows("SELECT 1") == [(1,)]
    return False


# --- a full disk ----------------------------------------------------------------------------------------------------------------

PLANTED = """
CREATE OR REPLACE FUNCTION load_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
END $$;
CREATE TRIGGER load_disk BEFORE INSERT ON annotation_annotation FOR EACH STATEMENT EXECUTE FUNCTION load_disk();
"""
FREED = "DROP TRIGGER IF EXISTS load_disk ON annotation_annotation"


class PlantedDisk:
    """A disk that is full because a trigger of the harness says so: PostgreSQL's own error. For machines without the right to mount."""

    kind = "planted"

    def fill(self) -> None:
        rows(PLANTED)

    def free(self) -> None:
        rows(FREED)


class SmallDisk:
    """The annotations stand in a tablespace on a tmpfs of their own, which a file fills. The rest of the database stays where it is."""

    kind = "tmpfs"
    size_mb = 32

    def __init__(self, folder: Path) -> None:
        self.folder, self.filler = folder, folder / "filler"

    @classmethod
    @contextlib.contextmanager
    def mounted(cls, home: Path) -> "Any":
        """Mount it and move the annotations there; where that is not possible, yield a PlantedDisk."""
        folder = home.with_name(home.name + "-disk")
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={cls.size_mb}m", "none", str(folder)]
        is_mounted = shutil.which("mount") is not None and subprocess.run(mount, capture_output=True, check=False).returncode == 0
        try:
            if is_mounted:
                owner = (home / "postgres" / "data").stat()
                (folder / "tables").mkdir()
                os.chown(folder / "tables", owner.st_uid, owner.st_gid)
                rows(f"CREATE TABLESPACE load_disk LOCATION '{folder / 'tables'}'")
                rows("ALTER TABLE annotation_annotation SET TABLESPACE load_disk")
                rows("ALTER TABLE annotation_annotation SET (fillfactor = 10)")  # it needs new space every few rows
                yield cls(folder)
            else:
                yield PlantedDisk()
        finally:
            if is_mounted:
                subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
            shutil.rmtree(folder, ignore_errors=True)

    def fill(self) -> None:
        with self.filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)

    def free(self) -> None:
        self.filler.unlink(missing_ok=True)


# --- kills ----------------------------------------------------------------------------------------------------------------------


@dataclass
class Blow:
    """One fault, and how long it was felt."""

    kind: str
    gap_s: float  # the longest time without an answer of a page that needs the database
    back_s: float  # until the part answered again
    is_back: bool


class Conductor:
    """Strikes the parts of a site, one fault after the other, each after the last one is over."""

    def __init__(self, site: SupervisedSite, journal: Journal, disk: "SmallDisk | PlantedDisk", *, rng: random.Random) -> None:
        self.site, self.journal, self.disk, self.rng = site, journal, disk, rng

    def turn(self, *, at_once: bool, only: Sequence[str] | None = None) -> list[list[str]]:
        """Return every kind of fault, or those of `only`, shuffled.

        `at_once`: the parts that report, which take longest to come back, are struck together. Raises RuntimeError if `only` names none.
        """
        kinds = [["session ended"], ["session killed"], ["web worker"], ["full disk"], *([name] for name in PARTS if name not in SIGNS)]
        kinds += [list(SIGNS)] if at_once else [[name] for name in SIGNS]
        if only is not None:
            kinds = [wanted for several in kinds if (wanted := [kind for kind in several if kind in only])]
            if {kind for several in kinds for kind in several} != set(only):
                raise RuntimeError(f"A kind of fault is unknown: {', '.join(only)}.")
        self.rng.shuffle(kinds)
        return kinds

    def strike(self, kinds: Sequence[str]) -> list[Blow]:
        """Do some faults at once, and wait until they are over."""
        if len(kinds) == 1:
            return [self._strike(kinds[0])]
        with ThreadPoolExecutor(len(kinds)) as pool:
            return list(pool.map(self._strike_and_close, kinds))

    def _strike_and_close(self, kind: str) -> Blow:
        try:
            return self._strike(kind)
        finally:
            connection.close()

    def _strike(self, kind: str) -> Blow:
        """Do one fault, and wait until it is over: the part answers, and so does a page that needs the database."""
        is_over = self._struck(kind)
        began = time.monotonic() - 0.001
        is_back = bool(wait_for(is_over, seconds=BACK_SECONDS))
        at = time.monotonic()
        answered = wait_for(lambda: any(moment > at for moment in self.journal.moments[-20:]), seconds=BACK_SECONDS)
        gap = longest_gap(self.journal.moments, since=began)
        self.site.check()
        return Blow(kind, round(gap, 2), round(at - began, 2), is_back and answered)

    def _struck(self, kind: str) -> Callable[[], bool]:
        """Do the fault, and return how to tell that it is over."""
        match kind:
            case "session ended":
                rows(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {SESSIONS} ORDER BY random() LIMIT 3")
                return lambda: True
            case "session killed":
                found = f"SELECT pid FROM pg_stat_activity WHERE {SESSIONS} ORDER BY random() LIMIT 1"
                wait_for(lambda: any(kill(pid) for (pid,) in rows(found)), seconds=BACK_SECONDS)
                return has_recovered
            case "web worker":
                before = wait_for(self._before_a_web_worker_was_killed, seconds=BACK_SECONDS)
                return lambda: len(self._web_workers()) == len(before) and {child.pid for child in self._web_workers()} != before
            case "full disk":
                is_full = threading.Event()
                threading.Thread(target=self._fill, args=(is_full,), daemon=True).start()
                return is_full.is_set
        victim = wait_for(lambda: self.site.kill(kind), seconds=BACK_SECONDS)
        assert victim is not None, f"{kind} is not there"
        struck_at = time.monotonic()
        return lambda: self.site.is_back(kind, before=victim) and self._has_reported(kind, since=struck_at)

    def _has_reported(self, kind: str, *, since: float) -> bool:
        """Tell whether a worker or beat reported since a moment. The other parts do not report."""
        if kind not in SIGNS:
            return True
        query = "SELECT extract(epoch FROM now() - heartbeat_at)::float FROM active_learning_worker WHERE queues = %s"
        return any(seconds < time.monotonic() - since for (seconds,) in rows(query, SIGNS[kind]))

    def _before_a_web_worker_was_killed(self) -> set[int]:
        """Kill one of the web workers, and return the numbers of all there were. Empty: there was none to kill."""
        before = {child.pid for child in self._web_workers()}
        return before if before and kill(self.rng.choice(sorted(before))) else set()

    def _web_workers(self) -> list[psutil.Process]:
        master = self.site.part("web")
        try:
            return master.children() if master else []
        except psutil.Error:
            return []

    def _fill(self, is_over: threading.Event, *, seconds: float = 1.5) -> None:
        """Fill the disk until somebody was told so and a moment longer, then free it. Give up after a minute."""
        told = self._told_of_a_full_disk()
        self.disk.fill()
        wait_for(lambda: self._told_of_a_full_disk() > told, seconds=BACK_SECONDS - 5)
        time.sleep(seconds)
        self.disk.free()
        connection.close()
        is_over.set()

    def _told_of_a_full_disk(self) -> int:
        return sum(times for (_, _, code), times in list(self.journal.answers.items()) if code == "disk_full")


# --- what happens to people -----------------------------------------------------------------------------------------------------


class Office:
    """Lets leases run out, withdraws solutions and suspends people, in a thread of its own."""

    def __init__(self, *, project: int, rng: random.Random) -> None:
        self.project, self.rng = project, rng
        self.to_run_out: list[int] = []
        self.over = threading.Event()
        self.n_withdrawn = self.n_suspended = 0
        self.thread = threading.Thread(target=self._work, daemon=True)

    def run_out(self, assignment: int) -> None:
        """Let the lease of an assignment run out soon, and offer it to others."""
        self.to_run_out.append(assignment)

    def _work(self) -> None:
        try:
            turn = 0
            while not self.over.wait(0.1):
                self._run_leases_out()
                if turn % 10 == 5:
                    insist(self._withdraw)
                if turn % 10 == 0:
                    insist(self._suspend)
                turn += 1
            rows("UPDATE annotation_membership SET suspended_at = NULL WHERE project_id = %s", self.project)
        finally:
            connection.close()

    def _run_leases_out(self) -> None:
        from annotation import queue

        ended, self.to_run_out = self.to_run_out, []
        if ended:
            update = (
                "UPDATE annotation_assignment SET lease_expires_at = now() - interval '1 second' WHERE id = ANY(%s) AND state = 'leased'"
            )
            rows(update, ended)
            insist(queue.release_expired)

    def _withdraw(self) -> None:
        from annotation import queue
        from annotation.models import Assignment, Solution

        held = Assignment.objects.filter(batch__project=self.project, state="leased").values_list("task__solution", flat=True)
        if keys := list(held):
            self.n_withdrawn += queue.withdraw(Solution.objects.filter(pk=self.rng.choice(sorted(keys))), actor=None)

    def _suspend(self) -> None:
        """Let the suspended people work again, and suspend another one."""
        from django.db.models.functions import Now

        from annotation.models import Membership

        members = Membership.objects.filter(project=self.project)
        members.filter(suspended_at__isnull=False).update(suspended_at=None)
        members.filter(pk=self.rng.choice(list(members.order_by("pk").values_list("pk", flat=True)))).update(suspended_at=Now())
        self.n_suspended += 1


def slowest(blows: Sequence[Blow]) -> dict[str, float]:
    """Return by kind the most seconds until a fault was over: the part was back, and pages answered."""
    worst: dict[str, float] = {}
    for blow in blows:
        worst[blow.kind] = max(worst.get(blow.kind, 0.0), blow.back_s if blow.kind in SIGNS or blow.kind == "web worker" else blow.gap_s)
    return worst
