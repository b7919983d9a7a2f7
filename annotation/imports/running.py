"""Imports: what a worker does with a file. One worker has an import at a time, under a token, and one import runs at a time.

The load is one transaction. So its progress is written by a second thread, on a connection of its own, and the import is done in the same
commit as its rows. If a process is killed at any moment, either all rows are stored and the import is done, or nothing is stored and the
import waits for the next worker.
"""

import logging
from dataclasses import asdict
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from annotation import ingest, longwork
from annotation.hearts import Heart
from annotation.imports import states
from annotation.imports.states import FileFindings, delete_file, options_of, path_of
from annotation.longwork import WorkLost, alone
from annotation.models import Event, Import, ImportState, Outcome
from annotation.stopping import StopRequest, stop_request
from trainer.answers import GraderUnavailable
from trainer.counting import counted
from trainer.files import is_disk_full
from trainer.formats import place_in_words
from trainer.progress import Stopped

log = logging.getLogger(__name__)

ONE_AT_A_TIME = 7_403_115_201_811  # the number of an advisory lock: an import keeps a core and much memory busy


def run(import_id: int) -> Import | None:
    """Check or load a file, whatever the import waits for, and return it. None: another import runs; the next sweep offers this one again.

    Running it twice changes nothing. What cannot be read ends the import with the line and the remedy. A stop of the process gives it back.
    """
    with alone(ONE_AT_A_TIME) as is_alone:
        if not is_alone:
            return None
        with stop_request() as stop:  # before the claim: a stop between the two would leave an import that nobody gives back
            claimed = longwork.claim(states.at_work(), import_id)
            import_ = Import.objects.select_related("project", "created_by").get(pk=import_id)
            if claimed:
                _guarded(import_, stop)
        import_.refresh_from_db()
    states.sweep()  # what waited for this one
    return import_


def _guarded(import_: Import, stop: StopRequest) -> None:
    heart = Heart(_mine(import_), stop, lost=WorkLost)
    act = _check if import_.state == ImportState.CHECKING else _load
    try:
        with heart.beating():
            act(import_, heart)
    except WorkLost:
        log.warning("Import %s was cancelled, or another worker has it now. This one stores nothing.", import_.pk)
    except ingest.BadFile as bad:
        place = "" if bad.line is None else f"{place_in_words(bad.line)}: "
        _fail(import_, f"{place}{bad.reason}. {bad.remedy}.")
    except FileNotFoundError:
        _fail(import_, "The uploaded file is gone from the server. Upload it again.")
    except GraderUnavailable as error:
        _fail(import_, str(error))
    except (OperationalError, InterfaceError, OSError) as error:
        if is_disk_full(error):
            connection.close()
            _fail(import_, "The disk is full on the server. Free some space, and resume the import.")
        else:
            log.warning("Import %s broke off, and is tried again: %s", import_.pk, error)
            longwork.give_back(_mine(import_), attempts=0)
    except Stopped:
        longwork.give_back(_mine(import_), attempts=1)  # a stop in order is no failed attempt
        raise
    except Exception as error:
        log.exception("Import %s broke off.", import_.pk)
        _fail(import_, f"The server made a mistake ({type(error).__name__}). Its log says more. Nothing was stored.")


def _check(import_: Import, heart: Heart) -> None:
    options = options_of(import_)
    check = ingest.check_file(
        path_of(import_),
        rules=ingest.rules_of(import_.project),
        format=options.format or None,
        split=options.split or None,
        steps_by=options.steps_by,
        labels=options.labels,
        mapping=ingest.read_mapping(options.mapping.splitlines()),
        progress=heart.advance,
    )
    heart.end()
    report = check.report
    findings = FileFindings(
        has_solutions=check.has_solutions,
        counts={name: getattr(report, name) for name in ("lines", "problems", "solutions", "annotations", "gold", "alternatives")},
        about=report.about_the_check(),
        is_broken=check.is_broken,
        steps_by=report.steps_by.rule if report.steps_by else "",
        outcomes={outcome: check.outcomes[outcome] for outcome in Outcome.values if check.outcomes[outcome]},
        examples=check.examples,
        faults=check.faults,
        n_faults=check.n_faults,
        is_markdown=check.is_markdown,
        options=import_.options,
    )
    _end(import_, ImportState.CHECKED, findings=asdict(findings), heartbeat_at=None)


def _load(import_: Import, heart: Heart) -> None:
    options, path = options_of(import_), path_of(import_)
    findings = states.findings_of(import_)
    shared: dict[str, Any] = {
        "project": import_.project,
        "format": options.format or None,
        "split": options.split or None,
        "mapping": ingest.read_mapping(options.mapping.splitlines()),
        "progress": heart.advance,
    }
    with transaction.atomic():
        if findings and not findings.has_solutions:
            report = ingest.load_problems(path, **shared)
        else:
            report = ingest.load_solutions(
                path,
                **shared,
                source=options.source,
                steps_by=options.steps_by,
                labels=options.labels,
                allow_broken=options.allow_broken,
            )
        heart.end()
        _end(import_, ImportState.DONE, report=str(report), finished_at=Now(), path="")
        details = {"file": import_.name, "new problems": report.new_problems, "new solutions": report.new_solutions}
        actor, subject = import_.created_by, f"import {import_.pk}"
        Event.objects.create(actor=actor, project=import_.project, verb="import", subject=subject, details=details)
        counts = f"{counted(report.new_problems, 'new problem')} and {counted(report.new_solutions, 'new solution')}"
        states.notify_owner(import_, f"The file {import_.name} is loaded into {import_.project}: {counts}.")
        transaction.on_commit(lambda: delete_file(import_))


def _end(import_: Import, state: ImportState, **changes: Any) -> None:
    """Bring the import into the state that its worker has reached. Raises WorkLost if it is not this worker's any more."""
    if not _mine(import_).update(state=state, progress={}, failure="", **changes):
        raise WorkLost


def _fail(import_: Import, failure: str) -> None:
    log.warning("Import %s failed.", import_.pk)
    with transaction.atomic():
        if _mine(import_).update(state=ImportState.FAILED, failure=failure, token=F("token") + 1, finished_at=Now(), progress={}):
            states.notify_owner(import_, f"The import of {import_.name} into {import_.project} failed: {failure}")


def _mine(import_: Import) -> "QuerySet[Import]":
    """Return the row of an import, as long as it is this worker's."""
    return states.at_work().filter(pk=import_.pk, token=import_.token)
