"""Sleeping, waking, and looking."""

import ctypes
import dataclasses
import enum
import os
from typing import Iterable, List, Mapping, Optional, Sequence, Union

from . import _c, reports
from . import torch as _pools
from ._library import expect_ok, expect_torch_ok, library
from .errors import Error, Status, status_of
from .reports import Report


class Level(str, enum.Enum):
    """How deep a sleep goes. The names are those of lull everywhere."""

    #: contents to host memory
    OFFLOAD = "offload"
    #: contents dropped; whoever wrote them writes them again after the wake
    DISCARD = "discard"
    #: contents to host memory, then the process itself off its GPUs by the driver: 0 bytes stay
    SUSPEND = "suspend"


_ACTIONS = {
    "keep": _c.LULL_CONTENTS_KEEP,
    "offload": _c.LULL_CONTENTS_OFFLOAD,
    "discard": _c.LULL_CONTENTS_DISCARD,
}

_LEVELS = {
    Level.OFFLOAD: _c.LULL_LEVEL_OFFLOAD,
    Level.DISCARD: _c.LULL_LEVEL_DISCARD,
    Level.SUSPEND: _c.LULL_LEVEL_SUSPEND,
}

Tags = Union[str, Iterable[str]]


def _level(level: Union[Level, str]) -> Level:
    try:
        return Level(level)
    except ValueError:
        known = ", ".join(each.value for each in Level)
        raise Error(
            Status.INVALID_ARGUMENT, f"level is {level!r}; it may be {known}"
        ) from None


def _tag_list(tags: Tags) -> List[str]:
    return [tags] if isinstance(tags, str) else list(tags)


def _encoded(tags: Sequence[str]) -> List[bytes]:
    return [each.encode() for each in tags]


class _Plan:
    """A sleep plan for C, and what keeps its texts alive."""

    def __init__(
        self,
        level: Level,
        tags: Optional[List[str]],
        rest: str,
        backing: Union[None, str, "os.PathLike[str]"],
        fallback: bool,
    ) -> None:
        self.plan = _c.lull_sleep_plan()
        expect_ok(library().lull_sleep_plan_init(ctypes.byref(self.plan), _LEVELS[level]))
        if tags is not None:
            if rest not in _ACTIONS:
                raise Error(
                    Status.INVALID_ARGUMENT, f"rest is {rest!r}; it may be {', '.join(_ACTIONS)}"
                )
            action = self.plan.contents.otherwise
            self._names = _encoded(tags)
            self._actions = (_c.lull_tag_action * len(tags))(
                *[_c.lull_tag_action(name, action) for name in self._names]
            )
            self.plan.contents.otherwise = _ACTIONS[rest]
            self.plan.contents.tags = self._actions
            self.plan.contents.tag_count = len(tags)
        if backing == "memfd":
            self.plan.backing = _c.LULL_BACKING_MEMFD
        elif backing is not None:
            self._path = os.fsencode(backing)
            self.plan.backing = _c.LULL_BACKING_FILE
            self.plan.backing_path = self._path
        self.plan.fallback = 1 if fallback else 0


def _finished(
    code: int, what: str, first: ctypes.c_void_p, second: ctypes.c_void_p
) -> Report:
    words = library().lull_torch_error().decode(errors="replace") if code != 0 else ""
    parts = [reports.read(first), reports.read(second)]
    report = reports.merged(parts[0], parts[1], what)
    if code != 0:
        began = any(each is not None for each in parts)
        raise Error(status_of(code), words, report if began else None)
    return report


def sleep(
    level: Union[Level, str] = Level.OFFLOAD,
    tags: Optional[Tags] = None,
    *,
    rest: str = "keep",
    backing: Union[None, str, "os.PathLike[str]"] = None,
    fallback: bool = False,
) -> Report:
    """Takes memory off the devices; nothing may use it until the wake.

    Waits for the streams that PyTorch knows first, and lets PyTorch give back what it holds in
    reserve. What sleeps already by a milder level goes deeper. Blocks for the copies.

    Args:
        level: what becomes of contents, and of the process. After "suspend" nothing in the process
            may call CUDA, or PyTorch on a GPU, before :func:`wake`: such calls do not return. It
            takes the program ``lull`` in PATH, which says what is free while this process cannot.
        tags: of what; None: of everything
        rest: what becomes of all other tags: "keep", "offload" or "discard"
        backing: where contents go: None is pinned host memory, "memfd" a memory file, a path a
            file in that folder, which has no name there
        fallback: where the devices lack the level, do the nearest that is less, and say so in the
            report

    Raises:
        Error: everything is as it was. BUSY: a pool of such a tag is open.
    """
    wanted = _level(level)
    names = None if tags is None else _tag_list(tags)
    plan = _Plan(wanted, names, rest, backing, fallback)
    everything = wanted is Level.SUSPEND or names is None or rest != "keep"
    with _pools._closed(None if everything else names):
        _pools._settle()
        contents, context = ctypes.c_void_p(), ctypes.c_void_p()
        code = library().lull_torch_sleep(
            ctypes.byref(plan.plan), ctypes.byref(contents), ctypes.byref(context)
        )
        return _finished(code, "sleep", contents, context)


