from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="NewRound")


@_attrs_define
class NewRound:
    """What a new round is asked to do. What is left out is as the project has it.

    Attributes:
        strategy (str | Unset): convincing, convincing_all, convincing_rest, entropy, entropy_draw, margin, change,
            uncertain, disagreement, uniform, typical, covering, herding, diverse, typical_first, control, paper, half,
            explore, or parts such as `convincing:0.7,uniform:0.3`.
        size (int | Unset): How many solutions the batch gets.
        per_problem (int | Unset):
        is_diverse (bool | Unset):
        is_stratified (bool | Unset):
        train (bool | Unset): Train a model first. Without it: only if the strategy needs one.
        review (bool | Unset): Propose the batch, and let a person publish it.
        labels (str | Unset): What the model learns of several people's labels.
    """

    strategy: str | Unset = UNSET
    size: int | Unset = UNSET
    per_problem: int | Unset = UNSET
    is_diverse: bool | Unset = UNSET
    is_stratified: bool | Unset = UNSET
    train: bool | Unset = UNSET
    review: bool | Unset = UNSET
    labels: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        strategy = self.strategy

        size = self.size

        per_problem = self.per_problem

        is_diverse = self.is_diverse

        is_stratified = self.is_stratified

        train = self.train

        review = self.review

        labels = self.labels

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if strategy is not UNSET:
            field_dict["strategy"] = strategy
        if size is not UNSET:
            field_dict["size"] = size
        if per_problem is not UNSET:
            field_dict["per_problem"] = per_problem
        if is_diverse is not UNSET:
            field_dict["is_diverse"] = is_diverse
        if is_stratified is not UNSET:
            field_dict["is_stratified"] = is_stratified
        if train is not UNSET:
            field_dict["train"] = train
        if review is not UNSET:
            field_dict["review"] = review
        if labels is not UNSET:
            field_dict["labels"] = labels

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        strategy = d.pop("strategy", UNSET)

        size = d.pop("size", UNSET)

        per_problem = d.pop("per_problem", UNSET)

        is_diverse = d.pop("is_diverse", UNSET)

        is_stratified = d.pop("is_stratified", UNSET)

        train = d.pop("train", UNSET)

        review = d.pop("review", UNSET)

        labels = d.pop("labels", UNSET)

        new_round = cls(
            strategy=strategy,
            size=size,
            per_problem=per_problem,
            is_diverse=is_diverse,
            is_stratified=is_stratified,
            train=train,
            review=review,
            labels=labels,
        )

        new_round.additional_properties = d
        return new_round

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
