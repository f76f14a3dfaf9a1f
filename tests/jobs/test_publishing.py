import hashlib
from pathlib import Path

import pytest

from core.jobs.claims import Claim
from core.jobs.publishing import PublishingError, store, store_spectra
from core.recipe.events import ArtifactFile, ArtifactReady, SpectraReady
from core.storage.local import LocalStorage

CLAIM = Claim("job_1", 2)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    (folder / "artifact" / "sub").mkdir(parents=True)
    (folder / "artifact" / "model.bin").write_bytes(b"weights")
    (folder / "artifact" / "sub" / "config.json").write_bytes(b"{}")
    (tmp_path / "secret").write_bytes(b"weights")
    (folder / "artifact" / "link").symlink_to(tmp_path / "secret")
    return folder


def announced(name: str, content: bytes) -> ArtifactFile:
    digest = hashlib.sha256(content).hexdigest()
    return ArtifactFile(name=name, bytes=len(content), sha256=digest)


def test_an_artifact_is_stored_under_the_attempts_own_keys(
    workspace: Path, storage: LocalStorage
) -> None:
    files = (announced("sub/config.json", b"{}"), announced("model.bin", b"weights"))
    stored = store(storage, CLAIM, workspace, ArtifactReady(directory="artifact", files=files))
    assert stored.prefix == "jobs/job_1/e2"
    assert [file.key for file in stored.files] == [
        "jobs/job_1/e2/model.bin",
        "jobs/job_1/e2/sub/config.json",
    ]
    assert storage.open("jobs/job_1/e2/model.bin").read() == b"weights"
    lines = f"{files[1].sha256}  model.bin\n{files[0].sha256}  sub/config.json\n"
    assert stored.sha256 == hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize(
    ("directory", "file"),
    [
        ("artifact", announced("model.bin", b"other!!")),
        ("artifact", announced("model.bin", b"longer than it is")),
        ("artifact", announced("missing.bin", b"weights")),
        ("artifact", announced("sub", b"weights")),
        ("artifact", announced("../../secret", b"weights")),
        ("artifact", announced("link", b"weights")),
        ("..", announced("secret", b"weights")),
        ("/", announced("etc/hostname", b"weights")),
        ("artifact", announced("model.bin\n", b"weights")),
    ],
)
def test_what_does_not_stand_there_is_not_stored(
    workspace: Path, storage: LocalStorage, directory: str, file: ArtifactFile
) -> None:
    with pytest.raises(PublishingError):
        store(storage, CLAIM, workspace, ArtifactReady(directory=directory, files=(file,)))


def test_an_artifact_without_files_is_none(workspace: Path, storage: LocalStorage) -> None:
    with pytest.raises(PublishingError):
        store(storage, CLAIM, workspace, ArtifactReady(directory="artifact", files=()))


def test_spectra_are_kept_for_their_project(workspace: Path, storage: LocalStorage) -> None:
    (workspace / "spectra.npz").write_bytes(b"npz")
    store_spectra(storage, "prj_1", workspace, SpectraReady(fingerprint="f", path="spectra.npz"))
    assert storage.open("spectra/prj_1/f.npz").read() == b"npz"
    for event in (
        SpectraReady(fingerprint="../../f", path="spectra.npz"),
        SpectraReady(fingerprint="f", path="../secret"),
    ):
        with pytest.raises(PublishingError):
            store_spectra(storage, "prj_1", workspace, event)
