from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Changes")


@_attrs_define
class Changes:
    """What another snapshot, or the same filter now, has and this snapshot has not, and the reverse. A corrected label is
    removed.

        Attributes:
            n_added (int):
            n_removed (int):
            n_unchanged (int):
            added (list[int]): The `id` of annotations, the first 1,000.
            removed (list[int]): The `id` of annotations, the first 1,000.
            problems_added (list[str]): External ids, the first 1,000.
            problems_removed (list[str]): External ids, the first 1,000.
    """

    n_added: int
    n_removed: int
    n_unchanged: int
    added: list[int]
    removed: list[int]
    problems_added: list[str]
    problems_removed: list[str]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        n_added = self.n_added

        n_removed = self.n_removed

        n_unchanged = self.n_unchanged

        added = self.added

        removed = self.removed

        problems_added = self.problems_added

        problems_removed = self.problems_removed

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "n_added": n_added,
                "n_removed": n_removed,
                "n_unchanged": n_unchanged,
                "added": added,
                "removed": removed,
                "problems_added": problems_added,
                "problems_removed": problems_removed,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        n_added = d.pop("n_added")

        n_removed = d.pop("n_removed")

        n_unchanged = d.pop("n_unchanged")

        added = cast(list[int], d.pop("added"))

        removed = cast(list[int], d.pop("removed"))

        problems_added = cast(list[str], d.pop("problems_added"))

        problems_removed = cast(list[str], d.pop("problems_removed"))

        changes = cls(
            n_added=n_added,
            n_removed=n_removed,
            n_unchanged=n_unchanged,
            added=added,
            removed=removed,
            problems_added=problems_added,
            problems_removed=problems_removed,
        )

        changes.additional_properties = d
        return changes

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
