#!/usr/bin/env python3
"""How fast tensors on PyTorch sleep and wake, in one run: by hand, as engines do it (copy every tensor to
pinned host memory, free it, empty the cache; to wake, allocate and copy back); over lull, where the tensors
stay and their memory goes and comes, at each level; and the bare pinned copy. Contents are checked each
time, and that a graph captured before the first sleep replays with equal results after each.

With --device host the same over the host's memory, without PyTorch: for the tests.

Exit codes: 0 done, 1 failed, 2 wrong usage, 77 there is no PyTorch or no GPU
"""

import argparse
import ctypes
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
MIB = 1 << 20
SIZES = [512 * MIB, 128 * MIB, 96 * MIB, 32 * MIB, 8 * MIB, 2 * MIB]
LEVELS = ["offload", "discard", "suspend"]


def find_lull():
    """The package and its library: of the bundle that this lies in, or of the source tree."""
    for folder in (HERE / "python", HERE.parent / "adapters" / "python"):
        if folder.is_dir():
            sys.path.insert(0, str(folder))
            break
    beside = HERE / "liblull-torch.so"
    if beside.exists():
        os.environ.setdefault("LULL_TORCH_LIBRARY", str(beside))
        # And the program that says what is free while this process is suspended.
        os.environ["PATH"] = f"{HERE}{os.pathsep}{os.environ.get('PATH', '')}"


def mixed_sizes(total):
    sizes = []
    while total:
        sizes.append(min(SIZES[len(sizes) % len(SIZES)], total))
        total -= sizes[-1]
    return sizes


class OnGpu:
    """Tensors of PyTorch on its first GPU."""

    def __init__(self, torch, lull):
        self.torch = torch
        self.lull = lull
        self.name = torch.cuda.get_device_name()
        self.version = f"PyTorch {torch.__version__}"

    def make(self, nbytes, value):
        return self.torch.full((nbytes,), value, dtype=self.torch.uint8, device="cuda")

    def make_sleeping(self, nbytes, value):
        with self.lull.torch.pool("weights"):
            return self.make(nbytes, value)

    def fill(self, tensor, value):
        tensor.fill_(value)

    def ends(self, tensor):
        return int(tensor[0]), int(tensor[-1])

    def make_pinned(self, nbytes):
        return self.torch.empty(nbytes, dtype=self.torch.uint8, pin_memory=True)

    def copy(self, to, source):
        to.copy_(source, non_blocking=True)

    def synchronize(self):
        self.torch.cuda.synchronize()

    def empty_cache(self):
        self.torch.cuda.empty_cache()

    def empty_host_cache(self):
        """PyTorch caches pinned memory too; the call is not public everywhere."""
        empty = getattr(self.torch._C, "_host_emptyCache", None)
        if empty:
            empty()

    def held_bytes(self):
        """As the platform sees it: the context and what libraries hold count too."""
        free, total = self.torch.cuda.mem_get_info()
        return total - free

    def held_bytes_from_outside(self):
        """Of a process that is suspended, and so cannot ask itself."""
        total = self.torch.cuda.get_device_properties(0).total_memory
        said = subprocess.run(
            ["lull", "observe"], input="free\n", capture_output=True, text=True, check=True
        ).stdout.split()
        return max(total - int(said[said.index("CUDA0") + 1]), 0)

    def capture(self, tensors):
        """A graph over the beginning of each tensor. @return what replays it, and says its result"""
        torch = self.torch
        result = torch.zeros((), dtype=torch.int64, device="cuda")

        def compute():
            result.zero_()
            for each in tensors:
                result.add_(each[:MIB].sum(dtype=torch.int64))

        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            compute()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            compute()

        def replay():
            result.zero_()
            graph.replay()
            return int(result)

        return replay


class OnHost:
    """Memory of this process in the place of a device's, through the same package."""

    name = "HOST"
    version = "no PyTorch"

    def __init__(self, lull):
        self.lull = lull
        lull.set_backend("host")

    def make(self, nbytes, value):
        buffer = self.make_pinned(nbytes)
        self.fill(buffer, value)
        return buffer

    def make_sleeping(self, nbytes, value):
        buffer = self.lull.allocate(nbytes, tag="weights")
        self.fill(buffer, value)
        return buffer

    @staticmethod
    def _address(of):
        return getattr(of, "address", None) or ctypes.addressof(of)

    @staticmethod
    def _nbytes(of):
        return getattr(of, "nbytes", None) or ctypes.sizeof(of)

    def fill(self, tensor, value):
        ctypes.memset(self._address(tensor), value, self._nbytes(tensor))

    def ends(self, tensor):
        address = self._address(tensor)
        return tuple(
            ctypes.string_at(address + at, 1)[0] for at in (0, self._nbytes(tensor) - 1)
        )

    def make_pinned(self, nbytes):
        return ctypes.create_string_buffer(nbytes)

    def copy(self, to, source):
        ctypes.memmove(self._address(to), self._address(source), self._nbytes(to))

    def synchronize(self):
        pass

    empty_cache = empty_host_cache = synchronize

    def held_bytes(self):
        return self.lull.state().resident_bytes

    def capture(self, tensors):
        return lambda: sum(sum(self.ends(each)) for each in tensors)


