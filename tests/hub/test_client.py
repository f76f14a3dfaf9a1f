"""The client against a real HTTP server that behaves, and misbehaves, as a hub does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import DataError, ModelError, RecipeError
from core.hub import download
from core.hub.client import Hub, is_plain
from core.hub.refusals import DatasetHubAway, ModelHubAway
from tests.hub.server import StandInHub, sha256_of

ID = "org/tiny"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "data").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "empty.txt").touch()
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 10_000)
    (folder / "data" / "train-00000-of-00001.parquet").write_bytes(b"PAR1" * 100)
    return folder


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "FIRST_PAUSE_S", 0.001)


def refusal(call: Callable[[], object]) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_every_revision_is_pinned_to_its_commit(hub: StandInHub, folder: Path, kind: str) -> None:
    commit = hub.add(kind, ID, folder, branches=("main", "v1.0", "refs/pr/1"))  # type: ignore[arg-type]
    client = Hub(f"{hub.url}/", None)
    for revision in (None, "main", "v1.0", "refs/pr/1", commit):
        assert client.pin(kind, ID, revision) == commit  # type: ignore[arg-type]


def test_the_listing_has_sizes_and_known_hashes(hub: StandInHub, folder: Path) -> None:
    commit = hub.add("dataset", ID, folder)
    files = {file.name: file for file in Hub(hub.url, None).files("dataset", ID, commit)}
    assert list(files) == sorted(files)
    table = files["data/train-00000-of-00001.parquet"]
    assert table.bytes == 400
    assert table.sha256 == sha256_of(folder / table.name)
    assert files["config.json"].sha256 is None


def test_what_is_not_there_is_named_by_the_recipes_field(hub: StandInHub, folder: Path) -> None:
    hub.add("model", ID, folder)
    client = Hub(hub.url, None)
    unknown = refusal(lambda: client.pin("model", "org/none", None))
    assert isinstance(unknown, ModelError)
    assert (unknown.pointer, unknown.retryable) == ("/model/id", False)
    assert unknown.hint
    assert "/v1/hub-token" in unknown.hint
    revision = refusal(lambda: client.pin("model", ID, "v9"))
    assert revision.pointer == "/model/revision"
    assert "'v9'" in revision.message
    table = refusal(lambda: client.pin("dataset", ID, None))
    assert isinstance(table, DataError)
    assert table.pointer == "/task/dataset/id"
    for id in ("a--b/c", "a..b", "a/b.git"):
        assert refusal(lambda id=id: client.pin("model", id, None)).pointer == "/model/id"  # type: ignore[misc]


def test_a_private_one_is_opened_by_its_token_alone(hub: StandInHub, folder: Path) -> None:
    commit = hub.add("model", ID, folder, token="hf_right")
    for token in (None, "hf_wrong"):
        refused = refusal(lambda token=token: Hub(hub.url, token).pin("model", ID, None))  # type: ignore[misc]
        assert refused.pointer == "/model/id"
        assert "hf_" not in refused.message
    client = Hub(hub.url, "hf_right")
    assert client.pin("model", ID, None) == commit
    assert client.read("model", ID, commit, "config.json", 0, 10) == b"{}"


def test_a_hub_that_is_away_may_be_asked_again(folder: Path) -> None:
    with StandInHub() as hub:
        address = hub.url
    model = refusal(lambda: Hub(address, None).pin("model", ID, None))
    assert isinstance(model, ModelHubAway)
    assert (model.code, model.retryable) == ("hub_away", True)
    assert isinstance(refusal(lambda: Hub(address, None).pin("dataset", ID, None)), DatasetHubAway)


@pytest.mark.parametrize("ranges", [True, False])
def test_any_span_of_a_file_is_read(hub: StandInHub, folder: Path, ranges: bool) -> None:
    hub.takes_ranges = ranges
    commit = hub.add("model", ID, folder)
    content = (folder / "model.safetensors").read_bytes()
    client = Hub(hub.url, None)
    for start, length in ((0, 8), (100_000, 70_000), (len(content) - 5, 100)):
        found = client.read("model", ID, commit, "model.safetensors", start, length)
        assert found == content[start : start + length]


def fetch(hub: StandInHub, commit: str, names: list[str], destination: Path) -> list[int]:
    client = Hub(hub.url, None)
    return [got.done for got in client.fetch("model", ID, commit, names, destination)]


def test_a_fetch_writes_whole_files_and_tells_how_far_it_is(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    commit = hub.add("model", ID, folder)
    names = ["config.json", "empty.txt", "model.safetensors", "data/train-00000-of-00001.parquet"]
    seen = fetch(hub, commit, names, tmp_path / "to")
    assert (seen[0], seen[-1]) == (0, 2 + 2_560_000 + 400)
    assert seen == sorted(seen)
    for name in names:
        assert (tmp_path / "to" / name).read_bytes() == (folder / name).read_bytes()
    hub.requests.clear()
    fetch(hub, commit, names, tmp_path / "to")
    assert len(hub.requests) == 1  # the listing: nothing is downloaded again


@pytest.mark.parametrize("ranges", [True, False])
def test_answers_that_break_off_are_gone_on_with(
    hub: StandInHub, folder: Path, tmp_path: Path, ranges: bool
) -> None:
    hub.takes_ranges, hub.cut_after, hub.cuts = ranges, 1_000_000, 2
    commit = hub.add("model", ID, folder)
    fetch(hub, commit, ["model.safetensors"], tmp_path)
    assert hub.cuts == 0
    assert sha256_of(tmp_path / "model.safetensors") == sha256_of(folder / "model.safetensors")
    asked = [span for method, path, span in hub.requests if path.endswith(".safetensors")]
    assert asked[:2] == ["bytes=0-", "bytes=1000000-"]


def test_what_an_interrupted_fetch_left_is_used(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    commit = hub.add("model", ID, folder)
    running = Hub(hub.url, None).fetch("model", ID, commit, ["model.safetensors"], tmp_path)
    while next(running).done < 1_000_000:
        pass
    running.close()  # type: ignore[attr-defined]
    assert not (tmp_path / "model.safetensors").exists()
    hub.requests.clear()
    fetch(hub, commit, ["model.safetensors"], tmp_path)
    _, (_, _, span) = hub.requests
    assert span is not None
    assert int(span.removeprefix("bytes=").removesuffix("-")) >= 1_000_000
    assert sha256_of(tmp_path / "model.safetensors") == sha256_of(folder / "model.safetensors")


def test_other_bytes_than_announced_are_never_shown(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    commit = hub.add("model", ID, folder)
    hub.wrong_bytes = True
    refused = refusal(lambda: fetch(hub, commit, ["model.safetensors"], tmp_path / "to"))
    assert refused.retryable
    assert list((tmp_path / "to").iterdir()) == []


def test_a_hub_that_sends_nothing_more_is_given_up(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    commit = hub.add("model", ID, folder)
    hub.cut_after, hub.cuts = 0, 1000
    refused = refusal(lambda: fetch(hub, commit, ["model.safetensors"], tmp_path))
    assert isinstance(refused, ModelHubAway)
    assert 1000 - hub.cuts == download.PATIENCE


def test_a_partial_file_that_is_too_long_is_begun_anew(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    commit = hub.add("model", ID, folder)
    (tmp_path / ".config.json.partial").write_bytes(b"x" * 100)
    fetch(hub, commit, ["config.json"], tmp_path)
    assert (tmp_path / "config.json").read_bytes() == b"{}"


HOSTILE = ["../up", "/etc/x", "a/../b", "a//b", ".hidden", "a/.b", "a\\b", "a\0b", "", "a\nb", "x/"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_are_no_plain_paths_are_left_out(
    hub: StandInHub, folder: Path, tmp_path: Path, name: str
) -> None:
    assert not is_plain(name)
    hub.extra_names = (name,)
    commit = hub.add("model", ID, folder)
    client = Hub(hub.url, None)
    assert name not in [file.name for file in client.files("model", ID, commit)]
    refused = refusal(lambda: list(client.fetch("model", ID, commit, [name], tmp_path / "to")))
    assert refused.pointer == "/model/id"
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("name", ["x" * 201, "é" * 101, "/".join(["abc"] * 101)])
def test_names_that_no_file_system_takes_are_not_plain(name: str) -> None:
    assert not is_plain(name)
    assert is_plain("default/train/0000.parquet")
    assert is_plain("Modèle (1).json")
