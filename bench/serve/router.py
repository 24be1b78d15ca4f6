"""Programs that the benchmark of the router starts, and waits for."""

import contextlib
import json
import os
import pathlib
import select
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

PATIENCE_S = 60  # for a program to do what it should; nothing waits that long unless it fails


class Failed(Exception):
    """Something did not start, or did not answer as it should."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def wait_until(happened, what):
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {PATIENCE_S} s")
        time.sleep(0.001)


def output_of(command):
    """What a command writes; it has to succeed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def post(port, path, body=None, timeout=PATIENCE_S):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=json.dumps(body or {}).encode(),
        headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.read()
    except urllib.error.HTTPError as refused:
        raise Failed(f"{path}: {refused.code} {refused.read().decode()}") from refused


def answers(port, path="/health"):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE_S) as answer:
            return answer.status == 200
    except OSError:
        return False


class Router:
    """lull-serve with some models; `models` maps names to the keys of their configuration."""

    def __init__(self, build, models, device="HOST", capacity="4GiB", environment=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lull-bench-serve-"))
        config = self.folder / "serve.yaml"
        # YAML contains JSON.
        config.write_text(json.dumps({
            "devices": {device: {"capacity": capacity, "margin": 0}},
            "state_folder": str(self.folder / "state"),
            "models": models}), encoding="utf-8")
        self.log = self.folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [build / "tools/lull/lull-serve", "--config", config, "--listen", "127.0.0.1:0"],
                stdout=subprocess.PIPE, stderr=log, env={**os.environ, **(environment or {})})
        try:
            self.port = self.read_port()
        except BaseException:
            self.close()
            raise

    def read_port(self):
        readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        line = self.process.stdout.readline().decode() if readable else ""
        if not line.startswith("listening on "):
            raise Failed(f"lull-serve does not listen: {line}{self.log.read_text(encoding='utf-8')}")
        return int(line.rsplit(":", 1)[1])

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

    def close(self):
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()
        shutil.rmtree(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()


@contextlib.contextmanager
def running(command, port):
    """A server that is started without a router, and answers."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def ready():
            if process.poll() is not None:
                raise Failed(f"{command[0]} ended with {process.returncode}")
            return answers(port)
        wait_until(ready, f"{command[0]} answers")
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
