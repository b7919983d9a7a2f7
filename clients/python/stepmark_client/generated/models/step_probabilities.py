from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="StepProbabilities")


@_attrs_define
class StepProbabilities:
    """What the model says of one step.

    Attributes:
        negative (float):
        neutral (float):
        positive (float):
    """

    negative: float
    neutral: float
    positive: float
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        negative = self.negative

        neutral = self.neutral

        positive = self.positive

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "negative": negative,
                "neutral": neutral,
                "positive": positive,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        negative = d.pop("negative")

        neutral = d.pop("neutral")

        positive = d.pop("positive")

        step_probabilities = cls(
            negative=negative,
            neutral=neutral,
            positive=positive,
        )

        step_probabilities.additional_properties = d
        return step_probabilities

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
