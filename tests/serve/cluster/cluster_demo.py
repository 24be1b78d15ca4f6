#!/usr/bin/env python3
"""Three routers in three network namespaces as the nodes of a cluster, a controller that knows of them what a fleet
knows, and 20 models, of which the nodes together have room for about half. One node is killed and one is told to end
while clients ask for models. No request may be lost that could be served.

Exit status: 0 all checks passed, 1 one failed, 2 wrong usage, 77 skipped: namespaces cannot be made here."""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

import namespaces
from controller import Broken, Controller, Node, Request, call

NODES = 3
MODELS = [f"m{number:02}" for number in range(20)]
NODE_BYTES = 240 << 20
SERVER_BYTES = 32 << 20  # of a server besides what it holds, at most
ASLEEP_BYTES = 24 << 20
GROWTH_BYTES = 12 << 20
TOKEN = "only-for-these-namespaces"
PATIENCE = 60.0  # a loaded machine stands still for seconds
SKIPPED = 77

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--router", required=True, help="the program lull-serve")
options.add_argument("--upstream", default=os.path.join(os.path.dirname(__file__), "..", "upstream.py"))
options.add_argument("--seconds", type=float, default=8.0, help="of each of the five phases, at most")
options.add_argument("--requests", type=int, default=800, help="of each phase, at most")
options.add_argument("--clients", type=int, default=8)
options.add_argument("--seed", type=int, default=1)
options.add_argument("--ip", default="ip", help="the program that makes namespaces")


def say(words):
    print(words, flush=True)


def model_bytes(number):
    return (16 + 8 * (number % 4)) << 20


