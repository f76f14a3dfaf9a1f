"""Commands in the guide: each is one that the client, the Makefile or the service knows."""

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel
from rankwise.cli import app
from typer.main import get_command

from api.app import create_app
from api.openapi import BODIES
from core.settings import Settings
from tests.packaging.curl import Request, parsed
from tests.packaging.pages import PAGES, ROOT, all_blocks, blocks, code_spans

OF_THE_CLIENT = {"RANKWISE_KEY", "RANKWISE_URL"}
CHECKED = {"curl", "make", "rankwise"}
TRUSTED = {
    "docker": "builds images: the compose file has tests of its own",
    "export": "of the shell",
    "pip": "installs the client: the environment of the tests has it",
}
"""Programs of which no more than their name is looked at, with the reason."""
SHELL = {"bash", "yaml"}
ASSIGNED = re.compile(r"^(?:[A-Z0-9_]+=(?:\$\([^)]*\)|\S+) ?)+")
DOCUMENT: dict[str, Any] = create_app(Settings()).openapi()
MODELS: dict[str, type[BaseModel]] = {model.__name__: model for model in BODIES}


def command_lines() -> list[str]:
    """Of blocks that are the shell's: by their fence, or by what an indented one begins with."""
    return sorted(
        {
            ASSIGNED.sub("", line)
            for block in all_blocks()
            if block.language in SHELL or (block.language is None and begins(block.lines()[0]))
            for line in block.lines()
        }
        - {""}
    )


def begins(line: str) -> bool:
    words = ASSIGNED.sub("", line).split()
    return not words or (words[0] in CHECKED | set(TRUSTED) and not words[0].endswith(":"))


def of(program: str) -> list[str]:
    return [line for line in command_lines() if line.split()[0] == program]


def found(pattern: str) -> list[str]:
    lines = (line for block in all_blocks() for line in block.text.splitlines())
    return sorted({match for line in lines for match in re.findall(pattern, line)})


@pytest.mark.parametrize("line", command_lines())
def test_the_program_is_one_that_is_checked_or_named(line: str) -> None:
    assert line.split()[0] in CHECKED | set(TRUSTED)


@pytest.mark.parametrize("line", of("rankwise"))
def test_the_client_takes_it(line: str) -> None:
    words = shlex.split(re.split(r"\s[|>&]|\s#\s", line)[0])[1:]
    parse(get_command(app), words)


def parse(command: click.Command, words: list[str]) -> None:
    """Down to the last subcommand, with everything checked and nothing done."""
    context = command.make_context(command.name or "rankwise", list(words))
    if isinstance(command, click.Group):
        name, below, rest = command.resolve_command(context, context._protected_args + context.args)
        assert below is not None, name
        parse(below, rest)


def spans(pattern: str) -> list[tuple[str, ...]]:
    every = (span for page in PAGES for span in code_spans(page))
    return sorted({match.groups() for span in every if (match := re.match(pattern, span))})


@pytest.mark.parametrize("name", [name for (name,) in spans(r"rankwise ([a-z]+)")])
def test_the_client_has_the_command(name: str) -> None:
    assert name in getattr(get_command(app), "commands", {})


@pytest.mark.parametrize("line", of("make"))
def test_make_knows_it(line: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = [word for word in shlex.split(line, comments=True)[1:] if "=" not in word]
    assert targets
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


@pytest.mark.parametrize("name", found(r"\b(RANKWISE_[A-Z0-9_]+)"))
def test_it_is_a_variable_that_something_reads(name: str) -> None:
    known = {f"RANKWISE_{field.upper()}" for field in Settings.model_fields} | OF_THE_CLIENT
    assert name in known


def operation(method: str, path: str) -> dict[str, Any] | None:
    """The one whose template is this path, whatever its parameters are called or filled with."""
    for template, methods in DOCUMENT["paths"].items():
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template))
        if method.lower() in methods and re.fullmatch(pattern, path):
            return dict(methods[method.lower()])
    return None


@pytest.mark.parametrize(
    ("method", "path"), spans(r"(GET|POST|PUT|PATCH|DELETE|HEAD) (/v1/[^\s?]*)")
)
def test_the_service_has_the_address_in_the_text(method: str, path: str) -> None:
    assert operation(method, path) is not None


def curls() -> list[tuple[Path, str]]:
    return [
        (page, line)
        for page in PAGES
        for block in blocks(page)
        for line in block.lines()
        if ASSIGNED.sub("", line).startswith("curl ")
    ]


@pytest.mark.parametrize(("page", "line"), curls())
def test_the_service_takes_what_curl_sends(page: Path, line: str) -> None:
    request = parsed(line)
    asked = operation(request.method, request.path)
    assert asked is not None, (request.method, request.path)
    if request.has_body:
        content = asked["requestBody"]["content"]
        assert request.media_type in content
        check_body(page, request, content[request.media_type]["schema"])


def check_body(page: Path, request: Request, schema: dict[str, Any]) -> None:
    name = schema.get("$ref", "").rpartition("/")[2]
    if request.fields:
        form = DOCUMENT["components"]["schemas"][name] if name else schema
        assert set(request.fields) <= set(form["properties"])
        assert set(form.get("required", ())) <= set(request.fields)
    elif request.body.startswith("@"):
        assert any(block.language == "json" for block in blocks(page)), "its file is not shown"
    else:
        MODELS[name].model_validate_json(request.body)
