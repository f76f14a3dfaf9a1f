from pathlib import Path

import pytest

from core.errors import DataError, ModelError
from core.planning.checkpoint import resolve_under_roots


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "model").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    return tmp_path / "root"


def test_absolute_and_relative_paths_are_found(root: Path) -> None:
    expected = (root / "model").resolve()
    assert resolve_under_roots(str(root / "model"), [root]) == expected
    assert resolve_under_roots("model", [root.parent / "secret", root]) == expected


@pytest.mark.parametrize("path", ["out", "in", "loop", "in/config.json", "up/root/model"])
def test_a_link_below_a_root_is_never_followed(root: Path, path: str) -> None:
    (root / "out").symlink_to(root.parent / "secret")
    (root / "in").symlink_to(root / "model")
    (root / "loop").symlink_to(root / "loop")
    (root / "up").symlink_to(root.parent)
    (root / "model" / "config.json").write_text("{}")
    for asked in (path, str(root / path)):
        with pytest.raises(ModelError, match="is a link") as caught:
            resolve_under_roots(asked, [root])
        assert caught.value.hint


def test_a_root_may_itself_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    found = resolve_under_roots(str(tmp_path / "alias" / "model"), [tmp_path / "alias"])
    assert found == (root / "model").resolve()


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "model/../model",
        "../secret",
        "model/../../secret",
        "/etc/passwd",
        "//etc/passwd",
        "~root",
        "absent",
        "a\0b",
        "\ud800",
        "x" * 5000,
        "x/" * 2000,
    ],
)
def test_everything_else_is_refused(root: Path, path: str) -> None:
    with pytest.raises(ModelError) as caught:
        resolve_under_roots(path, [root])
    assert caught.value.pointer == "/model/path"


def test_outside_the_roots_existence_is_not_told(root: Path) -> None:
    answers = set()
    for path in ("secret", "absent"):
        with pytest.raises(ModelError) as caught:
            resolve_under_roots(str(root.parent / path), [root])
        answers.add((caught.value.message, caught.value.hint))
    assert len(answers) == 1


def test_a_sibling_with_the_roots_name_in_front_lies_outside(root: Path) -> None:
    sibling = root.parent / "root-too"
    sibling.mkdir()
    with pytest.raises(ModelError):
        resolve_under_roots(str(sibling), [root])


def test_without_roots_nothing_is_open(root: Path) -> None:
    with pytest.raises(DataError) as caught:
        resolve_under_roots(str(root), [], pointer="/task/dataset/path", error=DataError)
    assert caught.value.pointer == "/task/dataset/path"
