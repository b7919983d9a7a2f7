"""The search for everything: pages, acts, people, solutions, rounds. One address serves the dialog and a page without script.

Pages and acts are a table, by role. What a project holds is found by `active_learning.pages`.
"""

from collections.abc import Collection
from dataclasses import dataclass

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from active_learning import pages
from active_learning.pages import FoundGroup, FoundThing
from annotation import people, projects
from annotation.models import Project
from annotation.views import SignedInRequest, for_roles
from labelapp.pages import navigation

LONGEST = 200  # characters that are looked for
EVERYBODY = people.LABELERS | people.RESEARCHERS


@dataclass(frozen=True)
class Act:
    """Something that people do on a page of a project. `also`: other words for it, by which it is found."""

    words: str
    page: str  # name of the address
    roles: Collection[str]
    also: str = ""
    part: str = ""  # of the page


ACTS = (
    Act("Compose a round", "compose", people.MANAGERS, "new batch publish select train model start retrain"),
    Act("Newcomers and their screening", "newcomers", people.MANAGERS, "admit refuse repeat screening"),
    Act("New practice, screening or gold", "compose-newcomers", people.MANAGERS, "batch compose newcomers"),
    Act("Invite people", "people", people.MANAGERS, "add member labeler link new person", "invite"),
    Act("Import a file", "data", people.MANAGERS, "upload load problems solutions new data", "upload-title"),
    Act("Download the labels", "data", people.RESEARCHERS, "export prm800k snapshot save dataset"),
    Act("Write a message", "messages", people.WRITERS, "send letter mail labeler"),
    Act("Settle disagreements", "review", people.WRITERS, "review adjudicate decide conflict consensus gold send back"),
    Act("Flags of bad work", "flags", people.MANAGERS, "spam spammer watch quarantine pause decide cheat suspicious"),
    Act("See all labels", "annotations", people.RESEARCHERS, "annotations ratings submissions"),
    Act("See who works now", "overview", people.RESEARCHERS, "labelers online live activity", "at-work"),
    Act("Schedule of the rounds", "schedule", people.RESEARCHERS, "automatic retrain daily time"),
    Act("Who did what", "audit", people.MANAGERS, "audit events history log"),
    Act("Grade the answers again", "regrade", people.MANAGERS, "regrade outcome reference"),
    Act("Guidelines", "guidelines", EVERYBODY, "how to rate instructions help rules"),
    Act("Your answers on known solutions", "record", people.LABELERS, "gold record missed right wrong quality"),
    Act("Your recent submissions", "recent", people.LABELERS, "correct reopen last own labels history"),
)


@require_GET
@for_roles(EVERYBODY)
def find(request: SignedInRequest, project: Project) -> HttpResponse:
    """Show what a few words find in a project, and on the site. Without words, show the pages and acts of the project."""
    text = _text_of(request)
    groups = [
        FoundGroup("Pages", _matching([FoundThing(link.words, "", link.url) for link in navigation.links(request.access, "")], text)),
        FoundGroup("Actions", _acts(request.access, text)),
        *pages.found_things(project, text, access=request.access),
    ]
    if text:
        groups += [
            FoundGroup("Site", _site_pages(request, text)),
            FoundGroup("Projects", pages.found_projects(request.user, text, but=project)),
        ]
    return _answer(request, text, groups, {"project": project})


@require_GET
@login_required
def find_on_site(request: SignedInRequest) -> HttpResponse:
    """Show which pages and projects of this person a few words find. Without words, show all pages and the first projects."""
    text = _text_of(request)
    groups = [FoundGroup("Projects", pages.found_projects(request.user, text)), FoundGroup("Site", _site_pages(request, text))]
    return _answer(request, text, groups, {})


def _text_of(request: HttpRequest) -> str:
    return " ".join(request.GET.get("q", "")[:LONGEST].split())


def _answer(request: SignedInRequest, text: str, groups: list[FoundGroup], page: dict[str, Project]) -> HttpResponse:
    """Answer the dialog with its list, and a person who opens the address with a page."""
    shown = [group for group in groups if group.things]
    count = sum(len(group.things) for group in shown)
    template = "find/_options.html" if request.htmx else "find/find.html"
    return render(request, template, {**page, "text": text, "groups": shown, "count": count})


def _acts(access: people.Access, text: str) -> list[FoundThing]:
    found = []
    for act in ACTS:
        if access.role in act.roles and _matches(f"{act.words} {act.also}", text):
            part = f"#{act.part}" if act.part else ""
            found.append(FoundThing(act.words, "", reverse(act.page, kwargs={"slug": access.project.slug}) + part))
    return found


def _site_pages(request: SignedInRequest, text: str) -> list[FoundThing]:
    person = request.user
    listed = [
        ("Your projects", "home", "start messages", True),
        ("Your account", "account", "password second factor sessions sign out devices", True),
        ("Your API tokens", "tokens", "program script bearer rest", True),
        ("Your keys", "keys", "keyboard shortcuts", True),
        ("New project", "new-project", "create add", projects.can_create(person)),
        ("Who did what on this site", "site-audit", "audit events log", person.is_superuser),
        ("Administration", "admin:index", "admin accounts staff", person.is_staff),
    ]
    return [FoundThing(words, "", reverse(page)) for words, page, also, is_open in listed if is_open and _matches(f"{words} {also}", text)]


def _matching(things: list[FoundThing], text: str) -> list[FoundThing]:
    return [thing for thing in things if _matches(thing.name, text)]


def _matches(name: str, text: str) -> bool:
    """Tell whether each word of a text is the beginning of a word of a name."""
    words = _words(name)
    return all(any(word.startswith(part) for word in words) for part in _words(text))


def _words(text: str) -> list[str]:
    return text.casefold().replace(",", " ").split()
