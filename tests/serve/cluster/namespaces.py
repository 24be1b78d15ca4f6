"""Network namespaces as the machines of a cluster: a hub with a bridge, and nodes that hang on it. Nothing of the
namespace that this was started in is touched, and whatever happens, a process of its own removes them."""

import ctypes
import os
import shutil
import signal
import subprocess
import time

CLONE_NEWNET = 0x40000000
SUBNET = "10.83.0"
IP = "ip"


class Impossible(Exception):
    """They cannot be made here."""


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Impossible(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def enter(name):
    """The calling thread goes there, and what it starts from then on."""
    libc = ctypes.CDLL(None, use_errno=True)
    file = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(file, CLONE_NEWNET) != 0:
            raise Impossible(f"cannot enter {name}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(file)


def processes_in(name):
    done = subprocess.run([IP, "netns", "pids", name], capture_output=True, text=True, check=False)
    return [int(each) for each in done.stdout.split()]


def remove(names, spared):
    for name in names:
        for _ in range(50):
            left = [each for each in processes_in(name) if each not in spared]
            if not left:
                break
            for each in left:
                try:
                    os.kill(each, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        subprocess.run([IP, "netns", "del", name], capture_output=True, check=False)


class Cluster:
    """The hub, which this process enters, and nodes by number from 0."""

    def __init__(self, nodes, ip="ip"):
        global IP
        IP = ip
        if os.geteuid() != 0:
            raise Impossible("it takes root to make network namespaces")
        if not shutil.which(IP):
            raise Impossible(f"there is no `{IP}` (Debian: iproute2)")
        self.hub = f"lull-{os.getpid()}-hub"
        self.nodes = [f"lull-{os.getpid()}-{number}" for number in range(nodes)]
        self._guard_end = None
        self._start_guard()
        try:
            self._make()
        except Impossible:
            self.close()
            raise

    def _start_guard(self):
        """Waits for the end of this process, whatever it dies of, and cleans up."""
        ours, its = os.pipe()
        mother = os.getpid()
        self._guard = os.fork()
        if self._guard == 0:
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            os.close(its)
            os.read(ours, 1)
            remove([*self.nodes, self.hub], {mother, os.getpid()})
            os._exit(0)
        os.close(ours)
        self._guard_end = its

    def _make(self):
        for name in (self.hub, *self.nodes):
            run(IP, "netns", "add", name)
            run(IP, "-n", name, "link", "set", "lo", "up")
        run(IP, "-n", self.hub, "link", "add", "bridge", "type", "bridge")
        run(IP, "-n", self.hub, "address", "add", f"{SUBNET}.1/24", "dev", "bridge")
        run(IP, "-n", self.hub, "link", "set", "bridge", "up")
        for number, name in enumerate(self.nodes):
            port = f"port{number}"
            run(IP, "-n", self.hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            run(IP, "-n", self.hub, "link", "set", port, "master", "bridge", "up")
            run(IP, "-n", name, "address", "add", f"{self.address(number)}/24", "dev", "eth0")
            run(IP, "-n", name, "link", "set", "eth0", "up")
        enter(self.hub)

    @staticmethod
    def address(number):
        return f"{SUBNET}.{number + 10}"

    def start(self, number, arguments, log):
        """A program on a node."""
        return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                preexec_fn=lambda: enter(self.nodes[number]))

    def processes_of(self, number):
        return processes_in(self.nodes[number])

    def close(self):
        """Ends what runs there, and removes them."""
        if self._guard_end is None:
            return
        os.close(self._guard_end)
        self._guard_end = None
        os.waitpid(self._guard, 0)
