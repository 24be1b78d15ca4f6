#!/usr/bin/env python3
"""An inference server that does as the tests of the router tell it, by its arguments and by the
members of the requests' bodies. What happens to it stands in its journal, a line each."""

import argparse
import hashlib
import json
import os
import select
import signal
import sys
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

options = argparse.ArgumentParser()
options.add_argument("--port", type=int, required=True)
options.add_argument("--name", default="upstream")
options.add_argument("--journal")
options.add_argument("--ready-when", help="a file: until it is there, /health answers 503")
options.add_argument("--exit-when", help="a file: when it is there at the start, it exits with 3")
options.add_argument("--never-ready", action="store_true")
options.add_argument("--deaf", action="store_true", help="SIGTERM does nothing")
options.add_argument("--chatty", type=int, default=0, help="bytes that it writes to stderr at once")
options.add_argument("--hold", type=int, default=0, help="bytes of memory")
options.add_argument("--grow", type=int, default=0, help="bytes more with the first request")
options.add_argument("--gpu", type=int, default=0, help="bytes of each simulated GPU it sees, or of 0")
options.add_argument("--no-sleep", action="store_true", help="has no routes for sleeping")
options.add_argument("--no-tags", action="store_true", help="refuses to sleep in parts")
options.add_argument("--everywhere", action="store_true", help="listens on all addresses")
options.add_argument("--wake-status", type=int, default=200)
options.add_argument("--last-words", default="")
given = options.parse_args()

held = bytearray(os.urandom(4096)) * (given.hold // 4096)
grown = bytearray()
sleeping = set()  # the parts that sleep


def note(line):
    if given.journal:
        with open(given.journal, "a", encoding="utf-8") as journal:
            journal.write(f"{given.name} {line}\n")


def wait_for(path, gone=lambda: False):
    while not os.path.exists(path):
        if gone():
            return False
        time.sleep(0.005)
    return True


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def log_message(self, *arguments):
        pass

    def client_gone(self):
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            return bool(readable) and not self.connection.recv(1, 2)  # MSG_PEEK
        except OSError:
            return True

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                body += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, value, status=200, headers=()):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in headers:
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def upgrade(self):
        note("upgrade")
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "shout")
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        while text := self.connection.recv(4096):
            self.connection.sendall(text.upper())
        note("tunnel closed")

    def do_GET(self):
        path = self.path.split("?")[0]
        if "upgrade" in self.headers.get("Connection", "").lower():
            return self.upgrade()
        if path == "/health":
            ready = not given.never_ready and (
                not given.ready_when or os.path.exists(given.ready_when))
            return self.answer({"ready": ready}, 200 if ready else 503)
        note(f"GET {self.path}")
        if path == "/is_sleeping" and not given.no_sleep:
            return self.answer({"is_sleeping": bool(sleeping)})
        if path == "/slots":
            return self.answer([{"id": 0}])
        if path == "/to-the-end":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"until I close")
            self.close_connection = True
            return None
        return self.answer({"path": self.path}, 404 if path == "/is_sleeping" else 200)

    do_HEAD = do_GET

    def do_POST(self):
        global held, grown
        path, _, query = self.path.partition("?")
        tags = set(urllib.parse.parse_qs(query).get("tags", [])) or {"weights", "kv_cache"}
        if path == "/too-large":  # says so without reading it
            note("refuses")
            self.close_connection = True
            return self.answer({"error": "too large"}, 413)
        body = self.read_body()
        note(f"POST {self.path} {len(body)}")
        if path in ("/sleep", "/wake_up") and "tags=" in query and given.no_tags:
            return self.answer({"error": "there are no tags here"}, 400)
        if path == "/sleep" and not given.no_sleep:
            sleeping.update(tags)
            held = bytearray()
            return self.answer({"slept": True})
        if path == "/wake_up" and not given.no_sleep:
            if given.wake_status != 200:
                return self.answer({"error": "no memory"}, given.wake_status)
            sleeping.difference_update(tags)
            held = bytearray(os.urandom(4096)) * (given.hold // 4096)
            return self.answer({"woken": True})
        if path == "/upload":
            return self.answer({"bytes": len(body), "sha": hashlib.sha256(body).hexdigest()})
        if not path.startswith("/v1/"):
            return self.answer({"error": "no such route"}, 404)
        if given.grow and not grown:
            grown = bytearray(os.urandom(4096)) * (given.grow // 4096)
        if sleeping:
            note("asked while asleep")
            return self.answer({"error": "asleep"}, 500)
        kind = self.headers.get("Content-Type", "")
        asked = json.loads(body) if "json" in kind and body else {}
        if asked.get("die"):
            print(given.last_words, file=sys.stderr, flush=True)
            os._exit(3)
        time.sleep(asked.get("work", 0))
        if asked.get("gate") and not wait_for(asked["gate"], self.client_gone):
            note("client gone")
            self.close_connection = True
            return None
        if asked.get("hang_up") and os.path.exists(asked["hang_up"]):
            os.remove(asked["hang_up"])  # only once
            self.close_connection = True
            return None
        if asked.get("endless_header"):
            self.close_connection = True
            try:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while True:
                    self.wfile.write(b"X-Filler: " + b"x" * 1000 + b"\r\n")
            except OSError:
                note("client gone")
            return None
        if not asked.get("stream"):
            return self.answer({"name": given.name, "pid": os.getpid(), "asked": asked,
                                "body": hashlib.sha256(body).hexdigest(),
                                "variables": {name: os.environ.get(name)
                                              for name in asked.get("variables", [])},
                                "headers": dict(self.headers)})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if asked.get("header_first"):
            self.wfile.flush()
        for number in range(asked.get("events", 3)):
            if (number > 0 or asked.get("header_first")) and not wait_for(f"{asked['gates']}{number}", self.client_gone):
                note("client gone")
                self.close_connection = True
                return None
            if number == asked.get("die_at"):
                os._exit(3)
            event = f"data: {number}{'x' * asked.get('padding', 0)}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
        trailer = b"X-Sum: 7\r\n" if asked.get("trailer") else b""
        self.wfile.write(b"0\r\n" + trailer + b"\r\n")
        self.wfile.flush()
        return None


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


if given.deaf:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
note("start")
if given.exit_when and os.path.exists(given.exit_when):
    print(given.last_words, file=sys.stderr, flush=True)
    sys.exit(3)
if given.gpu:
    folder = os.environ["SIMGPU_PROCESSES"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")
    on_each = [given.gpu if str(number) in visible else 0 for number in range(2)]
    with open(f"{folder}/new-{os.getpid()}", "w", encoding="utf-8") as file:
        file.write(f"0 0 {on_each[0]} {on_each[1]}\n")
    os.rename(f"{folder}/new-{os.getpid()}", f"{folder}/{os.getpid()}")
if given.chatty:
    sys.stderr.write("x" * 99 + "\n" * 1)
    for _ in range(given.chatty // 100):
        sys.stderr.write("x" * 99 + "\n")
    sys.stderr.flush()
Server(("0.0.0.0" if given.everywhere else "127.0.0.1", given.port), Handler).serve_forever()
