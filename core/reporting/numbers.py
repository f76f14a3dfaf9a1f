"""How numbers are written, everywhere that a person reads them."""

SHARES = frozenset({"accuracy", "f1", "macro_f1", "precision", "recall"})
"""Metrics between 0 and 1, shown in percent; their differences are percentage points."""

TITLES = {"kl": "KL to dense", "f1": "F1", "macro_f1": "macro F1"}

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


def typeset(number: str) -> str:
    """A true minus sign, and no sign before a rounded zero."""
    if not number.strip("+-0."):
        return number.lstrip("+-")
    return number.replace("-", MINUS)
