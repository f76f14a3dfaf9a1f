import pytest

from core.reporting.latency import speed_in_words
from core.reporting.layer_names import layer_titles, place_of, short_labels
from core.reporting.numbers import (
    byte_size,
    compact,
    grouped,
    leading_metric,
    metric_change,
    metric_heading,
    metric_value,
    percent,
)
from core.reporting.result import Result
from core.reporting.scale import LinearScale, scale_around
from core.reporting.tables import fact_in_words, metric_rows, size_rows

BERT = "bert.encoder.layer.11."


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (compact(22_713_216), "22.7M"),
        (compact(999), "999"),
        (compact(6_500), "6.5k"),
        (compact(1_300_000_000), "1.3B"),
        (grouped(22_713_216), "22,713,216"),
        (byte_size(42_467_328), "42.5 MB"),
        (byte_size(30_940), "30.9 kB"),
        (byte_size(12), "12 B"),
        (percent(0.3004), "30.0 %"),
        (metric_value("accuracy", 0.8594), "85.9"),
        (metric_value("kl", 0.03124), "0.0312"),
        (metric_change("accuracy", -0.0083), "−0.8"),
        (metric_change("accuracy", 0.003), "+0.3"),
        (metric_change("accuracy", -0.0001), "0.0"),
        (metric_change("loss", 0.01), "+0.0100"),
    ],
)
def test_numbers_as_they_are_written(written: str, expected: str) -> None:
    assert written == expected


def test_speed_says_slower_only_where_the_interval_does() -> None:
    assert speed_in_words(0.8, (0.75, 0.85)).startswith("slower than dense")
    assert speed_in_words(1.4, (1.3, 1.5)).startswith("faster than dense")
    assert speed_in_words(0.98, (0.93, 1.02)).startswith("no clear difference")


def test_a_layer_is_placed_by_the_first_number_in_its_name() -> None:
    place = place_of(f"{BERT}attention.self.query")
    assert (place.block, place.module) == (11, "attention.self.query")
    assert place_of("classifier").block is None


def test_labels_are_short_and_differ() -> None:
    modules = ["attention.self.query", "attention.output.dense", "output.dense"]
    assert list(short_labels(modules).values()) == ["query", "attention.output", "output"]
    assert layer_titles([f"{BERT}output.dense"]) == {f"{BERT}output.dense": "11 output"}


def test_labels_differ_even_where_one_ends_like_another() -> None:
    labels = short_labels(["a.x", "b.x", "x", "dense"])
    assert len(set(labels.values())) == 4


@pytest.mark.parametrize(("low", "high"), [(0.85, 0.88), (-2.7, 0.3), (0, 1), (3e-5, 4e-5)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    scale = LinearScale(low, high, 0, 100)
    ticks = scale.ticks(4)
    assert 2 <= len(ticks) <= 9
    rounding = (high - low) * 1e-9
    assert all(low - rounding <= tick <= high + rounding for tick in ticks)
    assert scale(low) == 0
    assert scale(high) == 100


def test_an_axis_around_one_value_has_a_width() -> None:
    scale = scale_around([0.5, 0.5], 0, 100)
    assert scale(0.5) == pytest.approx(50)
    assert scale_around([0.0], 0, 100)(0.0) == pytest.approx(50)


def test_facts_are_told_in_one_line() -> None:
    assert fact_in_words({"rows": {"train": 80, "test": 10}, "hash": "ab" * 32}) == (
        "rows train 80, test 10, hash abababababab"
    )
    assert fact_in_words(0.123456789) == "0.123457"
    assert fact_in_words("cpu") == "cpu"


RESULT = {
    "metrics": {
        "dense": {"accuracy": {"value": 0.9, "interval": [0.88, 0.92], "n": 1500}},
        "factorized": {
            "accuracy": {
                "value": 0.89,
                "interval": [0.87, 0.91],
                "n": 1500,
                "drop": 0.01,
                "drop_interval": [-0.002, 0.022],
            },
            "kl": {"value": 0.02, "interval": [0.01, 0.03], "n": 1500},
        },
    },
    "params": {
        "model": {"before": 1000, "after": 700},
        "targets": {"before": 500, "after": 200},
    },
    "bytes": {
        "model": {"before": 4000, "after": 2800},
        "targets": {"before": 2000, "after": 800},
    },
    "finetuning": None,
}


def test_a_result_keeps_what_only_others_know() -> None:
    result = Result.model_validate(RESULT)
    assert result.model_dump(mode="json")["finetuning"] is None
    assert result.final_phase == "factorized"
    assert result.metric_names == ("accuracy", "kl")
    assert result.latency is None


def test_the_tasks_own_metric_comes_first_whatever_the_order_of_storage() -> None:
    result = Result.model_validate({**RESULT, "headline": "kl"})
    assert result.metric_names == ("kl", "accuracy")
    assert Result.model_validate({**RESULT, "headline": "f1"}).metric_names[0] == "accuracy"


@pytest.mark.parametrize(
    ("names", "headline", "leading"),
    [
        (["mse", "pearson", "spearman"], None, "pearson"),
        (["accuracy", "f1", "loss"], "f1", "f1"),
        (["accuracy", "f1", "loss"], "matthews", "accuracy"),
        (["other"], None, "other"),
        ([], None, None),
    ],
)
def test_a_metric_leads(names: list[str], headline: str | None, leading: str | None) -> None:
    assert leading_metric(names, headline) == leading


def test_headings_say_the_unit_or_which_way_is_better() -> None:
    assert metric_heading("exact_match") == "exact match %"
    assert metric_heading("perplexity") == "perplexity ↓"
    assert metric_heading("pearson") == "Pearson correlation"


def test_tables_hold_every_size_and_metric() -> None:
    result = Result.model_validate(RESULT)
    assert [row.kept for row in size_rows(result)] == ["70.0 %", "40.0 %", "70.0 %", "40.0 %"]
    rows = metric_rows(result)
    assert [(row.metric, row.phase) for row in rows] == [
        ("accuracy %", "dense"),
        ("accuracy %", "factorized"),
        ("KL to dense ↓", "factorized"),
    ]
    assert (rows[1].change, rows[1].change_interval) == ("−1.0", "−2.2 … +0.2")
    assert rows[0].change == rows[2].change == ""
