"""vLLM's GPU worker with its weights and its KV cache where lull can move them (--worker-cls)."""

from typing import Any

from vllm.v1.worker.gpu_worker import Worker as GpuWorker

import lull

if not hasattr(GpuWorker, "_maybe_get_memory_pool_context"):
    raise ImportError(
        "this vLLM asks for its memory pools in another way than lull.vllm_worker knows; its worker "
        "cannot be put to sleep by lull"
    )


class Worker(GpuWorker):
    """As its base in all but where memory comes from."""

    def _maybe_get_memory_pool_context(self, tag: str) -> Any:
        config = self.vllm_config.model_config
        if not config.enable_sleep_mode or config.sleep_mode_backend != "lull":
            return super()._maybe_get_memory_pool_context(tag)
        return lull.torch.pool(tag)
