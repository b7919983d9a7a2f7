from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Batch")


@_attrs_define
class Batch:
    """A batch and how far it is. A place is for one person at one solution.

    Attributes:
        id (int):
        generation (int | None): -1: the screening. Null: records of phase 1.
        kind (str):
        state (str):
        priority (int):
        solutions (int):
        open_places (int):
        done_places (int):
        created_at (datetime.datetime):
        closed_at (datetime.datetime | None):
    """

    id: int
    generation: int | None
    kind: str
    state: str
    priority: int
    solutions: int
    open_places: int
    done_places: int
    created_at: datetime.datetime
    closed_at: datetime.datetime | None
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        generation: int | None
        generation = self.generation

        kind = self.kind

        state = self.state

        priority = self.priority

        solutions = self.solutions

        open_places = self.open_places

        done_places = self.done_places

        created_at = self.created_at.isoformat()

        closed_at: None | str
        if isinstance(self.closed_at, datetime.datetime):
            closed_at = self.closed_at.isoformat()
        else:
            closed_at = self.closed_at

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "generation": generation,
                "kind": kind,
                "state": state,
                "priority": priority,
                "solutions": solutions,
                "open_places": open_places,
                "done_places": done_places,
                "created_at": created_at,
                "closed_at": closed_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        id = d.pop("id")

        def _parse_generation(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        generation = _parse_generation(d.pop("generation"))

        kind = d.pop("kind")

        state = d.pop("state")

        priority = d.pop("priority")

        solutions = d.pop("solutions")

        open_places = d.pop("open_places")

        done_places = d.pop("done_places")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        def _parse_closed_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                closed_at_type_0 = datetime.datetime.fromisoformat(data)

                return closed_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        closed_at = _parse_closed_at(d.pop("closed_at"))

        batch = cls(
            id=id,
            generation=generation,
            kind=kind,
            state=state,
            priority=priority,
            solutions=solutions,
            open_places=open_places,
            done_places=done_places,
            created_at=created_at,
            closed_at=closed_at,
        )

        batch.additional_properties = d
        return batch

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
