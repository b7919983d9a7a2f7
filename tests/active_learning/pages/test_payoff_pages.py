"""What the pages say of chosen labels beside labels at random: the sentence, the table, and what the composer recommends then."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from active_learning.models import Round
from annotation.models import Project
from tests import make
from tests.active_learning.pages.test_composing import cards
from tests.proposals import page
from trainer.payoff import ROUNDS

pytestmark = pytest.mark.django_db


def found(low: float, high: float, *, obstacle: str = "", n_rounds: int = 3) -> dict[str, Any]:
    """Return what a round keeps of one strategy. low, high: of the interval that decides; that of 95 % is half as wide."""
    middle = (low + high) / 2
    auc = {"champion": 0.7, "challenger": 0.7 + middle, "difference": middle, "low": (low + middle) / 2, "high": (high + middle) / 2}
    loss = {"champion": 0.412, "challenger": 0.409, "difference": -0.003, "low": -0.02, "high": 0.01}
    figures = {} if obstacle else {"step_auc": auc, "log_loss": loss}
    steps = {} if obstacle else {"chosen": 204.0, "at_random": 301.0}
    decides = {} if obstacle or n_rounds < ROUNDS else {"error": 0.025, "low": low, "high": high}
    own = {"n_rounds": n_rounds, "n_each": 72, "n_start": 320, "n_problems": 40, "n_judged": 55, "n_resamples": 100}
    return {**own, "steps": steps, "figures": figures, "decides": decides, "obstacle": obstacle}


def compared(project: Project, **parts: dict[str, Any]) -> Round:
    """Make a round of half convincing wrong answers and half at random that has compared."""
    chosen = {"convincing": make.solutions(project, 1), "uniform": make.solutions(project, 1)}
    findings = {"payoff": parts} if parts else {}
    return make.round_of(project, chosen, generation=Round.objects.count(), findings=findings)


def words_of(project: Project, client: Client, round_: Round) -> str:
    return client.get(reverse("round", kwargs={"slug": project.slug, "round_number": round_.number})).content.decode()


def test_a_round_with_a_part_at_random_says_what_both_parts_taught(project: Project, olga: Client) -> None:
    html = words_of(project, olga, compared(project, convincing=found(-0.02, 0.04)))
    sentence = (
        "After 3 rounds: labels chosen by “Convincing wrong answers” gave a step AUC of 0.710, and as many at random 0.700; the difference "
        "is +0.010 (−0.005 to +0.025). The rounds do not show yet which is better: the interval that decides is −0.020 to +0.040."
    )
    assert sentence in html and "began with the same 320 labeled solutions" in html
    assert "judged on 55 solutions of 40 problems" in html and "from 100 resamples" in html
    assert '<td class="number">204</td>' in html and '<td class="number">301</td>' in html


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.001, 0.05, "Choosing pays"), (-0.05, -0.001, "Labels at random teach more"), (0.0, 0.0, "do not show yet which is better")],
)
def test_the_verdict_follows_the_interval(project: Project, olga: Client, low: float, high: float, words: str) -> None:
    assert words in words_of(project, olga, compared(project, convincing=found(low, high)))


def test_two_rounds_decide_nothing(project: Project, olga: Client) -> None:
    html = words_of(project, olga, compared(project, convincing=found(0.01, 0.05, n_rounds=2)))
    assert "It takes three rounds with both kinds of labels before this decides anything." in html and "Choosing pays" not in html
    assert ROUNDS == 3, "what the page says"
    assert recommended(olga)[0] == "uniform"


def test_a_round_shows_what_the_newest_round_found_and_names_it(project: Project, olga: Client) -> None:
    first = compared(project)
    assert "The next round that trains a model compares what the labeled solutions of each part taught." in words_of(project, olga, first)
    newest = compared(project, convincing=found(-0.02, 0.04))
    html = words_of(project, olga, first)
    assert f"Round {newest.number}</a>, the newest that compared, found this." in html and "After 3 rounds" in html
    assert "This round found this when it had trained its model." in words_of(project, olga, newest)


def test_a_round_without_a_part_at_random_does_not_speak_of_it(project: Project, olga: Client) -> None:
    alone = make.round_of(project, {"convincing": make.solutions(project, 2)})
    assert "Does choosing pay?" not in words_of(project, olga, alone)


def test_a_comparison_that_lacks_labels_says_what_is_missing(project: Project, olga: Client) -> None:
    lacking = found(
        0, 0, obstacle="There are 4 labels of each side so far, and at least 10 are needed. Label more solutions of these rounds."
    )
    html = words_of(project, olga, compared(project, convincing=lacking))
    assert "Convincing wrong answers: There are 4 labels of each side so far" in html and "gave a step AUC" not in html
    assert '<table class="payoff"' not in html and "judged on" not in html, "there is nothing to put into a table"
    both = words_of(project, olga, compared(project, convincing=lacking, entropy=found(-0.02, 0.04)))
    assert both.count("as many at random</th>") == 1 and "There are 4 labels of each side so far" in both


# --- the composer -------------------------------------------------------------------------------------------------------------


def recommended(client: Client) -> tuple[str, str]:
    """Return the name and the words of the card that is recommended."""
    marked = [(name, words) for name, words in cards(page(client, "compose")).items() if "recommended" in words]
    assert len(marked) == 1
    return marked[0]


def test_the_composer_recommends_what_the_projects_own_rounds_show_to_pay(project: Project, olga: Client) -> None:
    make.score_table(make.version(project, 1, champion=True))
    compared(project, convincing=found(0.004, 0.05), control=found(0.02, 0.06))
    name, words = recommended(olga)
    assert name == "half" and "After 3 rounds: labels chosen by “Convincing wrong answers”" in words and "Choosing pays" in words
    assert 'name="preset" value="half"' in page(olga, "compose"), "the form begins with it"


@pytest.mark.parametrize(("low", "high"), [(-0.02, 0.04), (0.0, 0.04), (-0.04, -0.02)])
def test_the_composer_recommends_chance_as_long_as_the_rounds_do_not_show_more(
    project: Project, olga: Client, low: float, high: float
) -> None:
    make.score_table(make.version(project, 1, champion=True))
    compared(project, convincing=found(low, high))
    name, words = recommended(olga)
    assert name == "uniform" and "After 3 rounds" in words


def test_the_card_at_random_never_says_that_choosing_pays(project: Project, olga: Client) -> None:
    compared(project, convincing=found(0.004, 0.05))
    name, words = recommended(olga)
    assert name == "uniform" and "Choosing pays" not in words
    assert "“Convincing wrong answers” taught more than chance in this project, but no model serves now that could choose." in words
    make.score_table(make.version(project, 1, champion=True))
    compared(project, margin=found(0.004, 0.05))
    name, words = recommended(olga)
    assert name == "uniform" and "Choosing pays" not in words
    assert "taught more than chance in this project, but no recipe here has it. To use it, open “Change weights and limits”" in words


def test_the_overview_begins_with_what_the_composer_recommends(project: Project, olga: Client) -> None:
    def begun() -> list[str]:
        return re.findall(r'<option value="(\w+)" selected', olga.get(reverse("loop", args=[project.slug])).content.decode())

    assert begun() == [recommended(olga)[0]] == ["uniform"]
    make.score_table(make.version(project, 1, champion=True))
    compared(project, convincing=found(0.004, 0.05))
    assert begun() == [recommended(olga)[0]] == ["half"]


def test_a_newer_comparison_takes_a_recommendation_back(project: Project, olga: Client) -> None:
    make.score_table(make.version(project, 1, champion=True))
    compared(project, convincing=found(0.004, 0.05))
    compared(project, convincing=found(-0.004, 0.05))
    assert recommended(olga)[0] == "uniform"
