"""How numbers are written, everywhere that a person reads them."""

from collections.abc import Collection

SHARES = frozenset(
    {"accuracy", "exact_match", "f1", "macro_f1", "precision", "recall", "token_accuracy"}
)
"""Metrics between 0 and 1, shown in percent; their differences are percentage points."""

LOWER_IS_BETTER = frozenset({"kl", "loss", "mse", "perplexity", "similarity_error"})

HEADLINES = ("accuracy", "pearson", "perplexity", "similarity_rank", "f1", "token_accuracy")
"""What leads among metrics of which none is known to be the task's own."""

TITLES = {
    "f1": "F1",
    "kl": "KL to dense",
    "macro_f1": "macro F1",
    "matthews": "Matthews correlation",
    "mse": "mean squared error",
    "pearson": "Pearson correlation",
    "similarity_rank": "rank correlation of similarities to dense",
    "similarity_error": "mean squared error of similarities to dense",
    "spearman": "Spearman correlation",
}

MINUS = "−"


def grouped(count: int) -> str:
    return f"{count:,}"


def compact(count: int) -> str:
    """22_713_216 → 22.7M"""
    for size, suffix in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.1f}{suffix}"
    return str(count)


def byte_size(count: int) -> str:
    """42_467_328 → 42.5 MB, in decimal units, as disks and download pages count them."""
    for size, suffix in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= size:
            return f"{count / size:.1f} {suffix}"
    return f"{count} B"


def percent(share: float, decimals: int = 1) -> str:
    return f"{100 * share:.{decimals}f} %"


def metric_value(name: str, value: float) -> str:
    """A share without its % sign (the heading carries it), anything else with four decimals."""
    return typeset(f"{100 * value:.1f}" if name in SHARES else f"{value:.4f}")


def metric_change(name: str, change: float) -> str:
    """A difference of a metric, with its sign."""
    return typeset(f"{100 * change:+.1f}" if name in SHARES else f"{change:+.4f}")


def metric_unit(name: str) -> str:
    return "%" if name in SHARES else ""


def change_unit(name: str) -> str:
    return "points" if name in SHARES else ""


def metric_title(name: str) -> str:
    return TITLES.get(name, name.replace("_", " "))


def higher_is_better(name: str) -> bool:
    return name not in LOWER_IS_BETTER


def leading_metric(names: Collection[str], headline: str | None = None) -> str | None:
    """The task's own metric where it is known and measured; None where nothing is."""
    return next((name for name in (headline, *HEADLINES, *names) if name in names), None)


def metric_heading(name: str) -> str:
    """accuracy %; perplexity ↓, where lower is better"""
    unit = metric_unit(name) if higher_is_better(name) else "↓"
    return f"{metric_title(name)} {unit}".strip()


def typeset(number: str) -> str:
    """A true minus sign, and no sign before a rounded zero."""
    if not number.strip("+-0."):
        return number.lstrip("+-")
    return number.replace("-", MINUS)