def value_of(index):
    return index % 251 + 1


def check_contents(device, tensors):
    for i, tensor in enumerate(tensors):
        if device.ends(tensor) != (value_of(i),) * 2:
            raise RuntimeError(f"tensor {i} came back with other contents")


def first_work(device, tensor):
    device.fill(tensor, value_of(0))
    device.synchronize()


def nbytes_of(tensor):
    return getattr(tensor, "nbytes", None) or ctypes.sizeof(tensor)


def cycle_by_hand(device, tensors, pinned):
    """One sleep and one wake. `pinned`: host tensors to use again, or an empty list to make them."""
    device.synchronize()
    begun = time.perf_counter()
    make = not pinned
    for i, tensor in enumerate(tensors):
        if make:
            pinned.append(device.make_pinned(nbytes_of(tensor)))
        device.copy(pinned[i], tensor)
    device.synchronize()
    sizes = [nbytes_of(each) for each in tensors]
    tensors.clear()
    tensor = None  # the loop's last reference
    device.empty_cache()
    sleep_s = time.perf_counter() - begun
    left = device.held_bytes()

    begun = time.perf_counter()
    for host, nbytes in zip(pinned, sizes):
        tensors.append(device.make(nbytes, 0))
        device.copy(tensors[-1], host)
    device.synchronize()
    wake_s = time.perf_counter() - begun
    first_work(device, tensors[0])
    first_work_s = time.perf_counter() - begun
    check_contents(device, tensors)
    return {"sleep_s": sleep_s, "wake_s": wake_s, "first_work_s": first_work_s, "left_bytes": left}


def cycle_over_lull(device, tensors, level, replay, expected):
    device.synchronize()
    begun = time.perf_counter()
    device.lull.sleep(level)
    sleep_s = time.perf_counter() - begun
    suspended = device.lull.state().suspended
    left = device.held_bytes_from_outside() if suspended else device.held_bytes()

    begun = time.perf_counter()
    device.lull.wake()
    wake_s = time.perf_counter() - begun
    if level == "discard":
        for i, tensor in enumerate(tensors):
            device.fill(tensor, value_of(i))
    first_work(device, tensors[0])
    first_work_s = time.perf_counter() - begun
    check_contents(device, tensors)
    return {
        "sleep_s": sleep_s,
        "wake_s": wake_s,
        "first_work_s": first_work_s,
        "left_bytes": left,
        "graph_equal": replay() == expected,
    }


def bare_copy(device, total):
    """The limit: one buffer each way, of at most 4 GiB, the better of three."""
    nbytes = min(total, 4 << 30)
    tensor, pinned = device.make(nbytes, 1), device.make_pinned(nbytes)

    def best(to, source):
        times = []
        for _ in range(3):
            device.synchronize()
            begun = time.perf_counter()
            device.copy(to, source)
            device.synchronize()
            times.append(time.perf_counter() - begun)
        return nbytes / 1e9 / min(times)

    rates = {"sleep_gb_per_s": best(pinned, tensor), "wake_gb_per_s": best(tensor, pinned)}
    del tensor, pinned
    device.empty_cache()
    device.empty_host_cache()
    return rates


def cases_by_hand(device, sizes, cycles):
    for name, keep in (("by hand, pinned anew", False), ("by hand, pinned kept", True)):
        tensors = [device.make(nbytes, value_of(i)) for i, nbytes in enumerate(sizes)]
        pinned = []
        done = []
        for _ in range(cycles):
            done.append(cycle_by_hand(device, tensors, pinned))
            if not keep:
                pinned.clear()
                device.empty_host_cache()
        yield name, done
        del tensors, pinned
        device.empty_cache()
        device.empty_host_cache()


def cases_over_lull(device, sizes, cycles, left_out):
    tensors = [device.make_sleeping(nbytes, value_of(i)) for i, nbytes in enumerate(sizes)]
    replay = device.capture(tensors)
    expected = replay()
    for level in LEVELS:
        if level == "suspend" and not shutil.which("lull"):
            left_out[level] = "there is no lull in PATH, which says what is free meanwhile"
            continue
        try:
            done = [
                cycle_over_lull(device, tensors, level, replay, expected) for _ in range(cycles)
            ]
        except device.lull.Error as failure:
            if failure.status is not device.lull.Status.UNSUPPORTED:
                raise
            left_out[level] = str(failure)
            continue
        yield f"over lull, {level}", done


