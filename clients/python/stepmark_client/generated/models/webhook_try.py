from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="WebhookTry")


@_attrs_define
class WebhookTry:
    """One try to deliver a message.

    Attributes:
        number (int):
        at (datetime.datetime):
        status (int | None): Null: there was no answer.
        duration_ms (int | None): Null: a worker is at it, or it was stopped.
        answer (str): The first 500 bytes.
        failure (str): Why the message was not taken. Empty: it was.
    """

    number: int
    at: datetime.datetime
    status: int | None
    duration_ms: int | None
    answer: str
    failure: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        number = self.number

        at = self.at.isoformat()

        status: int | None
        status = self.status

        duration_ms: int | None
        duration_ms = self.duration_ms

        answer = self.answer

        failure = self.failure

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "number": number,
                "at": at,
                "status": status,
                "duration_ms": duration_ms,
                "answer": answer,
                "failure": failure,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        number = d.pop("number")

        at = datetime.datetime.fromisoformat(d.pop("at"))

        def _parse_status(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        status = _parse_status(d.pop("status"))

        def _parse_duration_ms(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        duration_ms = _parse_duration_ms(d.pop("duration_ms"))

        answer = d.pop("answer")

        failure = d.pop("failure")

        webhook_try = cls(
            number=number,
            at=at,
            status=status,
            duration_ms=duration_ms,
            answer=answer,
            failure=failure,
        )

        webhook_try.additional_properties = d
        return webhook_try

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
