"""What vLLM's plug-in point loads (entry point group vllm.general_plugins).

Registers the sleep-mode back end "lull". To be used with a worker that puts its memory where lull can
move it::

    vllm serve MODEL --enable-sleep-mode --sleep-mode-backend lull \\
        --worker-cls lull.vllm_worker.Worker

Written against vLLM as of September 2026. It has not run in vLLM itself yet, only against a stand-in of
these interfaces.
"""


def register() -> None:
    """Called by vLLM in each of its processes, perhaps more than once."""
    try:
        from vllm.device_allocator.sleep_mode_backend import SleepModeBackendFactory
    except ImportError:
        return  # a vLLM without back ends: nothing here to be chosen
    try:
        SleepModeBackendFactory.get_backend_class("lull")
    except ValueError:
        SleepModeBackendFactory.register_backend("lull", "lull.vllm_backend", "LullBackend")
