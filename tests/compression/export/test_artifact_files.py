"""What stands in the folder: names, sums, bytes, and the texts' promises."""

import ast
import hashlib
import json
import re
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn
from transformers import AutoTokenizer

from core.compression.export.artifact import ArtifactContents, write_artifact
from core.compression.export.loading import load_artifact
from core.compression.export.weights import dense_state
from core.errors import ModelError, NumericalError
from core.planning.families import FAMILIES
from core.reporting.report import Report
from tests.compression.export.tiny_artifacts import (
    compress,
    contents_for,
    target_names,
    tiny_model,
    word_tokenizer,
)

REPRODUCED = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")


@pytest.fixture(scope="module")
def contents() -> ArtifactContents:
    return contents_for("bert", exports=["safetensors", "dense"], name="<b>tiny</b> & co")


@pytest.fixture(scope="module")
def folder(contents: ArtifactContents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "artifact"
    write_artifact(folder, contents)
    return folder


def test_the_folder_holds_exactly_these_files(folder: Path) -> None:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    tokenizer = {"tokenizer.json", "tokenizer_config.json"}
    assert names == tokenizer | {f"dense/{name}" for name in tokenizer} | {
        "README.md",
        "SHA256SUMS",
        "config.json",
        "configuration_rankwise.py",
        "dense/config.json",
        "dense/model.safetensors",
        "manifest.json",
        "model.safetensors",
        "modeling_rankwise.py",
        "report.html",
        "report.json",
    }
    assert [path.name for path in folder.parent.iterdir()] == ["artifact"]


def test_sums_verify_and_cover_every_other_file(folder: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    named = [line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()]
    files = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    assert named == sorted(set(files) - {"SHA256SUMS"})


def test_written_files_are_those_returned(contents: ArtifactContents, tmp_path: Path) -> None:
    files = write_artifact(tmp_path / "artifact", contents)
    for file in files:
        content = (tmp_path / "artifact" / file.name).read_bytes()
        assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert "SHA256SUMS" in {file.name for file in files}


def test_manifest_lists_files_recipe_and_allocation(
    contents: ArtifactContents, folder: Path
) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    weights = next(f for f in manifest["files"] if f["name"] == "model.safetensors")
    content = (folder / "model.safetensors").read_bytes()
    assert weights["sha256"] == hashlib.sha256(content).hexdigest()
    assert manifest["recipe_hash"] == contents.recipe.hash
    assert manifest["allocation"] == {layer.name: layer.rank for layer in contents.layers}
    assert manifest["provenance"]["versions"] == {"torch": torch.__version__}


def test_same_run_same_bytes_whatever_the_tokenizer_did(family: str, tmp_path: Path) -> None:
    first, second = contents_for(family), contents_for(family)
    second.tokenizer(["good film"], padding="max_length", truncation=True, max_length=8)
    write_artifact(tmp_path / "first", first)
    write_artifact(tmp_path / "second", second)
    for name in REPRODUCED:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_the_tokenizer_is_left_as_it_is(tmp_path: Path) -> None:
    contents = replace(contents_for("bert"), tokenizer=word_tokenizer())
    contents.tokenizer(["good film"], padding="max_length", truncation=True, max_length=8)
    write_artifact(tmp_path / "artifact", contents)
    assert contents.tokenizer.backend_tokenizer.truncation["max_length"] == 8


def test_how_the_tokenizer_was_read_is_not_handed_on(tmp_path: Path) -> None:
    word_tokenizer().save_pretrained(tmp_path / "source")
    read = AutoTokenizer.from_pretrained(tmp_path / "source", local_files_only=True)
    write_artifact(tmp_path / "artifact", replace(contents_for("bert"), tokenizer=read))
    written = json.loads((tmp_path / "artifact" / "tokenizer_config.json").read_text())
    assert written == json.loads((tmp_path / "source" / "tokenizer_config.json").read_text())


def test_an_earlier_artifact_is_replaced_whole(contents: ArtifactContents, tmp_path: Path) -> None:
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "stale.txt").write_text("from an earlier attempt")
    (tmp_path / ".artifact.draft").mkdir()
    (tmp_path / ".artifact.draft" / "half.txt").write_text("from a killed one")
    write_artifact(tmp_path / "artifact", contents)
    assert not (tmp_path / "artifact" / "stale.txt").exists()
    assert not (tmp_path / "artifact" / "half.txt").exists()


def test_nothing_stands_when_a_weight_is_not_finite(tmp_path: Path) -> None:
    contents = contents_for("bert")
    with torch.no_grad():
        contents.model.classifier.weight[0, 0] = torch.nan
    with pytest.raises(NumericalError, match=r"classifier\.weight"):
        write_artifact(tmp_path / "artifact", contents)
    assert not (tmp_path / "artifact").exists()


def test_a_foreign_model_is_refused(contents: ArtifactContents, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Linear"):
        write_artifact(tmp_path / "artifact", replace(contents, model=nn.Linear(2, 2)))


def test_weights_are_plain_safetensors_readable_by_others(folder: Path) -> None:
    with safe_open(folder / "model.safetensors", "pt") as weights:
        assert weights.metadata() == {"format": "pt"}
        assert "bert.encoder.layer.0.attention.self.query.inner" in weights.keys()  # noqa: SIM118
    assert stat.S_IMODE((folder / "model.safetensors").stat().st_mode) == 0o644


def test_code_needs_only_torch_and_transformers(folder: Path) -> None:
    for name in ("modeling_rankwise.py", "configuration_rankwise.py"):
        tree = ast.parse((folder / name).read_text())
        modules = [
            n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level
        ]
        modules += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
        assert {module.partition(".")[0] for module in modules} <= {"torch", "transformers"}
    assert "Factors" not in (folder / "modeling_rankwise.py").read_text(), "core's own type"


def test_dense_weights_are_the_factors_product(family: str) -> None:
    model = tiny_model(family)
    names = target_names(model, family)
    compress(model, names)
    layer = model.get_submodule(names[0])
    exact = layer.outer.double() @ layer.inner.double()
    dense = dense_state(model)
    expected = exact.T if FAMILIES[family].stored_transposed else exact
    assert torch.equal(dense[f"{names[0]}.weight"], expected.float())
    assert dense.keys() == tiny_model(family).state_dict().keys()


def test_page_is_self_contained(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    hosts = set(re.findall(r"(?:https?:)?//[\w.-]+[^\s\"'<)]*", page))
    assert hosts == {"http://www.w3.org/2000/svg"}, "an XML name that nothing is fetched from"
    for forbidden in ("<script", "<link", "<img", "<iframe", "@import", "url(", " onclick"):
        assert forbidden not in page
    assert "prefers-color-scheme: dark" in page


def test_texts_escape_what_a_recipe_names(folder: Path) -> None:
    for name in ("report.html", "README.md"):
        text = (folder / name).read_text()
        assert "&lt;b&gt;tiny&lt;/b&gt; &amp; co" in text
        assert "<b>tiny" not in text


def test_card_is_plain_about_speed_and_licence(folder: Path) -> None:
    card = (folder / "README.md").read_text()
    front = card.split("---\n")[1]
    assert "license: unknown" in front
    assert "slower than dense: 0.80 times its speed" in card
    assert "licence of the model before is not known" in card
    assert "| accuracy % | factorized | 85.1 | 83.1 … 87.1 | −1.6 | −2.6 … −0.6 |" in card


def test_report_can_be_read_back(contents: ArtifactContents, folder: Path) -> None:
    report = Report.model_validate_json((folder / "report.json").read_text())
    assert report.recipe == contents.recipe
    assert report.plan == contents.plan
    assert report.layers == contents.layers
    assert report.result.params.model.after == contents.result["params"]["model"]["after"]


def test_no_path_of_this_machine_is_told(folder: Path) -> None:
    for name in ("config.json", "tokenizer_config.json", "dense/config.json"):
        assert str(folder.parent) not in (folder / name).read_text()
        assert "name_or_path" not in (folder / name).read_text()


def test_own_loader_gives_the_same_model(family: str, tmp_path: Path) -> None:
    contents = contents_for(family)
    write_artifact(tmp_path / "artifact", contents)
    (tmp_path / "artifact" / "modeling_rankwise.py").write_text("raise SystemExit('was run')")
    loaded = load_artifact(tmp_path / "artifact")
    inputs = contents.tokenizer(["a very good film"], return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(loaded(**inputs).logits, contents.model(**inputs).logits)
    assert type(loaded) is type(contents.model)
    assert not loaded.training


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ranks": {"bert.encoder.layer.0.attention.self.query": 10**9}}, "within 1"),
        ({"ranks": {"bert.encoder.layer.0.attention.self.query": True}}, "within 1"),
        ({"ranks": {"bert.pooler.activation": 3}}, "not a linear layer"),
        ({"ranks": {"nowhere": 3}}, "no layer"),
        ({"ranks": {}}, "do not fit"),
        ({"ranks": None}, "names no ranks"),
        ({"model_type": "rankwise-nothing"}, "knows no model type"),
        ({"dtype": "load"}, "dtype"),
        ({"hidden_size": "wide"}, "no bert config"),
    ],
)
def test_own_loader_refuses(
    contents: ArtifactContents, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    write_artifact(tmp_path / "artifact", contents)
    path = tmp_path / "artifact" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match=said):
        load_artifact(tmp_path / "artifact")
