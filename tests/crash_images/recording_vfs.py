"""A VFS of SQLite that reports every change of a file before the default VFS makes it.

SQLite reaches files through a table of functions (https://www.sqlite.org/vfs.html). The recording VFS is a copy of
the default one. It replaces the functions that change a file, and each of them calls the original. The other
functions remain those of SQLite, so locks and shared memory work as always.
"""

from __future__ import annotations

import _sqlite3
import ctypes
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, cast
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol

_OK: Final = 0
_OPEN_CREATE: Final = 0x4


class UnsupportedSqlite(Exception):
    """The library of SQLite cannot be reached: it is linked into Python, or it has no VFS of version 3."""


class Observer(Protocol):
    """Receives each change of a file before it is made. `file` is the address of SQLite's open file."""

    def opening(self, path: Path) -> None: ...
    def opened(self, file: int, path: Path) -> None: ...
    def closed(self, file: int) -> None: ...
    def written(self, file: int, offset: int, data: bytes) -> None: ...
    def truncated(self, file: int, size: int) -> None: ...
    def synced(self, file: int) -> None: ...
    def deleted(self, path: Path) -> None: ...
    def directory_synced(self, path: Path) -> None: ...


_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_SetSystemCall = CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p)
_GetSystemCall = CFUNCTYPE(c_void_p, c_void_p, c_char_p)
_OpenDirectory = CFUNCTYPE(c_int, c_char_p, c_void_p)
_Randomness = CFUNCTYPE(c_int, c_void_p, c_int, c_void_p)
_Close = CFUNCTYPE(c_int, c_void_p)
_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(Structure):
    """The struct sqlite3_vfs, version 3."""

    _fields_ = (
        ("iVersion", c_int), ("szOsFile", c_int), ("mxPathname", c_int), ("pNext", c_void_p), ("zName", c_char_p),
        ("pAppData", c_void_p), ("xOpen", c_void_p), ("xDelete", c_void_p), ("xAccess", c_void_p),
        ("xFullPathname", c_void_p), ("xDlOpen", c_void_p), ("xDlError", c_void_p), ("xDlSym", c_void_p),
        ("xDlClose", c_void_p), ("xRandomness", c_void_p), ("xSleep", c_void_p), ("xCurrentTime", c_void_p),
        ("xGetLastError", c_void_p), ("xCurrentTimeInt64", c_void_p), ("xSetSystemCall", c_void_p),
        ("xGetSystemCall", c_void_p), ("xNextSystemCall", c_void_p),
    )  # fmt: skip


class _Methods(Structure):
    """The struct sqlite3_io_methods, version 3."""

    _fields_ = (
        ("iVersion", c_int), ("xClose", c_void_p), ("xRead", c_void_p), ("xWrite", c_void_p),
        ("xTruncate", c_void_p), ("xSync", c_void_p), ("xFileSize", c_void_p), ("xLock", c_void_p),
        ("xUnlock", c_void_p), ("xCheckReservedLock", c_void_p), ("xFileControl", c_void_p),
        ("xSectorSize", c_void_p), ("xDeviceCharacteristics", c_void_p), ("xShmMap", c_void_p),
        ("xShmLock", c_void_p), ("xShmBarrier", c_void_p), ("xShmUnmap", c_void_p), ("xFetch", c_void_p),
        ("xUnfetch", c_void_p),
    )  # fmt: skip


# SQLite keeps pointers to these as long as the process lives.
_kept: list[object] = []


def _address(function: object) -> int:
    _kept.append(function)
    address = cast(function, c_void_p).value  # type: ignore[arg-type]
    assert address is not None
    return address


def sqlite_library() -> ctypes.CDLL:
    """The library that Python's sqlite3 uses. Raises UnsupportedSqlite."""
    path = getattr(_sqlite3, "__file__", None)
    if path is None:
        raise UnsupportedSqlite("_sqlite3 is part of the Python binary, so its SQLite has no symbols")
    library = ctypes.CDLL(path)
    try:
        library.sqlite3_vfs_find.argtypes, library.sqlite3_vfs_find.restype = [c_char_p], POINTER(_Vfs)
        library.sqlite3_vfs_register.argtypes = [POINTER(_Vfs), c_int]
    except AttributeError as missing:
        raise UnsupportedSqlite(f"{path} does not export SQLite's functions: {missing}") from missing
    return library


