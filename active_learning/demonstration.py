"""The simulated world as a project: its problems, its solutions, and an oracle as labeler.

Reads `simulation`; writes, through the stages of annotation, a project like any other. The demonstration is one of them.
"""

import uuid
from collections.abc import Callable, Iterator

import orjson
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from active_learning import rounds
from active_learning.models import UNFINISHED, Round, RoundState
from active_learning.selection import UNIFORM
from active_learning.world import (
    N_PROBLEMS,
    N_SOLUTIONS,
    PREFIX,
    SimulatedProblem,
    SimulatedSolution,
    demonstrated_world,
    label,
    truth_of,
)
from annotation import ingest, labels, people, quality, queue
from annotation.models import AssignmentState, Batch, BatchKind, BatchState, Membership, Problem, Project, Role

DEMONSTRATION = "demonstration"
GUIDELINES = """\
Read the problem, then rate the solution one step at a time, until its first mistake.

**Positive** (key 3): right, sensible here, easy to verify, and a step towards the answer.

**Neutral** (key 2): nothing wrong, but no progress: it restates, muses, or checks again.

**Negative** (key 1): wrong, not verifiable, or about something else. Rating ends here. Later steps are not rated.

- *She bakes $4$ trays of $12$ muffins, so $4 \\times 12 = 48$ muffins.* The problem's numbers, and the sum is right: positive.
- *Let us see what is left.* True, and no progress: neutral.
- *$4 \\times 12 = 46$*: a slip: negative.
- *$4 + 12 = 16$ muffins*, where the problem means four trays of twelve each: the wrong operation: negative.
- A step is judged by itself and what comes before it, not by whether the final answer turns out right.
"""
PEOPLE = {
    "olga": (Role.OWNER, "owns the project"),
    "ann": (Role.LABELER, "labels solutions"),
    "ben": (Role.LABELER, "labels solutions"),
    "rita": (Role.RESEARCHER, "exports the labels"),
}
OWNER = next(name for name, (role, _) in PEOPLE.items() if role == Role.OWNER)
WELCOME = (
    "Your account and the demonstration project are made. A worker chooses the first solutions for its labelers, ann and ben, in some "
    "seconds. To see the site as one of them, open People, then the person, and make a sign-in link."
)
N_LABELED, N_BATCH = 60, 60
SEED = 2305
ORACLE_NAME = "oracle"  # of the account with which it labels what waits in the queue
ORACLE = uuid.UUID("0c1e0c1e-0000-4000-8000-000000002305")  # the pseudonym under which the oracle's labels are published


def is_possible(*, with_owner: bool = False) -> bool:
    """Return whether the site can get the demonstration: it has no project, and no account with the name of one of its people.

    with_owner: somebody else owns it, in place of olga.
    """
    names = [name for name in PEOPLE if name != OWNER or not with_owner]
    return not Project.objects.exists() and not User.objects.filter(username__in=names).exists()


def found_demonstration(*, owner: User | None = None) -> bool:
    """Make the demonstration's project and people on an empty site. True: its content has to be made.

    A site that has a project, or an account with one of the names, gets none. `owner` owns it, else olga, who then runs the site if nobody
    does so yet.
    """
    if not is_possible(with_owner=owner is not None):
        return False
    runs_site = not people.is_set_up()
    with transaction.atomic():
        project = Project.objects.create(
            slug=DEMONSTRATION, name="Word problems", guidelines=GUIDELINES, batch_size=N_BATCH, retrain_every_labels=2000
        )
        for name, (role, _) in PEOPLE.items():
            is_owner = role == Role.OWNER
            person = owner if is_owner else None
            # Without a password: links sign these people in.
            person = person or User.objects.create_user(name, is_staff=runs_site and is_owner, is_superuser=runs_site and is_owner)
            Membership.objects.create(project=project, user=person, role=role)
    return True


def find_demonstration() -> Project | None:
    """Return the demonstration's project, if there is one."""
    return Project.objects.filter(slug=DEMONSTRATION).first()


