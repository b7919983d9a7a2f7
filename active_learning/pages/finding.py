"""What a few words find in a project: people, solutions, rounds, batches, models. Reads only what the person can open.

The number of statements does not depend on how much there is, and each reads a few rows in the order of an index.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db.models import Q
from django.urls import reverse

from active_learning.models import ModelVersion, Round
from active_learning.pages.searching import problems_with
from annotation import people
from annotation.models import Batch, BatchKind, Membership, Project, Role, Solution

MOST = 5  # of each kind
SHORTEST = 2  # characters of a word that solutions are searched by; a shorter one is the beginning of nearly every text
STATEMENT = 160  # characters of a problem that are shown
# Words before a number: "round 7" finds the round, and no batch of that number.
NAMES = {"people": "people person member", "solutions": "solutions", "rounds": "rounds", "batches": "batches", "models": "models"}


@dataclass(frozen=True, slots=True)
class FoundThing:
    """One thing that was found: its name, a few words about it, and the address of its page."""

    name: str
    about: str
    url: str


@dataclass(frozen=True, slots=True)
class FoundGroup:
    """The things of one kind."""

    name: str
    things: Sequence[FoundThing]


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody typed: all of it, the number in it, and the words beside the number."""

    text: str
    number: int | None
    beside: tuple[str, ...]

    def means(self, kind: str) -> bool:
        """Tell whether the words beside the number can be the beginning of the name of a kind."""
        return all(any(name.startswith(word) for name in NAMES[kind].split()) for word in self.beside)


def asked_for(text: str) -> Asked:
    """Read what somebody typed into the search."""
    words = text.casefold().split()
    numbers = [word.lstrip("#") for word in words]
    place = next((place for place, word in enumerate(numbers) if word.isascii() and word.isdecimal() and len(word) < 19), None)
    beside = tuple(word for at, word in enumerate(words) if at != place)
    return Asked(" ".join(words), None if place is None else int(numbers[place]), beside)


def found_things(project: Project, text: str, *, access: people.Access) -> list[FoundGroup]:
    """Return what a text finds in a project, by kind. Somebody who only labels finds nothing here."""
    asked = asked_for(text)
    if not asked.text or not access.reads:
        return []
    kinds: list[tuple[str, Callable[[Project, Asked], Iterator[FoundThing]]]] = [
        ("Rounds", _rounds), ("Batches", _batches), ("Models", _models), ("Solutions", _solutions),
    ]  # fmt: skip
    if access.manages:
        kinds.insert(0, ("People", _people))
    groups = [FoundGroup(name, list(find(project, asked))) for name, find in kinds]
    return [group for group in groups if group.things]


def found_projects(person: User, text: str, *, but: Project | None = None) -> list[FoundThing]:
    """Return the projects of a person whose names have all words of a text, each with the page that this person begins at."""
    memberships = Membership.objects.filter(user=person).exclude(role=Role.FORMER).select_related("project").order_by("project__name", "pk")
    for word in asked_for(text).text.split():
        memberships = memberships.filter(project__name__icontains=word)
    found = []
    for membership in memberships.exclude(project=but)[:MOST]:
        page = "overview" if membership.role in people.RESEARCHERS else "label"
        url = reverse(page, kwargs={"slug": membership.project.slug})
        about = ", ".join([membership.get_role_display().lower(), *(["archived"] if membership.project.archived_at else [])])
        found.append(FoundThing(membership.project.name, about, url))
    return found


def _people(project: Project, asked: Asked) -> Iterator[FoundThing]:
    words = [word for word in asked.text.split() if word not in NAMES["people"].split()]
    if not words:
        return
    members = Membership.objects.filter(project=project).select_related("user")
    for word in words:
        user = Q(user__username__icontains=word) | Q(user__first_name__icontains=word) | Q(user__last_name__icontains=word)
        members = members.filter(user)
    for member in members.order_by("user__username")[:MOST]:
        full = member.user.get_full_name()
        marks = [full, member.get_role_display().lower(), "paused" if member.suspended_at and member.role != Role.FORMER else ""]
        url = reverse("member", kwargs={"slug": project.slug, "membership_id": member.pk})
        yield FoundThing(member.user.get_username(), ", ".join(filter(None, marks)), url)


def _rounds(project: Project, asked: Asked) -> Iterator[FoundThing]:
    if asked.number is None or not asked.means("rounds"):
        return
    for round_ in Round.objects.filter(project=project, number=asked.number)[:1]:
        url = reverse("round", kwargs={"slug": project.slug, "round_number": round_.number})
        yield FoundThing(f"Round {round_.number}", round_.get_state_display().lower(), url)


def _batches(project: Project, asked: Asked) -> Iterator[FoundThing]:
    kinds = [kind for kind in BatchKind if asked.beside and all(_begins(kind.label, word) for word in asked.beside)]
    batches = Batch.objects.filter(project=project).order_by("-pk")
    if asked.number is not None and asked.means("batches"):
        batches = batches.filter(generation=asked.number)
    elif kinds:
        batches = batches.filter(kind__in=kinds, **({} if asked.number is None else {"generation": asked.number}))
    else:
        return
    for batch in batches[:MOST]:
        url = reverse("batch", kwargs={"slug": project.slug, "batch_id": batch.pk})
        name = batch.get_kind_display() + (" batch" if batch.generation is None else f" batch {batch.generation}")
        yield FoundThing(name, batch.get_state_display().lower(), url)


def _models(project: Project, asked: Asked) -> Iterator[FoundThing]:
    if asked.number is None or not asked.means("models"):
        return
    for version in ModelVersion.objects.filter(project=project, number=asked.number)[:1]:
        url = reverse("model", kwargs={"slug": project.slug, "number": version.number})
        state = "serves" if version.champion else version.get_state_display().lower()
        yield FoundThing(f"{version.kind.upper()} {version.number}", state, url)


def _solutions(project: Project, asked: Asked) -> Iterator[FoundThing]:
    """Yield the solution of a number, then one of each of the newest problems with the words, and where all of them are listed."""
    if asked.number is not None and asked.means("solutions"):
        for solution in (
            Solution.objects.filter(pk=asked.number, problem__project=project).select_related("problem").only("problem__statement")
        ):
            yield _solution(project, solution)
    words = " ".join(word for word in asked.text.split() if len(word) >= SHORTEST or not word.isascii())
    if not words:
        return
    # The problems first: a beginning of few letters can be in all of them, and their solutions are many times as many.
    problems = list(problems_with(project, words).order_by("-pk").values_list("pk", flat=True)[:MOST])
    newest = Solution.objects.filter(problem__in=problems).order_by("-problem_id", "-pk").distinct("problem_id")
    for solution in newest.select_related("problem").only("problem__statement"):
        yield _solution(project, solution)
    if problems:
        url = reverse("solutions", kwargs={"slug": project.slug})
        yield FoundThing("All solutions with these words", "", f"{url}?{urlencode({'words': words})}")


def _solution(project: Project, solution: Solution) -> FoundThing:
    url = reverse("project-solution", kwargs={"slug": project.slug, "solution_id": solution.pk})
    statement = " ".join(solution.problem.statement[: 2 * STATEMENT].split())
    return FoundThing(f"Solution {solution.pk}", statement if len(statement) <= STATEMENT else statement[: STATEMENT - 1] + "…", url)


def _begins(name: str, word: str) -> bool:
    return any(part.startswith(word) for part in f"{name} batch".casefold().split())
