"""What needs a person now in a project: the first part of its overview. Reads only, in a fixed number of queries.

Each line is one sentence and a link to where it is done. Who cannot do it there does not see it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from active_learning import rounds
from active_learning.models import UNFINISHED, ModelVersion, Round, RoundState, Schedule, Selection
from annotation import audit, people, quality, queue
from annotation.models import (
    Batch,
    BatchKind,
    BatchState,
    Event,
    Import,
    ImportState,
    Membership,
    Project,
    Regrade,
    RegradeState,
)
from trainer.counting import counted

SOON = timedelta(hours=2)  # a queue that ends within this time is reported
OLD_BACKUP = timedelta(days=7)
EACH = 3  # imports, batches or people that get a line of their own; of more, one line says how many there are
CUT = 200  # characters of a reason that are shown


@dataclass(frozen=True, slots=True)
class ToDo:
    """One thing that needs a person: what it is, and the words and the address of the link to where it is done."""

    sentence: str
    act: str
    url: str
    is_urgent: bool = False  # work stands still or is lost until somebody does it


def to_do(project: Project, *, access: people.Access, shown: quality.Overview, person: User) -> list[ToDo]:
    """Return what needs this person in a project now, the urgent things first. An archived project needs nobody."""
    if project.archived_at:
        return []
    newest = Round.objects.filter(project=project).order_by("-pk").first()
    found = [*_workers(project), *_rounds(project, newest, manages=access.manages), *_model(project), *_schedule(project)]
    imports = list(_imports(project)) if access.manages else []
    found += [*imports, *_batches(project)]
    if access.manages:
        found += [*_regrade(project), *_people(project), *_flags(project), *_gold(project)]
    if person.is_superuser:
        found += _backup()
    if not imports and (newest is None or newest.state not in UNFINISHED):
        found += _queue(project, shown, manages=access.manages)
    return sorted(found, key=lambda line: not line.is_urgent)


def _address(project: Project, name: str, **places: Any) -> str:
    return reverse(name, kwargs={"slug": project.slug, **places})


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= CUT else line[: CUT - 1] + "…"


def _workers(project: Project) -> Iterator[ToDo]:
    signs = rounds.life_signs()
    silent = {queue: why for queue in ("default", "gpu", rounds.BEAT) if (why := rounds.why_silent(signs, queue))}
    place = _address(project, "loop") + "#workers"
    waiting = {
        "default": "The worker does not answer, so imports wait and figures are old.",
        "gpu": "The trainer does not answer, so rounds wait.",
        rounds.BEAT: "The clock of this site (beat) does not answer, so schedules start no rounds.",
    }
    if len(silent) == len(waiting):
        sentences = ["No worker of this site answers, so imports, rounds and schedules wait."]
    else:
        sentences = [f"{waiting[queue]} {why}" for queue, why in silent.items()]
    for sentence in sentences:
        again = "Start script/server again, or ask the person who runs this site."
        yield ToDo(f"{sentence} {again}", "See the workers", place, is_urgent=True)


def _rounds(project: Project, newest: Round | None, *, manages: bool) -> Iterator[ToDo]:
    if newest is None:
        return
    number, place = newest.number, _address(project, "round", round_number=newest.number)
    if newest.state == RoundState.PROPOSED:
        n_chosen = Selection.objects.filter(round=newest, is_dropped=False).count()
        chosen = f"Round {number} has chosen {counted(n_chosen, 'solution')}"
        if manages:
            yield ToDo(f"{chosen} and waits until you publish them.", f"Review round {number}", place, is_urgent=True)
        else:
            yield ToDo(f"{chosen} and waits until a manager publishes them.", f"Look at round {number}", place)
    elif newest.state == RoundState.FAILED:
        yield ToDo(f"Round {number} broke off: {_cut(newest.failure)}", f"Look at round {number}", place, is_urgent=True)


def _model(project: Project) -> Iterator[ToDo]:
    newest = ModelVersion.objects.filter(project=project).order_by("-number").first()
    if newest and newest.state == "ready" and not newest.champion and newest.decision.get("promoted") is False:
        why = _cut(newest.decision.get("reason", ""))
        sentence = f"Model {newest.number} is trained and does not serve. {why}".strip()
        yield ToDo(sentence, f"Look at model {newest.number}", _address(project, "model", number=newest.number))


def _schedule(project: Project) -> Iterator[ToDo]:
    note = Schedule.objects.filter(project=project, is_on=True).values_list("note", flat=True).first()
    if note:
        yield ToDo(note, "Look at the schedule", _address(project, "schedule"))


def _imports(project: Project) -> Iterator[ToDo]:
    """Yield the imports that wait for a person, as long as their file is kept."""
    waiting = Import.objects.filter(project=project, state__in=(ImportState.CHECKED, ImportState.FAILED)).exclude(path="").order_by("-pk")
    listed = list(waiting.only("name", "state", "failure")[: EACH + 1])
    if len(listed) > EACH:
        yield ToDo(f"More than {EACH} imports wait for you or failed.", "See the imports", _address(project, "data"))
        return
    for import_ in listed:
        name, place = _cut(import_.name), _address(project, "import", import_id=import_.pk)
        if import_.state == ImportState.FAILED:
            yield ToDo(f"The import of {name} failed: {_cut(import_.failure)}", "Look at the import", place, is_urgent=True)
        else:
            yield ToDo(f"The file {name} is checked and waits until you load it.", "Look at the file", place)


def _batches(project: Project) -> Iterator[ToDo]:
    waiting = Batch.objects.filter(project=project, state__in=(BatchState.DRAFT, BatchState.PAUSED)).order_by("-pk")
    listed = list(waiting[: EACH + 1])
    if len(listed) > EACH:
        yield ToDo(
            f"More than {EACH} batches are drafts or paused. Nobody gets their solutions.", "See the batches", _address(project, "batches")
        )
        return
    for batch in listed:
        name = f"The batch “{batch.get_kind_display()}{'' if batch.generation is None else f' {batch.generation}'}”"
        place = _address(project, "batch", batch_id=batch.pk)
        if batch.state == BatchState.DRAFT:
            yield ToDo(f"{name} is a draft. Nobody gets its solutions before it is published.", "Look at the batch", place)
        else:
            yield ToDo(f"{name} is paused. Nobody gets its open solutions.", "Look at the batch", place)


def _regrade(project: Project) -> Iterator[ToDo]:
    newest = Regrade.objects.filter(project=project).order_by("-pk").first()
    if newest and newest.state == RegradeState.FAILED:
        why = _cut(" ".join(newest.report))
        yield ToDo(f"Grading the answers again failed: {why}", "Look at the settings", _address(project, "settings"), is_urgent=True)


def _people(project: Project) -> Iterator[ToDo]:
    members = Membership.objects.filter(project=project, role__in=people.LABELERS, user__is_active=True).select_related("user")
    paused = list(members.filter(suspended_at__isnull=False).order_by("-suspended_at")[: EACH + 1])
    if len(paused) > EACH:
        place = _address(project, "people") + "?state=paused"
        yield ToDo(f"More than {EACH} people are paused and cannot label.", "See who is paused", place)
    for member in paused if len(paused) <= EACH else ():
        since = f"since {member.suspended_at:%Y-%m-%d}"
        sentence = f"{_name(member)} is paused {since} and cannot label. The reason: {_cut(member.reason) or 'none is given.'}"
        yield ToDo(sentence, f"Decide about {_name(member)}", _address(project, "member", membership_id=member.pk))
    waiting, passed = quality.told_about_newcomers(project, most=EACH + 1)
    newcomers = _address(project, "newcomers")
    if len(waiting) > EACH:
        yield ToDo(f"More than {EACH} newcomers are not admitted and wait for a decision.", "Decide about them", newcomers)
    for one in waiting if len(waiting) <= EACH else ():
        result = f"{one.result.within:,} of {counted(one.result.asked, 'answer')} right, {one.result.needed:,} needed"
        sentence = f"{one.name} did not pass the screening ({result}) and waits for a decision."
        if not one.result.is_over:
            sentence = f"{one.name} is not admitted, and cannot answer the screening, because it is paused or closed."
        elif not one.result.is_complete:
            sentence = f"{one.name} has no screening question left, without having answered all, and waits for a decision."
        yield ToDo(sentence, f"Decide about {one.name}", f"{newcomers}?person={one.number}")
    if len(passed) > EACH:
        yield ToDo(f"More than {EACH} newcomers passed the screening in the last days, and label now.", "See their answers", newcomers)
    for one in passed if len(passed) <= EACH else ():
        result = f"{one.result.within:,} of {counted(one.result.asked, 'answer')} right"
        sentence = f"{one.name} passed the screening ({result}) and labels now."
        yield ToDo(sentence, f"See the answers of {one.name}", f"{newcomers}?person={one.number}")


def _flags(project: Project) -> Iterator[ToDo]:
    if count := quality.n_undecided_flags(project):
        waits = "waits" if count == 1 else "wait"
        yield ToDo(f"{counted(count, 'flag')} of work that is not like honest work {waits}.", "Decide", _address(project, "flags"))


def _gold(project: Project) -> Iterator[ToDo]:
    """Yield that gold runs out for somebody, where work is handed out with gold turns."""
    open_work = Batch.objects.filter(project=project, kind=BatchKind.SELECTED, state=BatchState.OPEN)
    if not project.gold_percent or not open_work.exists() or not (supply := quality.gold_supply(project)).is_low:
        return
    left = f"Somebody who labels has {counted(supply.fewest, 'gold solution')} left, and there is no spare gold."
    yield ToDo(f"{left} Without gold, nobody sees how well people label.", "Make gold", _address(project, "compose-newcomers"))


def _name(member: Membership) -> str:
    return member.user.get_full_name() or member.user.get_username()


def _backup() -> Iterator[ToDo]:
    """Yield that the newest backup is old. Without any, the site may be backed up by other means."""
    newest = Event.objects.filter(verb=audit.BACKED_UP).order_by("-pk").values_list("at", flat=True).first()
    age = timezone.now() - newest if newest else timedelta()
    if age > OLD_BACKUP:
        sentence = f"The newest backup of this site is {age.days} days old. Run manage.py backup."
        yield ToDo(sentence, "See the backups", f"{reverse('site-audit')}?{urlencode({'verb': audit.BACKED_UP})}")


def _queue(project: Project, shown: quality.Overview, *, manages: bool) -> Iterator[ToDo]:
    if not shown.solutions:
        if manages:
            yield ToDo("This project has no solutions yet.", "Import a file", _address(project, "data"), is_urgent=True)
        return
    if not _end_of_queue(shown, shown.left):
        return
    left = queue.places_left(project)  # the figures can be older than a batch that was published just now
    sentence = _end_of_queue(shown, left)
    if not sentence:
        return
    if not manages:
        yield ToDo(sentence, "See the batches", _address(project, "batches"))
    elif not left and quality.can_begin(project):
        yield ToDo(sentence, "Publish the first batch", _address(project, "batches"), is_urgent=True)
    else:
        yield ToDo(sentence, "Compose a round", _address(project, "compose"), is_urgent=True)


def _end_of_queue(shown: quality.Overview, left: int) -> str:
    """Say that the queue is empty or ends soon; empty if it does not."""
    if not left:
        return "There is nothing to label: no solution waits in the queue."
    places, end = counted(left, "place is", "places are"), shown.forecast
    if left <= shown.recent:
        return f"The queue ends within about two hours: {places} left, and people filled {shown.recent:,} in the last two hours."
    if end and left <= shown.left and end.expected - timezone.now() <= SOON:
        return f"The queue ends within about two hours at the pace of the last days: {places} left."
    return ""
