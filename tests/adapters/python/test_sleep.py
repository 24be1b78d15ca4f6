"""The package over real memory of a device: of the host, or of the simulated CUDA."""

import os
import subprocess
import sys
import tempfile
import threading
import unittest

import lull

MIB = 1 << 20
ON_HOST = os.environ.get("LULL_TORCH_BACKEND") == "host"


class SleepTest(unittest.TestCase):
    def setUp(self):
        self.buffers = []

    def tearDown(self):
        if lull.state().name != "awake":
            lull.wake()
        for each in self.buffers:
            each.free()
        self.assertEqual(lull.state().tags, {})

    def make(self, tag, filling, nbytes=4 * MIB):
        made = lull.allocate(nbytes, tag=tag)
        made.write(bytes([filling]) * nbytes)
        self.buffers.append(made)
        return made

    def assert_holds(self, buffer, filling):
        self.assertEqual(buffer.read(), bytes([filling]) * buffer.nbytes)

    def test_contents_come_back_to_their_addresses(self):
        weights = self.make("weights", 1)
        address = weights.address
        slept = lull.sleep()
        self.assertTrue(slept.succeeded)
        self.assertEqual(slept.what, "sleep")
        self.assertEqual(slept.copied_bytes, 4 * MIB)
        self.assertGreater(slept.elapsed_s, 0)
        self.assertTrue(slept.steps)
        self.assertEqual(lull.state().name, "asleep")
        self.assertEqual(lull.state().tags["weights"].offloaded_bytes, 4 * MIB)
        woke = lull.wake()
        self.assertEqual(woke.copied_bytes, 4 * MIB)
        self.assertEqual(weights.address, address)
        self.assert_holds(weights, 1)
        self.assertEqual(lull.state().name, "awake")

    def test_what_a_device_held_is_measured(self):
        self.make("weights", 1, 64 * MIB)
        device = lull.sleep().devices[0]
        self.assertEqual(device.name, "HOST" if ON_HOST else "CUDA0")
        self.assertGreaterEqual(device.used_before_bytes - device.used_after_bytes, 60 * MIB)

    def test_tags_sleep_and_wake_by_themselves(self):
        weights, cache = self.make("weights", 1), self.make("kv_cache", 2)
        lull.sleep("offload", tags="kv_cache")
        self.assert_holds(weights, 1)
        self.assertEqual(lull.state().name, "partly asleep")
        self.assertTrue(lull.is_asleep("kv_cache"))
        self.assertFalse(lull.is_asleep("weights"))
        lull.wake(["kv_cache"])
        self.assert_holds(cache, 2)

    def test_the_rest_may_go_another_way(self):
        weights, cache = self.make("weights", 1), self.make("kv_cache", 2)
        lull.sleep("offload", tags=["weights"], rest="discard")
        tags = lull.state().tags
        self.assertEqual(tags["weights"].offloaded_bytes, weights.nbytes)
        self.assertEqual(tags["kv_cache"].discarded_bytes, cache.nbytes)
        lull.wake(["weights"])
        self.assert_holds(weights, 1)
        self.assertEqual(lull.state().name, "partly asleep")
        lull.wake()
        cache.write(bytes([3]) * cache.nbytes)
        lull.sleep()
        lull.wake()
        self.assert_holds(cache, 3)

    def test_what_is_offloaded_can_be_discarded(self):
        cache = self.make("kv_cache", 1)
        lull.sleep()
        lull.discard(["kv_cache"])
        self.assertEqual(lull.state().tags["kv_cache"].discarded_bytes, cache.nbytes)

    def test_contents_in_a_file(self):
        weights = self.make("weights", 1)
        with tempfile.TemporaryDirectory() as folder:
            for backing in (folder, "memfd"):
                lull.sleep(backing=backing)
                lull.wake()
                self.assert_holds(weights, 1)
            with self.assertRaises(lull.Error) as raised:
                lull.sleep(backing=os.path.join(folder, "no", "such", "folder"))
            self.assertIn("no", str(raised.exception))
            self.assertEqual(lull.state().name, "awake")
            self.assert_holds(weights, 1)

    def test_what_is_asleep_cannot_be_allocated(self):
        self.make("weights", 1)
        lull.sleep(tags=["weights"])
        with self.assertRaises(lull.Error) as raised:
            lull.allocate(MIB, tag="weights")
        self.assertIs(raised.exception.status, lull.Status.BUSY)
        self.assertIn("'weights' is asleep", str(raised.exception))
        self.buffers.append(lull.allocate(MIB, tag="kv_cache"))

    def test_a_free_while_asleep_is_honoured(self):
        weights, gone = self.make("weights", 1), self.make("weights", 2)
        lull.sleep()
        gone.free()
        self.assertEqual(lull.state().tags["weights"].regions, 1)
        lull.wake()
        self.assert_holds(weights, 1)

    def test_wrong_words_are_refused(self):
        for wrong in (
            lambda: lull.sleep("deeply"),
            lambda: lull.sleep(tags=["weights"], rest="burn"),
            lambda: lull.allocate(MIB, tag="x" * 64),
            lambda: lull.set_backend(""),
        ):
            with self.assertRaises(lull.Error) as raised:
                wrong()
            self.assertIs(raised.exception.status, lull.Status.INVALID_ARGUMENT)
        with self.assertRaises(lull.Error) as raised:
            lull.allocate(1, device=99)
        self.assertIs(raised.exception.status, lull.Status.NOT_FOUND)

    def test_a_buffer_keeps_to_its_bounds(self):
        with lull.allocate(16) as small:
            self.buffers.append(small)
            for wrong in (
                lambda: small.write(b"x" * 17),
                lambda: small.read(1, offset=16),
                lambda: small.read(offset=-1),
            ):
                self.assertRaises(lull.Error, wrong)
            small.write(b"abc", offset=13)
            self.assertEqual(small.read(offset=13), b"abc")
        self.assertRaises(lull.Error, small.read)

    def test_other_threads_run_meanwhile(self):
        self.make("weights", 1, 32 * MIB)
        seen = []
        ends = threading.Event()

        def look():
            while not ends.is_set():
                seen.append(lull.state().name)

        observer = threading.Thread(target=look)
        observer.start()
        for _ in range(3):
            lull.sleep()
            lull.wake()
        ends.set()
        observer.join()
        self.assertTrue(set(seen) <= {"awake", "moving", "asleep", "partly asleep"}, set(seen))

    def test_host_memory_is_prepared_ahead(self):
        self.make("weights", 1)
        lull.prepare(wait=True)
        lull.sleep()

    def test_the_pool_alone_takes_pytorch(self):
        with self.assertRaises(lull.Error) as raised:
            with lull.torch.pool():
                self.fail("there is no PyTorch here")
        self.assertIs(raised.exception.status, lull.Status.UNSUPPORTED)

    @unittest.skipIf(ON_HOST, "the host cannot be suspended")
    def test_a_suspended_process_comes_back(self):
        weights = self.make("weights", 1)
        slept = lull.sleep("suspend")
        self.assertIsNotNone(slept.step("suspend"))
        self.assertEqual(lull.state().name, "suspended")
        self.assertTrue(lull.is_asleep("whatever"))
        lull.sleep("suspend")  # again: it does all of that already
        woke = lull.wake()
        self.assertIsNotNone(woke.step("restore"))
        self.assert_holds(weights, 1)

    @unittest.skipUnless(ON_HOST, "its device can")
    def test_a_level_that_the_device_lacks_is_refused_or_falls_back(self):
        weights = self.make("weights", 1)
        with self.assertRaises(lull.Error) as raised:
            lull.sleep("suspend")
        self.assertIs(raised.exception.status, lull.Status.UNSUPPORTED)
        self.assertIn("the nearest that works is offload", str(raised.exception))
        self.assertIsNone(raised.exception.report, "nothing was begun")
        self.assertEqual(lull.state().name, "awake")
        self.assert_holds(weights, 1)
        self.assertEqual(lull.sleep("suspend", fallback=True).fell_back_from, "suspend")
        self.assertEqual(lull.state().name, "asleep")
        lull.wake()
        self.assert_holds(weights, 1)

    @unittest.skipIf(ON_HOST, "the host's memory is bounded by nothing")
    def test_without_room_everything_sleeps_on(self):
        weights = self.make("weights", 1, 64 * MIB)
        free = lull.sleep().devices[0].free_after_bytes
        with lull.torch.disabled():
            other = lull.allocate(free - 16 * MIB)
        with self.assertRaises(lull.Error) as raised:
            lull.wake()
        self.assertIs(raised.exception.status, lull.Status.OUT_OF_DEVICE_MEMORY)
        self.assertIn("missing", str(raised.exception))
        self.assertFalse(raised.exception.report is not None and raised.exception.report.succeeded)
        self.assertEqual(lull.state().name, "asleep")
        other.free()
        lull.wake()
        self.assert_holds(weights, 1)


