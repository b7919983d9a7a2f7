"""Lists of a project, without their pages."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from stepmark_client.frames import table
from stepmark_client.generated.types import Response
from stepmark_client.transport import PatientClient

if TYPE_CHECKING:
    import pandas

PAGE = 200


class Row(Protocol):
    """An item of a list."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as the site sent it."""


Item = TypeVar("Item", bound=Row)
Detail = TypeVar("Detail")


class Page(Protocol[Item]):
    """A page of a list. next_: the cursor of the page after it; None at the end."""

    items: list[Item]
    next_: str | None


class Listing(Generic[Item]):
    """A list of the site. Filters are those of its address: see the parameters of the generated function."""

    def __init__(self, api: PatientClient, ask: Callable[..., Any], *place: str | int) -> None:
        self._api, self._ask, self._place = api, ask, place

    def pages(self, *, cursor: str | None = None, limit: int = PAGE, **filters: Any) -> Iterator[Page[Item]]:
        """Return the pages from a cursor on. A page can be empty although the list goes on."""
        while True:
            where = {"limit": limit, **({} if cursor is None else {"cursor": cursor}), **filters}
            page = cast("Page[Item]", self._ask(*self._place, client=self._api, **where).parsed)
            yield page
            cursor = page.next_
            if cursor is None:
                return

    def iterate(self, **filters: Any) -> Iterator[Item]:
        """Return all items. One request gets 200 of them, when they are needed."""
        for page in self.pages(**filters):
            yield from page.items

    def __iter__(self) -> Iterator[Item]:
        return self.iterate()

    def to_pandas(self, **filters: Any) -> "pandas.DataFrame":
        """Return all items as a table, a column for each field. Raises PandasMissing."""
        return table(item.to_dict() for item in self.iterate(**filters))


class Collection(Listing[Item], Generic[Item, Detail]):
    """A list whose items can also be shown alone."""

    def __init__(self, api: PatientClient, ask: Callable[..., Any], show: Callable[..., Response[Detail]], *place: str | int) -> None:
        super().__init__(api, ask, *place)
        self._show = show

    def get(self, key: int | str) -> Detail:
        """Return one item by its `id`, or its number where it has one. Raises NotFound."""
        return self._show(*self._place, key, client=self._api).parsed