def claims_of(result):
    """Rows for the table of the GPU bundle."""
    levels, size = result["levels"], f"{result['bytes'] / (1 << 30):g} GiB"
    gigabytes = result["bytes"] / 1e9
    rows = []
    ours, theirs = levels["over lull, offload"], levels["by hand, pinned kept"]
    for way in ("sleep", "wake"):
        rate = gigabytes / ours[-1][f"{way}_s"]
        rows.append(
            {
                "claim": f"PyTorch over lull: {way} of {size}, beside PyTorch by hand",
                "measured": theirs[-1][f"{way}_s"] / ours[-1][f"{way}_s"],
                "unit": f"of its speed ({rate:.1f} GB/s)",
                "target": 1,
                "better": "more",
            }
        )
        rows.append(
            {
                "claim": f"PyTorch over lull: {way} of {size}, beside the pinned copy",
                "measured": rate / result["bare_copy"][f"{way}_gb_per_s"],
                "unit": "of the link",
                "target": 0.9,
                "better": "more",
            }
        )
    cycles = [each for name, done in levels.items() if name.startswith("over lull") for each in done]
    rows.append(
        {
            "claim": "PyTorch over lull: sleeps after which a captured graph replays otherwise",
            "measured": sum(not each["graph_equal"] for each in cycles),
            "unit": f"of {len(cycles)}",
            "target": 0,
            "better": "less",
        }
    )
    if "over lull, suspend" in levels:
        rows.append(
            {
                "claim": f"PyTorch over lull, suspended: left on the device, {size} before",
                "measured": levels["over lull, suspend"][-1]["left_bytes"] / MIB,
                "unit": "MiB, of all processes",
            }
        )
    return rows


def measure(device, total, cycles):
    sizes = mixed_sizes(total)
    left_out = {}
    result = {
        "device": device.name,
        "torch": device.version,
        "lull": device.lull.version(),
        "bytes": total,
        "bare_copy": bare_copy(device, total),
        "levels": dict(cases_by_hand(device, sizes, cycles)),
    }
    result["levels"].update(cases_over_lull(device, sizes, cycles, left_out))
    result["left_out"] = left_out
    result["claims"] = claims_of(result)
    return result


def print_table(result):
    gigabytes = result["bytes"] / 1e9
    copy = result["bare_copy"]
    print(f"{result['bytes'] / (1 << 30):g} GiB on {result['device']} ({result['torch']})")
    print(
        f"{'case':<30} {'sleep s':>8} {'GB/s':>8} {'wake s':>8} {'GB/s':>8} {'first work':>11} "
        f"{'left':>12} graph"
    )
    print(
        f"{'bare pinned copy':<30} {'':>8} {copy['sleep_gb_per_s']:8.2f} {'':>8} "
        f"{copy['wake_gb_per_s']:8.2f}"
    )
    for name, cycles in result["levels"].items():
        for which, cycle in (("first", cycles[0]), ("last", cycles[-1])):
            graph = {True: "equal", False: "DIFFERS", None: ""}[cycle.get("graph_equal")]
            print(
                f"{name + ', ' + which:<30} {cycle['sleep_s']:8.3f} "
                f"{gigabytes / cycle['sleep_s']:8.2f} {cycle['wake_s']:8.3f} "
                f"{gigabytes / cycle['wake_s']:8.2f} {cycle['first_work_s']:11.3f} "
                f"{cycle['left_bytes'] / MIB:8.0f} MiB {graph}"
            )
    for level, why in result["left_out"].items():
        print(f"over lull, {level}: left out: {why}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=8, help="size of the weights")
    parser.add_argument("--cycles", type=int, default=3, help="a case")
    parser.add_argument("--device", choices=["cuda", "host"], default="cuda")
    parser.add_argument("--output", help="JSON file for the figures")
    given = parser.parse_args()

    find_lull()
    try:
        import lull
    except ImportError as failure:
        print(f"torch_sleep: {failure}", file=sys.stderr)
        return 1
    if given.device == "host":
        device = OnHost(lull)
    else:
        try:
            import torch
        except ImportError:
            print("torch_sleep: there is no PyTorch here")
            return 77
        if not torch.cuda.is_available():
            print("torch_sleep: PyTorch sees no GPU")
            return 77
        device = OnGpu(torch, lull)

    result = measure(device, int(given.gib * (1 << 30)) // MIB * MIB, given.cycles)
    print_table(result)
    if given.output:
        with open(given.output, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)
            file.write("\n")
    return 0 if all(
        cycle.get("graph_equal", True) for done in result["levels"].values() for cycle in done
    ) else 1


if __name__ == "__main__":
    sys.exit(main())
