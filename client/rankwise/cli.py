"""`rankwise`: one command line for everything that the service does."""

import sys
from typing import Annotated

import typer

from rankwise import commands
from rankwise.errors import RankwiseError
from rankwise.session import Session, errors

HELP = """Submit, watch, download and compare compression jobs.

Exit codes: 0 done; 1 trouble (no answer, a damaged download); 2 refused or used wrongly;
3 the job failed; 4 it was cancelled; 5 not waited for any longer; 6 a quality gate was missed.
"""

app = typer.Typer(
    name="rankwise",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

UrlOption = Annotated[
    str | None, typer.Option("--url", help="The service; else RANKWISE_URL or the config file.")
]
KeyOption = Annotated[
    str | None, typer.Option("--key", help="An API key; else RANKWISE_KEY or the config file.")
]


@app.callback()
def begin(context: typer.Context, url: UrlOption = None, key: KeyOption = None) -> None:
    context.obj = Session(url, key)


commands.register(app)


def main() -> None:
    """The entry point: every error is a message on stderr and an exit code."""
    try:
        app()
    except RankwiseError as error:
        errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
