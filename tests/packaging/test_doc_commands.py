"""Commands in the guide: each is one that the client, the Makefile or the service knows."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from rankwise.cli import app
from typer.main import get_command

from api.app import create_app
from core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```(?:bash|sh|text|yaml)?\n(.*?)^```", re.M | re.S)
INDENTED = re.compile(r"(?:^    .+\n)+", re.M)
OF_THE_CLIENT = {"RANKWISE_KEY", "RANKWISE_URL"}


def commands(page: Path) -> Iterator[str]:
    """Lines of code, those that a backslash joins as one."""
    text = page.read_text(encoding="utf-8")
    for block in (*FENCED.findall(text), *INDENTED.findall(text)):
        yield from (line.strip() for line in block.replace("\\\n", " ").splitlines())


def found(pattern: str) -> list[str]:
    lines = (line for page in PAGES for line in commands(page))
    return sorted({match for line in lines for match in re.findall(pattern, line)})


@pytest.mark.parametrize("command", found(r"(?:^|[|&] |run: )(rankwise (?!-service).+)"))
def test_the_client_takes_it(command: str) -> None:
    words = shlex.split(re.split(r"\s[|>&]|\s#\s", command)[0])[1:]
    parse(get_command(app), words)


def parse(command: click.Command, words: list[str]) -> None:
    """Down to the last subcommand, with everything checked and nothing done."""
    context = command.make_context(command.name or "rankwise", list(words))
    if isinstance(command, click.Group):
        name, below, rest = command.resolve_command(context, context._protected_args + context.args)
        assert below is not None, name
        parse(below, rest)


@pytest.mark.parametrize("target", found(r"(?:^|\s)make ([a-z]+)"))
def test_make_knows_it(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)


@pytest.mark.parametrize("name", found(r"\b(RANKWISE_[A-Z0-9_]+)"))
def test_it_is_a_variable_that_something_reads(name: str) -> None:
    known = {f"RANKWISE_{field.upper()}" for field in Settings.model_fields} | OF_THE_CLIENT
    assert name in known


@pytest.mark.parametrize("address", found(r"(/v1/[a-z/-]+)(?![\w-])"))
def test_the_service_has_the_address(address: str) -> None:
    schema = create_app(Settings()).openapi()
    assert any(path.startswith(address.rstrip("/")) for path in schema["paths"])
