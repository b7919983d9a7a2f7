"""Django's administration of the labeling flow. Staff look up any row and edit projects and memberships. They never change history."""

from typing import Any

import django_otp.plugins.otp_static.admin
import django_otp.plugins.otp_totp.admin  # noqa: F401  both register what is taken out below: this module does not count on who is first
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.html import format_html
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from annotation import audit, models, people, queue
from annotation import projects as projects_stage
from annotation.admin import large_tables
from annotation.admin.large_tables import LargeTable
from trainer.counting import counted


class ReadOnly(admin.ModelAdmin):
    """Rows that only stages write. Triggers make them append-only, or tokens guard them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, row: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, row: object = None) -> bool:
        return False


class NeverDeleted(admin.ModelAdmin):
    """Rows that published files or other rows stand on. They are archived or ended instead."""

    def has_delete_permission(self, request: HttpRequest, row: object = None) -> bool:
        return False


class MembershipForm(forms.ModelForm):
    """A membership. Whose it is, and where, never changes: exports show its pseudonym."""

    class Meta:
        model = models.Membership
        fields = ["project", "user", "role", "qualified_at", "refused_at", "suspended_at", "reason"]

    def clean_user(self) -> User:
        """Refuse another person for a membership that exists."""
        user: User = self.cleaned_data["user"]
        if self.instance.pk and user.pk != self.instance.user_id:
            raise forms.ValidationError(f"This is the membership of {self.instance.user}. Set its role to former, and add another one.")
        return user

    def clean_project(self) -> models.Project:
        """Refuse another project for a membership that exists."""
        project: models.Project = self.cleaned_data["project"]
        if self.instance.pk and project.pk != self.instance.project_id:
            raise forms.ValidationError(f"This is a membership in {self.instance.project}. Add another one for another project.")
        return project


@admin.register(models.Project)
class ProjectAdmin(NeverDeleted):
    """The policies of a project. Its step source decides the form of exported labels, so it cannot change once there are labels."""

    list_display = ["name", "slug", "overlap", "lease_minutes", "show_reference_answer", "base_model", "created_at", "archived_at"]
    list_filter = [("archived_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "slug"]
    ordering = ["name"]
    actions = ["archive", "open_again"]

    def get_readonly_fields(self, request: HttpRequest, project: models.Project | None = None) -> list[str]:
        shown = ["members", "created_at", "archived_at"]
        return [*shown, *["step_source"] * (project is not None and projects_stage.has_labels(project))]

    @admin.display(description="members")
    def members(self, project: models.Project) -> str:
        """Link to the members. A form with a row for each of them costs queries for each, and cannot be saved when there are many."""
        if project.pk is None:
            return "Save the project first. Then add its members."
        listed, added = (reverse(f"admin:annotation_membership_{page}") for page in ("changelist", "add"))
        count = counted(project.membership_set.count(), "membership")
        links = '<a href="{}?project__id__exact={}">{}</a> · <a href="{}?project={}">Add a membership</a>'
        return format_html(links, listed, project.pk, count, added, project.pk)

    @admin.action(description="Archive: no labeling and no rounds; labels and exports stay", permissions=["change"])
    def archive(self, request: HttpRequest, projects: QuerySet[models.Project]) -> None:
        assert request.user.is_authenticated
        count = projects_stage.archive_projects(projects, actor=request.user)
        messages.success(request, f"Projects archived: {count}. Their pages, labels and exports stay.")

    @admin.action(description="Open again", permissions=["change"])
    def open_again(self, request: HttpRequest, projects: QuerySet[models.Project]) -> None:
        assert request.user.is_authenticated
        messages.success(request, f"Projects open again: {projects_stage.open_projects_again(projects, actor=request.user)}.")


@admin.register(models.Membership)
class MembershipAdmin(NeverDeleted, LargeTable):
    form = MembershipForm
    fields = ["project", "user", "role", "qualified_at", "refused_at", "suspended_at", "reason", "export_uuid"]
    list_display = ["user", "project", "role", "qualified_at", "suspended_at"]
    list_filter = ["role"]
    list_select_related = ["user", "project"]
    search_fields = ["user", "project", "export_uuid"]
    search_help_text = "A part of a person's or a project's name, or a pseudonym"
    ways = [large_tables.by_person("user"), large_tables.by_project("project"), large_tables.by_uuid("export_uuid")]
    autocomplete_fields = ["user", "project"]
    readonly_fields = ["export_uuid"]


for of_library in (User, StaticDevice, TOTPDevice):  # the devices would show the secrets of the second factors
    admin.site.unregister(of_library)


@admin.register(User)
class AccountAdmin(UserAdmin, NeverDeleted):
    """Accounts. One that is not active cannot sign in, and everything else of it stays. Erasing also removes the name."""

    paginator = large_tables.BoundedPaginator
    show_full_result_count = False
    actions = ["make_links", "unlock", "reset_second_factor", "erase"]

    @admin.action(description="Make a sign-in link", permissions=["change"])
    def make_links(self, request: HttpRequest, accounts: QuerySet[User]) -> None:
        for person in accounts.filter(is_active=True):
            if people.may_administrate(person) and not request.user.is_superuser:
                messages.error(request, f"{person} can administrate. Only a superuser makes a link for this account.")
                continue
            link = request.build_absolute_uri(people.link_to_sign_in(person))
            messages.success(request, f"{person} signs in once, within 24 hours, at {link}")

    @admin.action(description="Let them try their passwords again at once", permissions=["change"])
    def unlock(self, request: HttpRequest, accounts: QuerySet[User]) -> None:
        for person in accounts:
            people.unlock(person.username)
        messages.success(request, "They can try again now.")

    @admin.action(description="Reset the second factor", permissions=["erase"])
    def reset_second_factor(self, request: HttpRequest, accounts: QuerySet[User]) -> None:
        assert request.user.is_authenticated
        names = [person.username for person in accounts if people.reset_second_factor(person, actor=request.user)]
        messages.success(request, f"The second factor is removed: {', '.join(names) or 'nobody had one'}.")

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    @admin.action(description="Erase for good: the name goes, the labels stay", permissions=["erase"])
    def erase(self, request: HttpRequest, accounts: QuerySet[User]) -> HttpResponse | None:
        assert request.user.is_authenticated
        if "confirmed" not in request.POST:
            page = {**self.admin_site.each_context(request), "title": "Erase for good?", "accounts": accounts, "opts": self.opts}
            return render(request, "admin/erase.html", page)
        for person in accounts:
            name = person.username
            try:
                people.erase(person, actor=request.user)
            except people.CannotErase as refused:
                messages.error(request, str(refused))
            else:
                messages.success(request, f"{name} is erased. The labels stay, under {people.erased_name(person)}.")
        return None


class Withdrawing(ReadOnly, LargeTable):
    """Rows whose solutions can be withdrawn from labeling."""

    actions = ["withdraw"]

    def has_withdraw_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("annotation.change_solution")

    @admin.action(description="Withdraw from labeling for good", permissions=["withdraw"])
    def withdraw(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        assert request.user.is_authenticated  # the permission above needs it
        count = queue.withdraw(self.solutions_of(rows), actor=request.user)
        messages.success(request, f"{counted(count, 'solution was', 'solutions were')} withdrawn. Their labels stay.")

    def solutions_of(self, rows: QuerySet[Any]) -> QuerySet[models.Solution]:
        return rows


@admin.register(models.Problem)
class ProblemAdmin(Withdrawing):
    list_display = ["external_id", "project", "split", "subject", "level", "answer"]
    list_filter = ["split"]
    list_select_related = ["project"]
    search_fields = ["external_id", "statement"]
    search_help_text = "The id in the file, words of the statement, or the number"
    ways = [large_tables.by_problem("pk"), large_tables.by_number("pk")]

    def view_on_site(self, problem: models.Problem) -> str:
        """Link to the page where a manager corrects the reference answer."""
        return reverse("problem", args=[problem.project.slug, problem.pk])

    def solutions_of(self, rows: QuerySet[Any]) -> QuerySet[models.Solution]:
        return models.Solution.objects.filter(problem__in=rows)


@admin.register(models.Solution)
class SolutionAdmin(Withdrawing):
    list_display = ["id", "problem", "final_answer", "outcome", "source", "withdrawn_at"]
    list_filter = ["outcome"]
    search_fields = ["id", "problem"]
    search_help_text = "The number of a solution, or words or the id of its problem"
    ways = [large_tables.by_number("pk"), large_tables.by_problem("problem")]
    exclude = ["digest"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.Solution]:
        """Fetch the problems too: a form that offers solutions names each with its problem."""
        return super().get_queryset(request).select_related("problem")


@admin.register(models.Batch)
class BatchAdmin(ReadOnly, LargeTable):
    list_display = ["id", "project", "generation", "kind", "state", "created_at", "closed_at"]
    list_filter = ["kind", "state"]
    list_select_related = ["project"]
    search_fields = ["project", "id"]
    search_help_text = "A part of a project's name, or the number of a batch"
    ways = [large_tables.by_project("project"), large_tables.by_number("pk")]


OF_PROBLEM = "words or the id of its problem"


@admin.register(models.Task)
class TaskAdmin(ReadOnly, LargeTable):
    list_display = ["id", "batch_id", "solution_id", "kind", "priority", "overlap", "verifier_score"]
    list_filter = ["kind"]
    search_fields = ["id", "batch", "solution"]
    search_help_text = f"The number of a task, a batch or a solution, or {OF_PROBLEM}"
    ways = [large_tables.by_number("pk", "batch", "solution"), large_tables.by_problem_of_solution("solution")]


@admin.register(models.Assignment)
class AssignmentAdmin(ReadOnly, LargeTable):
    list_display = ["id", "task_id", "slot", "state", "labeler", "token", "leased_at", "lease_expires_at"]
    list_filter = ["state"]
    list_select_related = ["labeler"]
    search_fields = ["id", "task", "labeler"]
    search_help_text = f"The number of an assignment or a task, a part of a person's name, or {OF_PROBLEM}"
    ways = [large_tables.by_number("pk", "task"), large_tables.by_person("labeler"), large_tables.by_problem_of_task("task")]


@admin.register(models.Annotation)
class AnnotationAdmin(ReadOnly, LargeTable):
    list_display = ["id", "solution_id", "labeler", "revision", "finish_reason", "active_ms", "created_at"]
    list_filter = ["finish_reason"]
    list_select_related = ["labeler"]
    search_fields = ["id", "solution", "labeler", "submission_id"]
    search_help_text = f"The number of an annotation or a solution, the id of a submission, a part of a person's name, or {OF_PROBLEM}"
    ways = [
        large_tables.by_number("pk", "solution"),
        large_tables.by_uuid("submission_id"),
        large_tables.by_person("labeler"),
        large_tables.by_problem_of_solution("solution"),
    ]
    exclude = ["body_hash"]


@admin.register(models.StepLabel)
class StepLabelAdmin(ReadOnly, LargeTable):
    list_display = ["annotation_id", "step_index", "position", "rating", "flagged", "chosen", "rated_ms"]
    search_fields = ["annotation"]
    search_help_text = f"The number of an annotation, or {OF_PROBLEM}"
    ways = [large_tables.by_number("annotation"), large_tables.by_problem_of_annotation("annotation")]


@admin.register(models.GoldAnswer)
class GoldAnswerAdmin(LargeTable):
    list_display = ["solution_id", "acceptable_first_errors", "note"]
    search_fields = ["solution", "note"]
    search_help_text = f"The number of a solution, a part of the note, or {OF_PROBLEM}"
    ways = [large_tables.by_number("solution"), large_tables.by_text("note"), large_tables.by_problem_of_solution("solution")]
    autocomplete_fields = ["solution"]

    def get_readonly_fields(self, request: HttpRequest, answer: models.GoldAnswer | None = None) -> list[str]:
        """Show whose answer it is. With another solution it would be stored as a second one."""
        return [] if answer is None else ["solution"]


@admin.register(models.Snapshot)
class SnapshotAdmin(ReadOnly, LargeTable):
    list_display = ["project", "number", "count", "sha256", "file", "content", "created_at"]
    list_select_related = ["project"]
    search_fields = ["project", "sha256"]
    search_help_text = "A part of a project's name, or of a SHA-256"
    ways = [large_tables.by_project("project"), large_tables.by_text("sha256")]


@admin.register(models.Event)
class EventAdmin(ReadOnly, LargeTable):
    list_display = ["at", "actor", "verb", "subject"]
    list_select_related = ["actor"]
    search_fields = ["verb", "subject", "actor"]
    search_help_text = "A part of what was done or of a person's name, or an object, such as “solution 12”"
    ways = [
        lambda text: Q(verb__in=[verb for verb in audit.verbs() if text.lower() in verb.lower()]),
        lambda text: Q(subject__startswith=text),
        large_tables.by_person("actor"),
    ]
