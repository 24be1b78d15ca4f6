"""What a transition did, as measured."""

import ctypes
import dataclasses
from typing import Optional, Tuple

from . import _c
from ._library import expect_ok, library


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of a transition, in the order they ran."""

    name: str
    elapsed_s: float
    #: what it moved or released; 0 for a step that moves nothing
    bytes: int


@dataclasses.dataclass(frozen=True)
class Device:
    """A transition as one device saw it. What the platform cannot tell is None."""

    name: str
    copied_bytes: int
    discarded_bytes: int
    refilled_bytes: int
    #: by this process
    used_before_bytes: Optional[int]
    used_after_bytes: Optional[int]
    free_before_bytes: Optional[int]
    free_after_bytes: Optional[int]
    #: of what was copied, what could not go through pinned memory at full speed
    staged_bytes: int
    #: why; empty where nothing was staged
    staged_because: str


@dataclasses.dataclass(frozen=True)
class Report:
    """A sleep or a wake: its contents and, where the process was suspended or restored, that too."""

    what: str
    succeeded: bool
    #: after a failure: whether all is as it was before
    rolled_back: bool
    elapsed_s: float
    steps: Tuple[Step, ...]
    devices: Tuple[Device, ...]
    #: what went wrong without making it fail
    problems: Tuple[str, ...]
    #: why it failed; empty on success
    failure: str
    #: the level that was asked for, if the devices lack it; empty
    fell_back_from: str

    @property
    def copied_bytes(self) -> int:
        """Of all devices."""
        return sum(each.copied_bytes for each in self.devices)

    def step(self, name: str) -> Optional[Step]:
        """The first step of that name."""
        return next((each for each in self.steps if each.name == name), None)


def _known(value: int) -> Optional[int]:
    return None if value == _c.UNKNOWN else value


def _text(field: bytes) -> str:
    return field.decode(errors="replace")


def read(handle: ctypes.c_void_p) -> Optional[Report]:
    """Reads a report and gives it back. None for null."""
    if not handle:
        return None
    c = library()
    try:
        info = _c.sized(_c.lull_report_info)
        expect_ok(c.lull_report_describe(handle, ctypes.byref(info)))
        steps = []
        for i in range(info.step_count):
            step = _c.sized(_c.lull_step_report)
            expect_ok(c.lull_report_step(handle, i, ctypes.byref(step)))
            steps.append(Step(_text(step.name), step.elapsed_ns / 1e9, step.bytes))
        devices = []
        for i in range(info.device_count):
            seen = _c.sized(_c.lull_device_report)
            expect_ok(c.lull_report_device(handle, i, ctypes.byref(seen)))
            devices.append(
                Device(
                    name=_text(seen.device),
                    copied_bytes=seen.copied_bytes,
                    discarded_bytes=seen.discarded_bytes,
                    refilled_bytes=seen.refilled_bytes,
                    used_before_bytes=_known(seen.used_before_bytes),
                    used_after_bytes=_known(seen.used_after_bytes),
                    free_before_bytes=_known(seen.free_before_bytes),
                    free_after_bytes=_known(seen.free_after_bytes),
                    staged_bytes=seen.staged_bytes,
                    staged_because=_text(seen.staged_because),
                )
            )
        problems = []
        for i in range(info.problem_count):
            words = ctypes.c_char_p()
            expect_ok(c.lull_report_problem(handle, i, ctypes.byref(words)))
            problems.append(_text(words.value or b""))
        return Report(
            what=_text(info.what),
            succeeded=info.succeeded != 0,
            rolled_back=info.rolled_back != 0,
            elapsed_s=info.elapsed_ns / 1e9,
            steps=tuple(steps),
            devices=tuple(devices),
            problems=tuple(problems),
            failure=_text(info.failure),
            fell_back_from=_text(info.fell_back_from),
        )
    finally:
        c.lull_report_destroy(handle)


def merged(first: Optional[Report], second: Optional[Report], what: str) -> Report:
    """What two parts of a transition did, one after the other."""
    parts = [each for each in (first, second) if each is not None]
    devices = {}
    for part in parts:
        for each in part.devices:
            before = devices.get(each.name)
            devices[each.name] = (
                each
                if before is None
                else dataclasses.replace(
                    before,
                    copied_bytes=before.copied_bytes + each.copied_bytes,
                    discarded_bytes=before.discarded_bytes + each.discarded_bytes,
                    refilled_bytes=before.refilled_bytes + each.refilled_bytes,
                    used_after_bytes=each.used_after_bytes,
                    free_after_bytes=each.free_after_bytes,
                )
            )
    return Report(
        what=what,
        succeeded=all(each.succeeded for each in parts),
        rolled_back=all(each.rolled_back for each in parts),
        elapsed_s=sum(each.elapsed_s for each in parts),
        steps=tuple(step for each in parts for step in each.steps),
        devices=tuple(devices.values()),
        problems=tuple(words for each in parts for words in each.problems),
        failure=next((each.failure for each in parts if each.failure), ""),
        fell_back_from=next((each.fell_back_from for each in parts if each.fell_back_from), ""),
    )
