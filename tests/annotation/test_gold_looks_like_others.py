"""A11: a labeler cannot tell gold from other work by anything except the texts.

The protocol. One batch holds solutions with gold among them; all have random texts of the same kind. Which of them are gold is drawn.
A labeler does everything a labeler can do, by the pages and background requests: open the page, have the next solution prepared, save
a draft, extend, submit, skip, look at their projects and at their record on gold, list what can be reopened, reopen, correct. Other
people take solutions and give them back in between. For each solution, an observer who knows the product's source notes what the
labeler's browser sees:

- the skeleton of each answer: its status, headers, tags, attributes, classes and their order, keys and types of JSON;
- the size of each answer in bytes, without the texts of the solution and the numbers of the claim;
- how many solutions are said to wait, compared with the solution before;
- whether the page of their record on gold changed with the submit;
- how many statements the server sent to the database for it, in place of its time;
- the number of the assignment and of the claim, and how they differ from those of the solution before (in a run of its own).

A naive Bayes classifier learns on four fifths which of these speak for gold, and scores the last fifth, five times. Its AUC is taken
with an interval of 95 %. The standard error is that of a Mann-Whitney statistic without ties, the largest there is when nothing can be
told. The interval must include 0.5, and its upper bound must be at most 0.58. With `--long` there are more solutions, and the figure
with the times of the answers, compared by their ranks, is printed too. The draws have fixed seeds, because an interval of 95 % misses
0.5 in one of twenty runs. Each planted fault shifts the interval above 0.5.
"""

import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from html import escape
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from annotation import quality, queue
from annotation.ingest import digest
from annotation.labels import sittings
from annotation.models import Annotation, Assignment, Batch, GoldAnswer, Problem, Project, Solution, Task, TaskKind
from annotation.quality import records, renewing
from annotation.queue import leases
from annotation.views import labeling
from benchmarks.stopwatch import timed
from tests import make
from tests.assignments import finish
from tests.clients import claim, rated, real_assignment, signed_in, submission

pytestmark = pytest.mark.django_db
UPPER_BOUND = 0.58
GOLDEN = 40_000  # the number of the project, and the first one of its people
Seen = dict[str, object]  # what is seen of one solution, by name

# --- the classifier ------------------------------------------------------------------------------------------------------


def auc(scores: list[float], is_gold: list[bool]) -> tuple[float, float, float]:
    """Return the AUC of scores with the bounds of its interval of 95 %."""
    ranks, ordered = [0.0] * len(scores), sorted(range(len(scores)), key=scores.__getitem__)
    start = 0
    while start < len(ordered):
        end = start
        while end < len(ordered) and scores[ordered[end]] == scores[ordered[start]]:
            end += 1
        for place in ordered[start:end]:
            ranks[place] = (start + 1 + end) / 2
        start = end
    gold, other = sum(is_gold), len(is_gold) - sum(is_gold)
    area = (sum(rank for rank, golden in zip(ranks, is_gold, strict=True) if golden) - gold * (gold + 1) / 2) / (gold * other)
    half = 1.96 * math.sqrt((gold + other + 1) / (12 * gold * other))
    return area, area - half, area + half


