from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.snapshot_counts import SnapshotCounts
    from ..models.snapshot_file import SnapshotFile
    from ..models.snapshot_provenance import SnapshotProvenance
    from ..models.snapshot_spec import SnapshotSpec


T = TypeVar("T", bound="Snapshot")


@_attrs_define
class Snapshot:
    """A snapshot: a list of annotations, which never changes.

    Attributes:
        number (int):
        count (int): How many annotations it has.
        sha256 (str): Of its records as PRM800K lines. Empty: it was taken for a training.
        content_sha256 (str): Of its content file. Empty: it has none.
        spec (SnapshotSpec): Which annotations it has.
        counts (SnapshotCounts): Annotations, solutions, problems, people, ratings.
        provenance (SnapshotProvenance): Versions of Stepmark, grader and guidelines, and what selected each batch.
        files (list[SnapshotFile]): The files that were exported from it.
        created_at (datetime.datetime):
    """

    number: int
    count: int
    sha256: str
    content_sha256: str
    spec: SnapshotSpec
    counts: SnapshotCounts
    provenance: SnapshotProvenance
    files: list[SnapshotFile]
    created_at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        number = self.number

        count = self.count

        sha256 = self.sha256

        content_sha256 = self.content_sha256

        spec = self.spec.to_dict()

        counts = self.counts.to_dict()

        provenance = self.provenance.to_dict()

        files = []
        for files_item_data in self.files:
            files_item = files_item_data.to_dict()
            files.append(files_item)

        created_at = self.created_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "number": number,
                "count": count,
                "sha256": sha256,
                "content_sha256": content_sha256,
                "spec": spec,
                "counts": counts,
                "provenance": provenance,
                "files": files,
                "created_at": created_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.snapshot_counts import SnapshotCounts
        from ..models.snapshot_file import SnapshotFile
        from ..models.snapshot_provenance import SnapshotProvenance
        from ..models.snapshot_spec import SnapshotSpec

        d = dict(src_dict)
        number = d.pop("number")

        count = d.pop("count")

        sha256 = d.pop("sha256")

        content_sha256 = d.pop("content_sha256")

        spec = SnapshotSpec.from_dict(d.pop("spec"))

        counts = SnapshotCounts.from_dict(d.pop("counts"))

        provenance = SnapshotProvenance.from_dict(d.pop("provenance"))

        files = []
        _files = d.pop("files")
        for files_item_data in _files:
            files_item = SnapshotFile.from_dict(files_item_data)

            files.append(files_item)

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        snapshot = cls(
            number=number,
            count=count,
            sha256=sha256,
            content_sha256=content_sha256,
            spec=spec,
            counts=counts,
            provenance=provenance,
            files=files,
            created_at=created_at,
        )

        snapshot.additional_properties = d
        return snapshot

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
