#!/usr/bin/env python3
"""How fast weights on PyTorch sleep and wake. By hand, as engines do it: copy every tensor to pinned host
memory, free it, empty the allocator's cache; to wake, allocate and copy back. Or, with --lull, over lull as
PyTorch's allocator: the tensors stay, and their memory goes and comes. Same sizes and figures as bench_sleep.

Exit codes: 0 done, 1 failed, 2 wrong usage, 77 there is no PyTorch or no GPU
"""

import argparse
import ctypes
import json
import sys
import time

MIB = 1 << 20
SIZES = [512 * MIB, 128 * MIB, 96 * MIB, 32 * MIB, 8 * MIB, 2 * MIB]


def mixed_sizes(total):
    sizes = []
    while total:
        sizes.append(min(SIZES[len(sizes) % len(SIZES)], total))
        total -= sizes[-1]
    return sizes


def held_bytes(torch):
    """As the platform sees it: the context and what libraries hold count too."""
    free, total = torch.cuda.mem_get_info()
    return total - free


def empty_host_cache(torch):
    """PyTorch caches pinned memory too; the call is not public everywhere."""
    empty = getattr(torch._C, "_host_emptyCache", None)
    if empty:
        empty()


def run_cycle(torch, tensors, pinned):
    """One sleep and one wake. `pinned`: host tensors to use again, or an empty list to make them."""
    torch.cuda.synchronize()
    begun = time.perf_counter()
    make = not pinned
    for i, tensor in enumerate(tensors):
        if make:
            pinned.append(torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True))
        pinned[i].copy_(tensor, non_blocking=True)
    torch.cuda.synchronize()
    tensors.clear()
    torch.cuda.empty_cache()
    sleep_s = time.perf_counter() - begun
    left = held_bytes(torch)

    begun = time.perf_counter()
    for host in pinned:
        tensor = torch.empty(host.shape, dtype=host.dtype, device="cuda")
        tensor.copy_(host, non_blocking=True)
        tensors.append(tensor)
    torch.cuda.synchronize()
    wake_s = time.perf_counter() - begun
    tensors[0][:MIB].fill_(1)
    torch.cuda.synchronize()
    first_work_s = time.perf_counter() - begun
    check_contents(tensors)
    return {"sleep_s": sleep_s, "wake_s": wake_s, "first_work_s": first_work_s, "left_bytes": left}


class OverLull:
    """lull as the allocator of all that PyTorch puts on GPUs; to be made before it puts anything there."""

    def __init__(self, torch, library):
        allocator = torch.cuda.memory.CUDAPluggableAllocator(
            library, "lull_torch_alloc", "lull_torch_free")
        torch.cuda.memory.change_current_allocator(allocator)
        self.allocator = allocator  # it must not go before its tensors
        self.library = ctypes.CDLL(library)
        self.library.lull_torch_error.restype = ctypes.c_char_p

    def call(self, name):
        if getattr(self.library, name)() != 0:
            raise RuntimeError(f"{name}: {self.library.lull_torch_error().decode()}")

    def run_cycle(self, torch, tensors):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        self.call("lull_torch_sleep")
        sleep_s = time.perf_counter() - begun
        left = held_bytes(torch)

        begun = time.perf_counter()
        self.call("lull_torch_wake")
        wake_s = time.perf_counter() - begun
        tensors[0][:MIB].fill_(1)
        torch.cuda.synchronize()
        first_work_s = time.perf_counter() - begun
        check_contents(tensors)
        return {"sleep_s": sleep_s, "wake_s": wake_s, "first_work_s": first_work_s,
                "left_bytes": left}


def check_contents(tensors):
    for i, tensor in enumerate(tensors):
        for at in (0, -1):
            if int(tensor[at]) != i % 251 + 1:
                raise RuntimeError(f"tensor {i} came back with other contents")


def make_tensors(torch, sizes):
    return [torch.full((n,), i % 251 + 1, dtype=torch.uint8, device="cuda")
            for i, n in enumerate(sizes)]


def cases(torch, sizes, cycles, lull):
    """Each case with its cycles."""
    if lull:
        tensors = make_tensors(torch, sizes)
        yield "over lull", [lull.run_cycle(torch, tensors) for _ in range(cycles)]
        return
    for name, keep in (("pinned anew", False), ("pinned kept", True)):
        tensors = make_tensors(torch, sizes)
        pinned = []
        done = []
        for _ in range(cycles):
            done.append(run_cycle(torch, tensors, pinned))
            if not keep:
                pinned.clear()
                empty_host_cache(torch)
        yield name, done
        del tensors, pinned
        torch.cuda.empty_cache()
        empty_host_cache(torch)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=int, default=8, help="size of the weights")
    parser.add_argument("--cycles", type=int, default=3, help="a case")
    parser.add_argument("--lull", metavar="LIBRARY", help="over lull: the path of liblull-torch.so")
    parser.add_argument("--output", help="JSON file for the figures")
    given = parser.parse_args()
    try:
        import torch
    except ImportError:
        print("torch_sleep: there is no PyTorch here")
        return 77
    if not torch.cuda.is_available():
        print("torch_sleep: PyTorch sees no GPU")
        return 77

    lull = OverLull(torch, given.lull) if given.lull else None
    sizes = mixed_sizes(given.gib << 30)
    result = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "bytes": sum(sizes),
        "levels": dict(cases(torch, sizes, given.cycles, lull)),
    }

    gigabytes = result["bytes"] / 1e9
    print(f"{given.gib} GiB on {result['device']} (PyTorch {result['torch']})")
    print(f"{'case':<24} {'sleep s':>8} {'GB/s':>8} {'wake s':>8} {'GB/s':>8} {'first work':>11} "
          f"{'left':>12}")
    for name, cycles in result["levels"].items():
        for which, cycle in (("first", cycles[0]), ("last", cycles[-1])):
            print(f"{name + ', ' + which:<24} {cycle['sleep_s']:8.3f} "
                  f"{gigabytes / cycle['sleep_s']:8.2f} {cycle['wake_s']:8.3f} "
                  f"{gigabytes / cycle['wake_s']:8.2f} {cycle['first_work_s']:11.3f} "
                  f"{cycle['left_bytes'] / MIB:8.0f} MiB")
    if given.output:
        with open(given.output, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)
            file.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
