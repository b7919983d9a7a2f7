from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Webhook")


@_attrs_define
class Webhook:
    """An address that is told what happens in a project.

    Attributes:
        number (int):
        address (str):
        kinds (list[str]): What it reports.
        is_on (bool): Messages are sent to it.
        why_off (str): Why the site switched it off. Empty: a person did, or it is on.
        created_at (datetime.datetime):
        old_secret_until (datetime.datetime | None): The secret before the last change signs until then.
        n_waiting (int): Messages that wait for a try.
        delivered_at (datetime.datetime | None): When it took a message last.
    """

    number: int
    address: str
    kinds: list[str]
    is_on: bool
    why_off: str
    created_at: datetime.datetime
    old_secret_until: datetime.datetime | None
    n_waiting: int
    delivered_at: datetime.datetime | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        number = self.number

        address = self.address

        kinds = self.kinds

        is_on = self.is_on

        why_off = self.why_off

        created_at = self.created_at.isoformat()

        old_secret_until: None | str
        if isinstance(self.old_secret_until, datetime.datetime):
            old_secret_until = self.old_secret_until.isoformat()
        else:
            old_secret_until = self.old_secret_until

        n_waiting = self.n_waiting

        delivered_at: None | str
        if isinstance(self.delivered_at, datetime.datetime):
            delivered_at = self.delivered_at.isoformat()
        else:
            delivered_at = self.delivered_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "number": number,
                "address": address,
                "kinds": kinds,
                "is_on": is_on,
                "why_off": why_off,
                "created_at": created_at,
                "old_secret_until": old_secret_until,
                "n_waiting": n_waiting,
                "delivered_at": delivered_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        number = d.pop("number")

        address = d.pop("address")

        kinds = cast(list[str], d.pop("kinds"))

        is_on = d.pop("is_on")

        why_off = d.pop("why_off")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        def _parse_old_secret_until(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                old_secret_until_type_0 = datetime.datetime.fromisoformat(data)

                return old_secret_until_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        old_secret_until = _parse_old_secret_until(d.pop("old_secret_until"))

        n_waiting = d.pop("n_waiting")

        def _parse_delivered_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                delivered_at_type_0 = datetime.datetime.fromisoformat(data)

                return delivered_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        delivered_at = _parse_delivered_at(d.pop("delivered_at"))

        webhook = cls(
            number=number,
            address=address,
            kinds=kinds,
            is_on=is_on,
            why_off=why_off,
            created_at=created_at,
            old_secret_until=old_secret_until,
            n_waiting=n_waiting,
            delivered_at=delivered_at,
        )

        webhook.additional_properties = d
        return webhook

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
