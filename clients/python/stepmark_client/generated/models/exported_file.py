from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="ExportedFile")


@_attrs_define
class ExportedFile:
    """A file that an order has written.

    Attributes:
        name (str): Stands in the address of the file.
        split (str): train, valid or test. Empty: the file holds all.
        n_records (int):
        n_bytes (int):
        sha256 (str):
    """

    name: str
    split: str
    n_records: int
    n_bytes: int
    sha256: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        split = self.split

        n_records = self.n_records

        n_bytes = self.n_bytes

        sha256 = self.sha256

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "split": split,
                "n_records": n_records,
                "n_bytes": n_bytes,
                "sha256": sha256,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        name = d.pop("name")

        split = d.pop("split")

        n_records = d.pop("n_records")

        n_bytes = d.pop("n_bytes")

        sha256 = d.pop("sha256")

        exported_file = cls(
            name=name,
            split=split,
            n_records=n_records,
            n_bytes=n_bytes,
            sha256=sha256,
        )

        exported_file.additional_properties = d
        return exported_file

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
