"""How long the first byte of an answer takes, by how the model was found: by curl, from connecting on."""

import json
import os
import pathlib
import tempfile
import time

from router import Failed, Router, free_port, output_of, post, running, wait_until

# Each is asked for more often where it is quick.
HOT_ROUNDS = 20


def first_byte(port, path, body):
    text = output_of(["curl", "-sS", "--fail-with-body", "-w", "\n%{time_starttransfer}", "-H",
                      "Content-Type: application/json", "-d", json.dumps(body), f"http://127.0.0.1:{port}{path}"])
    return float(text.splitlines()[-1])


class Found:
    """Puts models away and asks for them again."""

    def __init__(self, given, results):
        self.given = given
        self.results = results

    def add(self, case, way, seconds):
        self.results.add(f"first byte, {case}", way, real_time=seconds * 1e3, time_unit="ms")

    def row(self, case):
        case = f"first byte, {case}"
        cells = {}
        for way in ("direct", "routed"):
            if (case, way) in self.results.rounds:
                cells[way] = f"{self.results.median(case, way, 'real_time'):.1f} ms"
        low, high = self.results.range_of(case, "routed", "real_time")
        self.results.row(case, cells.get("direct", ""), cells["routed"], f"routed {low:.1f} to {high:.1f} ms")

    def is_in(self, router, state):
        """Waits until the router has it so."""
        def now():
            return json.loads(output_of(["curl", "-sS", f"http://127.0.0.1:{router.port}/ui/state"]))
        wait_until(lambda: now()["models"][0]["state"] == state, f"the model is {state}")

    def example_server(self, folder):
        """With a model of 64 MiB in the host's memory; its own routes put it to sleep."""
        build = self.given.build
        model = folder / "model.gguf"
        output_of([build / "bench/bench_serve_model", model, 64])
        port, alone = free_port(), free_port()
        command = [build / "examples/server/lull-example-server", "--model", f"a={model}", "--device", "HOST",
                   "--kv-size", "0", "--offload-dir", folder, "--sleep-idle-seconds", "-1", "--port"]
        ask = {"model": "a", "prompt": "the same words", "n_predict": 1}
        with Router(build, {"a": {"cmd": " ".join(map(str, [*command, port])), "proxy": f"http://127.0.0.1:{port}",
                                  "memory": {"HOST": "200MiB"}, "ladder": "offload,discard,stop"}}) as router:
            with running([*command, alone], alone):
                ports = {"direct": alone, "routed": router.port}
                for _ in range(self.given.rounds):
                    for way, to in ports.items():
                        self.levels(way, to, ask)
            for _ in range(self.given.rounds):
                self.cold(router, [*command, alone], alone, ask)
        for case in ("hot", "offloaded", "discarded", "stopped"):
            self.row(case)

    def levels(self, way, port, ask):
        first_byte(port, "/completion", ask)  # brings it
        for _ in range(HOT_ROUNDS):
            self.add("hot", way, first_byte(port, "/completion", ask))
        for level, case in (1, "offloaded"), (2, "discarded"):
            post(port, f"/sleep?model=a&level={level}")
            self.add(case, way, first_byte(port, "/completion", ask))

    def cold(self, router, command, alone, ask):
        began = time.monotonic()
        with running(command, alone):
            self.add("stopped", "direct", time.monotonic() - began + first_byte(alone, "/completion", ask))
        post(router.port, "/models/unload", {"model": "a"})
        self.is_in(router, "stopped")
        self.add("stopped", "routed", first_byte(router.port, "/completion", ask))

    def suspended(self, folder):
        """By the driver, which is simulated: what it takes itself is not in this."""
        build = self.given.build
        processes = folder / "processes"
        processes.mkdir()
        environment = {"LD_LIBRARY_PATH": str(build / "simgpu"), "SIMGPU_VENDORS": "cuda", "SIMGPU": "total=1GiB",
                       "SIMGPU_PROCESSES": str(processes)}
        if not (build / "simgpu").is_dir():
            raise Failed("the simulated GPU is not built (target simgpu_fakes)")
        port = free_port()
        keys = {"cmd": f"{build}/bench/bench_serve_upstream {port} --gpu {500 << 20}",
                "proxy": f"http://127.0.0.1:{port}", "memory": {"CUDA0": "500MiB"}, "sleep": "driver"}
        with Router(build, {"a": keys}, "CUDA0", "700MiB", environment) as router:
            first_byte(router.port, "/v1/completions", {"model": "a"})
            for _ in range(self.given.rounds):
                post(router.port, "/sleep?model=a&level=suspend")
                self.is_in(router, "asleep")
                held = [int((processes / name).read_text().split()[0]) for name in os.listdir(processes)
                        if name.isdigit()]
                if 2 not in held:  # the simulator's word for it (tests/simgpu/suspend.cpp)
                    raise Failed(f"nothing is suspended: {held}")
                self.add("suspended (simulated)", "routed",
                         first_byte(router.port, "/v1/completions", {"model": "a"}))
        self.row("suspended (simulated)")


def measure_first_bytes(given, results):
    found = Found(given, results)
    for measure in found.example_server, found.suspended:
        with tempfile.TemporaryDirectory(prefix="lull-bench-serve-") as folder:
            measure(pathlib.Path(folder))
