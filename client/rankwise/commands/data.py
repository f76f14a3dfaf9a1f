"""Datasets, models, methods, presets, and the schema of a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from rankwise.session import AsJson, client_of, out, say_json
from rankwise.tables import age, table

datasets_app = typer.Typer(no_args_is_help=True, help="Tables that recipes can name.")


def register(app: typer.Typer) -> None:
    datasets_app.command("list")(list_datasets)
    datasets_app.command("upload")(upload_dataset)
    app.add_typer(datasets_app, name="datasets")
    app.command()(models)
    app.command()(methods)
    app.command()(presets)
    app.command()(schema)


def list_datasets(context: typer.Context, as_json: AsJson = False) -> None:
    """Uploaded tables."""
    found = list(client_of(context).datasets())
    if as_json:
        say_json(found)
        return
    made = table("dataset", "name", "rows ", "columns", "uploaded")
    for one in found:
        columns = ", ".join(column["name"] for column in one["columns"])
        made.add_row(one["id"], one["name"], f"{one['rows']:,}", columns, age(one["created_at"]))
    out.print(made)


def upload_dataset(
    context: typer.Context,
    path: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A csv, jsonl or parquet file.")
    ],
    name: Annotated[str | None, typer.Option(help="Else the file's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Upload a table; prints the id that a recipe names."""
    found = client_of(context).upload_dataset(path, name)
    if as_json:
        say_json(found)
    else:
        out.print(found["id"], highlight=False)


def models(context: typer.Context, as_json: AsJson = False) -> None:
    """What a recipe can name: uploads, folders under the roots, results of jobs."""
    found = list(client_of(context).models())
    if as_json:
        say_json(found)
        return
    made = table("model", "source", "family", "parameters ")
    for one in found:
        source = " ".join(str(value) for value in one["source"].values())
        made.add_row(one["name"] or one["id"], source, one["family"], f"{one['params']:,}")
    out.print(made)


def methods(context: typer.Context, as_json: AsJson = False) -> None:
    """Every compression method."""
    found = list(client_of(context).methods())
    if as_json:
        say_json(found)
        return
    made = table("method", "what it does", "source")
    for one in found:
        made.add_row(one["type"], one["summary"], one["citation"])
    out.print(made)


def presets(context: typer.Context, as_json: AsJson = False) -> None:
    """Recipes by name."""
    found = list(client_of(context).presets())
    if as_json:
        say_json(found)
        return
    made = table("preset", "what it does")
    for one in found:
        made.add_row(one["name"], one["summary"])
    out.print(made)


def schema(context: typer.Context) -> None:
    """The JSON schema of a recipe, for editors and checks."""
    say_json(client_of(context).recipe_schema())
