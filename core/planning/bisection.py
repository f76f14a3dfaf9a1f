"""The smallest keep ratio that meets a condition, by asking for measurements.

Bisection takes for granted that what holds at one ratio holds at every larger one. Measured curves
are noisy and need not be so: a smaller ratio that also meets the condition may then go unseen, but
what is found is always a ratio that was itself asked about, and met.
"""

import math


class Bisection:
    """Between the floor, which is taken to miss, and 1, which is taken to meet.

    while (ratio := bisection.question) is not None:
        bisection.answer(measure(ratio))
    """

    def __init__(self, floor: float, tolerance: float, evaluations: int):
        self._missed, self._met = min(floor, 1.0), 1.0
        self.questions_left = min(evaluations, halvings(1 - self._missed, tolerance))
        """Whatever the answers."""
        self.found: float | None = None
        """The smallest ratio that met; None where none did."""

    @property
    def question(self) -> float | None:
        """The ratio to measure next; None at the end."""
        return (self._missed + self._met) / 2 if self.questions_left else None

    def answer(self, meets: bool) -> None:
        ratio = self.question
        assert ratio is not None, "nothing was asked"
        self.questions_left -= 1
        if meets:
            self._met = self.found = ratio
        else:
            self._missed = ratio


def halvings(width: float, tolerance: float) -> int:
    """How many it takes for a width to be within the tolerance."""
    if width <= tolerance:
        return 0
    return math.ceil(round(math.log2(width / tolerance), 9))
