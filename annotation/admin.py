"""Django's administration of the labeling flow. Staff look up any row and edit projects and memberships. They never change history."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from annotation import models, people, queue
from annotation import projects as projects_stage
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
        fields = ["project", "user", "role", "qualified_at", "suspended_at", "reason"]

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


class MembershipInline(admin.TabularInline):
    model = models.Membership
    form = MembershipForm
    fields = ["user", "role", "qualified_at", "suspended_at", "reason", "export_uuid"]
    raw_id_fields = ["user"]
    readonly_fields = ["export_uuid"]
    extra = 0
    can_delete = False


@admin.register(models.Project)
class ProjectAdmin(NeverDeleted):
    """The policies of a project. Its step source decides the form of exported labels, so it cannot change once there are labels."""

    list_display = ["name", "slug", "overlap", "lease_minutes", "show_reference_answer", "base_model", "created_at", "archived_at"]
    list_filter = [("archived_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "slug"]
    inlines = [MembershipInline]
    actions = ["archive", "open_again"]

    def get_readonly_fields(self, request: HttpRequest, project: models.Project | None = None) -> list[str]:
        return ["created_at", "archived_at", *["step_source"] * (project is not None and projects_stage.has_labels(project))]

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
class MembershipAdmin(NeverDeleted):
    form = MembershipForm
    fields = ["project", "user", "role", "qualified_at", "suspended_at", "reason", "export_uuid"]
    list_display = ["user", "project", "role", "qualified_at", "suspended_at"]
    list_filter = ["role"]
    list_select_related = ["user", "project"]
    search_fields = ["user__username", "user__email", "project__slug", "export_uuid"]
    raw_id_fields = ["user", "project"]
    readonly_fields = ["export_uuid"]


for of_library in (User, StaticDevice, TOTPDevice):  # the devices would show the secrets of the second factors
    admin.site.unregister(of_library)


@admin.register(User)
class AccountAdmin(UserAdmin, NeverDeleted):
    """Accounts. One that is not active cannot sign in, and everything else of it stays. Erasing also removes the name."""

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


class Withdrawing(ReadOnly):
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
    search_fields = ["=external_id", "statement"]
    show_full_result_count = False  # it would count millions of rows on every page

    def view_on_site(self, problem: models.Problem) -> str:
        """Link to the page where a manager corrects the reference answer."""
        return reverse("problem", args=[problem.project.slug, problem.pk])

    def solutions_of(self, rows: QuerySet[Any]) -> QuerySet[models.Solution]:
        return models.Solution.objects.filter(problem__in=rows)


@admin.register(models.Solution)
class SolutionAdmin(Withdrawing):
    list_display = ["id", "problem", "final_answer", "outcome", "source", "withdrawn_at"]
    list_filter = ["outcome"]
    list_select_related = ["problem"]
    search_fields = ["=id", "=problem__external_id"]
    exclude = ["digest"]
    show_full_result_count = False


@admin.register(models.Batch)
class BatchAdmin(ReadOnly):
    list_display = ["id", "project", "generation", "kind", "state", "created_at", "closed_at"]
    list_filter = ["kind", "state"]
    list_select_related = ["project"]
    search_fields = ["project__slug"]


@admin.register(models.Task)
class TaskAdmin(ReadOnly):
    list_display = ["id", "batch_id", "solution_id", "kind", "priority", "overlap", "verifier_score"]
    list_filter = ["kind"]
    search_fields = ["=id", "=batch__id", "=solution__id"]
    show_full_result_count = False


@admin.register(models.Assignment)
class AssignmentAdmin(ReadOnly):
    list_display = ["id", "task_id", "slot", "state", "labeler", "token", "leased_at", "lease_expires_at"]
    list_filter = ["state"]
    list_select_related = ["labeler"]
    search_fields = ["=id", "=task__id", "labeler__username"]
    show_full_result_count = False


@admin.register(models.Annotation)
class AnnotationAdmin(ReadOnly):
    list_display = ["id", "solution_id", "labeler", "revision", "finish_reason", "active_ms", "created_at"]
    list_filter = ["finish_reason"]
    list_select_related = ["labeler"]
    search_fields = ["=id", "=solution__id", "labeler__username", "=submission_id"]
    exclude = ["body_hash"]
    show_full_result_count = False


@admin.register(models.StepLabel)
class StepLabelAdmin(ReadOnly):
    list_display = ["annotation_id", "step_index", "position", "rating", "flagged", "chosen", "rated_ms"]
    search_fields = ["=annotation__id"]
    show_full_result_count = False


@admin.register(models.GoldAnswer)
class GoldAnswerAdmin(admin.ModelAdmin):
    list_display = ["solution_id", "acceptable_first_errors", "note"]
    search_fields = ["=solution__id", "note"]
    raw_id_fields = ["solution"]


@admin.register(models.Snapshot)
class SnapshotAdmin(ReadOnly):
    list_display = ["project", "number", "count", "sha256", "file", "created_at"]
    list_select_related = ["project"]
    search_fields = ["project__slug", "=sha256"]


@admin.register(models.Event)
class EventAdmin(ReadOnly):
    list_display = ["at", "actor", "verb", "subject"]
    list_select_related = ["actor"]
    search_fields = ["verb", "subject", "actor__username"]
    show_full_result_count = False
