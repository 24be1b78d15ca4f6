"""GPU memory that goes away while nobody needs it, and comes back at the same addresses.

For programs on PyTorch::

    import lull

    with lull.torch.pool(tag="weights"):
        model = load_model().cuda()
    ...
    lull.sleep()                       # contents to host memory, their device memory to others
    lull.wake()                        # back at the same addresses; captured graphs are still valid
    lull.sleep("suspend")              # the whole process off its GPUs: 0 bytes stay
    lull.wake()

Works without PyTorch too, for everything but the pool: :func:`allocate` gives memory of a device
itself. All functions are thread-safe, and release the interpreter's lock while they block.

docs/adapters.md says what has run where.
"""

from . import torch
from ._library import LibraryNotFound, library_path
from .buffers import Buffer, allocate
from .errors import Error, Status
from .reports import Device, Report, Step
from .sleeping import (
    Level,
    State,
    TagState,
    discard,
    is_asleep,
    prepare,
    set_backend,
    sleep,
    state,
    version,
    wake,
)

__all__ = [
    "Buffer",
    "Device",
    "Error",
    "Level",
    "LibraryNotFound",
    "Report",
    "State",
    "Status",
    "Step",
    "TagState",
    "allocate",
    "discard",
    "is_asleep",
    "library_path",
    "prepare",
    "set_backend",
    "sleep",
    "state",
    "torch",
    "version",
    "wake",
]
