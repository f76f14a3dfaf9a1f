"""The storage that the settings name."""

from core.settings import Settings
from core.storage.local import LocalStorage
from core.storage.storage import Storage


def open_storage(settings: Settings) -> Storage:
    """The bucket of `storage_url`, or the data folder; the client of a bucket is loaded only for
    one."""
    if not settings.storage_url:
        return LocalStorage(settings.storage_dir)
    from core.storage.s3 import S3Storage

    return S3Storage(settings)
