#!/usr/bin/env python3
"""What `lull serve` adds to requests that go straight to the same server, in one run, by turns, with wrk and curl;
and how long the first byte takes, by how the model was found.

Exit codes: 0 done, 1 something did not start or failed, 2 wrong usage, 77 wrk or curl is missing
"""

import argparse
import json
import pathlib
import resource
import shutil
import socket
import sys
import tempfile

from first_byte import measure_first_bytes
from results import Results
from router import PATIENCE_S, Failed, Router, free_port, output_of, post

HERE = pathlib.Path(__file__).resolve().parent
CONNECTIONS = 64
OPEN_STREAMS = 2000
GIB = 1 << 30
# Milliseconds that a client pauses for, and what 64 of them ask in a second then.
PACES = {"paced, 3000/s": (10, 30), "paced, 10000/s": (2, 9)}


class Bench:
    """One upstream, reached directly and through the router."""

    def __init__(self, given, results):
        self.given = given
        self.results = results
        port = free_port()
        self.router = Router(given.build, {"a": {
            "cmd": f"{given.build}/bench/bench_serve_upstream {port}", "proxy": f"http://127.0.0.1:{port}",
            "memory": {"HOST": "100MiB"}}})
        post(self.router.port, "/v1/completions", {"model": "a"})  # which starts it
        self.ports = {"direct": port, "routed": self.router.port}

    def by_turns(self, measure):
        for _ in range(self.given.rounds):
            for way, port in self.ports.items():
                measure(way, port)

    def wrk(self, port, *pause):
        words = ["--", *pause] if pause else []
        text = output_of(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{self.given.seconds}s", "-s", HERE / "load.lua",
                          f"http://127.0.0.1:{port}/v1/completions", *words])
        seen = json.loads(text.splitlines()[-1])
        if seen["errors"] or not seen["requests"]:
            raise Failed(f"wrk: {text}")
        return {"real_time": seen["p50_us"], "time_unit": "us", "mean_us": seen["mean_us"], "p99_us": seen["p99_us"],
                "items_per_second": seen["requests"] / seen["seconds"]}

    def load(self, case, *pause):
        self.by_turns(lambda way, port: self.results.add(case, way, **self.wrk(port, *pause)))

    def latency(self):
        for case, pause in PACES.items():
            self.load(case, *pause)
            added = self.results.difference(case, "real_time") / 1e3
            self.results.row(f"{case}: median, 99 %", *self.times(case), f"+{added:.3f} ms at the median")
            self.results.claim(f"added at the median, {CONNECTIONS} connections, {case}", added, "ms", 0.3, "less")

    def medians(self, case, figure):
        return {way: self.results.median(case, way, figure) for way in self.ports}

    def times(self, case):
        median, late = self.medians(case, "real_time"), self.medians(case, "p99_us")
        return [f"{median[way]:.0f} us, {late[way] / 1e3:.1f} ms" for way in self.ports]

    def full_load(self):
        case = "full load"
        self.load(case)
        rate = self.medians(case, "items_per_second")
        mean = self.medians(case, "mean_us")
        self.results.row(f"{case}: requests/s, mean time",
                         *[f"{rate[way]:.0f}, {mean[way] / 1e3:.2f} ms" for way in self.ports],
                         f"{rate['routed'] / rate['direct']:.2f}")
        self.results.claim("small requests per second", rate["routed"], "1/s", 10000, "more")

    def events(self):
        case = "events of 64 streams"

        def measure(way, port):
            seen = json.loads(output_of([self.given.build / "bench/bench_serve_events", port, CONNECTIONS]))
            self.results.add(case, way, real_time=seen["p50_us"], time_unit="us", p99_us=seen["p99_us"],
                             events=seen["events"])
        self.by_turns(measure)
        self.results.row(f"{case}, 50/s each: median, 99 %", *self.times(case),
                         f"+{self.results.difference(case, 'real_time') / 1e3:.3f} ms at the median")

    def transfers(self):
        with tempfile.NamedTemporaryFile() as file:
            file.truncate(GIB)
            while file.read(1 << 20):  # from now on it is in the page cache
                pass
            asks = {"download of 1 GiB": ["/upstream/a/bytes/" + str(GIB)],
                    "upload of 1 GiB": ["/upstream/a/upload", "-T", file.name]}
            for case, (path, *options) in asks.items():
                def measure(way, port, case=case, path=path, options=options):
                    text = output_of(["curl", "-sS", "--fail", "-o", "/dev/null", "-w", "%{json}", *options,
                                      f"http://127.0.0.1:{port}{path}"])
                    seen = json.loads(text)
                    if seen["size_download"] + seen["size_upload"] < GIB:
                        raise Failed(f"{case}: {text}")
                    self.results.add(case, way, real_time=seen["time_total"], time_unit="s",
                                     bytes_per_second=GIB / seen["time_total"])
                self.by_turns(measure)
                rate = self.medians(case, "bytes_per_second")
                self.results.row(case, *[f"{each / 1e9:.2f} GB/s" for each in rate.values()],
                                 f"{rate['routed'] / rate['direct']:.2f}")

    def open_streams(self):
        """What the router holds while streams are open, each of which has had an event."""
        wanted = OPEN_STREAMS + 100
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < wanted:
            if hard != resource.RLIM_INFINITY and hard < wanted:
                raise Failed(f"{OPEN_STREAMS} streams need that many descriptors; the limit is {hard}")
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        before = self.router.resident_bytes()
        body = b'{"model":"a","stream":true}'
        request = (b"POST /v1/stream HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                   b"Content-Length: %d\r\n\r\n" % len(body)) + body
        streams = []
        try:
            for _ in range(OPEN_STREAMS):
                streams.append(socket.create_connection(("127.0.0.1", self.router.port), PATIENCE_S))
                streams[-1].sendall(request)
            for each in streams:
                seen = b""
                while b"data: one" not in seen:
                    piece = each.recv(4096)
                    if not piece:
                        raise Failed(f"a stream ended: {seen.decode()}")
                    seen += piece
            held = self.router.resident_bytes()
        finally:
            for each in streams:
                each.close()
        self.results.add("open streams", "routed", streams=OPEN_STREAMS, resident_bytes=held, before_bytes=before)
        self.results.row(f"{OPEN_STREAMS} open streams: resident", "", f"{held / 2**20:.1f} MiB",
                         f"{before / 2**20:.1f} MiB before")
        self.results.claim(f"resident with {OPEN_STREAMS} open streams", held / 2**20, "MiB", 64, "less")

    def close(self):
        self.router.close()


def main():
    options = argparse.ArgumentParser(description="What lull serve adds to requests")
    options.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/release"))
    options.add_argument("--output", type=pathlib.Path, help="where the results go, JSON")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=int, default=4, help="of each load by wrk")
    options.add_argument("--cases", default="latency,full_load,events,transfers,first_bytes,open_streams")
    given = options.parse_args()
    given.build = given.build.resolve()
    for program in ("wrk", "curl"):
        if shutil.which(program) is None:
            print(f"bench/serve/run.py: {program} is not installed (Debian: {program})", file=sys.stderr)
            return 77
    results = Results()
    cases = given.cases.split(",")
    try:
        bench = Bench(given, results)
        try:
            for case in cases:
                if case != "first_bytes":
                    getattr(bench, case)()
        finally:
            bench.close()
        if "first_bytes" in cases:
            measure_first_bytes(given, results)
    except Failed as failure:
        print(f"bench/serve/run.py: {failure}", file=sys.stderr)
        return 1
    results.print_table()
    if given.output:
        results.write(given.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
