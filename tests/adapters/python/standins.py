"""What the adapters need of PyTorch and vLLM, as far as their interfaces are public: nothing of either
runs here. Memory of the stand-in for PyTorch is real memory of a device, asked for as PyTorch asks."""

import abc
import contextlib
import ctypes
import sys
import types

ALLOCATION = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p)
FREE = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p
)


class PluggableAllocator:
    """torch.cuda.memory.CUDAPluggableAllocator: a library and the names of two functions."""

    def __init__(self, path, allocate, free):
        library = ctypes.CDLL(path)
        self.allocate = ALLOCATION((allocate, library))
        self.free = FREE((free, library))

    def allocator(self):
        return self


class MemPool:
    """torch.cuda.MemPool: keeps what its tensors gave up."""

    def __init__(self, allocator):
        self.functions = allocator
        self.spare = []

    def take(self, nbytes):
        for i, (address, size) in enumerate(self.spare):
            if size >= nbytes:
                del self.spare[i]
                return address, size
        size = (nbytes + (2 << 20) - 1) // (2 << 20) * (2 << 20)
        address = self.functions.allocate(size, 0, None)
        if not address:
            raise RuntimeError("CUDA out of memory")
        return address, size

    def empty(self):
        for address, size in self.spare:
            self.functions.free(address, size, 0, None)
        self.spare.clear()


class Tensor:
    def __init__(self, pool, nbytes):
        self.pool = pool
        self.nbytes = nbytes
        self.address, self.size = pool.take(nbytes)

    def data_ptr(self):
        return self.address

    def free(self):
        self.pool.spare.append((self.address, self.size))


class Torch:
    """The module `torch`, and what was asked of it."""

    def __init__(self):
        self.synchronized = []
        self.current_allocator = None
        self.pools = []
        self._inside = []
        memory = types.SimpleNamespace(
            CUDAPluggableAllocator=PluggableAllocator,
            change_current_allocator=self._change_current_allocator,
        )
        cuda = types.SimpleNamespace(
            memory=memory,
            MemPool=self._make_pool,
            use_mem_pool=self._use_pool,
            current_device=lambda: 0,
            is_initialized=lambda: True,
            synchronize=self.synchronized.append,
            empty_cache=self._empty_cache,
        )
        self.module = types.ModuleType("torch")
        self.module.cuda = cuda
        self.module.version = types.SimpleNamespace(hip=None)

    def empty(self, nbytes):
        return Tensor(self._inside[-1], nbytes)

    def _change_current_allocator(self, allocator):
        self.current_allocator = allocator

    def _make_pool(self, allocator):
        self.pools.append(MemPool(allocator))
        return self.pools[-1]

    @contextlib.contextmanager
    def _use_pool(self, pool):
        self._inside.append(pool)
        try:
            yield
        finally:
            self._inside.pop()

    def _empty_cache(self):
        for each in self.pools:
            each.empty()


def install_vllm():
    """The modules of vLLM that lull's back end and worker are written against."""

    class SleepModeBackend(abc.ABC):
        def __init__(self):
            self._state = "RUNNING"

        @abc.abstractmethod
        def suspend(self, level=1):
            raise NotImplementedError

        @abc.abstractmethod
        def resume(self, tags=None):
            raise NotImplementedError

        def state(self):
            return self._state

        def discard(self, tags):
            raise RuntimeError("no selective discard")

        @classmethod
        def is_supported(cls):
            return True

        @classmethod
        def preserves_communicators(cls):
            return False

        @classmethod
        def preserves_compiled_artifacts(cls):
            return False

        @classmethod
        def preserves_graphs_with_communicators(cls):
            return False

        @classmethod
        def supports_durable_storage(cls):
            return False

    class SleepModeBackendFactory:
        registered = {}

        @classmethod
        def register_backend(cls, name, module_path, class_name):
            if name in cls.registered:
                raise ValueError(f"{name} is there already")
            cls.registered[name] = (module_path, class_name)

        @classmethod
        def get_backend_class(cls, name):
            if name not in cls.registered:
                raise ValueError(f"there is no {name}")
            module_path, class_name = cls.registered[name]
            return getattr(__import__(module_path, fromlist=[class_name]), class_name)

        @classmethod
        def create_backend(cls, model_config):
            found = cls.get_backend_class(model_config.sleep_mode_backend)
            if not found.is_supported():
                raise ValueError("not supported")
            return found()

    class Worker:
        """What its GPU worker does about sleep: the same calls in the same order."""

        def __init__(self, vllm_config, torch):
            self.vllm_config = vllm_config
            self.torch = torch
            self._sleep_mode_backend = None

        def _get_sleep_mode_backend(self):
            if self._sleep_mode_backend is None:
                self._sleep_mode_backend = SleepModeBackendFactory.create_backend(
                    self.vllm_config.model_config
                )
            return self._sleep_mode_backend

        def _maybe_get_memory_pool_context(self, tag):
            return contextlib.nullcontext()

        def load_model(self):
            with self._maybe_get_memory_pool_context(tag="weights"):
                self.weights = self.torch.empty(4 << 20)

        def initialize_from_config(self):
            with self._maybe_get_memory_pool_context(tag="kv_cache"):
                self.kv_cache = self.torch.empty(6 << 20)

        def sleep(self, level=1):
            self._get_sleep_mode_backend().suspend(level)

        def wake_up(self, tags=None):
            self._get_sleep_mode_backend().resume(tags)

    contents = {
        "vllm": {},
        "vllm.device_allocator": {},
        "vllm.device_allocator.sleep_mode_backend": {
            "SleepModeBackend": SleepModeBackend,
            "SleepModeBackendFactory": SleepModeBackendFactory,
        },
        "vllm.v1": {},
        "vllm.v1.worker": {},
        "vllm.v1.worker.gpu_worker": {"Worker": Worker},
    }
    for name, members in contents.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        sys.modules[name] = module
    return SleepModeBackendFactory
