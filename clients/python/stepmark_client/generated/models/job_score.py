from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.step_probabilities import StepProbabilities


T = TypeVar("T", bound="JobScore")


@_attrs_define
class JobScore:
    """What the model says of one solution of a job.

    Attributes:
        position (int): From 0: first the solutions, then the texts, as they were sent.
        solution (int | None): Its `id`. Null: it was sent as texts.
        score (float): The probability that every step is right. 0 if some steps were not read.
        first_weak_step (int | None): A step from 0. Null: the model sees no mistake.
        steps (list[StepProbabilities]): The probabilities of each step that was read.
        n_unread (int): How many steps at the end are beyond what the model can read.
    """

    position: int
    solution: int | None
    score: float
    first_weak_step: int | None
    steps: list[StepProbabilities]
    n_unread: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        position = self.position

        solution: int | None
        solution = self.solution

        score = self.score

        first_weak_step: int | None
        first_weak_step = self.first_weak_step

        steps = []
        for steps_item_data in self.steps:
            steps_item = steps_item_data.to_dict()
            steps.append(steps_item)

        n_unread = self.n_unread

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "position": position,
                "solution": solution,
                "score": score,
                "first_weak_step": first_weak_step,
                "steps": steps,
                "n_unread": n_unread,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.step_probabilities import StepProbabilities

        d = dict(src_dict)
        position = d.pop("position")

        def _parse_solution(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        solution = _parse_solution(d.pop("solution"))

        score = d.pop("score")

        def _parse_first_weak_step(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        first_weak_step = _parse_first_weak_step(d.pop("first_weak_step"))

        steps = []
        _steps = d.pop("steps")
        for steps_item_data in _steps:
            steps_item = StepProbabilities.from_dict(steps_item_data)

            steps.append(steps_item)

        n_unread = d.pop("n_unread")

        job_score = cls(
            position=position,
            solution=solution,
            score=score,
            first_weak_step=first_weak_step,
            steps=steps,
            n_unread=n_unread,
        )

        job_score.additional_properties = d
        return job_score

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
