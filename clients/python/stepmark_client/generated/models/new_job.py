from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.job_text import JobText


T = TypeVar("T", bound="NewJob")


@_attrs_define
class NewJob:
    """What is to be scored: `solutions`, `texts`, or both, at most 1,000 together.

    Attributes:
        solutions (list[int] | Unset): The `id` of stored solutions.
        texts (list[JobText] | Unset): Solutions as texts.
    """

    solutions: list[int] | Unset = UNSET
    texts: list[JobText] | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        solutions: list[int] | Unset = UNSET
        if not isinstance(self.solutions, Unset):
            solutions = self.solutions

        texts: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.texts, Unset):
            texts = []
            for texts_item_data in self.texts:
                texts_item = texts_item_data.to_dict()
                texts.append(texts_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if solutions is not UNSET:
            field_dict["solutions"] = solutions
        if texts is not UNSET:
            field_dict["texts"] = texts

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.job_text import JobText

        d = dict(src_dict)
        solutions = cast(list[int], d.pop("solutions", UNSET))

        _texts = d.pop("texts", UNSET)
        texts: list[JobText] | Unset = UNSET
        if _texts is not UNSET:
            texts = []
            for texts_item_data in _texts:
                texts_item = JobText.from_dict(texts_item_data)

                texts.append(texts_item)

        new_job = cls(
            solutions=solutions,
            texts=texts,
        )

        new_job.additional_properties = d
        return new_job

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
