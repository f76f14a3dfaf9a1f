"""What labels are called: in the data, and in a model's head."""

from collections.abc import Iterable

from core.compression.tasks.rows import SourceRow
from core.errors import DataError


def label_of(row: SourceRow, column: str) -> str:
    value = row.cell(column, "label")
    if isinstance(value, bool) or not isinstance(value, str | int):
        row.refuse("label", f"the label in {column!r} is neither a string nor an integer")
    return str(value).strip()


def sorted_names(labels: Iterable[str]) -> tuple[str, ...]:
    """Each once; whole numbers first, by value; then names, by alphabet."""
    return tuple(sorted(set(labels), key=_order))


def _order(name: str) -> tuple[bool, int, str]:
    number = int(name) if name.lstrip("-").isdecimal() else None
    return (number is None, number or 0, name)


def refuse_single(names: tuple[str, ...], field: str = "label") -> None:
    """
    Raises:
        DataError: there are fewer than two labels.
    """
    if len(names) < 2:
        found = f"only the label {names[0]!r}" if names else "no rows"
        raise DataError(
            f"The dataset holds {found}; a classifier needs two labels or more.",
            pointer=f"/task/{field}" if names else "/task/dataset",
        )


def names_in_head(own: tuple[str, ...], ours: tuple[str, ...]) -> tuple[str, ...] | None:
    """How a head's labels are called in the data, by number; None if they are others.

    Either all labels of the data are among the head's own names, or the head's are the anonymous
    LABEL_0, LABEL_1, … and the data's are such numbers.
    """
    if set(ours) <= set(own):
        return own
    numbers = tuple(str(number) for number in range(len(own)))
    return numbers if is_anonymous(own) and set(ours) <= set(numbers) else None


def is_anonymous(own: tuple[str, ...]) -> bool:
    return own == tuple(f"LABEL_{number}" for number in range(len(own)))