class Demo:
    """The nodes, the clients, and what is found out."""

    def __init__(self, given, cluster, folder):
        self.given = given
        self.cluster = cluster
        self.folder = folder
        self.random = random.Random(given.seed)
        self.routers = [None] * NODES
        self.controller = Controller([Node(f"node{n}", cluster.address(n)) for n in range(NODES)], TOKEN)
        self.requests = []
        self.lost = []
        self.failures = []
        self.rows = []
        self._lock = threading.Lock()

    def check(self, right, words):
        say(f"  {'passed' if right else 'FAILED'}: {words}")
        if not right:
            self.failures.append(words)

    def wait_until(self, condition, words):
        until = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > until:
                self.check(False, words)
                return False
            time.sleep(0.02)
        return True

    # Nodes ----------------------------------------------------------------------------------------

    def start_node(self, number):
        folder = os.path.join(self.folder, f"node{number}")
        os.makedirs(folder, exist_ok=True)
        file = os.path.join(folder, "serve.yaml")
        with open(file, "w", encoding="utf-8") as to:
            to.write(f"listen: {self.cluster.address(number)}:8080\ntoken: {TOKEN}\nstate_folder: {folder}\n"
                     f"devices: {{HOST: {{capacity: {NODE_BYTES}, margin: 0}}}}\n"
                     "drain: {delay: 1s, requests: 20s, total: 40s}\n"
                     "max_wait: 20s\nfair_wait: 2s\nmodels:\n")
            for place, name in enumerate(MODELS):
                held = model_bytes(place)
                to.write(f"  {name}: {{memory: {{HOST: {held + SERVER_BYTES}}},\n"
                         f"    ladder: [{{level: offload, left: {{HOST: {ASLEEP_BYTES}}}}}, stop],\n    cmd: "
                         f"'python3 -S -E {self.given.upstream} --name {name} --port ${{PORT}} --hold {held}'}}\n")
        with open(os.path.join(folder, "log"), "ab") as log:
            self.routers[number] = self.cluster.start(number, [self.given.router, "--config", file], log)

    def node_is_ready(self, number):
        return self.wait_until(lambda: self.controller.nodes[number].ready, f"node{number} becomes ready")

    # Clients --------------------------------------------------------------------------------------

    def client(self, until, enough, seed):
        own = random.Random(seed)
        while time.monotonic() < until and not enough():
            # A few are wanted often, and all at times.
            place = min(int(own.paretovariate(0.7)) - 1, len(MODELS) - 1)
            asked = Request(self.controller, MODELS[(place * 7) % len(MODELS)], {"work": own.uniform(0.01, 0.08)})
            answered = asked.run(time.monotonic() + PATIENCE)
            with self._lock:
                self.requests.append(asked)
                if not answered:
                    self.lost.append(asked)

    def phase(self, words, meanwhile=lambda: None):
        """Clients ask for a time, or until they have asked often enough; `meanwhile` happens early in it."""
        first = len(self.requests)
        until = time.monotonic() + self.given.seconds
        done = threading.Event()

        def enough():
            return done.is_set() and len(self.requests) - first >= self.given.requests

        threads = [threading.Thread(target=self.client, args=(until, enough, self.random.random()))
                   for _ in range(self.given.clients)]
        began = time.monotonic()
        for each in threads:
            each.start()
        self.wait_until(lambda: len(self.requests) - first >= self.given.clients, "clients are answered")
        meanwhile()
        done.set()
        for each in threads:
            each.join()
        self.rows.append((words, self.requests[first:], time.monotonic() - began))

    # What happens ---------------------------------------------------------------------------------

    def begin(self):
        for number in range(NODES):
            self.start_node(number)
        up = self.wait_until(self._all_are_ready, "all nodes become ready")
        states = {entry["state"] for node in self.controller.nodes for entry in node.models.values()}
        self.check(up and states == {"stopped"}, "looks at all nodes have loaded nothing")
        self.controller.start()
        return up

    def _all_are_ready(self):
        self.controller.look()
        return all(node.ready for node in self.controller.nodes)

    def kill(self):
        """The router alone: what it has started lives on, as after its crash."""
        router, self.routers[2] = self.routers[2], None
        router.send_signal(signal.SIGKILL)
        router.wait()
        self.wait_until(lambda: not self.controller.nodes[2].ready, "the controller notices that node2 is gone")

    def restart_killed(self):
        left = self.cluster.processes_of(2)
        self.start_node(2)
        if self.node_is_ready(2):
            alive = set(left) & set(self.cluster.processes_of(2))
            self.check(not alive, f"the new router of node2 has ended the {len(left)} servers of the one before")

    def drain(self):
        router, self.routers[1] = self.routers[1], None
        told = time.monotonic()
        router.send_signal(signal.SIGTERM)
        self.wait_until(lambda: not self.controller.nodes[1].ready, "node1 says that it is not ready")
        try:
            code = router.wait(PATIENCE)
        except Exception:
            code = None
        took = time.monotonic() - told
        self.check(code == 0, f"node1 has ended with {code} after {took:.1f} s, no request cut off")
        self.check(not self.cluster.processes_of(1), "nothing of node1 is left")
        self.drained_at = told

    def restart_drained(self):
        self.start_node(1)
        self.node_is_ready(1)

    def run(self):
        if not self.begin():
            return False
        self.phase("three nodes")
        self.phase("node2 is killed", self.kill)
        self.phase("node2 is back", self.restart_killed)
        self.phase("node1 drains", self.drain)
        self.phase("node1 is back", self.restart_drained)
        self.controller.close()
        return True

    # What came of it ------------------------------------------------------------------------------

    def judge(self):
        say("")
        say(f"{'PHASE':<16} {'SECONDS':>7} {'REQUESTS':>8} {'LOST':>5} {'AGAIN':>6} {'AWAKE':>6} {'ASLEEP':>6} "
            f"{'COLD':>5} {'P50 MS':>7} {'P99 MS':>7}")
        for words, all_of_it, seconds in self.rows:
            times = sorted(1000 * (each.ended - each.began) for each in all_of_it if each.ended) or [0]
            found = [each.found for each in all_of_it]
            say(f"{words:<16} {seconds:>7.1f} {len(all_of_it):>8} {sum(each in self.lost for each in all_of_it):>5} "
                f"{sum(len(each.tries) - 1 for each in all_of_it if each.tries):>6} {found.count('ready'):>6} "
                f"{found.count('asleep'):>6} {len(found) - found.count('ready') - found.count('asleep'):>5} "
                f"{times[len(times) // 2]:>7.0f} {times[int(len(times) * 0.99)]:>7.0f}")
        say("")
        asked = {name for each in self.requests for name in [each._model]}
        cut = [each for each in self.requests for node, when, what in each.tries
               if node == "node1" and what == "Broken" and when < self.drained_at]
        self.check(not self.lost, f"{len(self.requests)} requests for {len(asked)} models, {len(self.lost)} lost")
        for each in self.lost[:3]:
            say(f"    {each._model}: {each.tries}")
        self.check(not cut, f"{len(cut)} requests broken that node1 had when it was told to end")
        # A server that has grown since it was measured last is more than was expected when it is loaded again.
        self.check(self.controller.most_beyond <= GROWTH_BYTES,
                   f"{self.controller.looks} looks at the books of all nodes, at most "
                   f"{self.controller.most_beyond >> 20} MiB beyond a limit")
        say(f"  the controller has put {self.controller.slept} to sleep and woken {self.controller.woken}")

    def end(self):
        for number, router in enumerate(self.routers):
            if router is None:
                continue
            for _ in range(2):  # at once
                router.send_signal(signal.SIGTERM)
                time.sleep(0.05)
            router.wait(PATIENCE)
            self.check(not self.cluster.processes_of(number), f"nothing of node{number} is left")


def main():
    given = options.parse_args()
    given.router, given.upstream = os.path.abspath(given.router), os.path.abspath(given.upstream)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        cluster = namespaces.Cluster(NODES, given.ip)
    except namespaces.Impossible as why:
        say(f"SKIPPED: {why}")
        return SKIPPED
    folder = tempfile.mkdtemp(prefix="lull-cluster-")
    demo = Demo(given, cluster, folder)
    try:
        if demo.run():
            demo.judge()
        demo.end()
        if demo.failures:
            for number in range(NODES):
                with open(os.path.join(folder, f"node{number}", "log"), encoding="utf-8", errors="replace") as log:
                    say(f"-- the end of node{number}'s log\n{''.join(log.readlines()[-15:])}")
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)
    say(f"cluster: {'FAILED: ' + '; '.join(demo.failures) if demo.failures else 'all checks passed'}")
    return 1 if demo.failures else 0


if __name__ == "__main__":
    sys.exit(main())
