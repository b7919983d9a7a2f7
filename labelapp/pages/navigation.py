"""The sections of a project: one navigation for all its pages. The site's wiring has it, because the pages belong to both apps."""

from collections.abc import Collection
from dataclasses import dataclass

from django.urls import reverse

from annotation import people


@dataclass(frozen=True)
class Section:
    """A part of a project's pages. `paths` is what stands after the project in their addresses."""

    words: str
    page: str  # name of the address that the navigation leads to
    roles: Collection[str]
    paths: tuple[str, ...]


SECTIONS = (
    Section("Overview", "overview", people.RESEARCHERS, ("",)),
    Section("Label", "label", people.LABELERS, ("label", "recent", "reopen", "guidelines", "calibration", "record")),
    Section("Review", "review", people.WRITERS, ("review",)),
    Section("Solutions", "solutions", people.RESEARCHERS, ("solutions", "labels", "problems")),
    Section("Batches", "batches", people.RESEARCHERS, ("batches",)),
    Section("People", "people", people.MANAGERS, ("people", "messages")),
    Section("Quality", "agreement", people.RESEARCHERS, ("quality", "calibration")),
    Section("Messages", "messages", people.WRITERS - people.MANAGERS, ("messages",)),
    Section("Rounds", "rounds", people.RESEARCHERS, ("rounds",)),
    Section("Models", "models", people.RESEARCHERS, ("models",)),
    Section("Data", "data", people.RESEARCHERS, ("data",)),
    Section("Settings", "settings", people.MANAGERS, ("settings", "audit", "guidelines")),
)


@dataclass(frozen=True)
class Link:
    """One entry of the navigation."""

    words: str
    url: str
    is_current: bool


def links(access: people.Access, path: str) -> list[Link]:
    """Return the sections that a person can open in a project, with the one that a path within the site belongs to."""
    place = path.removeprefix(f"/p/{access.project.slug}/").partition("/")[0]
    return [
        Link(section.words, reverse(section.page, kwargs={"slug": access.project.slug}), place in section.paths)
        for section in SECTIONS
        if access.role in section.roles
    ]