def make_demonstration(*, progress: Callable[[str, int, int | None], None] | None = None) -> Project:
    """Fill the demonstration: problems, solutions, labels of the oracle on some of them, and a first batch for people.

    A second call changes nothing: loading is idempotent, and the batch is published once. Raises ingest.BadProject if the site cannot have
    it, or has the demonstration of an earlier version, which stays as it is.
    """
    found_demonstration()
    project = find_demonstration()
    if project is None:
        raise ingest.BadProject(
            "The demonstration was not made: this site has a project already, or an account called "
            f"{', '.join(PEOPLE)}. Set STEPMARK_HOME to an empty folder for it."
        )
    if project.problem_set.exists() and not _simulated(project).exists():
        raise ingest.BadProject(
            f"The project {project.slug} has problems of another world: an earlier version made it. It stays as it is. Set STEPMARK_HOME "
            "to an empty folder for a new demonstration."
        )
    _load(project, progress=progress)
    if not rounds.any_published(project):
        rounds.run(rounds.start(project, _first_round(project), notify=False).pk)
    return project


def set_up(*, username: str, full_name: str, password: str) -> User:
    """Make the first account of the site, which owns a new demonstration project. A worker chooses its first batch.

    All of it or nothing. Raises people.AlreadySetUp and people.NameTaken.
    """
    with transaction.atomic():
        person = people.set_up(username=username, full_name=full_name, password=password)
        if not found_demonstration(owner=person):
            others = ", ".join(name for name in PEOPLE if name != OWNER)
            raise people.NameTaken(
                f"The people of the demonstration are called {others}. Choose another name, or take the tick at the demonstration away."
            )
        project = Project.objects.get(slug=DEMONSTRATION)
        _load(project)
        rounds.start(project, _first_round(project))
    return person


def _load(project: Project, *, progress: Callable[[str, int, int | None], None] | None = None) -> None:
    world = demonstrated_world(n_problems=N_PROBLEMS, n_solutions=N_SOLUTIONS)
    ingest.add_solutions(project, _rows(world), progress=progress)


def _first_round(project: Project) -> rounds.RoundPlan:
    return rounds.RoundPlan(rounds.recipe_for(project, strategy=UNIFORM.name), seed=SEED)


def _rows(world: Iterator[tuple[SimulatedProblem, list[SimulatedSolution]]]) -> Iterator[ingest.NewSolution]:
    """Yield the world as values to load; the oracle labels up to two solutions of a problem until it has labeled enough."""
    labeled = 0
    for problem, solutions in world:
        new = ingest.NewProblem(
            problem.statement, problem.answer, problem.reference_solution, problem.external_id, problem.subject, str(problem.level)
        )
        for place, solution in enumerate(solutions):
            annotation = None
            if place < 2 and labeled < N_LABELED:
                annotation, labeled = _annotation(problem, solution), labeled + 1
            yield ingest.NewSolution(new, solution.steps, solution.final_answer, "simulated generator", annotation)


def _annotation(problem: SimulatedProblem, solution: SimulatedSolution) -> ingest.NewAnnotation:
    """Return the oracle's labels as if they came from a file."""
    labels = label(solution)
    return ingest.NewAnnotation(
        tuple(ingest.NewLabel(step, rating, chosen=rating >= 0, shown_at=0) for step, rating in enumerate(labels.ratings)),
        labels.finish_reason,
        canonical=orjson.dumps([problem.external_id, solution.steps, labels.ratings]),
        labeler=ORACLE,
    )


def is_known_to_oracle(project: Project) -> bool:
    """Return whether the oracle knows the mistakes of a project: it has problems, and all of them are of the demonstration's world."""
    return _simulated(project).exists() and not project.problem_set.exclude(external_id__startswith=PREFIX).exists()


