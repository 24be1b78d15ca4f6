"""lull.torch over a stand-in for PyTorch, whose memory is real memory of a device."""

import ctypes
import os
import sys
import threading
import unittest

import lull
from lull import torch as pools

from standins import Torch

MIB = 1 << 20


class PoolTest(unittest.TestCase):
    def setUp(self):
        self.torch = Torch()
        sys.modules["torch"] = self.torch.module
        pools._allocator = None
        pools._pools.clear()
        self.tensors = []

    def tearDown(self):
        lull.wake()
        for each in self.tensors:
            each.free()
        self.torch.module.cuda.empty_cache()
        del sys.modules["torch"]
        pools._everywhere = None
        self.assertEqual(lull.state().tags, {})

    def empty(self, nbytes=MIB):
        self.tensors.append(self.torch.empty(nbytes))
        return self.tensors[-1]

    def test_tensors_of_a_pool_have_its_tag(self):
        with lull.torch.pool("weights"):
            self.empty()
            with lull.torch.pool("kv_cache"):
                self.empty(3 * MIB)
            self.empty(5 * MIB)
        with lull.torch.pool(tag="weights"):
            self.empty()
        tags = lull.state().tags
        self.assertEqual(tags["weights"].bytes, 10 * MIB)
        self.assertEqual(tags["kv_cache"].bytes, 4 * MIB)
        self.assertEqual(len(self.torch.pools), 2)

    def test_a_sleep_ends_streams_first_and_gives_up_what_is_in_reserve(self):
        with lull.torch.pool("weights"):
            self.empty()
            spare = self.torch.empty(8 * MIB)
        spare.free()
        slept = lull.sleep()
        self.assertEqual(self.torch.synchronized, [0])
        self.assertEqual(slept.copied_bytes, 2 * MIB)
        self.assertEqual(lull.state().tags["weights"].regions, 1)

    def test_a_pool_that_is_asleep_cannot_be_entered(self):
        with lull.torch.pool("weights"):
            self.empty()
        lull.sleep(tags=["weights"])
        with self.assertRaises(lull.Error) as raised:
            with lull.torch.pool("weights"):
                self.fail("it was entered")
        self.assertIs(raised.exception.status, lull.Status.BUSY)
        with lull.torch.pool("kv_cache"):
            self.empty()
        lull.wake()
        with lull.torch.pool("weights"):
            self.empty()

    def test_an_open_pool_does_not_fall_asleep(self):
        with lull.torch.pool("weights"):
            self.empty()
            for sleep in (
                lull.sleep,
                lambda: lull.sleep(tags=["kv_cache", "weights"]),
                lambda: lull.sleep(tags=["kv_cache"], rest="offload"),
            ):
                with self.assertRaises(lull.Error) as raised:
                    sleep()
                self.assertIs(raised.exception.status, lull.Status.BUSY)
                self.assertIn("weights", str(raised.exception))
            lull.sleep(tags=["kv_cache"])
        self.assertEqual(lull.state().name, "awake")

    def test_tags_are_the_threads(self):
        def other():
            self.assertEqual(lull.torch.library().lull_thread_tag(), b"")

        with lull.torch.pool("weights"):
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
        other()

    def test_after_an_exception_the_pool_is_left(self):
        with self.assertRaises(KeyError):
            with lull.torch.pool("weights"):
                raise KeyError
        self.assertEqual(lull.torch.library().lull_thread_tag(), b"")
        lull.sleep()

    def test_disabled_memory_stays(self):
        with lull.torch.disabled():
            buffer = lull.allocate(MIB)
        self.assertEqual(lull.state().plain_bytes, MIB)
        lull.sleep("discard")
        buffer.write(b"still there")
        buffer.free()

    def test_install_gives_pytorch_the_functions_that_throw(self):
        lull.torch.install()
        lull.torch.install()
        functions = self.torch.current_allocator
        with lull.torch.tag("everything"):
            address = functions.allocate(2 * MIB, 0, None)
        self.assertEqual(lull.state().tags["everything"].bytes, 2 * MIB)
        self.assertTrue(address)
        functions.free(address, 2 * MIB, 0, None)

    def test_expandable_segments_are_off_meanwhile(self):
        said = []
        self.torch.module.cuda.memory._set_allocator_settings = said.append
        os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
        try:
            with lull.torch.pool("weights"):
                self.assertEqual(said, ["expandable_segments:False"])
        finally:
            del os.environ["PYTORCH_CUDA_ALLOC_CONF"]
        self.assertEqual(said[1:], ["expandable_segments:True"])

    def test_torch_memory_saver_is_pointed_here_by_its_path(self):
        library = ctypes.CDLL(lull.library_path())
        # Its Python part looks all of these up.
        for name in (
            "tms_get_enable_cpu_backup",
            "tms_get_cpu_backup_backend",
            "tms_set_cpu_backup_backend",
            "tms_get_enable_disk_backup",
            "tms_set_enable_disk_backup",
            "tms_set_disk_backup_dir",
            "tms_get_retain_cpu_backup",
            "tms_set_retain_cpu_backup",
            "tms_get_cpu_backup_pointer",
            "set_memory_margin_bytes",
        ):
            self.assertTrue(hasattr(library, name), name)
        for name, result, parameters in (
            ("tms_set_current_tag", None, [ctypes.c_char_p]),
            ("tms_get_current_tag", ctypes.c_char_p, []),
            ("tms_set_interesting_region", None, [ctypes.c_bool]),
            ("tms_get_interesting_region", ctypes.c_bool, []),
            ("tms_set_enable_cpu_backup", None, [ctypes.c_bool]),
            ("tms_pause", ctypes.c_int, [ctypes.c_char_p]),
            ("tms_resume", ctypes.c_int, [ctypes.c_char_p]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, parameters
        allocator = self.torch.module.cuda.memory.CUDAPluggableAllocator(
            lull.library_path(), "tms_torch_malloc", "tms_torch_free"
        )
        library.tms_set_current_tag(b"kv_cache")
        library.tms_set_interesting_region(True)
        address = allocator.allocate(2 * MIB, 0, None)
        library.tms_set_interesting_region(False)
        self.assertEqual(library.tms_pause(b"kv_cache"), 0)
        self.assertEqual(lull.state().name, "asleep")
        self.assertEqual(library.tms_resume(None), 0)
        self.assertEqual(lull.state().name, "awake")
        allocator.free(address, 2 * MIB, 0, None)


if __name__ == "__main__":
    unittest.main()
