"""The rows of a dataset, checked, in columns: what a task makes of a table."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Data:
    columns: dict[str, list[Any]]
    """By the task's field (text, label, …), one entry per row."""
    split_of: NDArray[np.str_]
    """[n]: the split that each row is named for; empty where the recipe's seed decides."""
    label_names: tuple[str, ...] = ()
    """What a new head answers, by number; empty where heads answer no labels."""
    labels: NDArray[np.int64] | None = None
    """[n], each row's number in `label_names`; None where rows have not one label each."""

    def __len__(self) -> int:
        return len(self.split_of)

    @property
    def strata(self) -> list[NDArray[np.int64]]:
        """The rows of each label; all rows, where there is not one label each."""
        if self.labels is None:
            return [np.arange(len(self))]
        return [np.flatnonzero(self.labels == n) for n in range(len(self.label_names))]

    def renumbered(self, label_names: tuple[str, ...]) -> NDArray[np.int64]:
        """The rows' labels as a model numbers them; its names include all of ours."""
        assert self.labels is not None, "rows have labels"
        return np.array([label_names.index(name) for name in self.label_names])[self.labels]

    def of(self, field: str, rows: NDArray[np.int64]) -> list[Any]:
        column = self.columns[field]
        return [column[row] for row in rows]
