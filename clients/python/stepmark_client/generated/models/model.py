from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.model_progress import ModelProgress


T = TypeVar("T", bound="Model")


@_attrs_define
class Model:
    """A model version.

    Attributes:
        number (int):
        kind (str):
        state (str):
        serves (bool): It scores the solutions now.
        base (str):
        labels (str):
        snapshot (int | None): The number of the snapshot that it learned from.
        seed (int):
        sha256 (str):
        code_version (str):
        failure (str):
        progress (ModelProgress):
        created_at (datetime.datetime):
        ready_at (datetime.datetime | None):
    """

    number: int
    kind: str
    state: str
    serves: bool
    base: str
    labels: str
    snapshot: int | None
    seed: int
    sha256: str
    code_version: str
    failure: str
    progress: ModelProgress
    created_at: datetime.datetime
    ready_at: datetime.datetime | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        number = self.number

        kind = self.kind

        state = self.state

        serves = self.serves

        base = self.base

        labels = self.labels

        snapshot: int | None
        snapshot = self.snapshot

        seed = self.seed

        sha256 = self.sha256

        code_version = self.code_version

        failure = self.failure

        progress = self.progress.to_dict()

        created_at = self.created_at.isoformat()

        ready_at: None | str
        if isinstance(self.ready_at, datetime.datetime):
            ready_at = self.ready_at.isoformat()
        else:
            ready_at = self.ready_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "number": number,
                "kind": kind,
                "state": state,
                "serves": serves,
                "base": base,
                "labels": labels,
                "snapshot": snapshot,
                "seed": seed,
                "sha256": sha256,
                "code_version": code_version,
                "failure": failure,
                "progress": progress,
                "created_at": created_at,
                "ready_at": ready_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.model_progress import ModelProgress

        d = dict(src_dict)
        number = d.pop("number")

        kind = d.pop("kind")

        state = d.pop("state")

        serves = d.pop("serves")

        base = d.pop("base")

        labels = d.pop("labels")

        def _parse_snapshot(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        snapshot = _parse_snapshot(d.pop("snapshot"))

        seed = d.pop("seed")

        sha256 = d.pop("sha256")

        code_version = d.pop("code_version")

        failure = d.pop("failure")

        progress = ModelProgress.from_dict(d.pop("progress"))

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        def _parse_ready_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                ready_at_type_0 = datetime.datetime.fromisoformat(data)

                return ready_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        ready_at = _parse_ready_at(d.pop("ready_at"))

        model = cls(
            number=number,
            kind=kind,
            state=state,
            serves=serves,
            base=base,
            labels=labels,
            snapshot=snapshot,
            seed=seed,
            sha256=sha256,
            code_version=code_version,
            failure=failure,
            progress=progress,
            created_at=created_at,
            ready_at=ready_at,
        )

        model.additional_properties = d
        return model

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
