from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Shares")


@_attrs_define
class Shares:
    """Shares of three parts, which divide the problems. They are 1 in sum.

    Attributes:
        train (float):
        valid (float):
        test (float):
        seed (int | Unset):  Default: 0.
    """

    train: float
    valid: float
    test: float
    seed: int | Unset = 0
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        train = self.train

        valid = self.valid

        test = self.test

        seed = self.seed

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "train": train,
                "valid": valid,
                "test": test,
            }
        )
        if seed is not UNSET:
            field_dict["seed"] = seed

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        train = d.pop("train")

        valid = d.pop("valid")

        test = d.pop("test")

        seed = d.pop("seed", UNSET)

        shares = cls(
            train=train,
            valid=valid,
            test=test,
            seed=seed,
        )

        shares.additional_properties = d
        return shares

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
