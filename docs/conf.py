"""docs/ as a site, by `make docs`. Its pages stay Markdown that reads well where it lies."""

import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
HERE = ("docs", "benchmarks", "CHANGELOG.md")

project = "Rankwise"
html_title = "Rankwise"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "benchmarks/*.md", "CHANGELOG.md"]
# Nothing else of the checkout is even walked: an environment has a hundred thousand files.
exclude_patterns = ["**/.*", *(path.name for path in ROOT.iterdir() if path.name not in HERE)]

myst_heading_anchors = 4
highlight_language = "text"
smartquotes = False  # "budget" is a field, and its quotes are JSON's

html_theme = "furo"
html_static_path = ["theme"]
html_css_files = ["rankwise.css"]
html_copy_source = False
html_use_index = False
html_show_copyright = False
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_theme_options = {"top_of_page_buttons": []}

FRONT_DOOR = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html">\n'


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_navigation)
    app.connect("build-finished", open_front_door)


def add_navigation(app: Sphinx, name: str, source: list[str]) -> None:
    if name == root_doc:
        source[0] += navigation(source[0])


def navigation(page: str) -> str:
    """The lists of docs/index.md, section by section, are the sidebar's as well."""
    groups = [section.partition("\n") for section in re.split(r"^## ", page, flags=re.M)[1:]]
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries_of(listed)}\n```\n"
        for caption, _, listed in groups
    )


def entries_of(listed: str) -> str:
    links = re.findall(r"^- \[([^\]]+)\]\(([^)#]+)\.md\)", listed, flags=re.M)
    return "\n".join(f"{title} <{target}>" for title, target in links)


def open_front_door(app: Sphinx, exception: Exception | None) -> None:
    if exception is None:
        (Path(app.outdir) / "index.html").write_text(FRONT_DOOR)
