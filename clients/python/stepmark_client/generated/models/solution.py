from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Solution")


@_attrs_define
class Solution:
    """A solution with its outcome.

    Attributes:
        id (int):
        problem (int): The `id` of its problem.
        problem_external_id (str):
        steps (list[str]):
        final_answer (None | str):
        outcome (str): How the final answer compares with the reference answer.
        outcome_reason (str):
        source (str): The generator.
        withdrawn_at (datetime.datetime | None):
        created_at (datetime.datetime):
    """

    id: int
    problem: int
    problem_external_id: str
    steps: list[str]
    final_answer: None | str
    outcome: str
    outcome_reason: str
    source: str
    withdrawn_at: datetime.datetime | None
    created_at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        problem = self.problem

        problem_external_id = self.problem_external_id

        steps = self.steps

        final_answer: None | str
        final_answer = self.final_answer

        outcome = self.outcome

        outcome_reason = self.outcome_reason

        source = self.source

        withdrawn_at: None | str
        if isinstance(self.withdrawn_at, datetime.datetime):
            withdrawn_at = self.withdrawn_at.isoformat()
        else:
            withdrawn_at = self.withdrawn_at

        created_at = self.created_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "problem": problem,
                "problem_external_id": problem_external_id,
                "steps": steps,
                "final_answer": final_answer,
                "outcome": outcome,
                "outcome_reason": outcome_reason,
                "source": source,
                "withdrawn_at": withdrawn_at,
                "created_at": created_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        id = d.pop("id")

        problem = d.pop("problem")

        problem_external_id = d.pop("problem_external_id")

        steps = cast(list[str], d.pop("steps"))

        def _parse_final_answer(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        final_answer = _parse_final_answer(d.pop("final_answer"))

        outcome = d.pop("outcome")

        outcome_reason = d.pop("outcome_reason")

        source = d.pop("source")

        def _parse_withdrawn_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                withdrawn_at_type_0 = datetime.datetime.fromisoformat(data)

                return withdrawn_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        withdrawn_at = _parse_withdrawn_at(d.pop("withdrawn_at"))

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        solution = cls(
            id=id,
            problem=problem,
            problem_external_id=problem_external_id,
            steps=steps,
            final_answer=final_answer,
            outcome=outcome,
            outcome_reason=outcome_reason,
            source=source,
            withdrawn_at=withdrawn_at,
            created_at=created_at,
        )

        solution.additional_properties = d
        return solution

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
