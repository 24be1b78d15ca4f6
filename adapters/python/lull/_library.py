"""Finds and loads liblull-torch.so, which has lull's C API in it or brings it along."""

import ctypes
import os
import pathlib
import threading
from typing import Iterator, List, Optional

from . import _c
from .errors import Error, status_of

_NAME = "liblull-torch.so"


class LibraryNotFound(ImportError):
    """There is no liblull-torch.so where it was looked for."""


def _candidates() -> Iterator[str]:
    named = os.environ.get("LULL_TORCH_LIBRARY")
    if named:
        yield named
        return
    here = pathlib.Path(__file__).resolve().parent
    yield str(here / _NAME)
    # lib/python3/dist-packages/lull, beside the libraries of the same prefix.
    for prefix in list(here.parents)[3:4]:
        for folder in sorted(prefix.glob("lib/*-linux-gnu")) + [prefix / "lib", prefix / "lib64"]:
            yield str(folder / _NAME)
    yield _NAME


class _Loaded:
    def __init__(self, path: str, library: ctypes.CDLL) -> None:
        self.path = path
        self.library = library


_lock = threading.Lock()
_loaded: Optional[_Loaded] = None


def _load() -> _Loaded:
    global _loaded
    with _lock:
        if _loaded is None:
            failures: List[str] = []
            for path in _candidates():
                if os.sep in path and not os.path.exists(path):
                    failures.append(f"{path}: no such file")
                    continue
                try:
                    library = ctypes.CDLL(path)
                except OSError as failure:
                    failures.append(str(failure))
                    continue
                _c.declare(library)
                _loaded = _Loaded(path, library)
                break
            else:
                raise LibraryNotFound(
                    f"{_NAME} was not found; LULL_TORCH_LIBRARY may name it. Looked at: "
                    + "; ".join(failures)
                )
        return _loaded


def library() -> ctypes.CDLL:
    """The library, loaded at the first call.

    Raises:
        LibraryNotFound: with the places that were looked at.
    """
    return _load().library


def library_path() -> str:
    """Where the library is, for what wants to load it itself, such as PyTorch."""
    return _load().path


def expect_ok(code: int) -> None:
    """Raises what lull's C API has said of its last failure on this thread."""
    if code != 0:
        raise Error(status_of(code), library().lull_last_error_message().decode(errors="replace"))


def expect_torch_ok(code: int) -> None:
    """The same of a function of liblull-torch's own."""
    if code != 0:
        raise Error(status_of(code), library().lull_torch_error().decode(errors="replace"))
