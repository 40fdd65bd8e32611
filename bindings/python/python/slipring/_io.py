"""Ends of pipes as file objects."""

from __future__ import annotations

import io
from typing import Any


class _Raw(io.RawIOBase):
    def __init__(self, end: Any, reads: bool) -> None:
        self._end = end
        self._reads = reads
        self._late: BaseException | None = None

    def readable(self) -> bool:
        return self._reads

    def writable(self) -> bool:
        return not self._reads

    def readinto(self, room: Any) -> int:
        read = self._end.read(len(room))
        room[: len(read)] = read
        return len(read)

    def write(self, data: Any) -> int:
        # The buffer above has to know how much was written, or it would write that again. So an error behind a part of the
        # bytes is raised by the call for the rest.
        late, self._late = self._late, None
        if late is not None:
            raise late
        try:
            written: int = self._end.write(data)
        except BaseException as error:
            written = getattr(error, "written", 0)
            if written == 0:
                raise
            self._late = error
        return written

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._end.close()


def reader(end: Any) -> io.BufferedReader:
    """The reading end of a pipe as a file."""
    return io.BufferedReader(_Raw(end, True))


def writer(end: Any) -> io.BufferedWriter:
    """The writing end of a pipe as a file."""
    return io.BufferedWriter(_Raw(end, False))
