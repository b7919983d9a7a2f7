from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.step_label import StepLabel


T = TypeVar("T", bound="Annotation")


@_attrs_define
class Annotation:
    """All labels of one sitting. An annotation never changes: a correction is a new revision.

    Attributes:
        id (int):
        solution (int):
        problem (int):
        labeler (None | UUID): The pseudonym that exports show.
        batch (int):
        generation (int | None):
        batch_kind (str):
        revision (int):
        supersedes (int | None): The annotation that this one corrects.
        finish_reason (str):
        reason (str):
        first_mistake (int | None): A step from 0. Null: none.
        active_ms (int | None):
        total_ms (int | None):
        guidelines_version (int | None):
        mark (str): Why it does not count for every use. Empty: it does.
        created_at (datetime.datetime):
        labels (list[StepLabel]):
    """

    id: int
    solution: int
    problem: int
    labeler: None | UUID
    batch: int
    generation: int | None
    batch_kind: str
    revision: int
    supersedes: int | None
    finish_reason: str
    reason: str
    first_mistake: int | None
    active_ms: int | None
    total_ms: int | None
    guidelines_version: int | None
    mark: str
    created_at: datetime.datetime
    labels: list[StepLabel]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        solution = self.solution

        problem = self.problem

        labeler: None | str
        if isinstance(self.labeler, UUID):
            labeler = str(self.labeler)
        else:
            labeler = self.labeler

        batch = self.batch

        generation: int | None
        generation = self.generation

        batch_kind = self.batch_kind

        revision = self.revision

        supersedes: int | None
        supersedes = self.supersedes

        finish_reason = self.finish_reason

        reason = self.reason

        first_mistake: int | None
        first_mistake = self.first_mistake

        active_ms: int | None
        active_ms = self.active_ms

        total_ms: int | None
        total_ms = self.total_ms

        guidelines_version: int | None
        guidelines_version = self.guidelines_version

        mark = self.mark

        created_at = self.created_at.isoformat()

        labels = []
        for labels_item_data in self.labels:
            labels_item = labels_item_data.to_dict()
            labels.append(labels_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "solution": solution,
                "problem": problem,
                "labeler": labeler,
                "batch": batch,
                "generation": generation,
                "batch_kind": batch_kind,
                "revision": revision,
                "supersedes": supersedes,
                "finish_reason": finish_reason,
                "reason": reason,
                "first_mistake": first_mistake,
                "active_ms": active_ms,
                "total_ms": total_ms,
                "guidelines_version": guidelines_version,
                "mark": mark,
                "created_at": created_at,
                "labels": labels,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.step_label import StepLabel

        d = dict(src_dict)
        id = d.pop("id")

        solution = d.pop("solution")

        problem = d.pop("problem")

        def _parse_labeler(data: object) -> None | UUID:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                labeler_type_0 = UUID(data)

                return labeler_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | UUID, data)

        labeler = _parse_labeler(d.pop("labeler"))

        batch = d.pop("batch")

        def _parse_generation(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        generation = _parse_generation(d.pop("generation"))

        batch_kind = d.pop("batch_kind")

        revision = d.pop("revision")

        def _parse_supersedes(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        supersedes = _parse_supersedes(d.pop("supersedes"))

        finish_reason = d.pop("finish_reason")

        reason = d.pop("reason")

        def _parse_first_mistake(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        first_mistake = _parse_first_mistake(d.pop("first_mistake"))

        def _parse_active_ms(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        active_ms = _parse_active_ms(d.pop("active_ms"))

        def _parse_total_ms(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        total_ms = _parse_total_ms(d.pop("total_ms"))

        def _parse_guidelines_version(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        guidelines_version = _parse_guidelines_version(d.pop("guidelines_version"))

        mark = d.pop("mark")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        labels = []
        _labels = d.pop("labels")
        for labels_item_data in _labels:
            labels_item = StepLabel.from_dict(labels_item_data)

            labels.append(labels_item)

        annotation = cls(
            id=id,
            solution=solution,
            problem=problem,
            labeler=labeler,
            batch=batch,
            generation=generation,
            batch_kind=batch_kind,
            revision=revision,
            supersedes=supersedes,
            finish_reason=finish_reason,
            reason=reason,
            first_mistake=first_mistake,
            active_ms=active_ms,
            total_ms=total_ms,
            guidelines_version=guidelines_version,
            mark=mark,
            created_at=created_at,
            labels=labels,
        )

        annotation.additional_properties = d
        return annotation

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
