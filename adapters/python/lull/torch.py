"""lull as the allocator of PyTorch's tensors. Nothing here imports PyTorch before it is called."""

import contextlib
import os
import sys
import threading
from typing import Any, Dict, Iterator, List, Optional, Tuple

from ._library import expect_ok, library, library_path
from .errors import Error, Status

_lock = threading.Lock()
_allocator: Any = None  # a CUDAPluggableAllocator must not go before its tensors
_pools: Dict[Tuple[str, int], Any] = {}
_open: Dict[str, int] = {}
_closing: List[Optional[List[str]]] = []
_everywhere: Any = None


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as failure:
        raise Error(
            Status.UNSUPPORTED, "pools are PyTorch's, and there is no PyTorch here"
        ) from failure
    return torch


def _choose_backend(torch: Any) -> None:
    from .sleeping import set_backend

    if os.environ.get("LULL_TORCH_BACKEND"):
        return
    if getattr(torch.version, "hip", None):
        set_backend("hip")


def _pool_of(torch: Any, tag: str, device: int) -> Any:
    """One for each tag and device: PyTorch serves new tensors from what others of a pool gave up."""
    global _allocator
    with _lock:
        if _allocator is None:
            _choose_backend(torch)
            _allocator = torch.cuda.memory.CUDAPluggableAllocator(
                library_path(), "lull_torch_pool_alloc", "lull_torch_free"
            )
        key = (tag, device)
        if key not in _pools:
            _pools[key] = torch.cuda.MemPool(_allocator.allocator())
        return _pools[key]


@contextlib.contextmanager
def _entered(tag: str) -> Iterator[None]:
    from .sleeping import is_asleep

    with _lock:
        # A sleep under way looks at what is open under the same lock.
        closing = any(each is None or tag in each for each in _closing)
        if closing or is_asleep(tag):
            raise Error(
                Status.BUSY, f"'{tag}' is asleep: nothing can be allocated there until it wakes"
            )
        _open[tag] = _open.get(tag, 0) + 1
    try:
        yield
    finally:
        with _lock:
            _open[tag] -= 1
            if not _open[tag]:
                del _open[tag]


@contextlib.contextmanager
def _closed(tags: Optional[List[str]]) -> Iterator[None]:
    """While a sleep is under way no pool of these tags is open. None: of any."""
    with _lock:
        inside = [each for each in _open if tags is None or each in tags]
        if inside:
            raise Error(
                Status.BUSY,
                "a pool is open and may allocate: " + ", ".join(sorted(inside)),
            )
        _closing.append(tags)
    try:
        yield
    finally:
        with _lock:
            _closing.remove(tags)


@contextlib.contextmanager
def _without_expandable_segments(torch: Any) -> Iterator[None]:
    """PyTorch does not ask a pool's allocator for them."""
    names = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
    if not any("expandable_segments:True" in os.environ.get(each, "") for each in names):
        yield
        return
    change = torch.cuda.memory._set_allocator_settings
    change("expandable_segments:False")
    try:
        yield
    finally:
        change("expandable_segments:True")


@contextlib.contextmanager
def _tagged(tag: str) -> Iterator[None]:
    c = library()
    before = c.lull_thread_tag()
    was_enabled = c.lull_torch_set_enabled(1)
    try:
        expect_ok(c.lull_thread_set_tag(tag.encode()))
        yield
    finally:
        c.lull_thread_set_tag(before)
        c.lull_torch_set_enabled(was_enabled)


@contextlib.contextmanager
def pool(tag: str = "default") -> Iterator[Any]:
    """Tensors that are made in this block, by this thread, on its current device, can sleep.

    Their memory comes from a ``torch.cuda.MemPool`` of the tag's own. Blocks may be nested, and
    entered again later.

    Args:
        tag: what :func:`lull.sleep` and :func:`lull.wake` speak about: "weights", "kv_cache"; at
            most 63 bytes

    Raises:
        Error: BUSY: what has the tag is asleep. UNSUPPORTED: there is no PyTorch.
    """
    torch = _import_torch()
    with _entered(tag):
        mem_pool = _pool_of(torch, tag, torch.cuda.current_device())
        with _without_expandable_segments(torch), _tagged(tag), torch.cuda.use_mem_pool(mem_pool):
            yield mem_pool


def install() -> None:
    """Everything that PyTorch puts on GPUs from now on can sleep, with its thread's tag.

    To be called before PyTorch puts anything there. PyTorch caches nothing of it, so that each
    tensor costs a call of the driver: prefer pools.
    """
    global _everywhere
    torch = _import_torch()
    with _lock:
        if _everywhere is not None:
            return
        _choose_backend(torch)
        allocator = torch.cuda.memory.CUDAPluggableAllocator(
            library_path(), "lull_torch_alloc", "lull_torch_free"
        )
        torch.cuda.memory.change_current_allocator(allocator)
        _everywhere = allocator


@contextlib.contextmanager
def tag(name: str) -> Iterator[None]:
    """What this thread allocates in the block has this tag, where PyTorch asks lull for it."""
    with _tagged(name):
        yield


@contextlib.contextmanager
def disabled() -> Iterator[None]:
    """What this thread allocates in the block is plain memory, which stays on the device."""
    was_enabled = library().lull_torch_set_enabled(0)
    try:
        yield
    finally:
        library().lull_torch_set_enabled(was_enabled)


def _settle() -> None:
    """Ends what streams that PyTorch knows still do, and lets it give up what it only caches."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return
    from .sleeping import state

    if state().suspended:
        return
    with _lock:
        devices = {device for _, device in _pools}
    devices.add(cuda.current_device())
    for each in devices:
        cuda.synchronize(each)
    try:
        cuda.empty_cache()
    except RuntimeError:
        pass  # an allocator that is installed for everything has no cache