def label_as_oracle(project: Project, *, most: int | None = None, progress: Callable[[str, int, int | None], None] | None = None) -> int:
    """Let the oracle label what waits in the queue, at most `most` solutions, as a labeler with an account of its own. Return how many.

    It leases and submits as people do in the browser, but no time is noted: it takes none. Two calls at once share the work. A solution
    that is not of the simulated world is left to people. Raises ingest.BadProject for a project whose mistakes it does not know,
    queue.NothingToLabel with what to do if it labels none, and queue.NotQualified and queue.LeaseLost if its account may not label.
    """
    if not is_known_to_oracle(project):
        raise ingest.BadProject(
            f"The oracle knows only the mistakes of the demonstration of this version. {project.slug} has other problems, or none. Label "
            "it in the browser."
        )
    oracle = _oracle(project)
    done, lost = 0, set[tuple[int, int]]()
    while most is None or done < most:
        try:
            lease = quality.lease_next(oracle, project=project)
        except queue.NothingToLabel:
            if not done:
                raise queue.NothingToLabel(_why_nothing_waits(project)) from None
            break
        except queue.NotQualified as refused:
            raise queue.NotQualified(
                f"The account {ORACLE_NAME} cannot label here; the page People says why. It was told: {refused}"
            ) from None
        try:
            done += _label(lease, oracle)
        except queue.LeaseLost:
            # Another call of this function was faster with the same lease. The same claim is not lost twice, unless something is wrong.
            if (claim := (lease.assignment_id, lease.token)) in lost:
                raise
            lost.add(claim)
            continue
        if progress:
            progress("labeling", done, most)
    return done


def _label(lease: queue.Lease, oracle: User) -> bool:
    """Submit the oracle's labels, or skip what it does not know and return False. Raises queue.LeaseLost."""
    solution = truth_of(lease.problem, tuple(lease.steps))
    if solution is None:
        labels.skip(lease.assignment_id, labeler=oracle, token=lease.token, reason="not of the simulated world")
        return False
    own = label(solution)
    labels.submit(
        lease.assignment_id,
        labeler=oracle,
        token=lease.token,
        submission_id=uuid.uuid4(),
        ratings=[{"step": step, "rating": rating} for step, rating in enumerate(own.ratings)],
        finish_reason=own.finish_reason,
        active_ms=None,  # else a project's time per solution would fall to nothing
        total_ms=None,
    )
    return True


def _why_nothing_waits(project: Project) -> str:
    """Say to a manager why the oracle has nothing to label, and what to do."""
    if project.archived_at:
        return f"{project.slug} is archived, so nobody labels. Open it again in its settings first."
    batches = Batch.objects.filter(project=project, kind=BatchKind.SELECTED, state=BatchState.PAUSED)
    if paused := batches.filter(assignment__state=AssignmentState.OPEN).order_by("generation").first():
        return f"Batch {paused.generation} is paused, so nothing of it is handed out. Resume it on its page."
    if under_way := Round.objects.filter(project=project, state__in=UNFINISHED).first():
        if under_way.state == RoundState.PROPOSED:
            return f"Nothing waits in the queue. Round {under_way.number} proposes a batch: review it, and publish it."
        return f"Nothing waits in the queue. Round {under_way.number} is under way, and publishes the next batch."
    return "Nothing waits in the queue. Start a round: it publishes the next batch."


def _simulated(project: Project) -> QuerySet[Problem]:
    return project.problem_set.filter(external_id__startswith=PREFIX)


def _oracle(project: Project) -> User:
    """Return the oracle's account, which nobody can sign in to. It needs no practice and no screening."""
    with transaction.atomic():
        person, is_new = User.objects.get_or_create(username=ORACLE_NAME)
        if is_new:
            person.set_unusable_password()
            person.save(update_fields=["password"])
        elif not Membership.objects.filter(project=project, user=person).exists():
            raise ingest.BadProject(
                f"An account called {ORACLE_NAME} exists already, and it is not the oracle's. Give that person another name first."
            )
        Membership.objects.get_or_create(project=project, user=person, defaults={"role": Role.LABELER, "qualified_at": Now()})
    return person


def sign_in_links(address: str, *, is_first_start: bool) -> list[tuple[str, str, str]]:
    """Return (name, what the person does, one-time link) for each person of the demonstration who has no password.

    Accounts that can administrate are left out after the first start: a log is read by more people than may have such a link.
    """
    accounts = get_user_model().objects.filter(username__in=PEOPLE, membership__project__slug=DEMONSTRATION, is_active=True).order_by("pk")
    return [
        (person.username, PEOPLE[person.username][1], address + people.link_to_sign_in(person))
        for person in accounts
        if not people.has_password(person) and (is_first_start or not people.may_administrate(person))
    ]
