from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Score")


@_attrs_define
class Score:
    """What a model says of one solution.

    Attributes:
        solution (int):
        problem (int):
        score (float): The probability that every step is right.
        first_weak_step (int | None): A step from 0. Null: the model sees no mistake.
        outcome (str):
        entropy (float | None): Nats, of where the first mistake is.
        confidence (float | None):
        deviation (float | None):
    """

    solution: int
    problem: int
    score: float
    first_weak_step: int | None
    outcome: str
    entropy: float | None
    confidence: float | None
    deviation: float | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        solution = self.solution

        problem = self.problem

        score = self.score

        first_weak_step: int | None
        first_weak_step = self.first_weak_step

        outcome = self.outcome

        entropy: float | None
        entropy = self.entropy

        confidence: float | None
        confidence = self.confidence

        deviation: float | None
        deviation = self.deviation

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "solution": solution,
                "problem": problem,
                "score": score,
                "first_weak_step": first_weak_step,
                "outcome": outcome,
                "entropy": entropy,
                "confidence": confidence,
                "deviation": deviation,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        solution = d.pop("solution")

        problem = d.pop("problem")

        score = d.pop("score")

        def _parse_first_weak_step(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        first_weak_step = _parse_first_weak_step(d.pop("first_weak_step"))

        outcome = d.pop("outcome")

        def _parse_entropy(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        entropy = _parse_entropy(d.pop("entropy"))

        def _parse_confidence(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        confidence = _parse_confidence(d.pop("confidence"))

        def _parse_deviation(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        deviation = _parse_deviation(d.pop("deviation"))

        score = cls(
            solution=solution,
            problem=problem,
            score=score,
            first_weak_step=first_weak_step,
            outcome=outcome,
            entropy=entropy,
            confidence=confidence,
            deviation=deviation,
        )

        score.additional_properties = d
        return score

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