def in_bins(values: list[object], *, bins: int = 8) -> list[object]:
    """Replace the numbers of a feature by their eighth, if there are more than a few of them."""
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(numbers) < len(values) or len(set(numbers)) <= bins:
        return values
    bounds = sorted(numbers)[len(numbers) // bins :: max(1, len(numbers) // bins)]
    return [sum(value > bound for bound in bounds) for value in numbers]


def gold_scores(seen: list[Seen], is_gold: list[bool], *, folds: int = 5) -> list[float]:
    """Return for each solution the log-odds of being gold, learned from the other folds."""
    order = list(range(len(seen)))
    random.Random(11).shuffle(order)
    fold_of = {place: number % folds for number, place in enumerate(sorted(order, key=is_gold.__getitem__))}
    columns = []
    for name in sorted({name for solution in seen for name in solution}):
        places = [place for place, solution in enumerate(seen) if name in solution]
        columns.append(dict(zip(places, in_bins([seen[place][name] for place in places]), strict=True)))
    scores = [0.0] * len(seen)
    for fold in range(folds):
        learned = [place for place in order if fold_of[place] != fold]
        for column in columns:  # whether something was looked at is the observer's choice, and says nothing
            counts = Counter((column[place], is_gold[place]) for place in learned if place in column)
            sizes = Counter(is_gold[place] for place in learned if place in column)
            kinds = len(set(column.values()))
            for place in (place for place in column if fold_of[place] == fold):
                shares = [(counts[column[place], golden] + 1) / (sizes[golden] + kinds) for golden in (True, False)]
                scores[place] += math.log(shares[0] / shares[1])
    return scores


# --- what is seen --------------------------------------------------------------------------------------------------------


class Skeleton(HTMLParser):
    """Tags and attributes, with the values of those that hold no text and no number."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.parts.append(f"<{tag} {[(name, re.sub(r'[0-9]+', '#', value or '')) for name, value in attributes]}>")

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"</{tag}>")

    def handle_comment(self, data: str) -> None:
        self.parts.append("<!-- -->")


def shape(body: Any) -> object:
    """Return what of a JSON value is no text and no number."""
    if isinstance(body, dict):
        return {name: shape(value) for name, value in body.items()}
    if isinstance(body, list):
        return [shape(value) for value in body]
    return Skeleton(body).parts if isinstance(body, str) and "<" in body else type(body).__name__


class Walk:
    """Somebody labels, and an observer notes what is seen of each solution."""

    def __init__(self, project: Project, labeler: User, *, seed: int, timed: bool = False) -> None:
        self.project, self.client, self.random, self.timed = project, signed_in(labeler), random.Random(seed), timed
        self.seen: dict[int, Seen] = {}
        self.texts: dict[int, list[str]] = {}
        self.waiting: int | None = None
        self.record: str | None = None

    def ask(self, name: str, of: int | None, send: Callable[[], Any]) -> str:
        """Send a request, note under `name` what is seen of its answer about the assignment `of`, and return the HTML in it."""
        with CaptureQueriesContext(connection) as statements:
            answer, seconds = timed(send)
        assert answer.status_code in (200, 302), answer.content
        text = answer.content.decode()
        is_json = answer["Content-Type"] == "application/json"
        body = json.loads(text) if is_json else text
        html = (body.get("ahead") or "") if is_json else text
        of = of or (real_assignment(claim(html)) if "data-work" in html else None)
        if of is None:
            return html
        bare = html
        for part in self.texts_of(of):
            bare = bare.replace(escape(part, quote=True), "")
        bare = re.sub(r"\b[A-Za-z0-9]{32,64}\b|[0-9]+", "#", bare)  # the key of the forms, the numbers of the claim, the work of the day
        skeleton = repr(shape(body)) if is_json else "".join(Skeleton(bare).parts)
        headers = sorted((name, re.sub(r"[0-9]+|[A-Za-z0-9+/=_-]{16,}", "#", value)) for name, value in answer.headers.items())
        notes: Seen = {"skeleton": skeleton, "size": len(bare), "status": answer.status_code, "statements": len(statements)}
        notes |= {"headers": repr([header for header in headers if header[0] != "X-Request-ID"]), "cookies": repr(sorted(answer.cookies))}
        if self.timed:
            notes["seconds"] = seconds
        self.seen.setdefault(of, {}).update({f"{name}: {note}": value for note, value in notes.items()})
        return html

    def texts_of(self, assignment: int) -> list[str]:
        if assignment not in self.texts:
            solution = Task.objects.select_related("solution__problem").get(assignment=assignment).solution
            self.texts[assignment] = [*solution.steps, solution.problem.statement, solution.problem.answer]
        return self.texts[assignment]

    def post(self, name: str, held: dict[str, int], body: Any) -> Callable[[], Any]:
        address = reverse(name, args=[held["assignment"]])
        return lambda: self.client.post(address, body, content_type="application/json")

    def look(self, of: int) -> None:
        """Look at the projects, and note how many solutions wait, and by how many fewer than before."""
        html = self.ask("home", of, lambda: self.client.get(reverse("home")))
        waiting = re.search(r"([\d,]+) solutions? waiting", html)
        now = int(waiting[1].replace(",", "")) if waiting else 0
        note = self.seen[of]
        del note["home: size"], note["home: skeleton"]  # they hold the day's figures
        if self.waiting is not None:
            note["home: fewer"] = self.waiting - now
        self.waiting = now

    def look_at_record(self, of: int) -> None:
        """Look at the page of the record on gold, and note whether it changed."""
        html = self.ask("record", of, lambda: self.client.get(reverse("record", args=[self.project.slug])))
        shown = html.partition("<main")[2].partition("</main>")[0]
        if self.record is not None:
            self.seen[of]["record: changed"] = shown != self.record
        self.record = shown

    def label(self, solutions: int, *, others: Callable[[], None], skips: int = 5, looks: int = 6) -> None:
        """Label so many solutions and go through all addresses of a labeler. Skip one of `skips`, look before and after one of `looks`."""
        slug = [self.project.slug]
        page = self.ask("page", None, lambda: self.client.get(reverse("label", args=slug)))
        held = claim(page)
        ahead = claim(self.ask("ahead", None, self.post("ahead", held, {})))
        self.look(real_assignment(ahead))
        for number in range(solutions):
            if number % 200 == 199:
                make.statistics()
            here = real_assignment(held)
            if number % 5 in (0, 4):
                self.ask("draft", here, self.post("draft", held, {"token": held["token"], "revision": 1, "ratings": rated(1)}))
            if number % 5 == 3:
                self.ask("extend", here, self.post("extend", held, {"token": held["token"]}))
            others()
            following = {"ahead": ahead["assignment"], "ahead_token": ahead["token"]}
            if number % skips == skips - 1:
                name, body = "skip", {"token": held["token"], "reason": "", **following}
            else:
                name, body = "submit", submission(held["token"], rated(1, -1), **following)
            html = self.ask(name, None, self.post(name, held, body))
            held, ahead = ahead, claim(html)
            new = self.seen[real_assignment(ahead)]
            self.seen[here][f"{name}, its own: statements"] = new[f"{name}: statements"]
            if name == "submit" and number % 5 == 2:
                self.correct(here)
            if number % looks < 2:
                self.look_at_record(here)
                self.look(real_assignment(ahead))
            else:
                self.waiting = self.record = None

    def correct(self, assignment: int) -> None:
        annotation = Annotation.objects.get(assignment=assignment).pk
        listed = self.client.get(reverse("recent", args=[self.project.slug])).content.decode()
        address = reverse("reopen", args=[self.project.slug, annotation])
        [row] = re.findall(rf'<li><a href="{address}">.*?</li>', listed, re.S)
        text = self.texts_of(assignment)[-2]
        self.seen[assignment]["recent"] = re.sub(r"[0-9]+", "#", row.replace(escape(text, quote=True), ""))
        self.ask("reopened", assignment, lambda: self.client.get(address))
        body = {name: value for name, value in submission(1, rated(1, 1, -1)).items() if name != "token"}
        revise = reverse("revise", args=[annotation])
        self.ask("revise", assignment, lambda: self.client.post(revise, body, content_type="application/json"))

    def figures(self, *, times: bool = False) -> tuple[float, float, float]:
        """Return the AUC of the classifier with its interval, for the solutions of which all was seen. times: it sees the times too."""
        return figures_of_all([self], times=times)


def figures_of_all(walks: list[Walk], *, times: bool = False) -> tuple[float, float, float]:
    """Return the figures of several walks together."""
    notes = {place: seen for walk in walks for place, seen in walk.seen.items()}
    kinds = dict(Assignment.objects.filter(pk__in=notes).values_list("pk", "task__kind"))
    places = sorted(notes)
    seen = [{name: note for name, note in notes[place].items() if times or not name.endswith(": seconds")} for place in places]
    what = f"{len(places)} solutions{', with the times of the answers' if times else ''}"
    return told(what, seen, [kinds[place] == TaskKind.GOLD for place in places])


def show_times(walks: list[Walk]) -> None:
    """Print for each kind of request what its time alone tells of gold, without a classifier that has to learn it."""
    notes = {place: seen for walk in walks for place, seen in walk.seen.items()}
    kinds = dict(Assignment.objects.filter(pk__in=notes).values_list("pk", "task__kind"))
    for name in sorted({name for seen in notes.values() for name in seen if name.endswith(": seconds")}):
        places = [place for place, seen in notes.items() if name in seen]
        is_gold = [kinds[place] == TaskKind.GOLD for place in places]
        if sum(is_gold) < 15:
            continue
        area, low, high = auc([float(str(notes[place][name])) for place in places], is_gold)
        print(f"{name} of {len(places)} solutions, {sum(is_gold)} of them gold: AUC {area:.3f}, 95 % from {low:.3f} to {high:.3f}")


def told(what: str, seen: list[Seen], is_gold: list[bool]) -> tuple[float, float, float]:
    figures = auc(gold_scores(seen, is_gold), is_gold)
    print(f"{what}, {sum(is_gold)} of them gold: AUC {figures[0]:.3f}, 95 % from {figures[1]:.3f} to {figures[2]:.3f}")
    return figures


def is_hidden(figures: tuple[float, float, float]) -> bool:
    """Tell whether the interval includes 0.5 and ends low enough."""
    _, low, high = figures
    return low <= 0.5 <= high <= UPPER_BOUND


def golden_project(count: int, *, seed: int, gold: int | None = None, overlap: int = 2, as_spare: bool = False) -> Project:
    """Make a project with so many normal solutions in its batch, and as many gold ones, or `gold`. Their order is drawn.

    as_spare: the gold is in no batch yet.
    """
    draw, texts = random.Random(seed), []
    gold = count if gold is None else gold
    percent = round(100 * gold / (count + gold))
    project = make.project("golden", pk=GOLDEN, gold_percent=percent, show_reference_answer=True, overlap=overlap)
    for number in range(count + gold):
        words = ["so", "then", "we", "add", "x", "<b>", "&", "sum", "it", "12"]
        texts.append([" ".join(draw.choices(words, k=draw.randint(4, 12))) + f" {number}/{place}" for place in range(4)])
    problems = Problem.objects.bulk_create(
        Problem(project=project, external_id=str(number), statement=f"Why {statement}?", answer=f"answer {number}")
        for number, (*_, statement) in enumerate(texts)
    )
    chosen = Solution.objects.bulk_create(
        Solution(problem=problem, steps=steps, digest=digest(steps)) for problem, (*steps, _) in zip(problems, texts, strict=True)
    )
    kinds = [TaskKind.GOLD] * gold + [TaskKind.NORMAL] * count
    draw.shuffle(kinds)
    golden = [solution for solution, kind in zip(chosen, kinds, strict=True) if kind == TaskKind.GOLD]
    GoldAnswer.objects.bulk_create(GoldAnswer(solution=solution, acceptable_first_errors=[1]) for solution in golden)
    wanted = [(solution, kind) for solution, kind in zip(chosen, kinds, strict=True) if not as_spare or kind == TaskKind.NORMAL]
    queue.open_batch(project, [queue.Chosen(solution.pk, kind=kind) for solution, kind in wanted])
    make.statistics()
    return project


def renewed_project(count: int, *, seed: int, patch: pytest.MonkeyPatch) -> Project:
    """Make a project as `golden_project` does, whose gold the site mixed in by itself."""
    patch.setattr(renewing, "MOST", count)
    patch.setattr(renewing, "Random", lambda: random.Random(seed))
    project = golden_project(count, seed=seed, as_spare=True)
    assert quality.renew_gold(project) == count
    make.statistics()
    return project


def give_back_some(project: Project, *, seed: int, share: float = 0.3) -> Callable[[], None]:
    """Let other people take a solution and give it back, now and then."""
    draw = random.Random(seed)
    people = [person(f"p{number}", project) for number in range(8)]
    people = [one for one in people if not queue.is_gold_turn(one, project=project, turn=0)]  # their first turn never ends

    def act() -> None:
        if draw.random() < share:
            taker = draw.choice(people)
            lease = queue.lease_next(taker, project=project)
            queue.release(lease.assignment_id, labeler=taker, token=lease.token)

    return act


def person(name: str, project: Project) -> User:
    """Make a labeler with a number of their own, so that the same turns are gold in each run."""
    User.objects.create(pk=GOLDEN + len(name) + sum(map(ord, name)), username=name)
    return make.person(name, project)


def walked(solutions: int, *, seed: int, timed: bool = False, project: Project | None = None, **often: int) -> Walk:
    project = project or golden_project(solutions // 2 + 20, seed=seed)
    walk = Walk(project, person("ann", project), seed=seed, timed=timed)
    walk.label(solutions, others=give_back_some(project, seed=seed), **often)
    return walk


def numbers_seen(solutions: int, *, seed: int, share: float = 0.3) -> tuple[list[Seen], list[bool]]:
    """Return the numbers that the page shows of so many solutions, and which of them are gold."""
    project = golden_project(solutions // 2 + 50, seed=seed)
    ann = person("ann", project)
    others = give_back_some(project, seed=seed, share=share)
    seen, is_gold, before = list[Seen](), list[bool](), {"assignment": 0, "token": 0}
    for _ in range(solutions):
        others()
        lease = quality.lease_next(ann, project=project)
        numbers = {name: labeling._work(lease)[name] for name in before}
        notes: Seen = dict(numbers)
        notes |= {f"{name}, more than before": numbers[name] - before[name] for name in numbers}
        notes |= {f"{name}, last bits": numbers[name] % 8 for name in numbers}
        seen.append(notes)
        is_gold.append(is_gold_lease(lease))
        before = numbers
        finish(lease)
    return seen, is_gold


def is_gold_lease(lease: queue.Lease) -> bool:
    return Task.objects.filter(assignment=lease.assignment_id, kind=TaskKind.GOLD).exists()


@pytest.fixture(autouse=True)
def same_numbers_in_each_run(settings: Any) -> None:
    settings.SECRET_KEY = "the same in each run, so that the same solutions are gold"
    with connection.cursor() as cursor:
        cursor.execute("ALTER SEQUENCE annotation_assignment_id_seq RESTART WITH 1000")


# --- what must hold ------------------------------------------------------------------------------------------------------


def test_nothing_that_a_labeler_gets_tells_gold_from_other_work() -> None:
    figures = walked(220, seed=1).figures()
    assert is_hidden(figures), figures


@pytest.mark.parametrize("n", [60, pytest.param(220, marks=pytest.mark.long)])
def test_gold_that_the_site_mixed_in_by_itself_tells_nothing_either(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    project = renewed_project(n // 2 + 20, seed=12, patch=monkeypatch)
    area, low, high = walked(n, seed=12, project=project).figures()
    # Each planted fault below shifts the interval of 30 solutions above 0.5. The upper bound needs as many as the long form has.
    assert low <= 0.5 <= high and (n < 220 or high <= UPPER_BOUND), (area, low, high)


def test_the_numbers_of_assignments_and_claims_tell_nothing_of_gold() -> None:
    figures = told("240 pairs of numbers", *numbers_seen(240, seed=7))
    assert is_hidden(figures), figures


def searches(project: Project, labeler: User, turn: int) -> Counter[str]:
    """Return what is searched when a labeler leases the solution of a turn: gold tasks, open assignments."""
    with CaptureQueriesContext(connection) as statements:
        finish(queue.lease_next(labeler, project=project))
    sent = [query["sql"] for query in statements if "LIMIT 1" in query["sql"] and "auth_user" not in query["sql"]]
    assert any("INSERT" in sql for sql in sent) == queue.is_gold_turn(labeler, project=project, turn=turn)
    return Counter("gold" if "t.kind = 'gold'" in sql else "open" for sql in sent)


def test_a_gold_turn_and_another_one_make_the_same_searches() -> None:
    project = golden_project(30, seed=8)
    ann = person("ann", project)
    turns = [queue.is_gold_turn(ann, project=project, turn=turn) for turn in range(12)]
    assert {searches(project, ann, turn)["gold"] for turn in range(12)} == {1} and set(turns) == {True, False}
    assert {searches(project, ann, turn)["open"] for turn in range(12, 20)} == {1}


@pytest.mark.long
def test_gold_stays_hidden_among_more_solutions() -> None:
    walk = walked(2000, seed=3, timed=True)
    walk.figures(times=True)  # only printed: a time is no property of the code alone
    assert is_hidden(walk.figures())


# --- planted faults ------------------------------------------------------------------------------------------------------

Plant = Callable[[pytest.MonkeyPatch], None]


def changes_html(change: Callable[[str], str]) -> Plant:
    """Plant a change in the HTML of gold."""
    render = labeling.render_to_string

    def changed(template: str, work: dict[str, Any]) -> str:
        html = render(template, work)
        return change(html) if is_gold_lease(work["lease"]) else html

    return lambda patch: patch.setattr(labeling, "render_to_string", changed)


def asks_once_more(patch: pytest.MonkeyPatch) -> None:
    work = labeling._work

    def asks(lease: queue.Lease) -> dict[str, Any]:
        if lease.solution_id in gold:
            Project.objects.exists()
        return work(lease)

    gold = set[int]()
    opened = queue.open_batch

    def noted(project: Project, chosen: list[queue.Chosen]) -> Batch:
        gold.update(solution.solution_id for solution in chosen if solution.kind == TaskKind.GOLD)
        return opened(project, chosen)

    patch.setattr(queue, "open_batch", noted)
    patch.setattr(labeling, "_work", asks)


def counts_no_gold(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(records, "TaskKind", SimpleNamespace(GOLD="none"))


def tells_of_today(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(records, "LEAST_GOLD", 1)
    patch.setattr(records, "_first_hidden", lambda: timezone.now() + timedelta(days=1))


def opens_successors_in_two_statements(patch: pytest.MonkeyPatch) -> None:
    reserved = sittings.lease_reserved

    def asks(ahead: queue.Claim, *, labeler: User, after: int) -> bool:
        if Assignment.objects.get(pk=after).slot is not None:
            Assignment.objects.exists()
        return reserved(ahead, labeler=labeler, after=after)

    patch.setattr(sittings, "lease_reserved", asks)


PLANTS: dict[str, tuple[Plant, dict[str, int]]] = {
    "an attribute": (changes_html(lambda html: html.replace("data-work", "data-work data-checked", 1)), {}),
    "a class": (changes_html(lambda html: html.replace('class="work"', 'class="work checked"', 1)), {}),
    "30 bytes more": (changes_html(lambda html: html + 30 * " "), {}),
    "a statement": (asks_once_more, {}),
    "a count that leaves gold out": (counts_no_gold, {"looks": 1}),
    "a record that counts the answers of today": (tells_of_today, {"skips": 99, "looks": 1}),
    "a skip that costs more": (opens_successors_in_two_statements, {"skips": 1}),
}


# One of what is in the page, one of what it costs, and one of what is seen elsewhere. The others are seen in the same way.
EVERY_RUN = ("an attribute", "a statement", "a record that counts the answers of today")


@pytest.mark.parametrize("plant", [name if name in EVERY_RUN else pytest.param(name, marks=pytest.mark.long) for name in PLANTS])
def test_a_planted_fault_is_seen(plant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    change, often = PLANTS[plant]
    change(monkeypatch)
    _, low, _ = walked(30, seed=4, **often).figures()
    assert low > 0.5


@pytest.mark.parametrize("name", ["assignment", pytest.param("token", marks=pytest.mark.long)])
def test_a_number_that_is_shown_as_it_is_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hide = labeling.shown_number
    as_it_is = {"assignment": lambda place: not place, "token": bool}[name]
    monkeypatch.setattr(labeling, "shown_number", lambda number, place=0: number if as_it_is(place) else hide(number, place=place))
    _, low, _ = told(f"the {name} as it is", *numbers_seen(100, seed=5, share=1))
    assert low > 0.5


@pytest.mark.long
def test_gold_stays_hidden_in_a_batch_as_projects_have_it() -> None:
    """20 gold solutions among 220, and 6 people: what a project with 9 % of gold turns hands out in one generation."""
    project = golden_project(200, seed=9, gold=20, overlap=6)
    walks = [Walk(project, person(f"labeler{number}", project), seed=number, timed=True) for number in range(6)]
    for walk in walks:
        walk.label(200, others=lambda: None)
    figures_of_all(walks, times=True)  # only printed, as the times by themselves
    show_times(walks)
    assert is_hidden(figures_of_all(walks))


@pytest.mark.long
def test_a_path_that_is_slower_for_gold_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    slower = leases.GOLD_ON_DEMAND.replace("FROM taken s", "FROM (SELECT *, pg_sleep(0.002) FROM taken) s")
    monkeypatch.setattr(leases, "GOLD_ON_DEMAND", slower)
    _, low, _ = walked(400, seed=6, timed=True).figures(times=True)
    assert low > 0.5
