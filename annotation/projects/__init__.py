"""Stage: projects. They are created, their settings change, they are archived and opened again, and one without labels can be deleted.

Reads batches, members and labels; writes Project, Events, and the Membership of a new project's owners.
"""

from annotation.projects.archiving import archive_projects, open_projects_again
from annotation.projects.creating import can_create, create_project, is_taken

__all__ = [
    "archive_projects",
    "can_create",
    "create_project",
    "is_taken",
    "open_projects_again",
]
