"""The addresses of the API in the labeling flow. None has a slash at the end."""

from django.urls import path

from annotation.api import base, data, loading, orders, people, previews, webhooks

PROJECT = "projects/<slug:slug>"
urlpatterns = [
    path("openapi.json", base.OpenApiView.as_view(), name="api-openapi"),
    path("me", people.MeView.as_view(), name="api-me"),
    path("projects", people.ProjectsView.as_view(), name="api-projects"),
    path(PROJECT, people.ProjectView.as_view(), name="api-project"),
    path(f"{PROJECT}/problems", loading.ProblemsView.as_view(), name="api-problems"),
    path(f"{PROJECT}/problems/<int:problem_id>", data.ProblemView.as_view(), name="api-problem"),
    path(f"{PROJECT}/solutions", loading.SolutionsView.as_view(), name="api-solutions"),
    path(f"{PROJECT}/solutions/<int:solution_id>", data.SolutionView.as_view(), name="api-solution"),
    path(f"{PROJECT}/solutions/<int:solution_id>/consensus", data.ConsensusView.as_view(), name="api-solution-consensus"),
    path(f"{PROJECT}/batches", data.BatchesView.as_view(), name="api-batches"),
    path(f"{PROJECT}/batches/<int:batch_id>", data.BatchView.as_view(), name="api-batch"),
    path(f"{PROJECT}/annotations", data.AnnotationsView.as_view(), name="api-annotations"),
    path(f"{PROJECT}/annotations/<int:annotation_id>", data.AnnotationView.as_view(), name="api-annotation"),
    path(f"{PROJECT}/consensus", data.ConsensusListView.as_view(), name="api-consensus"),
    path(f"{PROJECT}/snapshots", orders.SnapshotsView.as_view(), name="api-snapshots"),
    path(f"{PROJECT}/snapshots/preview", previews.SnapshotPreviewView.as_view(), name="api-preview-snapshot"),
    path(f"{PROJECT}/snapshots/<int:number>", data.SnapshotView.as_view(), name="api-snapshot"),
    path(f"{PROJECT}/webhooks", webhooks.WebhooksView.as_view(), name="api-webhooks"),
    path(f"{PROJECT}/webhooks/<int:webhook_number>", webhooks.OneWebhookView.as_view(), name="api-webhook"),
    path(f"{PROJECT}/webhooks/<int:webhook_number>/switch", webhooks.SwitchWebhookView.as_view(), name="api-switch-webhook"),
    path(f"{PROJECT}/webhooks/<int:webhook_number>/secret", webhooks.WebhookSecretView.as_view(), name="api-webhook-secret"),
    path(f"{PROJECT}/webhooks/<int:webhook_number>/test", webhooks.PingWebhookView.as_view(), name="api-ping-webhook"),
    path(f"{PROJECT}/webhooks/<int:webhook_number>/delete", webhooks.DeleteWebhookView.as_view(), name="api-delete-webhook"),
    path(f"{PROJECT}/webhooks/<int:webhook_number>/deliveries", webhooks.DeliveriesView.as_view(), name="api-webhook-deliveries"),
    path(
        f"{PROJECT}/webhooks/<int:webhook_number>/deliveries/<int:delivery_number>/send",
        webhooks.SendAgainView.as_view(),
        name="api-send-webhook-again",
    ),
    path(f"{PROJECT}/snapshots/<int:number>/changes", orders.SnapshotChangesView.as_view(), name="api-snapshot-changes"),
    path(f"{PROJECT}/snapshots/<int:number>/exports", orders.ExportsView.as_view(), name="api-exports"),
    path(f"{PROJECT}/orders", orders.OrdersView.as_view(), name="api-orders"),
    path(f"{PROJECT}/orders/<int:order_id>", orders.OrderView.as_view(), name="api-order"),
    path(f"{PROJECT}/orders/<int:order_id>/cancel", orders.CancelOrderView.as_view(), name="api-cancel-order"),
    path(f"{PROJECT}/orders/<int:order_id>/files", orders.OrderFilesView.as_view(), name="api-order-files"),
    path(f"{PROJECT}/orders/<int:order_id>/files/<str:file>", orders.OrderFileView.as_view(), name="api-order-file"),
    path(f"{PROJECT}/people", data.PeopleView.as_view(), name="api-people"),
]