def discard(tags: Tags) -> Report:
    """Drops the contents of what has these tags, awake or offloaded."""
    return sleep(Level.DISCARD, tags)


def wake(tags: Optional[Tags] = None) -> Report:
    """Brings memory back to its addresses. Blocks for the copies.

    Args:
        tags: of what; None: everything. A process that is suspended is restored in any case.

    Raises:
        Error: everything sleeps on, as before. OUT_OF_DEVICE_MEMORY: with what is missing.
    """
    names = _encoded([] if tags is None else _tag_list(tags))
    if tags is not None and not names:
        return reports.merged(None, None, "wake")
    contents, context = ctypes.c_void_p(), ctypes.c_void_p()
    code = library().lull_torch_wake(
        (ctypes.c_char_p * len(names))(*names),
        len(names),
        ctypes.byref(contents),
        ctypes.byref(context),
    )
    # It was restored first, and then the contents came.
    return _finished(code, "wake", context, contents)


@dataclasses.dataclass(frozen=True)
class TagState:
    """All memory of a tag."""

    regions: int
    bytes: int
    resident_bytes: int
    offloaded_bytes: int
    discarded_bytes: int


@dataclasses.dataclass(frozen=True)
class State:
    """The memory of this process at one moment."""

    #: the process is off its GPUs
    suspended: bool
    #: a transition is under way
    moving: bool
    #: how far the last transfer came, or the one under way
    done_bytes: int
    total_bytes: int
    tags: Mapping[str, TagState]
    #: what was allocated while disabled, and stays
    plain_bytes: int

    @property
    def resident_bytes(self) -> int:
        """On devices, of all tags."""
        return sum(each.resident_bytes for each in self.tags.values())

    @property
    def name(self) -> str:
        """"moving", "suspended", "asleep", "partly asleep" or "awake"."""
        if self.moving:
            return "moving"
        if self.suspended:
            return "suspended"
        asleep = sum(each.offloaded_bytes + each.discarded_bytes for each in self.tags.values())
        if not asleep:
            return "awake"
        return "partly asleep" if self.resident_bytes else "asleep"


def state() -> State:
    """Looks. Waits for no transition, and asks no driver."""
    c = library()
    seen = _c.sized(_c.lull_torch_snapshot)
    expect_torch_ok(c.lull_torch_observe(ctypes.byref(seen)))
    room = 16
    while True:
        tags = (_c.lull_torch_tag * room)()
        count = ctypes.c_size_t()
        expect_torch_ok(c.lull_torch_list_tags(tags, room, ctypes.byref(count)))
        if count.value <= room:
            break
        room = count.value
    return State(
        suspended=seen.suspended != 0,
        moving=seen.moving != 0,
        done_bytes=seen.done_bytes,
        total_bytes=seen.total_bytes,
        tags={
            of.tag.decode(errors="replace"): TagState(
                of.region_count,
                of.bytes,
                of.resident_bytes,
                of.offloaded_bytes,
                of.discarded_bytes,
            )
            for of in tags[: count.value]
        },
        plain_bytes=seen.plain_bytes,
    )


def is_asleep(tag: str = "default") -> bool:
    """Whether an allocation with that tag would be refused now."""
    return library().lull_torch_is_asleep(tag.encode()) != 0


def prepare(nbytes: Optional[int] = None, device: int = 0, *, wait: bool = False) -> None:
    """Makes host memory ready for a sleep in the background, so that the first is as fast as others.

    Args:
        nbytes: how much; None: as much as there is in pools now
        device: its number, from 0
        wait: block until it is ready
    """
    c = library()
    if nbytes is None:
        nbytes = sum(each.bytes for each in state().tags.values())
    arena = ctypes.c_void_p()
    expect_torch_ok(c.lull_torch_arena(ctypes.byref(arena)))
    with _device(device) as handle:
        expect_ok(c.lull_arena_prepare(arena, handle, nbytes, None))
    if wait:
        expect_ok(c.lull_arena_wait_prepared(arena))


def set_backend(name: str) -> None:
    """Chooses whose devices are counted: "cuda", "hip", or "host", which needs no GPU.

    Raises:
        Error: BUSY: memory of another one is in use already.
    """
    expect_torch_ok(library().lull_torch_set_backend(name.encode()))


def version() -> str:
    """Of the library."""
    return str(library().lull_version_string().decode())


class _device:
    """A handle of a device, for a while."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._handle = ctypes.c_void_p()

    def __enter__(self) -> ctypes.c_void_p:
        c = library()
        registry = ctypes.c_void_p()
        expect_ok(c.lull_registry_shared(ctypes.byref(registry)))
        try:
            expect_ok(
                c.lull_registry_find_ordinal(
                    registry, c.lull_torch_backend(), self._number, ctypes.byref(self._handle)
                )
            )
        finally:
            c.lull_registry_destroy(registry)
        return self._handle

    def __exit__(self, *_: object) -> None:
        library().lull_device_destroy(self._handle)
