"""What a researcher takes away: a snapshot of the labels as a file."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from annotation import export, ingest, people
from annotation.views import for_roles

if TYPE_CHECKING:
    from annotation.models import Project


log = logging.getLogger(__name__)


@require_POST
@for_roles(people.RESEARCHERS)
def download_export(request: HttpRequest, project: "Project") -> HttpResponse:
    """Take a snapshot, write it as PRM800K records and send the file. What was published stays on disk, as its row says."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    path = Path(settings.STEPMARK_HOME) / "exports" / f"{project.slug}-{moment}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        snapshot = export.export_prm800k(project, path)
    except (ingest.BadFile, OSError) as error:
        log.error("The export of %s failed: %s", project.slug, error)
        messages.error(request, "The file could not be written on the server: free some space there and try again. No snapshot was made.")
        return redirect("overview", slug=project.slug)
    name = f"{project.slug}-snapshot-{snapshot.number}.jsonl"
    return FileResponse(path.open("rb"), as_attachment=True, filename=name, content_type="application/x-ndjson")
