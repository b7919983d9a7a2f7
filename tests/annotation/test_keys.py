"""Keys: every person's own, with no key for two actions."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from annotation import keys
from annotation.models import Keys
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return make.ann()


@pytest.fixture
def page(ann: User) -> Client:
    client = Client()
    client.force_login(ann)
    return client


def posted(**other: str) -> dict[str, str]:
    """What the page sends: the default keys, but for some actions."""
    return {name: " ".join(map(keys.write_key, action.defaults)) for name, action in keys.ACTIONS.items()} | other


def test_who_chose_nothing_has_the_default_keys(ann: User) -> None:
    assert keys.key_map(ann) == keys.default_keys()


def test_chosen_keys_are_this_persons_alone(ann: User) -> None:
    keys.choose_keys(ann, keys.default_keys() | {"negative": ["a"]})
    assert keys.key_map(ann)["negative"] == ["a"] and keys.key_map(ann)["neutral"] == ["2", "0"]
    assert keys.key_map(make.ben())["negative"] == ["1", "-"]


def test_keys_may_change_places(ann: User) -> None:
    keys.choose_keys(ann, keys.default_keys() | {"negative": ["3"], "positive": ["1"]})
    assert keys.key_map(ann)["negative"] == ["3"] and keys.key_map(ann)["positive"] == ["1"]


def test_choosing_the_default_keys_keeps_nothing(ann: User) -> None:
    keys.choose_keys(ann, keys.default_keys() | {"negative": ["a"]})
    keys.choose_keys(ann, keys.default_keys())
    assert not Keys.objects.exists()


def test_a_chosen_key_is_not_taken_away_by_an_action_that_is_new(ann: User) -> None:
    Keys.objects.create(person=ann, chosen={"negative": ["w"]})  # chosen before anything had the key w
    assert keys.key_map(ann)["negative"] == ["w"] and keys.key_map(ann)["write"] == []


@pytest.mark.parametrize(
    ("written", "named"), [("A", "a"), ("space", " "), ("ENTER", "Enter"), ("pagedown", "PageDown"), ("Ä", "ä"), ("+", "+")]
)
def test_a_key_is_read_however_it_is_written(written: str, named: str) -> None:
    assert keys.read_key(written) == named
    assert keys.read_key(keys.write_key(named)) == named


@pytest.mark.parametrize(
    ("other", "action", "words"),
    [
        ({"negative": ["u"]}, "unsure", "u is already the key for “Negative: the step is wrong”. Choose another key"),
        ({"negative": ["A", "a"]}, "negative", "has a twice"),
        ({"negative": ["Tab"]}, "negative", "cannot use Tab: the browser needs it"),
        ({"negative": ["Escape"]}, "negative", "the browser needs it"),
        ({"negative": ["F5"]}, "negative", "the browser needs it"),
        ({"negative": ["Shift"]}, "negative", "it only changes what other keys do"),
        ({"negative": ["aa"]}, "negative", "no key has this name"),
        ({"negative": [" ", "\t"]}, "negative", "no key has this name"),
        ({"negative": []}, "negative", "has no key. Choose one to 4."),
        ({"negative": ["a", "x", "d", "e", "f"]}, "negative", "has 5 keys"),
        ({"jump": ["j"]}, "jump", "There is no action jump. The actions are negative, "),
    ],
)
def test_keys_that_cannot_be_are_refused_by_action_and_nothing_is_stored(ann: User, other: dict, action: str, words: str) -> None:
    with pytest.raises(keys.BadKeys) as refused:
        keys.choose_keys(ann, keys.default_keys() | other)
    assert list(refused.value.faults) == [action] and words in refused.value.faults[action]
    assert not Keys.objects.exists()


def test_an_action_left_out_is_refused(ann: User) -> None:
    with pytest.raises(keys.BadKeys, match="“Undo” has no key"):
        keys.choose_keys(ann, {name: chosen for name, chosen in keys.default_keys().items() if name != "undo"})


def test_the_key_map_costs_one_query(ann: User, django_assert_num_queries: object) -> None:
    with django_assert_num_queries(1):
        keys.key_map(ann)


def test_the_page_stores_keys_typed_by_name(page: Client, ann: User) -> None:
    answer = page.post(reverse("keys"), posted(positive="Space p", undo="Delete"), follow=True)
    assert "Your keys are saved." in answer.content.decode() and 'value="Space p"' in answer.content.decode()
    assert keys.key_map(ann)["positive"] == [" ", "p"] and keys.key_map(ann)["undo"] == ["Delete"]


def test_the_page_says_at_the_action_what_is_wrong_and_keeps_what_was_written(page: Client) -> None:
    answer = page.post(reverse("keys"), posted(negative="b q", undo="<b>"))
    html = answer.content.decode()
    assert answer.status_code == 400 and "2 actions need another key" in html
    assert 'value="b q"' in html and "b is already the key for “Negative: the step is wrong”" in html
    assert "<b>" not in html and 'value="&lt;b&gt;"' in html
    assert not Keys.objects.exists()


def test_the_page_restores_the_default_keys(page: Client, ann: User) -> None:
    keys.choose_keys(ann, keys.default_keys() | {"negative": ["a"]})
    page.post(reverse("keys"), posted(negative="a") | {"defaults": "1"})
    assert keys.key_map(ann) == keys.default_keys()


def test_the_page_is_for_people_who_are_signed_in() -> None:
    assert Client().get(reverse("keys")).status_code == 302
    assert Client().post(reverse("keys"), posted(negative="a")).status_code == 302
    assert not Keys.objects.exists()
