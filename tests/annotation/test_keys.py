"""Keys: every person's own, with no key for two acts."""

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
    """What the page sends: the usual keys, but for some acts."""
    return {name: " ".join(map(keys.write_key, act.usual)) for name, act in keys.ACTS.items()} | other


def test_who_chose_nothing_has_the_usual_keys(ann: User) -> None:
    assert keys.key_map(ann) == keys.usual_keys()


def test_chosen_keys_are_this_persons_alone(ann: User) -> None:
    keys.choose_keys(ann, keys.usual_keys() | {"negative": ["a"]})
    assert keys.key_map(ann)["negative"] == ["a"] and keys.key_map(ann)["neutral"] == ["2", "0"]
    assert keys.key_map(make.ben())["negative"] == ["1", "-"]


def test_keys_may_change_places(ann: User) -> None:
    keys.choose_keys(ann, keys.usual_keys() | {"negative": ["3"], "positive": ["1"]})
    assert keys.key_map(ann)["negative"] == ["3"] and keys.key_map(ann)["positive"] == ["1"]


def test_choosing_the_usual_keys_keeps_nothing(ann: User) -> None:
    keys.choose_keys(ann, keys.usual_keys() | {"negative": ["a"]})
    keys.choose_keys(ann, keys.usual_keys())
    assert not Keys.objects.exists()


def test_a_chosen_key_is_not_taken_away_by_an_act_that_is_new(ann: User) -> None:
    Keys.objects.create(person=ann, chosen={"negative": ["w"]})  # chosen before anything had the key w
    assert keys.key_map(ann)["negative"] == ["w"] and keys.key_map(ann)["write"] == []


@pytest.mark.parametrize(
    ("written", "named"), [("A", "a"), ("space", " "), ("ENTER", "Enter"), ("pagedown", "PageDown"), ("Ä", "ä"), ("+", "+")]
)
def test_a_key_is_read_however_it_is_written(written: str, named: str) -> None:
    assert keys.read_key(written) == named
    assert keys.read_key(keys.write_key(named)) == named


@pytest.mark.parametrize(
    ("other", "act", "words"),
    [
        ({"negative": ["u"]}, "unsure", "u is the key of “Negative: the step is wrong” already. Choose another one"),
        ({"negative": ["A", "a"]}, "negative", "has a twice"),
        ({"negative": ["Tab"]}, "negative", "cannot have Tab: the browser needs it"),
        ({"negative": ["Escape"]}, "negative", "the browser needs it"),
        ({"negative": ["F5"]}, "negative", "the browser needs it"),
        ({"negative": ["Shift"]}, "negative", "it only changes what other keys do"),
        ({"negative": ["aa"]}, "negative", "no key has this name"),
        ({"negative": [" ", "\t"]}, "negative", "no key has this name"),
        ({"negative": []}, "negative", "has no key. Give it one to 4"),
        ({"negative": ["a", "c", "d", "e", "f"]}, "negative", "has 5 keys"),
        ({"jump": ["j"]}, "jump", "There is no act jump; the acts are negative, "),
    ],
)
def test_keys_that_cannot_be_are_refused_by_act_and_nothing_is_stored(ann: User, other: dict, act: str, words: str) -> None:
    with pytest.raises(keys.BadKeys) as refused:
        keys.choose_keys(ann, keys.usual_keys() | other)
    assert list(refused.value.faults) == [act] and words in refused.value.faults[act]
    assert not Keys.objects.exists()


def test_an_act_left_out_is_refused(ann: User) -> None:
    with pytest.raises(keys.BadKeys, match="“Undo” has no key"):
        keys.choose_keys(ann, {name: chosen for name, chosen in keys.usual_keys().items() if name != "undo"})


def test_the_key_map_costs_one_query(ann: User, django_assert_num_queries: object) -> None:
    with django_assert_num_queries(1):
        keys.key_map(ann)


def test_the_page_stores_keys_typed_by_name(page: Client, ann: User) -> None:
    answer = page.post(reverse("keys"), posted(positive="Space p", undo="Delete"), follow=True)
    assert "Your keys are stored." in answer.content.decode() and 'value="Space p"' in answer.content.decode()
    assert keys.key_map(ann)["positive"] == [" ", "p"] and keys.key_map(ann)["undo"] == ["Delete"]


def test_the_page_says_at_the_act_what_is_wrong_and_keeps_what_was_written(page: Client) -> None:
    answer = page.post(reverse("keys"), posted(negative="b q", undo="<b>"))
    html = answer.content.decode()
    assert answer.status_code == 400 and "2 acts need another key" in html
    assert 'value="b q"' in html and "b is the key of “Negative: the step is wrong” already" in html
    assert "<b>" not in html and 'value="&lt;b&gt;"' in html
    assert not Keys.objects.exists()


def test_the_page_gives_the_usual_keys_back(page: Client, ann: User) -> None:
    keys.choose_keys(ann, keys.usual_keys() | {"negative": ["a"]})
    page.post(reverse("keys"), posted(negative="a") | {"usual": "1"})
    assert keys.key_map(ann) == keys.usual_keys()


def test_the_page_is_for_people_who_are_signed_in() -> None:
    assert Client().get(reverse("keys")).status_code == 302
    assert Client().post(reverse("keys"), posted(negative="a")).status_code == 302
    assert not Keys.objects.exists()
