"""Memory of a device for programs that have no PyTorch."""

import ctypes
from typing import Optional

from ._library import expect_ok, expect_torch_ok, library
from .errors import Error, Status
from .sleeping import _device


class Buffer:
    """Memory of a device that sleeps and wakes with everything else, at an address that stays.

    Freed by :meth:`free`, at the end of a ``with`` block, or with its last reference.
    """

    #: for kernels; what is there may be used only while awake
    address: int
    nbytes: int
    #: the device's number
    device: int

    def __init__(self, nbytes: int, device: int, tag: str) -> None:
        self.nbytes = nbytes
        self.device = device
        self.address = 0
        c = library()
        address = ctypes.c_void_p()
        before = c.lull_thread_tag()
        expect_ok(c.lull_thread_set_tag(tag.encode()))
        try:
            expect_torch_ok(c.lull_torch_try_alloc(nbytes, device, ctypes.byref(address)))
        finally:
            c.lull_thread_set_tag(before)
        self.address = address.value or 0

    def write(self, data: bytes, offset: int = 0) -> None:
        """Copies bytes to the device."""
        self._expect_inside(offset, len(data))
        with _device(self.device) as handle:
            expect_ok(
                library().lull_device_copy_from_host(handle, self.address + offset, data, len(data))
            )

    def read(self, nbytes: Optional[int] = None, offset: int = 0) -> bytes:
        """Copies bytes from the device: all that follow, if it is not said how many."""
        if nbytes is None:
            nbytes = self.nbytes - offset
        self._expect_inside(offset, nbytes)
        data = ctypes.create_string_buffer(max(nbytes, 1))
        with _device(self.device) as handle:
            expect_ok(
                library().lull_device_copy_to_host(handle, data, self.address + offset, nbytes)
            )
        return data.raw[:nbytes]

    def free(self) -> None:
        """Gives it back, awake or asleep. Harmless when it is back already."""
        if self.address:
            library().lull_torch_free(self.address, self.nbytes, self.device, None)
            self.address = 0

    def __enter__(self) -> "Buffer":
        return self

    def __exit__(self, *_: object) -> None:
        self.free()

    def __del__(self) -> None:
        # The interpreter may be past the point where functions of modules are there.
        if getattr(self, "address", 0) and library is not None:
            self.free()

    def _expect_inside(self, offset: int, nbytes: int) -> None:
        if not self.address:
            raise Error(Status.INVALID_ARGUMENT, "this buffer was freed")
        if offset < 0 or nbytes < 0 or offset + nbytes > self.nbytes:
            raise Error(
                Status.INVALID_ARGUMENT,
                f"{nbytes} bytes at offset {offset} do not lie in {self.nbytes}",
            )


def allocate(nbytes: int, device: int = 0, tag: str = "default") -> Buffer:
    """Allocates memory of a device, contents undefined. May create the device's context.

    Raises:
        Error: OUT_OF_DEVICE_MEMORY; NOT_FOUND: no such device; BUSY: the tag is asleep.
    """
    return Buffer(nbytes, device, tag)
