from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.settled_step import SettledStep


T = TypeVar("T", bound="Consensus")


@_attrs_define
class Consensus:
    """What all readers of one solution say together.

    Attributes:
        solution (int):
        first_mistake (int | None): A step from 0. Null: none.
        p_none (float | None): That no step is a mistake.
        entropy (float | None): Bits. 0: certain.
        n_readings (int):
        is_adjudicated (bool):
        settled_at (datetime.datetime):
        steps (list[SettledStep]):
    """

    solution: int
    first_mistake: int | None
    p_none: float | None
    entropy: float | None
    n_readings: int
    is_adjudicated: bool
    settled_at: datetime.datetime
    steps: list[SettledStep]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        solution = self.solution

        first_mistake: int | None
        first_mistake = self.first_mistake

        p_none: float | None
        p_none = self.p_none

        entropy: float | None
        entropy = self.entropy

        n_readings = self.n_readings

        is_adjudicated = self.is_adjudicated

        settled_at = self.settled_at.isoformat()

        steps = []
        for steps_item_data in self.steps:
            steps_item = steps_item_data.to_dict()
            steps.append(steps_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "solution": solution,
                "first_mistake": first_mistake,
                "p_none": p_none,
                "entropy": entropy,
                "n_readings": n_readings,
                "is_adjudicated": is_adjudicated,
                "settled_at": settled_at,
                "steps": steps,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.settled_step import SettledStep

        d = dict(src_dict)
        solution = d.pop("solution")

        def _parse_first_mistake(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        first_mistake = _parse_first_mistake(d.pop("first_mistake"))

        def _parse_p_none(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        p_none = _parse_p_none(d.pop("p_none"))

        def _parse_entropy(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        entropy = _parse_entropy(d.pop("entropy"))

        n_readings = d.pop("n_readings")

        is_adjudicated = d.pop("is_adjudicated")

        settled_at = datetime.datetime.fromisoformat(d.pop("settled_at"))

        steps = []
        _steps = d.pop("steps")
        for steps_item_data in _steps:
            steps_item = SettledStep.from_dict(steps_item_data)

            steps.append(steps_item)

        consensus = cls(
            solution=solution,
            first_mistake=first_mistake,
            p_none=p_none,
            entropy=entropy,
            n_readings=n_readings,
            is_adjudicated=is_adjudicated,
            settled_at=settled_at,
            steps=steps,
        )

        consensus.additional_properties = d
        return consensus

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
