"""Sign-in links that managers make for members."""

import pytest
from django.urls import reverse

from annotation import people
from annotation.models import Membership, Project, Role
from tests import make
from tests.clients import signed_in

pytestmark = pytest.mark.django_db


# --- links that managers make -------------------------------------------------------------------------------------------


def test_a_manager_makes_a_sign_in_link_for_a_member(project: Project) -> None:
    make.ann(project)
    olga = signed_in(make.olga(project))
    place = reverse("member", args=["sums", Membership.objects.get(user=make.ann(), project=project).pk])
    assert 'value="ann">Sign-in link' in olga.get(place).content.decode()
    html = olga.post(reverse("make-link", args=["sums"]), {"name": "ann"}).content.decode()
    token = html.partition("sesame=")[2].partition('"')[0]
    assert people.redeem_link(token) == make.ann()


@pytest.mark.parametrize("name", ["olga", "eve", "mary", "former", "closed", "sam", "nobody", ""])
def test_a_manager_makes_no_link_for_anybody_else(project: Project, name: str) -> None:
    """Not for owners, strangers, managers of other projects, former members, closed accounts and staff."""
    make.olga(project), make.eve()
    make.person("mary", project)
    make.person("mary", make.project("other"), Role.MANAGER)
    make.person("former", project, Role.FORMER)
    for other, fields in {"closed": {"is_active": False}, "sam": {"is_staff": True}}.items():
        person = make.person(other, project)
        for field, value in fields.items():
            setattr(person, field, value)
        person.save()
    answer = signed_in(make.person("max", project, Role.MANAGER)).post(reverse("make-link", args=["sums"]), {"name": name}, follow=True)
    assert "sesame" not in answer.content.decode() and 'class="error"' in answer.content.decode()


@pytest.mark.parametrize("role", [Role.LABELER, Role.REVIEWER, Role.RESEARCHER, Role.FORMER])
def test_nobody_but_managers_makes_links(project: Project, role: str) -> None:
    make.ann(project)
    client = signed_in(make.person("rob", project, role))
    assert client.post(reverse("make-link", args=["sums"]), {"name": "ann"}).status_code == 404
