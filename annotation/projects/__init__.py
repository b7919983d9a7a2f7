"""Stage: projects. They are created, their settings change, they are archived and opened again, and one without labels can be deleted.

Reads batches, members and labels; writes Project, Events, and the Membership of a new project's owners.
"""

from annotation.projects.archiving import archive_project, archive_projects, open_project_again, open_projects_again
from annotation.projects.creating import can_create, create_project, is_taken
from annotation.projects.deleting import CannotDelete, Contents, WrongName, contents_of, delete_project, project_deleted
from annotation.projects.settings import (
    SettingChange,
    SettingsChangedMeanwhile,
    SettingsPlan,
    SettingsRefused,
    change_settings,
    has_labels,
    locked_kind,
    look_at_change,
    values_of,
    version_of,
)

__all__ = [
    "CannotDelete",
    "Contents",
    "SettingChange",
    "SettingsChangedMeanwhile",
    "SettingsPlan",
    "SettingsRefused",
    "WrongName",
    "archive_project",
    "archive_projects",
    "can_create",
    "change_settings",
    "contents_of",
    "create_project",
    "delete_project",
    "has_labels",
    "is_taken",
    "locked_kind",
    "look_at_change",
    "open_project_again",
    "open_projects_again",
    "project_deleted",
    "values_of",
    "version_of",
]
