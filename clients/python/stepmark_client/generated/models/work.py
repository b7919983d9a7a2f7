from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Work")


@_attrs_define
class Work:
    """What a person labeled in the project, as the page of people counts it.

    Attributes:
        today (int): UTC.
        total (int):
        minutes_each (float | None): Active minutes for one solution.
        last_at (datetime.datetime | None):
    """

    today: int
    total: int
    minutes_each: float | None
    last_at: datetime.datetime | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        today = self.today

        total = self.total

        minutes_each: float | None
        minutes_each = self.minutes_each

        last_at: None | str
        if isinstance(self.last_at, datetime.datetime):
            last_at = self.last_at.isoformat()
        else:
            last_at = self.last_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "today": today,
                "total": total,
                "minutes_each": minutes_each,
                "last_at": last_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        today = d.pop("today")

        total = d.pop("total")

        def _parse_minutes_each(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        minutes_each = _parse_minutes_each(d.pop("minutes_each"))

        def _parse_last_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                last_at_type_0 = datetime.datetime.fromisoformat(data)

                return last_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        last_at = _parse_last_at(d.pop("last_at"))

        work = cls(
            today=today,
            total=total,
            minutes_each=minutes_each,
            last_at=last_at,
        )

        work.additional_properties = d
        return work

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
