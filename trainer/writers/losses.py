"""What a format cannot hold: counted by reason while a file is written, and said in sentences."""

from collections import Counter
from dataclasses import dataclass, field

from trainer.counting import counted


@dataclass(slots=True)
class Losses:
    """Counts of one file. `left_out`: annotations of which it has nothing, by reason. `changed`: annotations that it has, by what it lacks
    of them or counts otherwise. `pairs`: pairs of texts that are no preference, by reason.

    Every annotation that goes in is either in the file or counted once in `left_out`.
    """

    left_out: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)

    def sentences(self) -> list[str]:
        """Return one sentence for each count, the greatest first."""
        out = [f"{counted(count, 'annotation is', 'annotations are')} left out: {reason}." for reason, count in self.left_out.most_common()]
        out += [
            f"{counted(count, 'pair of texts is', 'pairs of texts are')} left out: {reason}." for reason, count in self.pairs.most_common()
        ]
        return out + [f"{counted(count, 'annotation')}: {change}." for change, count in self.changed.most_common()]
