#!/usr/bin/env python3
"""What engines on PyTorch do by hand to let weights sleep: copy every tensor to pinned host memory, free
it, empty the allocator's cache; to wake, allocate and copy back. Same sizes and figures as bench_sleep.

Exit codes: 0 done, 1 failed, 2 wrong usage, 77 there is no PyTorch or no GPU
"""

import argparse
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
    for i, tensor in enumerate(tensors):
        for at in (0, -1):
            if int(tensor[at]) != i % 251 + 1:
                raise RuntimeError(f"tensor {i} came back with other contents")
    return {"sleep_s": sleep_s, "wake_s": wake_s, "first_work_s": first_work_s, "left_bytes": left}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=int, default=8, help="size of the weights")
    parser.add_argument("--cycles", type=int, default=3, help="a case")
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

    sizes = mixed_sizes(given.gib << 30)
    result = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "bytes": sum(sizes),
        "levels": {},
    }
    for name, keep in (("pinned anew", False), ("pinned kept", True)):
        tensors = [torch.full((n,), i % 251 + 1, dtype=torch.uint8, device="cuda")
                   for i, n in enumerate(sizes)]
        pinned = []
        cycles = []
        for _ in range(given.cycles):
            cycles.append(run_cycle(torch, tensors, pinned))
            if not keep:
                pinned.clear()
                empty_host_cache(torch)
        result["levels"][name] = cycles
        del tensors, pinned
        torch.cuda.empty_cache()
        empty_host_cache(torch)

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
