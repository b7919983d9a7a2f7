"""Tables: pandas is loaded only where one is asked for, or given."""

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from stepmark_client.errors import PandasMissing

if TYPE_CHECKING:
    import pandas


def load_pandas() -> ModuleType:
    """Import pandas. Raises PandasMissing."""
    try:
        import pandas
    except ImportError:
        raise PandasMissing("pandas is not installed. Install it with: pip install 'stepmark-client[pandas]'") from None
    return pandas


def table(rows: Iterable[dict[str, Any]], columns: dict[str, str] | None = None) -> "pandas.DataFrame":
    """Return rows as a table. `columns`: names in order, with their types; a table without rows has them, too."""
    made = load_pandas().DataFrame(list(rows), columns=list(columns) if columns else None)
    return cast("pandas.DataFrame", made.astype(columns) if columns else made)


def is_table(lines: object) -> bool:
    """Say whether something is a table, without loading pandas."""
    return type(lines).__name__ == "DataFrame" and hasattr(lines, "to_dict") and hasattr(lines, "columns")


def rows_of(frame: Any, *, at_once: int) -> Iterator[dict[str, Any]]:
    """Return the rows of a table as objects, without the cells that are empty."""
    pandas = load_pandas()
    for start in range(0, len(frame), at_once):
        for row in frame.iloc[start : start + at_once].to_dict("records"):
            yield {str(name): value for name, value in row.items() if not (pandas.api.types.is_scalar(value) and pandas.isna(value))}
