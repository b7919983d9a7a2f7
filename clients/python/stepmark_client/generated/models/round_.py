from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.round_progress import RoundProgress
    from ..models.stage import Stage


T = TypeVar("T", bound="Round")


@_attrs_define
class Round:
    """A round: what it was asked to do, how far it is, and what it made.

    Attributes:
        number (int):
        generation (int): Of the batch that it publishes.
        state (str):
        strategy (str):
        size (int): How many solutions the batch gets. 0: it publishes nothing.
        per_problem (int | None):
        trains (bool):
        review (bool): A person looks at the batch before it is published.
        labels (str):
        kind (str):
        model (int | None): The number of the model that it trained.
        batch (int | None): The `id` of the batch that it published.
        failure (str):
        progress (RoundProgress):
        created_at (datetime.datetime):
        finished_at (datetime.datetime | None):
        stages (list[Stage]):
    """

    number: int
    generation: int
    state: str
    strategy: str
    size: int
    per_problem: int | None
    trains: bool
    review: bool
    labels: str
    kind: str
    model: int | None
    batch: int | None
    failure: str
    progress: RoundProgress
    created_at: datetime.datetime
    finished_at: datetime.datetime | None
    stages: list[Stage]
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        number = self.number

        generation = self.generation

        state = self.state

        strategy = self.strategy

        size = self.size

        per_problem: int | None
        per_problem = self.per_problem

        trains = self.trains

        review = self.review

        labels = self.labels

        kind = self.kind

        model: int | None
        model = self.model

        batch: int | None
        batch = self.batch

        failure = self.failure

        progress = self.progress.to_dict()

        created_at = self.created_at.isoformat()

        finished_at: None | str
        if isinstance(self.finished_at, datetime.datetime):
            finished_at = self.finished_at.isoformat()
        else:
            finished_at = self.finished_at

        stages = []
        for stages_item_data in self.stages:
            stages_item = stages_item_data.to_dict()
            stages.append(stages_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "number": number,
                "generation": generation,
                "state": state,
                "strategy": strategy,
                "size": size,
                "per_problem": per_problem,
                "trains": trains,
                "review": review,
                "labels": labels,
                "kind": kind,
                "model": model,
                "batch": batch,
                "failure": failure,
                "progress": progress,
                "created_at": created_at,
                "finished_at": finished_at,
                "stages": stages,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.round_progress import RoundProgress
        from ..models.stage import Stage

        d = dict(src_dict)
        number = d.pop("number")

        generation = d.pop("generation")

        state = d.pop("state")

        strategy = d.pop("strategy")

        size = d.pop("size")

        def _parse_per_problem(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        per_problem = _parse_per_problem(d.pop("per_problem"))

        trains = d.pop("trains")

        review = d.pop("review")

        labels = d.pop("labels")

        kind = d.pop("kind")

        def _parse_model(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        model = _parse_model(d.pop("model"))

        def _parse_batch(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        batch = _parse_batch(d.pop("batch"))

        failure = d.pop("failure")

        progress = RoundProgress.from_dict(d.pop("progress"))

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        def _parse_finished_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                finished_at_type_0 = datetime.datetime.fromisoformat(data)

                return finished_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        finished_at = _parse_finished_at(d.pop("finished_at"))

        stages = []
        _stages = d.pop("stages")
        for stages_item_data in _stages:
            stages_item = Stage.from_dict(stages_item_data)

            stages.append(stages_item)

        round_ = cls(
            number=number,
            generation=generation,
            state=state,
            strategy=strategy,
            size=size,
            per_problem=per_problem,
            trains=trains,
            review=review,
            labels=labels,
            kind=kind,
            model=model,
            batch=batch,
            failure=failure,
            progress=progress,
            created_at=created_at,
            finished_at=finished_at,
            stages=stages,
        )

        round_.additional_properties = d
        return round_

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
