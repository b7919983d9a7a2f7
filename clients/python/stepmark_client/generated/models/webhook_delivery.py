from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.webhook_try import WebhookTry


T = TypeVar("T", bound="WebhookDelivery")


@_attrs_define
class WebhookDelivery:
    """One message to one webhook.

    Attributes:
        number (int):
        message (str): The header `webhook-id`, the same in every try.
        kind (str):
        state (str):
        created_at (datetime.datetime):
        next_at (datetime.datetime | None): When it is tried next.
        body (str): What was sent.
        n_tries (int):
        tries (list[WebhookTry]): The newest ten, the newest first.
    """

    number: int
    message: str
    kind: str
    state: str
    created_at: datetime.datetime
    next_at: datetime.datetime | None
    body: str
    n_tries: int
    tries: list[WebhookTry]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        number = self.number

        message = self.message

        kind = self.kind

        state = self.state

        created_at = self.created_at.isoformat()

        next_at: None | str
        if isinstance(self.next_at, datetime.datetime):
            next_at = self.next_at.isoformat()
        else:
            next_at = self.next_at

        body = self.body

        n_tries = self.n_tries

        tries = []
        for tries_item_data in self.tries:
            tries_item = tries_item_data.to_dict()
            tries.append(tries_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "number": number,
                "message": message,
                "kind": kind,
                "state": state,
                "created_at": created_at,
                "next_at": next_at,
                "body": body,
                "n_tries": n_tries,
                "tries": tries,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.webhook_try import WebhookTry

        d = dict(src_dict)
        number = d.pop("number")

        message = d.pop("message")

        kind = d.pop("kind")

        state = d.pop("state")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        def _parse_next_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                next_at_type_0 = datetime.datetime.fromisoformat(data)

                return next_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        next_at = _parse_next_at(d.pop("next_at"))

        body = d.pop("body")

        n_tries = d.pop("n_tries")

        tries = []
        _tries = d.pop("tries")
        for tries_item_data in _tries:
            tries_item = WebhookTry.from_dict(tries_item_data)

            tries.append(tries_item)

        webhook_delivery = cls(
            number=number,
            message=message,
            kind=kind,
            state=state,
            created_at=created_at,
            next_at=next_at,
            body=body,
            n_tries=n_tries,
            tries=tries,
        )

        webhook_delivery.additional_properties = d
        return webhook_delivery

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
