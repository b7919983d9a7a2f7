from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Fault")


@_attrs_define
class Fault:
    """One thing that is wrong in a request.

    Attributes:
        in_ (str): Where it stands.
        name (str): Of the parameter, the field or the header.
        code (str): For programs, such as `unknown`.
        detail (str): For people: what is wrong, and what to do.
        line (int | Unset): Of the body, from 1.
    """

    in_: str
    name: str
    code: str
    detail: str
    line: int | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        in_ = self.in_

        name = self.name

        code = self.code

        detail = self.detail

        line = self.line

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "in": in_,
                "name": name,
                "code": code,
                "detail": detail,
            }
        )
        if line is not UNSET:
            field_dict["line"] = line

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        in_ = d.pop("in")

        name = d.pop("name")

        code = d.pop("code")

        detail = d.pop("detail")

        line = d.pop("line", UNSET)

        fault = cls(
            in_=in_,
            name=name,
            code=code,
            detail=detail,
            line=line,
        )

        fault.additional_properties = d
        return fault

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
