"""Addresses of the API: who asks, and the projects of that person."""

from typing import Any

from django.http import HttpResponse
from rest_framework import serializers

from annotation import projects
from annotation.api.base import EVERYBODY, ApiView, PageQuery
from annotation.api.schema import describe, page_of


class MeSerializer(serializers.Serializer):
    """Who sends the request, and what the token allows at most."""

    username = serializers.CharField()
    scope = serializers.ChoiceField(["read", "write"], help_text="`write` includes `read`.")
    project = serializers.CharField(allow_null=True, help_text="The one project of the token. Null: all of the person.")


class ProjectSerializer(serializers.Serializer):
    """A project as its members see it."""

    slug = serializers.CharField(help_text="Stands in the addresses of everything in the project.")
    name = serializers.CharField()
    role = serializers.ChoiceField(["owner", "manager", "reviewer", "labeler", "researcher"], help_text="The role of the person who asks.")
    step_source = serializers.ChoiceField(["solution", "interactive"], help_text="Whole solutions, or step by step.")
    guidelines_version = serializers.IntegerField(help_text="The number of the newest version of the guidelines.")
    created_at = serializers.DateTimeField()
    archived_at = serializers.DateTimeField(allow_null=True, help_text="Since when no labeling and no rounds are possible.")


class ProjectDetailSerializer(ProjectSerializer):
    """A project with its guidelines."""

    guidelines = serializers.CharField(help_text="Markdown.")


class ProjectQuery(PageQuery):
    """Which projects are listed."""

    archived = serializers.BooleanField(required=False, help_text="Only archived projects, or only the others.")


class MeView(ApiView):
    """Who sends the request."""

    @describe("me", "Show who asks", MeSerializer, tag="account")
    def get(self, request: Any) -> HttpResponse:
        """Show whose token this is, and what it allows at most."""
        self.read_query()
        grant = request.auth
        shown = {"username": request.user.get_username(), "scope": grant.scope if grant else "write", "project": grant and grant.project}
        return self.answer(MeSerializer(shown).data)


class ProjectsView(ApiView):
    """The projects of a person."""

    @describe("projects_list", "List projects", page_of(ProjectSerializer), query=ProjectQuery, tag="projects")
    def get(self, request: Any) -> HttpResponse:
        """List the projects of the person who asks. A token for one project lists that one."""
        query = self.read_query(ProjectQuery)
        after, limit = self.place(query)
        only = request.auth.project if request.auth else None
        items, following = projects.member_projects(request.user, after=after, limit=limit, only=only, **query)
        return self.answer_page(ProjectSerializer, items, None if following is None else (following,))


class ProjectView(ApiView):
    """One project."""

    roles = EVERYBODY

    @describe("projects_show", "Show a project", ProjectDetailSerializer, tag="projects")
    def get(self, request: Any, slug: str) -> HttpResponse:
        """Show a project with its guidelines."""
        self.read_query()
        return self.answer(ProjectDetailSerializer(projects.member_project(request.access)).data)
