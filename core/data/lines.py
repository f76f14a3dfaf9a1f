"""The lines of a text file, decoded strictly as UTF-8, with a bound on what one record may take."""

from typing import BinaryIO, Self

from core.data.values import check_text, refuse

MAX_HEADER_BYTES = 1 << 20
MAX_RECORD_BYTES = 16 << 20


class Lines:
    """An iterator of lines with their endings; a csv's quoted record may take several.

    The bound is on the record, so that neither an endless line nor an endless quotation is ever
    held in memory.
    """

    def __init__(self, file: BinaryIO, first: int | None = None):
        self._file = file
        self._limit = MAX_RECORD_BYTES if first is None else first
        self._record = 0
        self._offset = 0
        self.number = 0
        """Of the line that was read last, from 1."""

    @property
    def place(self) -> str:
        return f"line {self.number}"

    def begin_record(self) -> None:
        self._limit = MAX_RECORD_BYTES
        self._record = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        raw = self._file.readline(self._limit - self._record + 1)
        if not raw:
            raise StopIteration
        self.number += 1
        self._record += len(raw)
        if self._record > self._limit:
            refuse(self.place, f"is longer than {self._limit >> 20} MiB")
        text = self._decoded(raw)
        self._offset += len(raw)
        return text.removeprefix("\ufeff") if self.number == 1 else text

    def _decoded(self, raw: bytes) -> str:
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            byte = f"byte {self._offset + error.start} of the file is 0x{raw[error.start]:02x}"
            refuse(self.place, f"is not UTF-8: {byte}", hint="save the file in UTF-8")
        check_text(text, self.place)
        return text
