"""From a finished workspace to storage: every file under the attempt's own keys, and verified.

Nothing is visible until `core.jobs.finishing.succeed` moves the job's pointer; what an attempt
stored and did not publish is collected later.
"""

import hashlib
from pathlib import Path, PurePosixPath

from core.jobs.claims import Claim
from core.jobs.finishing import StoredArtifact, StoredFile
from core.recipe.events import ArtifactFile, ArtifactReady, SpectraReady
from core.storage.storage import InvalidKey, Storage

CHUNK_BYTES = 1 << 20


class PublishingError(Exception):
    """What the runner announced is not what stands in its workspace."""


def job_prefix(job_id: str) -> str:
    """Everything that attempts of the job stored."""
    return f"jobs/{job_id}"


def artifact_prefix(claim: Claim) -> str:
    return f"{job_prefix(claim.job_id)}/e{claim.epoch}"


def store(
    storage: Storage, claim: Claim, workspace: Path, artifact: ArtifactReady
) -> StoredArtifact:
    """Copy the announced files into storage and read them back against their digests.

    It may take long: keep the lease alive meanwhile, and hold no transaction.
    """
    directory = inside(workspace, artifact.directory)
    prefix = artifact_prefix(claim)
    files = tuple(
        _store_file(storage, prefix, directory, file)
        for file in sorted(artifact.files, key=lambda file: file.name)
    )
    if not files:
        raise PublishingError("the artifact has no files")
    return StoredArtifact(prefix=prefix, sha256=_digest_of(files), files=files)


def spectra_key(project_id: str, fingerprint: str) -> str:
    return f"spectra/{project_id}/{fingerprint}.npz"


def store_spectra(
    storage: Storage, project_id: str, workspace: Path, spectra: SpectraReady
) -> None:
    """Keep a run's spectra; the same fingerprint has the same content, whichever job it is from."""
    key = spectra_key(project_id, spectra.fingerprint)
    _put(storage, key, inside(workspace, spectra.path))


def inside(folder: Path, name: str) -> Path:
    """The path of that name, if it lies in the folder once every link is followed."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise PublishingError(f"{name!r} lies outside the workspace")
    return path


def _store_file(storage: Storage, prefix: str, directory: Path, file: ArtifactFile) -> StoredFile:
    key = f"{prefix}/{PurePosixPath(file.name)}"
    _put(storage, key, inside(directory, file.name))
    if storage.size(key) != file.bytes or _sha256(storage, key) != file.sha256:
        raise PublishingError(f"{file.name!r} differs from what was announced")
    return StoredFile(name=file.name, key=key, bytes=file.bytes, sha256=file.sha256)


def _put(storage: Storage, key: str, source: Path) -> None:
    try:
        storage.put_file(key, source)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise PublishingError(f"{source.name!r} was announced but is no file") from error
    except InvalidKey as error:
        raise PublishingError(str(error)) from error


def _sha256(storage: Storage, key: str) -> str:
    digest = hashlib.sha256()
    with storage.open(key) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _digest_of(files: tuple[StoredFile, ...]) -> str:
    """SHA-256 of the lines that `sha256sum` prints for the files, sorted by name."""
    lines = "".join(f"{file.sha256}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()
