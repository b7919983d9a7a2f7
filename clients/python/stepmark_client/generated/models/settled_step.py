from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="SettledStep")


@_attrs_define
class SettledStep:
    """What all readers say together of one step.

    Attributes:
        step (int): From 0.
        label (int | None): Null: after the first mistake.
        p_first (float | None): That this is the first mistake.
        p_negative (float | None): That it is a mistake, if no step before it is one.
        p_neutral (float): That it is neutral and not positive, if it is no mistake.
        n_votes (int):
    """

    step: int
    label: int | None
    p_first: float | None
    p_negative: float | None
    p_neutral: float
    n_votes: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        step = self.step

        label: int | None
        label = self.label

        p_first: float | None
        p_first = self.p_first

        p_negative: float | None
        p_negative = self.p_negative

        p_neutral = self.p_neutral

        n_votes = self.n_votes

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "step": step,
                "label": label,
                "p_first": p_first,
                "p_negative": p_negative,
                "p_neutral": p_neutral,
                "n_votes": n_votes,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        step = d.pop("step")

        def _parse_label(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        label = _parse_label(d.pop("label"))

        def _parse_p_first(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        p_first = _parse_p_first(d.pop("p_first"))

        def _parse_p_negative(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        p_negative = _parse_p_negative(d.pop("p_negative"))

        p_neutral = d.pop("p_neutral")

        n_votes = d.pop("n_votes")

        settled_step = cls(
            step=step,
            label=label,
            p_first=p_first,
            p_negative=p_negative,
            p_neutral=p_neutral,
            n_votes=n_votes,
        )

        settled_step.additional_properties = d
        return settled_step

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
