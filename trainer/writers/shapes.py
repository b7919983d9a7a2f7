"""What a format is: its name, options, documented fields, Arrow schema, and the function that makes its rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from trainer.writers.labeled import Labeled
from trainer.writers.losses import Losses

if TYPE_CHECKING:
    import pyarrow as pa

OutRow = dict[str, Any] | bytes  # bytes: the row as a JSON line
Options = Mapping[str, str]
MakeRows = Callable[[Iterable[Labeled], Options, Losses], Iterator[OutRow]]


class BadOption(ValueError):
    """An option that a format does not have, or a value that the option cannot have. The message says what is allowed."""


class Option(NamedTuple):
    """A choice that changes the rows. `meanings` has a sentence for each value; the first value is the default."""

    name: str
    meanings: Mapping[str, str]

    @property
    def default(self) -> str:
        """The value without a choice."""
        return next(iter(self.meanings))


class Field(NamedTuple):
    """A field of a row: its name, its kind in words, and what it holds."""

    name: str
    kind: str
    meaning: str


NEUTRAL = Option(
    "neutral",
    {
        "good": "A neutral step counts as good.",
        "bad": "A neutral step counts as bad: the first one is the first mistake.",
    },
)
APART = Option("neutral", {"apart": "Neutral stays a value of its own."})
ORDERED = Option(
    "neutral",
    {
        "apart": "Good is better than neutral, and neutral is better than bad.",
        "good": "A neutral text counts as good.",
        "bad": "A neutral text counts as bad.",
    },
)
WRITTEN = Option(
    "written",
    {
        "leave_out": "A solution with a step that the labeler wrote is left out, because nobody rated that step.",
        "good": "A step that the labeler wrote counts as good, because the labeler went on from it.",
    },
)


@dataclass(frozen=True, slots=True)
class Writer:
    """One format. `title` says in a sentence who reads it."""

    name: str
    title: str
    fields: tuple[Field, ...]
    options: tuple[Option, ...]
    make_schema: Callable[[], "pa.Schema"]
    make_rows: MakeRows

    @property
    def schema(self) -> "pa.Schema":
        """The columns of the rows with their Arrow types."""
        return self.make_schema()

    def choose(self, options: Options | None = None) -> dict[str, str]:
        """Return the value of each option. An option that is not given has its default. Raises BadOption for an unknown option or value."""
        given, known = dict(options or {}), {option.name: option for option in self.options}
        for name, value in given.items():
            if name not in known:
                has = f"Its options are {', '.join(known)}" if known else "It has no options"
                raise BadOption(f"The format {self.name} has no option {name!r}. {has}.")
            if value not in known[name].meanings:
                raise BadOption(
                    f"The option {name} of the format {self.name} cannot be {value!r}. Choose one of {', '.join(known[name].meanings)}."
                )
        return {name: given.get(name, option.default) for name, option in known.items()}

    def describe(self, options: Options | None = None) -> str:
        """Return what a file of this format holds with these options, in sentences that name each option. Raises BadOption."""
        chosen = self.choose(options)
        choices = [f"{option.meanings[chosen[option.name]]} ({option.name} = {chosen[option.name]})" for option in self.options]
        return " ".join([self.title, *choices])

    def rows(self, labeled: Iterable[Labeled], options: Options | None = None, losses: Losses | None = None) -> Iterator[OutRow]:
        """Return the rows of annotations, one after the other, and count in `losses` what they cannot hold. Raises BadOption."""
        return self.make_rows(labeled, self.choose(options), Losses() if losses is None else losses)
