"""The pages of the audit: who did what, in one project or on the whole site."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import Http404
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from annotation import audit, people
from annotation.views import SignedInRequest, for_roles, read_key
from annotation.views.csv_files import csv_stream
from annotation.views.forms.audit import AuditForm

if TYPE_CHECKING:
    from annotation.models import Project

COLUMNS = ("at", "who", "what", "object", "project", "details")


@require_GET
@never_cache
@for_roles(people.MANAGERS)
def project_audit(request: SignedInRequest, project: "Project") -> HttpResponseBase:
    """Show who did what in a project."""
    return _audit(request, project)


@require_GET
@never_cache
@login_required
def site_audit(request: SignedInRequest) -> HttpResponseBase:
    """Show who did what on the whole site, to superusers."""
    if not request.user.is_superuser:
        raise Http404("There is no such page, or you cannot open it.")
    return _audit(request, None)


def _audit(request: SignedInRequest, project: "Project | None") -> HttpResponseBase:
    form = AuditForm(request.GET, verbs=audit.verbs())
    if not form.is_valid():
        return render(request, "annotation/projects/audit.html", {"project": project, "form": form}, status=400)
    if "csv" in request.GET:
        lines = _lines(audit.all_events(project, form.wanted))
        return csv_stream(lines, name=f"audit-{project.slug if project else 'site'}.csv")
    rows, after = audit.events_of(project, form.wanted, before=read_key(request.GET.get("before", "")))
    asked = {name: value for name, value in form.data.items() if name in form.fields and value}
    page = {
        "project": project,
        "form": form,
        "rows": rows,
        "is_filtered": bool(asked),
        "is_later": "before" in request.GET,
        "first": urlencode(asked),
        "older": urlencode(asked | {"before": after}) if after else "",
        "download": urlencode(asked | {"csv": "1"}),
    }
    return render(request, "annotation/projects/audit.html", page)


def _lines(rows: Iterator[audit.AuditRow]) -> Iterator[Sequence[str]]:
    yield COLUMNS
    for row in rows:
        yield row.at.isoformat(timespec="seconds"), row.who, row.verb, row.thing, row.project, row.details
