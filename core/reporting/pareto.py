"""Which of several results nothing beats: the Pareto front, and its knee."""

from collections.abc import Sequence

Point = tuple[float, float]
"""Cost and loss; of both, less is better."""

SMALLEST_FRONT = 3


def on_front(points: Sequence[Point]) -> list[bool]:
    """Whether no other point is at least as good in both and better in one."""
    return [not any(dominates(other, point) for other in points) for point in points]


def dominates(one: Point, other: Point) -> bool:
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def knee(points: Sequence[Point]) -> int | None:
    """The place in `points` of the one on the front that lies farthest below the line between the
    front's ends, both axes scaled to the front's extent: beyond it a smaller cost is paid dearly.

    None where fewer than three are on the front, or none lies below the line.
    """
    front = sorted((point, place) for place, point in enumerate(points) if on_front(points)[place])
    if len({point for point, _ in front}) < SMALLEST_FRONT:
        return None
    (low_cost, high_loss), (high_cost, low_loss) = front[0][0], front[-1][0]
    costs, losses = high_cost - low_cost, high_loss - low_loss
    below = [
        1 - (cost - low_cost) / costs - (loss - low_loss) / losses for (cost, loss), _ in front
    ]
    farthest = max(range(len(front)), key=lambda n: below[n])
    return front[farthest][1] if below[farthest] > 0 else None
