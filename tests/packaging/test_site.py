"""The guide as a site: it builds without a warning, leads somewhere, and asks no other host."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r'<a\b[^>]*\bhref="([^"]*)"')
LOADED = re.compile(
    r'<(?:script|img|iframe|source)\b[^>]*\bsrc="([^"]*)"|<link\b[^>]*\bhref="([^"]*)"'
)
IN_STYLES = re.compile(r"url\(([^)]*)\)|@import\s+[\"']?([^\"';]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    places = ["-d", str(folder / "doctrees"), "-c", "docs", ".", str(folder / "html")]
    done = subprocess.run(
        [*build, *places], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def test_every_page_of_the_guide_is_there_and_listed(site: Path) -> None:
    home = (site / "docs" / "index.html").read_text()
    sources = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
    for source in sources:
        built = site / source.relative_to(ROOT).with_suffix(".html")
        assert built.exists(), source
        if source.name != "index.md":
            assert f"/{source.stem}.html" in home or f'"{source.stem}.html' in home, source


def test_every_link_and_anchor_resolves(site: Path) -> None:
    broken = [
        f"{page.relative_to(site)}: {link}"
        for page in pages(site)
        for link in LINK.findall(page.read_text())
        if not resolves(page, link)
    ]
    assert broken == []


def resolves(page: Path, link: str) -> bool:
    parts = urlsplit(link)
    if parts.scheme or not link:
        return True
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file():
        return False
    anchor = unquote(parts.fragment)
    return not anchor or f'id="{anchor}"' in target.read_text()


def test_a_broken_link_would_be_noticed(site: Path) -> None:
    page = site / "docs" / "index.html"
    assert resolves(page, "budgets.html#budgets")
    assert not resolves(page, "budgets.html#gone")
    assert not resolves(page, "gone.html")


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    loaded = [
        address
        for page in pages(site)
        for pair in LOADED.findall(page.read_text())
        for address in pair
    ]
    styles = [
        address.strip("\"' ")
        for style in site.rglob("*.css")
        for pair in IN_STYLES.findall(style.read_text())
        for address in pair
    ]
    assert len(loaded) > len(pages(site))
    assert [a for a in (*loaded, *styles) if re.match(r"(?:https?:)?//", a)] == []


def test_the_front_door_leads_to_the_guide(site: Path) -> None:
    assert "url=docs/index.html" in (site / "index.html").read_text()
    assert (site / "searchindex.js").stat().st_size > 10_000
