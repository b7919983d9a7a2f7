from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Problem")


@_attrs_define
class Problem:
    """A problem with its reference answer.

    Attributes:
        id (int):
        external_id (str): The id that the loaded file gave, or one made from the statement.
        statement (str):
        answer (None | str): The reference answer.
        reference_solution (None | str):
        subject (str):
        level (str):
        split (str):
        created_at (datetime.datetime):
    """

    id: int
    external_id: str
    statement: str
    answer: None | str
    reference_solution: None | str
    subject: str
    level: str
    split: str
    created_at: datetime.datetime
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        external_id = self.external_id

        statement = self.statement

        answer: None | str
        answer = self.answer

        reference_solution: None | str
        reference_solution = self.reference_solution

        subject = self.subject

        level = self.level

        split = self.split

        created_at = self.created_at.isoformat()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "external_id": external_id,
                "statement": statement,
                "answer": answer,
                "reference_solution": reference_solution,
                "subject": subject,
                "level": level,
                "split": split,
                "created_at": created_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        id = d.pop("id")

        external_id = d.pop("external_id")

        statement = d.pop("statement")

        def _parse_answer(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        answer = _parse_answer(d.pop("answer"))

        def _parse_reference_solution(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        reference_solution = _parse_reference_solution(d.pop("reference_solution"))

        subject = d.pop("subject")

        level = d.pop("level")

        split = d.pop("split")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        problem = cls(
            id=id,
            external_id=external_id,
            statement=statement,
            answer=answer,
            reference_solution=reference_solution,
            subject=subject,
            level=level,
            split=split,
            created_at=created_at,
        )

        problem.additional_properties = d
        return problem

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
