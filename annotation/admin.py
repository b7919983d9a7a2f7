"""Django's administration of the labeling flow. Staff look up any row and edit projects and memberships. They never change history."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from annotation import export, models, queue
from trainer.counting import counted


class ReadOnly(admin.ModelAdmin):
    """Rows that only stages write. Triggers make them append-only, or tokens guard them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, row: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, row: object = None) -> bool:
        return False


class MembershipInline(admin.TabularInline):
    model = models.Membership
    raw_id_fields = ["user"]
    readonly_fields = ["export_uuid"]
    extra = 0


@admin.register(models.Project)
class ProjectAdmin(admin.ModelAdmin):
    """The policies of a project. Its step source decides the form of exported labels, so it cannot change once there are labels."""

    list_display = ["name", "slug", "overlap", "lease_minutes", "show_reference_answer", "base_model", "created_at"]
    search_fields = ["name", "slug"]
    inlines = [MembershipInline]

    def get_readonly_fields(self, request: HttpRequest, project: models.Project | None = None) -> list[str]:
        return ["created_at", *["step_source"] * (project is not None and export.has_labels(project))]


@admin.register(models.Membership)
class MembershipAdmin(admin.ModelAdmin):
    list_display = ["user", "project", "role", "qualified_at", "suspended_at"]
    list_filter = ["role"]
    list_select_related = ["user", "project"]
    search_fields = ["user__username", "user__email", "project__slug", "export_uuid"]
    raw_id_fields = ["user", "project"]
    readonly_fields = ["export_uuid"]


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