class LibraryTest(unittest.TestCase):
    def run_python(self, code, **environment):
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_importing_loads_nothing(self):
        done = self.run_python("import lull", LULL_TORCH_LIBRARY="/nowhere.so")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_looking_looks_for_no_device(self):
        done = self.run_python(
            "import lull; print(lull.state().name)", LULL_TORCH_BACKEND="no such backend"
        )
        self.assertEqual((done.returncode, done.stdout), (0, "awake\n"), done.stderr)

    def test_a_backend_that_is_not_there_is_said(self):
        done = self.run_python(
            "import lull; lull.allocate(1)", LULL_TORCH_BACKEND="no such backend"
        )
        self.assertIn("no such backend", done.stderr)

    def test_where_it_was_looked_for_is_said(self):
        done = self.run_python("import lull; lull.state()", LULL_TORCH_LIBRARY="/nowhere.so")
        self.assertIn("LibraryNotFound", done.stderr)
        self.assertIn("/nowhere.so: no such file", done.stderr)

    def test_a_program_may_end_asleep_and_with_buffers(self):
        done = self.run_python(
            "import lull; kept = lull.allocate(1 << 20); lull.sleep(); print(lull.state().name)"
        )
        self.assertEqual((done.returncode, done.stdout), (0, "asleep\n"), done.stderr)


if __name__ == "__main__":
    unittest.main()
