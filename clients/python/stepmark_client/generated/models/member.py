from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.gold_share import GoldShare
    from ..models.work import Work


T = TypeVar("T", bound="Member")


@_attrs_define
class Member:
    """A member of a project with figures.

    Attributes:
        id (int): Of the membership.
        username (str):
        name (str):
        role (str):
        state (str):
        work (Work): What a person labeled in the project, as the page of people counts it.
        gold (GoldShare): How a person answered gold and screening questions.
    """

    id: int
    username: str
    name: str
    role: str
    state: str
    work: Work
    gold: GoldShare
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        username = self.username

        name = self.name

        role = self.role

        state = self.state

        work = self.work.to_dict()

        gold = self.gold.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "username": username,
                "name": name,
                "role": role,
                "state": state,
                "work": work,
                "gold": gold,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.gold_share import GoldShare
        from ..models.work import Work

        d = dict(src_dict)
        id = d.pop("id")

        username = d.pop("username")

        name = d.pop("name")

        role = d.pop("role")

        state = d.pop("state")

        work = Work.from_dict(d.pop("work"))

        gold = GoldShare.from_dict(d.pop("gold"))

        member = cls(
            id=id,
            username=username,
            name=name,
            role=role,
            state=state,
            work=work,
            gold=gold,
        )

        member.additional_properties = d
        return member

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
