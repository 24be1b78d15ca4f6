"""vLLM's sleep mode by lull: all or nothing, and host memory that is pinned once."""

from typing import List, Optional, Tuple

from vllm.device_allocator.sleep_mode_backend import SleepModeBackend

import lull

#: vLLM's name for the model's weights; all else it makes anew, or knows to be gone.
_WEIGHTS = "weights"


class LullBackend(SleepModeBackend):
    """The contract is vLLM's: see its SleepModeBackend."""

    def suspend(self, level: int = 1) -> None:
        """Level 1 takes weights to host memory and drops the rest; level 2 drops everything.

        Raises:
            lull.Error: everything is as it was.
        """
        if not lull.state().tags:
            raise lull.Error(
                lull.Status.UNSUPPORTED,
                "no memory of this worker is lull's: start vLLM with "
                "--worker-cls lull.vllm_worker.Worker",
            )
        if level == 1:
            lull.sleep("offload", tags=[_WEIGHTS], rest="discard")
        elif level == 2:
            lull.sleep("discard")
        else:
            # The worker asks CUDA right after this, which a suspended process must not.
            raise lull.Error(lull.Status.UNSUPPORTED, f"level is {level}; it may be 1 or 2")
        self._state = "SUSPENDED"

    def resume(self, tags: Optional[List[str]] = None) -> None:
        """Brings everything back, or what has these tags.

        Raises:
            lull.Error: everything sleeps on.
        """
        self._state = "RESUMING"
        try:
            lull.wake(tags)
        finally:
            self._state = "RUNNING" if lull.state().name == "awake" else "SUSPENDED"

    def discard(self, tags: Tuple[str, ...]) -> None:
        """Drops what has these tags, awake or asleep."""
        lull.discard(tags)
        self._state = "SUSPENDED"

    @classmethod
    def is_supported(cls) -> bool:
        """Whether the library is there. Asks no driver."""
        try:
            lull.library_path()
        except lull.LibraryNotFound:
            return False
        return True

    @classmethod
    def preserves_communicators(cls) -> bool:
        """Their buffers are not in vLLM's pools."""
        return True

    @classmethod
    def preserves_compiled_artifacts(cls) -> bool:
        """Code stays in the context, and addresses stay what they are."""
        return True
