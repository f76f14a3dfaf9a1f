"""Durations, ages, sizes and budgets in words."""

from datetime import UTC, datetime, timedelta

import pytest

from api.dashboard import words

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.7, "1 h 00 min"),
        (4320, "1 h 12 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (2, "a few seconds left"),
        (21, "about 20 s left"),
        (57, "about 1 min left"),
        (118, "about 2 min left"),
        (5000, "about 1 h 30 min left"),
    ],
)
def test_estimates_are_round(seconds: float, said: str) -> None:
    assert words.remaining(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "just now"),
        (43, "43 s ago"),
        (119, "1 min ago"),
        (7300, "2 h ago"),
        (90_000, "1 d ago"),
    ],
)
def test_ages(seconds: float, said: str) -> None:
    assert words.age(NOW - timedelta(seconds=seconds), NOW) == said


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"type": "keep_ratio", "value": 0.3, "scope": "targets"}, "keep 30 % of targets"),
        ({"type": "keep_ratio", "value": 0.333, "scope": "model"}, "keep 33.3 % of the model"),
        ({"type": "rank_ratio", "value": 0.33}, "rank ratio 0.33"),
        ({"type": "params", "value": 12_000_000, "scope": "model"}, "at most 12.0M of the model"),
        ({"type": "bytes", "value": 48_000_000, "scope": "targets"}, "at most 48.0 MB of targets"),
        ({"type": "max_drop", "metric": None, "abs": 0.01}, "lose at most 0.01 of the metric"),
        ({"type": "max_drop", "metric": "f1", "abs": 0.02}, "lose at most 0.02 of f1"),
    ],
)
def test_budgets(budget: dict[str, object], said: str) -> None:
    assert words.budget(budget) == said


def test_sizes_and_counts() -> None:
    assert words.size(812) == ("812", "B")
    assert words.size(56_814_208) == ("56.8", "MB")
    assert words.counted(1, 1, "epoch") == "1 of 1 epoch"
    assert words.counted(9, 1032, "batch") == "9 of 1,032 batches"
    assert words.last_part("/models/a/") == "a"
