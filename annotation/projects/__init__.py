"""Stage: projects. They are created, their settings change, they are archived and opened again, and one without labels can be deleted.

Reads batches, members and labels; writes Project, Events, and the Membership of a new project's owners.
"""

from annotation.projects.archiving import archive_project, archive_projects, open_project_again, open_projects_again
from annotation.projects.creating import can_create, create_project, is_taken
from annotation.projects.deleting import CannotDelete, Contents, WrongName, contents_of, delete_project
from annotation.projects.guidelines import (
    SHOWN_LINES,
    BadNote,
    DiffLine,
    MemberReading,
    NoSuchGuidelines,
    compare_texts,
    find_version,
    guidelines_versions,
    note_version,
    notify_of_versions,
    read_guidelines,
    readers_of,
)
from annotation.projects.reading import MemberProject, member_project, member_projects
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
    "SHOWN_LINES",
    "BadNote",
    "CannotDelete",
    "Contents",
    "DiffLine",
    "MemberProject",
    "MemberReading",
    "NoSuchGuidelines",
    "SettingChange",
    "SettingsChangedMeanwhile",
    "SettingsPlan",
    "SettingsRefused",
    "WrongName",
    "archive_project",
    "archive_projects",
    "can_create",
    "change_settings",
    "compare_texts",
    "contents_of",
    "create_project",
    "delete_project",
    "find_version",
    "guidelines_versions",
    "has_labels",
    "is_taken",
    "locked_kind",
    "look_at_change",
    "member_project",
    "member_projects",
    "note_version",
    "notify_of_versions",
    "open_project_again",
    "open_projects_again",
    "read_guidelines",
    "readers_of",
    "values_of",
    "version_of",
]
