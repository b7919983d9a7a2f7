from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="ProblemLine")


@_attrs_define
class ProblemLine:
    """One line: a problem.

    Attributes:
        problem (str): The statement.
        id (float | None | str | Unset): Identifies the problem. Without it, its statement does.
        answer (float | None | str | Unset): The reference answer.
        reference_solution (float | None | str | Unset):
        subject (float | None | str | Unset):
        level (float | None | str | Unset):
        split (None | str | Unset): Null: train.
    """

    problem: str
    id: float | None | str | Unset = UNSET
    answer: float | None | str | Unset = UNSET
    reference_solution: float | None | str | Unset = UNSET
    subject: float | None | str | Unset = UNSET
    level: float | None | str | Unset = UNSET
    split: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        problem = self.problem

        id: float | None | str | Unset
        if isinstance(self.id, Unset):
            id = UNSET
        else:
            id = self.id

        answer: float | None | str | Unset
        if isinstance(self.answer, Unset):
            answer = UNSET
        else:
            answer = self.answer

        reference_solution: float | None | str | Unset
        if isinstance(self.reference_solution, Unset):
            reference_solution = UNSET
        else:
            reference_solution = self.reference_solution

        subject: float | None | str | Unset
        if isinstance(self.subject, Unset):
            subject = UNSET
        else:
            subject = self.subject

        level: float | None | str | Unset
        if isinstance(self.level, Unset):
            level = UNSET
        else:
            level = self.level

        split: None | str | Unset
        if isinstance(self.split, Unset):
            split = UNSET
        else:
            split = self.split

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "problem": problem,
            }
        )
        if id is not UNSET:
            field_dict["id"] = id
        if answer is not UNSET:
            field_dict["answer"] = answer
        if reference_solution is not UNSET:
            field_dict["reference_solution"] = reference_solution
        if subject is not UNSET:
            field_dict["subject"] = subject
        if level is not UNSET:
            field_dict["level"] = level
        if split is not UNSET:
            field_dict["split"] = split

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        problem = d.pop("problem")

        def _parse_id(data: object) -> float | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | str | Unset, data)

        id = _parse_id(d.pop("id", UNSET))

        def _parse_answer(data: object) -> float | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | str | Unset, data)

        answer = _parse_answer(d.pop("answer", UNSET))

        def _parse_reference_solution(data: object) -> float | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | str | Unset, data)

        reference_solution = _parse_reference_solution(d.pop("reference_solution", UNSET))

        def _parse_subject(data: object) -> float | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | str | Unset, data)

        subject = _parse_subject(d.pop("subject", UNSET))

        def _parse_level(data: object) -> float | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | str | Unset, data)

        level = _parse_level(d.pop("level", UNSET))

        def _parse_split(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        split = _parse_split(d.pop("split", UNSET))

        problem_line = cls(
            problem=problem,
            id=id,
            answer=answer,
            reference_solution=reference_solution,
            subject=subject,
            level=level,
            split=split,
        )

        problem_line.additional_properties = d
        return problem_line

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
