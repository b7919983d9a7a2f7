"""Tokens: made on a page, shown once, stored as a hash; they grant what their scope says, and never more than the person has now."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from annotation import people, projects
from annotation.models import ApiToken, Event, Membership, Project, Role
from tests import make
from tests.api import ask, error_of, token_for
from tests.clients import signed_in

pytestmark = pytest.mark.django_db
PAGE = "/account/tokens/"
FORM = {"name": "notebook", "scope": "read", "project": "", "days": "30"}


@pytest.fixture
def project() -> Project:
    return make.project()


@pytest.fixture
def ann(project: Project) -> User:
    return make.ann(project)


def made(client: Client, **more: str) -> Any:
    return client.post(PAGE, FORM | more)


def shown_token(html: str) -> str:
    return re.search(r'id="new-token" readonly value="([^"]+)"', html)[1]  # type: ignore[index]


# --- the page -------------------------------------------------------------------------------------------------------------------


def test_a_new_token_is_shown_once_and_works(ann: User) -> None:
    client = signed_in(ann)
    answer = made(client)
    text = shown_token(answer.content.decode())
    assert answer.status_code == 200 and "no-store" in answer["Cache-Control"]
    assert ask("me", text).json() == {"username": "ann", "scope": "read", "project": None}
    page = client.get(PAGE).content.decode()
    assert text not in page and "notebook" in page and text[:15] in page


def test_the_table_holds_only_a_hash(ann: User) -> None:
    text = token_for(ann)
    row = ApiToken.objects.get()
    assert text not in " ".join(map(str, ApiToken.objects.values_list().get()))
    assert len(row.digest) == 128 and row.token_key == text[:15] and text.startswith("stepmark_") and len(text) > 60


def test_the_same_form_sent_again_makes_no_second_token(ann: User) -> None:
    client = signed_in(ann)
    made(client)
    answer = made(client)
    assert answer.status_code == 400 and "You have a token of this name." in answer.content.decode()
    assert ApiToken.objects.count() == 1


def test_an_expired_token_gives_its_name_away(ann: User) -> None:
    token_for(ann, name="notebook")
    ApiToken.objects.update(expiry=timezone.now())
    assert made(signed_in(ann)).status_code == 200 and ApiToken.objects.filter(revoked_at=None).count() == 1


@pytest.mark.parametrize(
    "change,sentence",
    [
        ({"name": ""}, "The name is empty."),
        ({"name": "x" * 61}, "The name has more than 60 characters."),
        ({"scope": "admin"}, "Choose what the token allows."),
        ({"scope": ""}, "Choose what the token allows."),
        ({"days": "0"}, "Choose from the list when the token expires."),
        ({"days": "9999999999"}, "Choose from the list when the token expires."),
        ({"project": "nowhere"}, "You are no member of this project."),
    ],
)
def test_a_wrong_form_says_why_and_makes_nothing(ann: User, change: dict[str, str], sentence: str) -> None:
    answer = made(signed_in(ann), **change)
    assert answer.status_code == 400 and sentence in answer.content.decode().replace("&#x27;", "'")
    assert not ApiToken.objects.exists() and not Event.objects.exists()


def test_nobody_makes_a_token_for_a_project_of_others(ann: User) -> None:
    make.project("foreign")
    with pytest.raises(people.CannotMakeToken, match="You are no member"):
        people.make_token(ann, name="x", scope="read", project="foreign", days=7)


def test_a_person_has_at_most_twenty_tokens(ann: User) -> None:
    for number in range(20):
        token_for(ann, name=f"token {number}")
    answer = made(signed_in(ann))
    assert answer.status_code == 400 and "You have 20 tokens that can be used." in answer.content.decode()


def test_making_and_revoking_leave_an_event_each_without_the_token_or_its_name(ann: User, project: Project) -> None:
    client = signed_in(ann)
    text = shown_token(made(client, project="sums", scope="write").content.decode())
    client.post(f"{PAGE}{ApiToken.objects.get().pk}/revoke/")
    events = list(Event.objects.order_by("pk"))
    assert [(event.verb, event.actor, event.project) for event in events] == [
        ("make token", ann, project),
        ("revoke token", ann, project),
    ]
    assert events[0].details == {"scope": "write", "project": "sums", "days": 30}
    assert not any(secret in str(vars(event)) for event in events for secret in (text, text[:15], "notebook"))


def test_a_revoked_token_ends_at_once_and_says_so(ann: User) -> None:
    text = token_for(ann)
    answer = signed_in(ann).post(f"{PAGE}{ApiToken.objects.get().pk}/revoke/", follow=True)
    assert "The token “script” is revoked." in answer.content.decode() and "revoked</td>" in answer.content.decode()
    assert error_of(ask("me", text)) == (401, "token_revoked")


def test_nobody_revokes_the_token_of_another_person(ann: User) -> None:
    text = token_for(ann)
    answer = signed_in(make.ben()).post(f"{PAGE}{ApiToken.objects.get().pk}/revoke/", follow=True)
    assert "This token had ended already." in answer.content.decode()
    assert ask("me", text).status_code == 200


def test_the_list_leaves_out_what_ended_long_ago(ann: User) -> None:
    token_for(ann, name="long ago"), token_for(ann, name="lately")
    people.revoke_tokens(ann, actor=None)
    ApiToken.objects.filter(name="long ago").update(revoked_at=timezone.now() - timedelta(days=31))
    assert [row.name for row in people.tokens_of(ann)] == ["lately"]


def test_the_page_says_when_a_token_was_last_used(ann: User) -> None:
    text = token_for(ann)
    assert people.tokens_of(ann)[0].last_used_at is None
    ask("me", text)
    assert people.tokens_of(ann)[0].last_used_at is not None


def test_a_use_is_noted_once_in_five_minutes(ann: User) -> None:
    text = token_for(ann)
    earlier = timezone.now() - timedelta(minutes=4)
    ApiToken.objects.update(last_used_at=earlier)
    ask("me", text)
    assert ApiToken.objects.get().last_used_at == earlier


def test_the_database_keeps_one_name_once_and_known_scopes(ann: User) -> None:
    token_for(ann, name="one")
    for change in ({"name": "one"}, {"name": "two", "scope": "admin"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            ApiToken.objects.create(ann, timedelta(days=1), **{"scope": "read", **change})


# --- the header -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header,code",
    [
        ("", "not_signed_in"),
        ("Bearer", "token_malformed"),
        ("Bearer a b", "token_malformed"),
        ("Basic YW5uOng=", "token_malformed"),
        ("Bearer nobody", "token_unknown"),
        ("Bearer " + "x" * 5000, "token_unknown"),
        ("Bearer \xff\xfe", "token_unknown"),
        ("Bearer ../../%00", "token_unknown"),
    ],
)
def test_a_wrong_header_is_refused_and_named(header: str, code: str) -> None:
    answer = Client().get("/api/v1/me", headers={"Authorization": header} if header else {})
    assert error_of(answer) == (401, code) and answer["WWW-Authenticate"].startswith("Bearer")


def test_a_wrong_token_is_refused_also_when_a_browser_is_signed_in(ann: User) -> None:
    answer = signed_in(ann).get("/api/v1/me", headers={"Authorization": "Bearer wrong"})
    assert error_of(answer) == (401, "token_unknown")


def test_the_beginning_of_a_token_is_no_token(ann: User) -> None:
    text = token_for(ann)
    for part in (text[:-1], text[:15], text.upper(), text + "0"):
        assert error_of(ask("me", part)) == (401, "token_unknown")


def test_an_expired_token_is_refused_with_its_date(ann: User) -> None:
    text = token_for(ann)
    ApiToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    answer = ask("me", text)
    assert error_of(answer) == (401, "token_expired") and f"{timezone.now():%Y-%m-%d}" in answer.json()["detail"]
    assert ApiToken.objects.count() == 1  # the page still shows it


def test_a_token_opens_no_page(ann: User) -> None:
    answer = Client().get("/", headers={"Authorization": f"Bearer {token_for(ann)}"})
    assert answer.status_code == 302 and "/sign-in/" in answer["Location"]


# --- never more than the person has now -----------------------------------------------------------------------------------------


def test_a_closed_account_ends_its_tokens_and_opening_it_again_does_not_bring_them_back(ann: User) -> None:
    text = token_for(ann)
    User.objects.update(is_active=False)
    assert error_of(ask("me", text)) == (401, "account_closed")
    User.objects.update(is_active=True)
    people.close_account(ann, actor=None)
    people.open_account(ann, actor=None)
    assert error_of(ask("me", text)) == (401, "token_revoked")


@pytest.mark.parametrize("role,status", [(Role.RESEARCHER, 200), (Role.LABELER, 200), (Role.FORMER, 404)])
def test_a_lower_role_takes_effect_at_once(ann: User, role: str, status: int) -> None:
    text = token_for(ann)
    assert ask("projects/sums", text).status_code == 200
    Membership.objects.update(role=role)
    answer = ask("projects/sums", text)
    assert answer.status_code == status and (status == 404 or answer.json()["role"] == role)


def test_a_removed_member_finds_nothing(ann: User) -> None:
    text = token_for(ann, project="sums")
    Membership.objects.all().delete()
    assert error_of(ask("projects/sums", text)) == (404, "not_found")
    assert ask("projects", text).json()["items"] == []


def test_a_token_for_one_project_opens_no_other(ann: User) -> None:
    make.person("ann", make.project("other"), Role.OWNER)
    text = token_for(ann, project="sums")
    assert error_of(ask("projects/other", text)) == (403, "other_project")
    assert error_of(ask("projects/nowhere", text)) == (403, "other_project")
    assert [item["slug"] for item in ask("projects", text).json()["items"]] == ["sums"]


def test_a_token_of_a_deleted_project_goes_with_it_and_never_opens_all(project: Project) -> None:
    text = token_for(make.olga(project), project="sums")
    projects.delete_project(project, name=project.name, actor=None)
    assert error_of(ask("me", text)) == (401, "token_unknown")


def test_a_new_manager_without_a_second_factor_needs_one_first(ann: User, settings: Any) -> None:
    settings.SECOND_FACTOR_REQUIRED = True
    text = token_for(ann)
    assert ask("me", text).status_code == 200
    Membership.objects.update(role=Role.MANAGER)
    assert error_of(ask("me", text)) == (401, "second_factor_missing")


def test_an_erased_person_has_no_tokens(ann: User) -> None:
    text = token_for(ann)
    people.erase(ann, actor=None)
    assert error_of(ask("me", text)) == (401, "token_unknown") and not ApiToken.objects.exists()


def test_removing_a_forgotten_password_revokes_all_tokens(ann: User) -> None:
    text = token_for(ann)
    people.forget_password(ann, actor=None)
    assert error_of(ask("me", text)) == (401, "token_revoked")


@pytest.mark.parametrize("ticked,status", [({"revoke": "on"}, 401), ({}, 200)])
def test_a_new_password_revokes_the_tokens_if_the_person_wants_that(ann: User, ticked: dict[str, str], status: int) -> None:
    User.objects.update(password="!nothing")
    text, client = token_for(ann), signed_in(make.ann())
    assert "Also revoke your API token" in client.get(reverse("account")).content.decode()
    client.post(reverse("set-password"), {"new_password1": "a good long one", "new_password2": "a good long one", **ticked})
    assert ask("me", text).status_code == status


def test_the_form_of_a_password_says_nothing_of_tokens_that_are_not_there(ann: User) -> None:
    assert "Also revoke" not in signed_in(ann).get(reverse("account")).content.decode()


# --- limits ---------------------------------------------------------------------------------------------------------------------


def test_every_answer_says_how_many_requests_are_left(ann: User, settings: Any) -> None:
    settings.API_READS_A_MINUTE = 2
    text = token_for(ann)
    left = [ask("me", text)["RateLimit-Remaining"] for _ in range(2)]
    assert left == ["1", "0"]
    answer = ask("me", text)
    assert error_of(answer) == (429, "too_many_requests") and answer["RateLimit-Limit"] == "2"
    assert 1 <= int(answer["Retry-After"]) <= 60 and answer["Retry-After"] == answer["RateLimit-Reset"]


def test_all_tokens_of_a_person_share_a_limit_and_people_do_not(ann: User, settings: Any) -> None:
    settings.API_READS_A_MINUTE = 1
    first, second, other = token_for(ann), token_for(ann, name="second"), token_for(make.ben())
    assert [ask("me", text).status_code for text in (first, second, other)] == [200, 429, 200]


def test_a_minute_later_there_is_a_new_limit(ann: User, settings: Any) -> None:
    from annotation.models import ApiCount

    settings.API_READS_A_MINUTE = 1
    text = token_for(ann)
    ask("me", text), ask("me", text)
    ApiCount.objects.update(began_at=F("began_at") - timedelta(minutes=1))
    assert ask("me", text).status_code == 200
