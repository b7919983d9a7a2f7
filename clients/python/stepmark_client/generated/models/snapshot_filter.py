from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="SnapshotFilter")


@_attrs_define
class SnapshotFilter:
    """Which annotations a snapshot lists. Each field keeps fewer of them. Without `splits`, they are of the train split
    only.

        Attributes:
            splits (list[str] | Unset): Of the problems.
            generations (list[int] | Unset): Of the batches. -1: the screening.
            batches (list[int] | Unset): The `id` of batches.
            since (str | Unset): Submitted on this day (UTC) or at this moment, or later.
            until (str | Unset): Submitted before this day (UTC) or this moment.
            people (list[str] | Unset): The pseudonyms that exports show in the field `labeler`.
            finish_reasons (list[str] | Unset): How the labeler ended.
            without (list[str] | Unset): Leave out labels that ended so.
            sources (list[str] | Unset): The generators that wrote the solutions.
            agreement (str | Unset): Whether people agree on the first mistake of the solution.
            min_labels (int | Unset): The fewest people who judged the solution to its end.
            review (str | Unset): Whether an adjudication settles the solution.
            quarantined (bool | Unset): Keep the labels of people in quarantine.
            newcomers (bool | Unset): Keep the screening answers of people who are not admitted. True unless you say no.
            adjudications (str | Unset): How adjudications stand to other labels.
            labels (str | Unset): `consensus`: one label for each solution, which says what the consensus says.
    """

    splits: list[str] | Unset = UNSET
    generations: list[int] | Unset = UNSET
    batches: list[int] | Unset = UNSET
    since: str | Unset = UNSET
    until: str | Unset = UNSET
    people: list[str] | Unset = UNSET
    finish_reasons: list[str] | Unset = UNSET
    without: list[str] | Unset = UNSET
    sources: list[str] | Unset = UNSET
    agreement: str | Unset = UNSET
    min_labels: int | Unset = UNSET
    review: str | Unset = UNSET
    quarantined: bool | Unset = UNSET
    newcomers: bool | Unset = UNSET
    adjudications: str | Unset = UNSET
    labels: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        splits: list[str] | Unset = UNSET
        if not isinstance(self.splits, Unset):
            splits = self.splits

        generations: list[int] | Unset = UNSET
        if not isinstance(self.generations, Unset):
            generations = self.generations

        batches: list[int] | Unset = UNSET
        if not isinstance(self.batches, Unset):
            batches = self.batches

        since = self.since

        until = self.until

        people: list[str] | Unset = UNSET
        if not isinstance(self.people, Unset):
            people = self.people

        finish_reasons: list[str] | Unset = UNSET
        if not isinstance(self.finish_reasons, Unset):
            finish_reasons = self.finish_reasons

        without: list[str] | Unset = UNSET
        if not isinstance(self.without, Unset):
            without = self.without

        sources: list[str] | Unset = UNSET
        if not isinstance(self.sources, Unset):
            sources = self.sources

        agreement = self.agreement

        min_labels = self.min_labels

        review = self.review

        quarantined = self.quarantined

        newcomers = self.newcomers

        adjudications = self.adjudications

        labels = self.labels

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if splits is not UNSET:
            field_dict["splits"] = splits
        if generations is not UNSET:
            field_dict["generations"] = generations
        if batches is not UNSET:
            field_dict["batches"] = batches
        if since is not UNSET:
            field_dict["since"] = since
        if until is not UNSET:
            field_dict["until"] = until
        if people is not UNSET:
            field_dict["people"] = people
        if finish_reasons is not UNSET:
            field_dict["finish_reasons"] = finish_reasons
        if without is not UNSET:
            field_dict["without"] = without
        if sources is not UNSET:
            field_dict["sources"] = sources
        if agreement is not UNSET:
            field_dict["agreement"] = agreement
        if min_labels is not UNSET:
            field_dict["min_labels"] = min_labels
        if review is not UNSET:
            field_dict["review"] = review
        if quarantined is not UNSET:
            field_dict["quarantined"] = quarantined
        if newcomers is not UNSET:
            field_dict["newcomers"] = newcomers
        if adjudications is not UNSET:
            field_dict["adjudications"] = adjudications
        if labels is not UNSET:
            field_dict["labels"] = labels

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        splits = cast(list[str], d.pop("splits", UNSET))

        generations = cast(list[int], d.pop("generations", UNSET))

        batches = cast(list[int], d.pop("batches", UNSET))

        since = d.pop("since", UNSET)

        until = d.pop("until", UNSET)

        people = cast(list[str], d.pop("people", UNSET))

        finish_reasons = cast(list[str], d.pop("finish_reasons", UNSET))

        without = cast(list[str], d.pop("without", UNSET))

        sources = cast(list[str], d.pop("sources", UNSET))

        agreement = d.pop("agreement", UNSET)

        min_labels = d.pop("min_labels", UNSET)

        review = d.pop("review", UNSET)

        quarantined = d.pop("quarantined", UNSET)

        newcomers = d.pop("newcomers", UNSET)

        adjudications = d.pop("adjudications", UNSET)

        labels = d.pop("labels", UNSET)

        snapshot_filter = cls(
            splits=splits,
            generations=generations,
            batches=batches,
            since=since,
            until=until,
            people=people,
            finish_reasons=finish_reasons,
            without=without,
            sources=sources,
            agreement=agreement,
            min_labels=min_labels,
            review=review,
            quarantined=quarantined,
            newcomers=newcomers,
            adjudications=adjudications,
            labels=labels,
        )

        snapshot_filter.additional_properties = d
        return snapshot_filter

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
