from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.snapshot_file_options import SnapshotFileOptions


T = TypeVar("T", bound="SnapshotFile")


@_attrs_define
class SnapshotFile:
    """A file that was exported from a snapshot.

    Attributes:
        format_ (str):
        options (SnapshotFileOptions): Of the format.
        split (str): Empty: the file holds all splits.
        n_records (int):
        n_bytes (int):
        sha256 (str):
        created_at (datetime.datetime):
    """

    format_: str
    options: SnapshotFileOptions
    split: str
    n_records: int
    n_bytes: int
    sha256: str
    created_at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        format_ = self.format_

        options = self.options.to_dict()

        split = self.split

        n_records = self.n_records

        n_bytes = self.n_bytes

        sha256 = self.sha256

        created_at = self.created_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "format": format_,
                "options": options,
                "split": split,
                "n_records": n_records,
                "n_bytes": n_bytes,
                "sha256": sha256,
                "created_at": created_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.snapshot_file_options import SnapshotFileOptions

        d = dict(src_dict)
        format_ = d.pop("format")

        options = SnapshotFileOptions.from_dict(d.pop("options"))

        split = d.pop("split")

        n_records = d.pop("n_records")

        n_bytes = d.pop("n_bytes")

        sha256 = d.pop("sha256")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        snapshot_file = cls(
            format_=format_,
            options=options,
            split=split,
            n_records=n_records,
            n_bytes=n_bytes,
            sha256=sha256,
            created_at=created_at,
        )

        snapshot_file.additional_properties = d
        return snapshot_file

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
