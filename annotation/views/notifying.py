"""The page of a person's notifications."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import get_script_prefix
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from annotation import notifications as notifications_stage
from annotation.views import KEY, SignedInRequest, read_key
from trainer.counting import counted


@require_GET
@never_cache
@login_required
def notifications(request: SignedInRequest) -> HttpResponse:
    """Show a person's notifications, the newest first."""
    rows = notifications_stage.notifications_of(request.user, before=read_key(request.GET.get("before", "")))
    page = {
        "rows": rows,
        "has_unread": any(row.read_at is None for row in rows) or notifications_stage.unread_of(request.user) > 0,
        "older": rows[-1].pk if len(rows) == notifications_stage.SHOWN else None,
        "days": notifications_stage.KEPT.days,
    }
    return render(request, "annotation/notifications.html", page)


@require_POST
@login_required
def read(request: SignedInRequest, notification_id: int) -> HttpResponse:
    """Mark a notification as read, and open its page if `open` is asked for. Somebody else's stays as it is."""
    path = notifications_stage.read(request.user, notification_id) if notification_id in KEY else None
    if path and "open" in request.POST:
        return redirect(get_script_prefix().rstrip("/") + path)
    return redirect("notifications")


@require_POST
@login_required
def read_all(request: SignedInRequest) -> HttpResponse:
    """Mark all notifications of a person as read."""
    count = notifications_stage.mark_all_read(request.user)
    messages.success(request, f"{counted(count, 'notification')} marked as read." if count else "All notifications were read already.")
    return redirect("notifications")
