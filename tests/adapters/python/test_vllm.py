"""The back end for vLLM over a stand-in of vLLM's interfaces. It has not run in vLLM itself."""

import os
import sys
import types
import unittest

import lull
from lull import torch as pools
from lull import vllm as plugin

from standins import Torch, install_vllm


class VllmTest(unittest.TestCase):
    def setUp(self):
        self.torch = Torch()
        sys.modules["torch"] = self.torch.module
        pools._allocator = None
        pools._pools.clear()
        self.factory = install_vllm()
        plugin.register()
        from lull.vllm_worker import Worker

        self.make_worker = Worker
        self.worker = Worker(self.config(), self.torch)

    def tearDown(self):
        lull.wake()
        for name in ("weights", "kv_cache"):
            if hasattr(self.worker, name):
                getattr(self.worker, name).free()
        self.torch.module.cuda.empty_cache()
        for name in list(sys.modules):
            if name.split(".")[0] in ("torch", "vllm") or name in (
                "lull.vllm_backend",
                "lull.vllm_worker",
            ):
                del sys.modules[name]

    @staticmethod
    def config(backend="lull", enabled=True):
        model = types.SimpleNamespace(sleep_mode_backend=backend, enable_sleep_mode=enabled)
        return types.SimpleNamespace(model_config=model)

    def load(self):
        self.worker.load_model()
        self.worker.initialize_from_config()

    def backend(self):
        return self.worker._get_sleep_mode_backend()

    def test_it_is_registered_once(self):
        plugin.register()
        self.assertEqual(
            self.factory.get_backend_class("lull").__name__, "LullBackend"
        )

    def test_without_back_ends_the_plug_in_does_nothing(self):
        del sys.modules["vllm.device_allocator.sleep_mode_backend"]
        plugin.register()

    def test_level_1_keeps_weights_and_drops_the_rest(self):
        self.load()
        self.assertEqual(self.backend().state(), "RUNNING")
        self.worker.sleep(1)
        self.assertEqual(self.backend().state(), "SUSPENDED")
        tags = lull.state().tags
        self.assertEqual(tags["weights"].offloaded_bytes, tags["weights"].bytes)
        self.assertEqual(tags["kv_cache"].discarded_bytes, tags["kv_cache"].bytes)
        self.worker.wake_up(["weights"])
        self.assertEqual(self.backend().state(), "SUSPENDED")
        self.worker.wake_up(["kv_cache"])
        self.assertEqual(self.backend().state(), "RUNNING")
        self.assertEqual(lull.state().name, "awake")

    def test_level_2_drops_everything(self):
        self.load()
        self.worker.sleep(2)
        self.assertEqual(lull.state().resident_bytes, 0)
        self.assertEqual(lull.state().tags["weights"].offloaded_bytes, 0)
        self.worker.wake_up()
        self.assertEqual(self.backend().state(), "RUNNING")

    def test_a_tag_is_discarded_awake_and_asleep(self):
        self.load()
        self.backend().discard(("kv_cache",))
        self.assertEqual(self.backend().state(), "SUSPENDED")
        self.assertEqual(lull.state().name, "partly asleep")
        self.worker.wake_up()
        self.worker.sleep(1)
        self.backend().discard(("weights",))
        self.assertEqual(lull.state().tags["weights"].offloaded_bytes, 0)

    def test_a_level_that_its_worker_could_not_stand_is_refused(self):
        self.load()
        with self.assertRaises(lull.Error) as raised:
            self.worker.sleep(3)
        self.assertIs(raised.exception.status, lull.Status.UNSUPPORTED)
        self.assertEqual(self.backend().state(), "RUNNING")

    def test_without_its_worker_it_says_what_is_missing(self):
        with self.assertRaises(lull.Error) as raised:
            self.worker.sleep(1)
        self.assertIn("--worker-cls lull.vllm_worker.Worker", str(raised.exception))

    @unittest.skipIf(os.environ.get("LULL_TORCH_BACKEND") == "host", "the host has no bound")
    def test_a_wake_that_fails_leaves_it_suspended(self):
        self.load()
        free = lull.sleep().devices[0].free_after_bytes
        lull.wake()
        self.worker.sleep(1)
        with lull.torch.disabled():
            other = lull.allocate(free - (1 << 20))
        self.assertRaises(lull.Error, self.worker.wake_up)
        self.assertEqual(self.backend().state(), "SUSPENDED")
        other.free()
        self.worker.wake_up()
        self.assertEqual(self.backend().state(), "RUNNING")

    def test_other_back_ends_are_left_alone(self):
        for config in (self.config("cumem"), self.config(enabled=False)):
            worker = self.make_worker(config, self.torch)
            with worker._maybe_get_memory_pool_context("weights"):
                self.assertEqual(self.torch._inside, [])

    def test_a_worker_that_asks_otherwise_is_refused(self):
        del sys.modules["lull.vllm_worker"]
        del sys.modules["vllm.v1.worker.gpu_worker"].Worker._maybe_get_memory_pool_context
        with self.assertRaises(ImportError):
            import lull.vllm_worker  # noqa: F401

    def test_its_flags_say_what_was_seen(self):
        found = self.factory.get_backend_class("lull")
        self.assertTrue(found.is_supported())
        self.assertTrue(found.preserves_communicators())
        self.assertFalse(found.preserves_graphs_with_communicators())
        self.assertFalse(found.supports_durable_storage())


if __name__ == "__main__":
    unittest.main()