def install(observer: Observer, random: Random) -> None:
    """Make the recording VFS the default of this process, until its end. Raises UnsupportedSqlite.

    SQLite draws its random numbers from `random`, so that two runs write the same bytes.
    """
    library = sqlite_library()
    found = library.sqlite3_vfs_find(None)
    if not found or found.contents.iVersion < 3:
        raise UnsupportedSqlite("the default VFS of SQLite has no table of system calls")
    inner: Any = found.contents
    outer: Any = _Vfs.from_buffer_copy(inner)
    outer.zName, outer.pNext = b"recording", None
    outer.xOpen = _address(_Open(_RecordingOpen(observer, _Open(inner.xOpen))))
    outer.xRandomness = _address(_Randomness(_seeded(random)))
    outer.xDelete = _address(_Delete(_recording_delete(observer, _Delete(inner.xDelete))))
    _hook_directory_syncs(observer, found, inner)
    _kept.append(outer)
    if library.sqlite3_vfs_register(ctypes.pointer(outer), 1) != _OK:
        raise UnsupportedSqlite("SQLite refused the recording VFS")


def _seeded(random: Random) -> Callable[..., Any]:
    def fill(_vfs: int, size: int, buffer: int) -> int:
        ctypes.memmove(buffer, random.randbytes(size), size)
        return size

    return fill


def _recording_delete(observer: Observer, original: Callable[..., Any]) -> Callable[..., Any]:
    def delete(vfs: int, name: bytes, sync_directory: int) -> Any:
        path = Path(name.decode())
        if path.exists():
            observer.deleted(path)
        return original(vfs, name, sync_directory)

    return delete


def _hook_directory_syncs(observer: Observer, vfs: Any, inner: Any) -> None:
    """SQLite syncs the directory of a new journal by itself. It opens the directory for this purpose only."""
    original = _OpenDirectory(_GetSystemCall(inner.xGetSystemCall)(cast(vfs, c_void_p), b"openDirectory"))

    def open_directory(file: bytes, descriptor: int) -> Any:
        observer.directory_synced(Path(file.decode()).parent)
        return original(file, descriptor)

    hook = _address(_OpenDirectory(open_directory))
    if _SetSystemCall(inner.xSetSystemCall)(cast(vfs, c_void_p), b"openDirectory", hook) != _OK:
        raise UnsupportedSqlite("SQLite has no system call openDirectory")


class _RecordingOpen:
    """The function xOpen. It replaces the methods of a file after the default VFS has opened it."""

    def __init__(self, observer: Observer, original: Callable[..., Any]) -> None:
        self._observer = observer
        self._original = original
        self._tables: dict[int, int] = {}  # by address of an original table of methods: that of the recording one

    def __call__(self, vfs: int, name: int | None, file: int, flags: int, flags_out: int | None) -> Any:
        path = Path(ctypes.string_at(name).decode()) if name else None  # without a name, the file is temporary
        if path is not None and flags & _OPEN_CREATE:
            self._observer.opening(path)
        result = self._original(vfs, name, file, flags, flags_out)
        methods = c_void_p.from_address(file)  # the first member of every open file
        if result == _OK and path is not None and methods.value is not None:
            self._observer.opened(file, path)
            methods.value = self._recording_methods(methods.value)
        return result

    def _recording_methods(self, original: int) -> int:
        if original not in self._tables:
            table = _Methods.from_buffer_copy(_Methods.from_address(original))
            self._replace(table)
            _kept.append(table)
            self._tables[original] = ctypes.addressof(table)
        return self._tables[original]

    def _replace(self, table: Any) -> None:
        observer = self._observer
        original_close, original_write = _Close(table.xClose), _Write(table.xWrite)
        original_truncate, original_sync = _Truncate(table.xTruncate), _Sync(table.xSync)

        def close(file: int) -> Any:
            observer.closed(file)
            return original_close(file)

        def write(file: int, data: int, size: int, offset: int) -> Any:
            observer.written(file, offset, ctypes.string_at(data, size))
            return original_write(file, data, size, offset)

        def truncate(file: int, size: int) -> Any:
            observer.truncated(file, size)
            return original_truncate(file, size)

        def sync(file: int, flags: int) -> Any:
            observer.synced(file)
            return original_sync(file, flags)

        table.xClose, table.xWrite = _address(_Close(close)), _address(_Write(write))
        table.xTruncate, table.xSync = _address(_Truncate(truncate)), _address(_Sync(sync))
