from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="SolutionLine")


@_attrs_define
class SolutionLine:
    """One line: a solution with its problem.

    Attributes:
        problem (str): The statement.
        id (str | Unset): Identifies the problem. Without it, its statement does.
        answer (str | Unset): The reference answer.
        reference_solution (str | Unset):
        subject (str | Unset):
        level (str | Unset):
        split (str | Unset):
        steps (list[str] | Unset): This or `solution`.
        solution (str | Unset): One text, which is cut into steps.
        source (str | Unset):
    """

    problem: str
    id: str | Unset = UNSET
    answer: str | Unset = UNSET
    reference_solution: str | Unset = UNSET
    subject: str | Unset = UNSET
    level: str | Unset = UNSET
    split: str | Unset = UNSET
    steps: list[str] | Unset = UNSET
    solution: str | Unset = UNSET
    source: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        problem = self.problem

        id = self.id

        answer = self.answer

        reference_solution = self.reference_solution

        subject = self.subject

        level = self.level

        split = self.split

        steps: list[str] | Unset = UNSET
        if not isinstance(self.steps, Unset):
            steps = self.steps

        solution = self.solution

        source = self.source

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
        if steps is not UNSET:
            field_dict["steps"] = steps
        if solution is not UNSET:
            field_dict["solution"] = solution
        if source is not UNSET:
            field_dict["source"] = source

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        problem = d.pop("problem")

        id = d.pop("id", UNSET)

        answer = d.pop("answer", UNSET)

        reference_solution = d.pop("reference_solution", UNSET)

        subject = d.pop("subject", UNSET)

        level = d.pop("level", UNSET)

        split = d.pop("split", UNSET)

        steps = cast(list[str], d.pop("steps", UNSET))

        solution = d.pop("solution", UNSET)

        source = d.pop("source", UNSET)

        solution_line = cls(
            problem=problem,
            id=id,
            answer=answer,
            reference_solution=reference_solution,
            subject=subject,
            level=level,
            split=split,
            steps=steps,
            solution=solution,
            source=source,
        )

        solution_line.additional_properties = d
        return solution_line

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
