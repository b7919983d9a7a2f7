from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="StepLabel")


@_attrs_define
class StepLabel:
    """One label of an annotation.

    Attributes:
        step (int): From 0.
        position (int): 0: the step itself. Higher: an alternative.
        rating (int | None):
        flagged (bool | None):
        chosen (bool): The labeler went on from this text.
        ms (int | None):
        text (None | str): Of an alternative. Null: the step itself.
    """

    step: int
    position: int
    rating: int | None
    flagged: bool | None
    chosen: bool
    ms: int | None
    text: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        step = self.step

        position = self.position

        rating: int | None
        rating = self.rating

        flagged: bool | None
        flagged = self.flagged

        chosen = self.chosen

        ms: int | None
        ms = self.ms

        text: None | str
        text = self.text

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "step": step,
                "position": position,
                "rating": rating,
                "flagged": flagged,
                "chosen": chosen,
                "ms": ms,
                "text": text,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        step = d.pop("step")

        position = d.pop("position")

        def _parse_rating(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        rating = _parse_rating(d.pop("rating"))

        def _parse_flagged(data: object) -> bool | None:
            if data is None:
                return data
            return cast(bool | None, data)

        flagged = _parse_flagged(d.pop("flagged"))

        chosen = d.pop("chosen")

        def _parse_ms(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        ms = _parse_ms(d.pop("ms"))

        def _parse_text(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        text = _parse_text(d.pop("text"))

        step_label = cls(
            step=step,
            position=position,
            rating=rating,
            flagged=flagged,
            chosen=chosen,
            ms=ms,
            text=text,
        )

        step_label.additional_properties = d
        return step_label

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
