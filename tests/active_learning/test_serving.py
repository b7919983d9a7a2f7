"""Champion and challenger: which version serves, who decides it, and a version as a file."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db.models.functions import Now

from active_learning import registry
from active_learning.models import ModelVersion
from active_learning.registry import Judgement, serving
from annotation.models import Event, Project
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(db, home: Path) -> Project:
    return make.project()


@pytest.fixture
def trained(project: Project, home: Path) -> Callable[..., ModelVersion]:
    """Make a ready version, with a folder of the files that its manifest names."""

    def make_version(number: int, **fields: object) -> ModelVersion:
        folder = home / "models" / project.slug / str(number)
        folder.mkdir(parents=True)
        files = {"model.safetensors": bytes(range(256)) * 12_000, "README.md": f"# Model {number}\n".encode(), "stepmark.json": b"{}"}
        for name, content in files.items():
            (folder / name).write_bytes(content)
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        (folder / "manifest.json").write_text(json.dumps(hashes))
        told = {"base": "tiny", "state": "ready", "sha256": "ab" * 32, "artifact": f"models/{project.slug}/{number}", "ready_at": Now()}
        told["metrics"] = BETTER
        return ModelVersion.objects.create(project=project, number=number, **(told | fields))

    return make_version


BETTER = {"log_loss": 0.4, "base_rate_log_loss": 0.5, "step_auc": 0.7}  # than the base rate


def compared(champion: int, *, worse: bool) -> Judgement:
    figure = {"champion": 0.4, "challenger": 0.5, "difference": 0.1, "low": 0.05, "high": 0.2}
    return Judgement(champion, {"n_problems": 9, "n_solutions": 12, "figures": {"log_loss": figure}, "worse": worse})


def decide(version: ModelVersion, judgement: Judgement) -> bool:
    return registry.decide(version, judgement, fence=lambda: None)


def in_service(project: Project) -> list[int]:
    return list(ModelVersion.objects.filter(project=project, champion=True).values_list("number", flat=True))


def test_the_first_version_serves_if_it_is_better_than_the_base_rate(project: Project, trained: Callable[..., ModelVersion]) -> None:
    first = trained(1)
    assert decide(first, Judgement(metrics={"best_of_n": {"n": [1]}}))
    first.refresh_from_db()
    assert first.champion and first.decision["promoted"] and first.metrics["best_of_n"] == {"n": [1]}


@pytest.mark.parametrize(
    ("worse", "why"),
    [
        ({"log_loss": 0.5}, "log-loss is 0.500, and that of always answering how often each label occurs is 0.500"),
        ({"step_auc": 0.5}, "its AUC is 0.500, and chance gives 0.5"),
        ({"step_auc": None}, "all held-out steps have the same label"),
        ({"log_loss": None}, "no held-out label shows what it has learned"),
    ],
)
def test_a_first_version_that_is_not_better_than_the_base_rate_waits_for_a_person(
    project: Project, trained: Callable[..., ModelVersion], worse: dict[str, float | None], why: str
) -> None:
    first = trained(1, metrics=BETTER | worse)
    assert not decide(first, Judgement())
    assert in_service(project) == [] and why in first.decision["reason"]
    assert first.decision["reason"].endswith("Label more solutions and train again, or let this one serve on its page.")
    registry.promote(project, 1, actor=make.olga(project))
    assert in_service(project) == [1]


def test_a_first_orm_that_does_not_tell_right_from_wrong_waits_too(project: Project, trained: Callable[..., ModelVersion]) -> None:
    metrics = {"log_loss": 0.4, "base_rate_log_loss": 0.5, "solution_auc": 0.45}
    orm = trained(1, kind="orm", metrics=metrics)
    assert not decide(orm, Judgement())
    assert orm.decision["reason"].startswith("No ORM serves yet") and "wrong from right solutions" in orm.decision["reason"]


def test_a_version_below_the_base_rate_does_not_replace_one_whose_files_are_gone(
    project: Project, trained: Callable[..., ModelVersion]
) -> None:
    trained(1, champion=True)
    worse = trained(2, metrics=BETTER | {"log_loss": 0.6})
    assert not decide(worse, Judgement(1, obstacle="There is no model folder.", champion_is_gone=True))
    assert in_service(project) == [1] and "There is no model folder. This one is not good enough" in worse.decision["reason"]


def test_a_version_not_worse_beyond_noise_takes_over(project: Project, trained: Callable[..., ModelVersion]) -> None:
    trained(1, champion=True)
    assert decide(trained(2), compared(1, worse=False))
    assert in_service(project) == [2]
    assert Event.objects.filter(verb="promote", subject="PRM model 2 of sums", actor=None).count() == 1


def test_a_version_worse_beyond_noise_waits_for_a_person(project: Project, trained: Callable[..., ModelVersion]) -> None:
    trained(1, champion=True)
    worse = trained(2)
    assert not decide(worse, compared(1, worse=True))
    assert in_service(project) == [1]
    worse.refresh_from_db()
    assert worse.state == "ready" and worse.decision["promoted"] is False
    assert worse.decision["comparison"]["figures"]["log_loss"]["low"] == 0.05
    assert "worse than model 1" in worse.decision["reason"]


def test_a_version_that_was_compared_with_another_champion_waits(project: Project, trained: Callable[..., ModelVersion]) -> None:
    trained(1)
    trained(2, champion=True)
    assert not decide(trained(3), compared(1, worse=False))
    assert in_service(project) == [2]


def test_a_version_without_a_solution_held_out_from_both_waits(project: Project, trained: Callable[..., ModelVersion]) -> None:
    trained(1, champion=True)
    assert not decide(trained(2), Judgement(1, obstacle="No labeled problem is held out from both models."))
    assert in_service(project) == [1]


def test_a_champion_whose_files_are_gone_is_replaced(project: Project, trained: Callable[..., ModelVersion]) -> None:
    trained(1, champion=True)
    assert decide(trained(2), Judgement(1, obstacle="There is no model folder.", champion_is_gone=True))
    assert in_service(project) == [2]


def test_a_worker_that_lost_its_run_decides_nothing(project: Project, trained: Callable[..., ModelVersion]) -> None:
    trained(1, champion=True)
    late = trained(2)

    def lost() -> None:
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError):
        registry.decide(late, compared(1, worse=False), fence=lost)
    late.refresh_from_db()
    assert in_service(project) == [1] and late.decision == {} and not Event.objects.exists()


def test_each_kind_has_a_champion_of_its_own(project: Project, trained: Callable[..., ModelVersion]) -> None:
    trained(1, champion=True)
    decide(trained(2, kind="orm"), Judgement())
    assert sorted(in_service(project)) == [1, 2]


def test_a_person_may_promote_a_version_that_waits(project: Project, trained: Callable[..., ModelVersion]) -> None:
    trained(1, champion=True)
    waiting = trained(2)
    decide(waiting, compared(1, worse=True))
    registry.promote(project, 2, actor=make.olga(project))
    waiting.refresh_from_db()
    assert in_service(project) == [2]
    assert waiting.decision["by"] == "olga" and waiting.decision["comparison"]["worse"]
    assert Event.objects.get(verb="promote").actor == make.olga()


def test_rolling_back_goes_back_one_version_at_a_time(project: Project, trained: Callable[..., ModelVersion]) -> None:
    for number in (1, 2, 3):
        decide(trained(number), Judgement(number - 1, comparison={"worse": False}))
    assert in_service(project) == [3]
    assert registry.roll_back(project, "prm", actor=make.olga(project)).number == 2
    assert registry.roll_back(project, "prm", actor=make.olga()).number == 1
    with pytest.raises(registry.VersionRefused, match="nothing to go back to"):
        registry.roll_back(project, "prm", actor=make.olga())
    assert in_service(project) == [1]
    assert list(Event.objects.filter(verb="roll back to").order_by("pk").values_list("subject", flat=True)) == [
        "PRM model 2 of sums",
        "PRM model 1 of sums",
    ]


@pytest.mark.parametrize("state", ["failed", "running", "queued"])
def test_a_version_that_is_not_ready_cannot_serve(project: Project, trained: Callable[..., ModelVersion], state: str) -> None:
    trained(1, champion=True)
    trained(2, state=state)
    with pytest.raises(registry.VersionRefused, match=f"is {state}"):
        registry.promote(project, 2, actor=make.olga(project))
    assert in_service(project) == [1]


def test_a_version_whose_weights_are_gone_cannot_serve(project: Project, trained: Callable[..., ModelVersion], home: Path) -> None:
    trained(1, champion=True)
    gone = trained(2)
    (home / gone.artifact / "model.safetensors").unlink()
    with pytest.raises(registry.VersionRefused, match="gone or damaged"):
        registry.promote(project, 2, actor=make.olga(project))
    assert in_service(project) == [1]


@pytest.mark.django_db(transaction=True)
def test_eight_promotions_at_once_leave_one_champion(project: Project, trained: Callable[..., ModelVersion]) -> None:
    for number in range(1, 9):
        trained(number)
    olga = make.olga(project)
    outcomes = make.at_once([lambda number=number: registry.promote(project, number, actor=olga) for number in range(1, 9)])
    assert [type(one) for one in outcomes] == [ModelVersion] * 8
    assert len(in_service(project)) == 1


def test_a_download_holds_the_files_of_the_manifest_byte_for_byte(
    project: Project, trained: Callable[..., ModelVersion], home: Path
) -> None:
    version = trained(1)
    folder = home / version.artifact
    (folder / "stray.txt").write_text("not of the manifest")
    with zipfile.ZipFile(io.BytesIO(b"".join(registry.archive(version)))) as packed:
        assert packed.testzip() is None
        assert {Path(name).name for name in packed.namelist()} == {"model.safetensors", "README.md", "stepmark.json", "manifest.json"}
        for name in packed.namelist():
            assert name.startswith("sums-prm-1/")
            assert packed.read(name) == (folder / Path(name).name).read_bytes()


def test_a_download_comes_in_pieces(trained: Callable[..., ModelVersion]) -> None:
    sizes = [len(piece) for piece in registry.archive(trained(1))]
    assert len(sizes) > 4 and max(sizes) < serving.CHUNK + 4096 < 256 * 12_000


def test_a_version_that_failed_cannot_be_downloaded(trained: Callable[..., ModelVersion]) -> None:
    with pytest.raises(registry.VersionRefused, match="nothing to download"):
        registry.archive(trained(1, state="failed"))
