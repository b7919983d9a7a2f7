"""Lists of large tables in the administration. A search looks only where an index answers, and no list counts all rows.

Django's own search compares text within each row (`UPPER(id::text)`), and its paginator counts the table: both read every row.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from annotation.models import Annotation, Problem, Project, Solution, StatementWords, Task, beginnings
from annotation.views import read_key

COUNTED = 10_000  # rows that a list counts at most, and through which it leads page by page
FOUND = 1_000  # problems, solutions or people behind the words of a search; of more, the newest

Way = Callable[[str], Q | None]  # what a search finds by one kind of value; None: the text is no such value


class MoreThan(int):
    """A count that stopped before the end."""

    def __str__(self) -> str:
        return f"more than {int(self):,}"


class BoundedPaginator(Paginator):
    """Leads through the first rows of a list. It counts no more of them: a count reads every row that it counts."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        assert isinstance(rows, QuerySet)
        count = rows.order_by().values("pk")[: COUNTED + 1].count()
        return count if count <= COUNTED else MoreThan(COUNTED)


class LargeTable(admin.ModelAdmin):
    """A table that grows without an end. Its list is in order of age, and a search goes the ways in `ways`, each with an index."""

    ways: Sequence[Way] = ()
    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    ordering = ("-pk",)
    list_per_page = 50

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the address gives for a new row. A relation that it gives no key for is left empty: its field would look for that."""
        given: dict[str, Any] = super().get_changeform_initial_data(request)
        relations = {field.name for field in self.opts.concrete_fields if field.is_relation}
        return {name: value for name, value in given.items() if name not in relations or read_key(str(value)) is not None}

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[QuerySet[Any], bool]:
        """Keep the rows that one of the ways finds. The text is one value: it is not cut into words here."""
        text = search_term.replace("\0", "").strip()
        if not text:
            return queryset, False
        found = [condition for way in self.ways if (condition := way(text)) is not None]
        return (queryset.filter(reduce(or_, found)) if found else queryset.none()), False


def by_number(*names: str) -> Way:
    """Find a whole number in one of the columns."""

    def find(text: str) -> Q | None:
        number = read_key(text)
        return None if number is None else Q.create([(name, number) for name in names], connector=Q.OR)

    return find


def by_uuid(name: str) -> Way:
    """Find a UUID in a column."""

    def find(text: str) -> Q | None:
        try:
            return Q((name, UUID(text)))
        except ValueError:
            return None

    return find


def by_person(name: str) -> Way:
    """Find people by a part of their user name, name or e-mail address. There are few accounts, so reading all of them is quick."""

    def find(text: str) -> Q:
        fields = ("username", "email", "first_name", "last_name")
        people = User.objects.filter(Q.create([(f"{field}__icontains", text) for field in fields], connector=Q.OR))
        return Q((f"{name}__in", newest(people)))

    return find


def by_project(name: str) -> Way:
    """Find projects by a part of their name or address."""
    return lambda text: Q((f"{name}__in", newest(Project.objects.filter(Q(slug__icontains=text) | Q(name__icontains=text)))))


def by_text(name: str) -> Way:
    """Find a part of a text in a small table."""
    return lambda text: Q((f"{name}__icontains", text))


def by_problem(name: str) -> Way:
    """Find the problems that have this id in their file, or all these words in their statement."""
    return lambda text: Q((f"{name}__in", problems(text)))


def by_problem_of_solution(name: str) -> Way:
    """Find the solutions of such problems."""
    return lambda text: Q((f"{name}__in", solutions(text)))


def by_problem_of_task(name: str) -> Way:
    """Find the tasks of such solutions."""
    return lambda text: Q((f"{name}__in", newest(Task.objects.filter(solution__in=solutions(text)))))


def by_problem_of_annotation(name: str) -> Way:
    """Find the annotations of such solutions."""
    return lambda text: Q((f"{name}__in", newest(Annotation.objects.filter(solution__in=solutions(text)))))


def newest(rows: QuerySet[Any]) -> list[int]:
    """Return the keys of the newest rows. A join instead would hide from the planner that an index finds them."""
    return list(rows.order_by("-pk").values_list("pk", flat=True)[:FOUND])


def problems(text: str) -> list[int]:
    every = list(Project.objects.values_list("pk", flat=True))  # the index of the ids begins with the project
    named = Problem.objects.filter(project__in=every, external_id=text)
    said = Problem.objects.alias(said=StatementWords("statement")).filter(said=beginnings(text))
    return distinct([*newest(named), *newest(said)])


def solutions(text: str) -> list[int]:
    return newest(Solution.objects.filter(problem__in=problems(text)))


def distinct(keys: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(keys))
