"""What people read: tables of jobs, plans, results and comparisons."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal

from rich.table import Table

from rankwise.errors import Json

SHARES = frozenset(
    {"accuracy", "exact_match", "f1", "macro_f1", "precision", "recall", "token_accuracy"}
)
"""Metrics between 0 and 1: shown in percent, their differences in points."""


def table(*columns: str) -> Table:
    """The first column, by which a thing is called, is never cut short; a heading that ends in a
    space is that of numbers."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    for position, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if column.endswith(" ") else "left"
        made.add_column(column.strip(), justify=justify, no_wrap=position == 0)
    return made


def jobs_table(jobs: Iterable[Json]) -> Table:
    made = table("job", "name", "status", "stage", "method", "kept ", "change", "created")
    for job in jobs:
        made.add_row(
            job["id"],
            job["name"],
            job["status"],
            job["stage"] or "",
            job["recipe"]["method"]["type"],
            kept(job),
            headline_change(job["result"]),
            age(job["created_at"]),
        )
    return made


def job_table(job: Json) -> Table:
    made = table("", "")
    made.show_header = False
    rows = {
        "job": job["id"],
        "name": job["name"],
        "status": job["status"],
        "stage": job["stage"],
        "method": job["recipe"]["method"]["type"],
        "budget": " ".join(str(value) for value in job["recipe"]["budget"].values()),
        "created": job["created_at"],
        "finished": job["finished_at"],
        "attempts": str(job["attempts"]),
    }
    for name, value in rows.items():
        if value:
            made.add_row(f"[dim]{name}[/]", value)
    if job["error"]:
        error = job["error"]
        made.add_row("[dim]error[/]", f"{error['message']}")
        if error.get("hint"):
            made.add_row("[dim]hint[/]", error["hint"])
    return made


def result_table(result: Json) -> Table:
    """Every metric in every phase, the change against dense with its interval."""
    made = table("metric", "model", "value ", "change ", "interval ")
    phases = result["metrics"]
    for name in names_in(phases):
        shown = name
        for phase, metrics in phases.items():
            if name not in metrics:
                continue
            found = metrics[name]
            made.add_row(
                shown,
                phase,
                number(name, found["value"]),
                change(name, found.get("drop")),
                interval(name, found.get("drop_interval")),
            )
            shown = ""
    return made


def pareto_table(pareto: Json) -> Table:
    """By cost: ● nothing beats it, ◆ the knee. Ids are whole: they are what `promote` takes."""
    metric, cost = pareto["metric"], pareto["against"]
    seeds_differ = len({point["seed"] for point in pareto["points"]}) > 1
    seed = ("seed ",) if seeds_differ else ()
    made = table("", "job", "method", "budget", *seed, f"{cost} ", f"{metric} ")
    made.columns[1].no_wrap, made.columns[1].overflow = True, "ignore"
    for point in pareto["points"]:
        is_knee = point["job_id"] == pareto["knee"]
        made.add_row(
            "◆" if is_knee else "●" if point["on_front"] else "",
            point["job_id"],
            point["method"],
            budget_in_words(point["budget"]),
            *((str(point["seed"]),) if seeds_differ else ()),
            f"{point['cost']:,.1f} ms" if cost == "latency" else f"{point['cost']:,.0f}",
            number(metric, point["value"]),
            style=None if point["on_front"] else "dim",
        )
    return made


def budget_in_words(budget: Json) -> str:
    return f"{budget['type']} {budget.get('value', budget.get('abs'))}"


def names_in(phases: Json) -> list[str]:
    """In their order; dense first, which lacks what is measured against it."""
    return list(dict.fromkeys(name for metrics in phases.values() for name in metrics))


def plan_table(plan: Json) -> Table:
    made = table("layer", "out × in ", "rank ", "kept ", "predicted loss increase ")
    for layer in plan["plan"]["layers"]:
        predicted = layer["predicted_loss_increase"]
        made.add_row(
            layer["name"],
            f"{layer['out_features']:,} × {layer['in_features']:,}",
            "dense" if layer["rank"] is None else f"{layer['rank']:,}",
            f"{100 * layer['params_after'] / layer['params_before']:.1f} %",
            "" if predicted is None else f"{predicted:.5f}",
        )
    return made


def plan_lines(plan: Json) -> list[str]:
    found, resources = plan["plan"], plan["resources"]
    lines = [
        f"Keeps {found['target_params_after']:,} of {found['target_params_before']:,} "
        f"factorizable weights ({100 * plan['keep_ratio']:.1f} %); the whole model "
        f"{found['model_params_before']:,} → {found['model_params_after']:,}.",
        f"Basis: {plan['basis']}. Peak memory about {resources['peak_bytes'] / 2**30:.1f} GiB"
        + (f"; {resources['time_class']}." if resources["time_class"] else "."),
    ]
    return lines + [f"Note: {note}" for note in plan["notes"]]


def comparison_table(jobs: Sequence[Json]) -> Table:
    """What differs between the recipes, then sizes and metrics."""
    made = table("", *(f"{job['name'] or job['id']} " for job in jobs))
    recipes = [dict(leaves(job["recipe"], "")) for job in jobs]
    for field in sorted(set().union(*recipes)):
        values = [recipe.get(field, "") for recipe in recipes]
        if len(set(values)) > 1:
            made.add_row(f"[dim]{field}[/]", *values)
    made.add_section()
    made.add_row("status", *(job["status"] for job in jobs))
    made.add_row("kept", *(kept(job) for job in jobs))
    for name in metric_names(jobs):
        made.add_row(name, *(final_value(job["result"], name) for job in jobs))
        made.add_row("  change", *(final_change(job["result"], name) for job in jobs))
    return made


def leaves(value: object, path: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}" if path else name)
    elif path not in ("name", "preset"):
        yield path, str(value)


def metric_names(jobs: Sequence[Json]) -> list[str]:
    found = [names_in(job["result"]["metrics"]) for job in jobs if job["result"]]
    return list(dict.fromkeys(name for names in found for name in names))


def final_metrics(result: Json | None) -> Json:
    if not result:
        return {}
    phases: Json = result["metrics"]
    found: Json = phases[list(phases)[-1]]
    return found


def final_value(result: Json | None, name: str) -> str:
    found = final_metrics(result).get(name)
    return "" if found is None else number(name, found["value"])


def final_change(result: Json | None, name: str) -> str:
    found = final_metrics(result).get(name)
    return "" if found is None else change(name, found.get("drop"))


def headline_change(result: Json | None) -> str:
    metrics = final_metrics(result)
    name = next(iter(metrics), None)
    if name is None:
        return ""
    shown = change(name, metrics[name].get("drop"))
    return f"{name} {shown}{' points' if name in SHARES and shown else ''}"


def kept(job: Json) -> str:
    if not job["result"]:
        return ""
    sizes = job["result"]["params"]["targets"]
    return f"{100 * sizes['after'] / sizes['before']:.1f} %"


def number(name: str, value: float) -> str:
    return f"{100 * value:.1f} %" if name in SHARES else f"{value:.4f}"


def change(name: str, drop: float | None) -> str:
    """This model less the dense one: a drop with its sign turned."""
    if drop is None:
        return ""
    shown = f"{-100 * drop:+.1f}" if name in SHARES else f"{-drop:+.4f}"
    return shown.replace("-", "−") if shown.strip("+-0.") else shown.lstrip("+-")


def interval(name: str, drop: Sequence[float] | None) -> str:
    if drop is None:
        return ""
    return f"{change(name, drop[1])} … {change(name, drop[0])}"


def age(moment: str) -> str:
    seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"
