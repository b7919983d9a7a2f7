"""The policy header is django-csp's, word for word, on every answer."""

import pytest
from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from labelapp.http.content_security import ContentSecurityMiddleware


def words(header: str) -> set[str]:
    return set(header.split("; "))


def test_the_policy_is_word_for_word_what_django_csp_says() -> None:
    request = RequestFactory().get("/")
    [ours, theirs] = [layer(lambda _: HttpResponse())(request)[HEADER] for layer in (ContentSecurityMiddleware, CSPMiddleware)]
    assert words(ours) == words(theirs)
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= words(ours)


@pytest.mark.django_db
@pytest.mark.parametrize("place", ["/sign-in/", "/nowhere/"])
def test_every_answer_carries_the_policy(place: str) -> None:
    assert "default-src 'none'" in Client().get(place)[HEADER]


@pytest.mark.django_db
def test_a_refusal_in_the_background_carries_it_too() -> None:
    answer = Client().post(reverse("release", args=[1]), data="{", content_type="application/json")
    assert (answer.status_code, "default-src 'none'" in answer[HEADER]) == (401, True)
