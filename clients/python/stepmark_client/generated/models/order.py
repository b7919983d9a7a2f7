from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.exported_file import ExportedFile
    from ..models.order_filter_type_0 import OrderFilterType0
    from ..models.order_options import OrderOptions
    from ..models.order_progress import OrderProgress
    from ..models.order_shares_type_0 import OrderSharesType0


T = TypeVar("T", bound="Order")


@_attrs_define
class Order:
    """An order: a snapshot or an export that a worker makes, and how far it is.

    Attributes:
        id (int):
        state (str):
        filter_ (None | OrderFilterType0): Of the snapshot that it takes. Null: it exports one that was there.
        snapshot (int | None): The number of the snapshot. Null: it is not taken yet.
        format_ (str): Empty: it writes no export.
        options (OrderOptions):
        container (str):
        compression (str):
        shares (None | OrderSharesType0):
        max_records (int | None): Of each file. Null: it has no limit.
        max_bytes (int | None): Of each file, before packing. Null: it has no limit.
        progress (OrderProgress):
        report (list[str]): What the format cannot hold, in sentences.
        failure (str): Why it failed, and what to do.
        created_at (datetime.datetime):
        finished_at (datetime.datetime | None):
        files_deleted_at (datetime.datetime | None):
        files (list[ExportedFile]): What it wrote. The record stays when the files are deleted.
    """

    id: int
    state: str
    filter_: None | OrderFilterType0
    snapshot: int | None
    format_: str
    options: OrderOptions
    container: str
    compression: str
    shares: None | OrderSharesType0
    max_records: int | None
    max_bytes: int | None
    progress: OrderProgress
    report: list[str]
    failure: str
    created_at: datetime.datetime
    finished_at: datetime.datetime | None
    files_deleted_at: datetime.datetime | None
    files: list[ExportedFile]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.order_filter_type_0 import OrderFilterType0
        from ..models.order_shares_type_0 import OrderSharesType0

        id = self.id

        state = self.state

        filter_: dict[str, Any] | None
        if isinstance(self.filter_, OrderFilterType0):
            filter_ = self.filter_.to_dict()
        else:
            filter_ = self.filter_

        snapshot: int | None
        snapshot = self.snapshot

        format_ = self.format_

        options = self.options.to_dict()

        container = self.container

        compression = self.compression

        shares: dict[str, Any] | None
        if isinstance(self.shares, OrderSharesType0):
            shares = self.shares.to_dict()
        else:
            shares = self.shares

        max_records: int | None
        max_records = self.max_records

        max_bytes: int | None
        max_bytes = self.max_bytes

        progress = self.progress.to_dict()

        report = self.report

        failure = self.failure

        created_at = self.created_at.isoformat()

        finished_at: None | str
        if isinstance(self.finished_at, datetime.datetime):
            finished_at = self.finished_at.isoformat()
        else:
            finished_at = self.finished_at

        files_deleted_at: None | str
        if isinstance(self.files_deleted_at, datetime.datetime):
            files_deleted_at = self.files_deleted_at.isoformat()
        else:
            files_deleted_at = self.files_deleted_at

        files = []
        for files_item_data in self.files:
            files_item = files_item_data.to_dict()
            files.append(files_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "state": state,
                "filter": filter_,
                "snapshot": snapshot,
                "format": format_,
                "options": options,
                "container": container,
                "compression": compression,
                "shares": shares,
                "max_records": max_records,
                "max_bytes": max_bytes,
                "progress": progress,
                "report": report,
                "failure": failure,
                "created_at": created_at,
                "finished_at": finished_at,
                "files_deleted_at": files_deleted_at,
                "files": files,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.exported_file import ExportedFile
        from ..models.order_filter_type_0 import OrderFilterType0
        from ..models.order_options import OrderOptions
        from ..models.order_progress import OrderProgress
        from ..models.order_shares_type_0 import OrderSharesType0

        d = dict(src_dict)
        id = d.pop("id")

        state = d.pop("state")

        def _parse_filter_(data: object) -> None | OrderFilterType0:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                filter_type_0 = OrderFilterType0.from_dict(data)

                return filter_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | OrderFilterType0, data)

        filter_ = _parse_filter_(d.pop("filter"))

        def _parse_snapshot(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        snapshot = _parse_snapshot(d.pop("snapshot"))

        format_ = d.pop("format")

        options = OrderOptions.from_dict(d.pop("options"))

        container = d.pop("container")

        compression = d.pop("compression")

        def _parse_shares(data: object) -> None | OrderSharesType0:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                shares_type_0 = OrderSharesType0.from_dict(data)

                return shares_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | OrderSharesType0, data)

        shares = _parse_shares(d.pop("shares"))

        def _parse_max_records(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        max_records = _parse_max_records(d.pop("max_records"))

        def _parse_max_bytes(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        max_bytes = _parse_max_bytes(d.pop("max_bytes"))

        progress = OrderProgress.from_dict(d.pop("progress"))

        report = cast(list[str], d.pop("report"))

        failure = d.pop("failure")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        def _parse_finished_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                finished_at_type_0 = datetime.datetime.fromisoformat(data)

                return finished_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        finished_at = _parse_finished_at(d.pop("finished_at"))

        def _parse_files_deleted_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                files_deleted_at_type_0 = datetime.datetime.fromisoformat(data)

                return files_deleted_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        files_deleted_at = _parse_files_deleted_at(d.pop("files_deleted_at"))

        files = []
        _files = d.pop("files")
        for files_item_data in _files:
            files_item = ExportedFile.from_dict(files_item_data)

            files.append(files_item)

        order = cls(
            id=id,
            state=state,
            filter_=filter_,
            snapshot=snapshot,
            format_=format_,
            options=options,
            container=container,
            compression=compression,
            shares=shares,
            max_records=max_records,
            max_bytes=max_bytes,
            progress=progress,
            report=report,
            failure=failure,
            created_at=created_at,
            finished_at=finished_at,
            files_deleted_at=files_deleted_at,
            files=files,
        )

        order.additional_properties = d
        return order

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
