from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Stage")


@_attrs_define
class Stage:
    """One attempt at one stage of a round.

    Attributes:
        name (str):
        attempt (int):
        began_at (datetime.datetime):
        ended_at (datetime.datetime | None):
        ended (str): done, cancelled, stopped or failed. Empty: it runs.
        failure (str):
    """

    name: str
    attempt: int
    began_at: datetime.datetime
    ended_at: datetime.datetime | None
    ended: str
    failure: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        attempt = self.attempt

        began_at = self.began_at.isoformat()

        ended_at: None | str
        if isinstance(self.ended_at, datetime.datetime):
            ended_at = self.ended_at.isoformat()
        else:
            ended_at = self.ended_at

        ended = self.ended

        failure = self.failure

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "attempt": attempt,
                "began_at": began_at,
                "ended_at": ended_at,
                "ended": ended,
                "failure": failure,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        name = d.pop("name")

        attempt = d.pop("attempt")

        began_at = datetime.datetime.fromisoformat(d.pop("began_at"))

        def _parse_ended_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                ended_at_type_0 = datetime.datetime.fromisoformat(data)

                return ended_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        ended_at = _parse_ended_at(d.pop("ended_at"))

        ended = d.pop("ended")

        failure = d.pop("failure")

        stage = cls(
            name=name,
            attempt=attempt,
            began_at=began_at,
            ended_at=ended_at,
            ended=ended,
            failure=failure,
        )

        stage.additional_properties = d
        return stage

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
