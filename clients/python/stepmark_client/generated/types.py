"""What addresses and objects share."""

from collections.abc import Mapping
from typing import IO, BinaryIO, Generic, Literal, TypeVar

from attrs import define


class Unset:
    def __bool__(self) -> Literal[False]:
        return False


UNSET: Unset = Unset()
FileTypes = tuple[str | None, IO[bytes] | bytes | str, str | None]
T = TypeVar("T")


@define
class File:
    """Bytes that are sent or received."""

    payload: BinaryIO | bytes
    file_name: str | None = None
    mime_type: str | None = None

    def to_tuple(self) -> FileTypes:
        return self.file_name, self.payload, self.mime_type


@define
class Response(Generic[T]):
    """An answer. parsed: its body as an object."""

    status_code: int
    headers: Mapping[str, str]
    parsed: T
