from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="ProjectDetail")


@_attrs_define
class ProjectDetail:
    """A project with its guidelines.

    Attributes:
        slug (str): Stands in the addresses of everything in the project.
        name (str):
        role (str): The role of the person who asks.
        step_source (str): Whole solutions, or step by step.
        guidelines_version (int): The number of the newest version of the guidelines.
        created_at (datetime.datetime):
        archived_at (datetime.datetime | None): Since when no labeling and no rounds are possible.
        guidelines (str): Markdown.
    """

    slug: str
    name: str
    role: str
    step_source: str
    guidelines_version: int
    created_at: datetime.datetime
    archived_at: datetime.datetime | None
    guidelines: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        slug = self.slug

        name = self.name

        role = self.role

        step_source = self.step_source

        guidelines_version = self.guidelines_version

        created_at = self.created_at.isoformat()

        archived_at: None | str
        if isinstance(self.archived_at, datetime.datetime):
            archived_at = self.archived_at.isoformat()
        else:
            archived_at = self.archived_at

        guidelines = self.guidelines

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "slug": slug,
                "name": name,
                "role": role,
                "step_source": step_source,
                "guidelines_version": guidelines_version,
                "created_at": created_at,
                "archived_at": archived_at,
                "guidelines": guidelines,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        slug = d.pop("slug")

        name = d.pop("name")

        role = d.pop("role")

        step_source = d.pop("step_source")

        guidelines_version = d.pop("guidelines_version")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        def _parse_archived_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                archived_at_type_0 = datetime.datetime.fromisoformat(data)

                return archived_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        archived_at = _parse_archived_at(d.pop("archived_at"))

        guidelines = d.pop("guidelines")

        project_detail = cls(
            slug=slug,
            name=name,
            role=role,
            step_source=step_source,
            guidelines_version=guidelines_version,
            created_at=created_at,
            archived_at=archived_at,
            guidelines=guidelines,
        )

        project_detail.additional_properties = d
        return project_detail

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
