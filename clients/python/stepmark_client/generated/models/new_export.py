from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.new_export_options import NewExportOptions
    from ..models.shares import Shares


T = TypeVar("T", bound="NewExport")


@_attrs_define
class NewExport:
    """How an export is written. docs/datasets.md describes the formats and their options.

    Attributes:
        format_ (str):
        options (NewExportOptions | Unset): Of the format.
        container (str | Unset):  Default: 'jsonl'.
        compression (str | Unset):  Default: 'none'.
        shares (Shares | Unset): Shares of three parts, which divide the problems. They are 1 in sum.
        max_records (int | Unset): Several files, none with more records than this.
        max_bytes (int | Unset): Several files, none with more bytes of records before packing.
    """

    format_: str
    options: NewExportOptions | Unset = UNSET
    container: str | Unset = "jsonl"
    compression: str | Unset = "none"
    shares: Shares | Unset = UNSET
    max_records: int | Unset = UNSET
    max_bytes: int | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        format_ = self.format_

        options: dict[str, Any] | Unset = UNSET
        if not isinstance(self.options, Unset):
            options = self.options.to_dict()

        container = self.container

        compression = self.compression

        shares: dict[str, Any] | Unset = UNSET
        if not isinstance(self.shares, Unset):
            shares = self.shares.to_dict()

        max_records = self.max_records

        max_bytes = self.max_bytes

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "format": format_,
            }
        )
        if options is not UNSET:
            field_dict["options"] = options
        if container is not UNSET:
            field_dict["container"] = container
        if compression is not UNSET:
            field_dict["compression"] = compression
        if shares is not UNSET:
            field_dict["shares"] = shares
        if max_records is not UNSET:
            field_dict["max_records"] = max_records
        if max_bytes is not UNSET:
            field_dict["max_bytes"] = max_bytes

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.new_export_options import NewExportOptions
        from ..models.shares import Shares

        d = dict(src_dict)
        format_ = d.pop("format")

        _options = d.pop("options", UNSET)
        options: NewExportOptions | Unset
        if isinstance(_options, Unset):
            options = UNSET
        else:
            options = NewExportOptions.from_dict(_options)

        container = d.pop("container", UNSET)

        compression = d.pop("compression", UNSET)

        _shares = d.pop("shares", UNSET)
        shares: Shares | Unset
        if isinstance(_shares, Unset):
            shares = UNSET
        else:
            shares = Shares.from_dict(_shares)

        max_records = d.pop("max_records", UNSET)

        max_bytes = d.pop("max_bytes", UNSET)

        new_export = cls(
            format_=format_,
            options=options,
            container=container,
            compression=compression,
            shares=shares,
            max_records=max_records,
            max_bytes=max_bytes,
        )

        new_export.additional_properties = d
        return new_export

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
