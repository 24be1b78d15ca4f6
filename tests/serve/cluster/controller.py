"""A controller of a few nodes with `lull serve`. It knows what the fleet sees and no more: whether a node is ready, its
books (GET /budget), OpenAI's routes, and sleep and wake. It sends each request where it is answered soonest, moves on
where a node does not answer, and puts to sleep what is awake twice."""

import http.client
import json
import threading
import time

POLL_SECONDS = 0.1
COLD_MS = 2000  # until a node has seen how long a start takes
ASLEEP_MS = 500


class Refused(Exception):
    """The node has said that it does not serve this now: it has done nothing."""


class Broken(Exception):
    """The connection has failed, before the whole answer was there."""


def call(address, method, path, body=None, token=None, timeout=5.0):
    """@return status and JSON. Throws Broken."""
    connection = http.client.HTTPConnection(address, 8080, timeout=timeout)
    headers = {"Content-Type": "application/json", "Connection": "close"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None
    except (OSError, http.client.HTTPException, ValueError) as failure:
        raise Broken(f"{type(failure).__name__}: {failure}") from failure
    finally:
        connection.close()


class Node:
    """What is known of a node."""

    def __init__(self, name, address):
        self.name = name
        self.address = address
        self.ready = False
        self.why = "not asked yet"
        self.models = {}
        self.device = {}
        self.sent = {}  # requests under way from here, by model


class Controller:
    """Looks after the nodes on a thread of its own."""

    def __init__(self, nodes, token):
        self.nodes = nodes
        self.token = token
        self.looks = 0
        self.most_beyond = 0  # bytes that were booked and that there is no room for
        self.slept = 0
        self.woken = 0
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()

    def close(self):
        self._ending.set()
        self._thread.join()

    # Looking --------------------------------------------------------------------------------------

    def look(self):
        """Asks each node once. Nothing is started or woken by that."""
        for node in self.nodes:
            was_ready = node.ready
            try:
                status, said = call(node.address, "GET", "/health/ready", timeout=2.0)
                _, books = call(node.address, "GET", "/budget", timeout=2.0)
            except Broken as failure:
                self._lose(node, was_ready, str(failure))
                continue
            assert books["version"] == 1
            device = books["devices"][0]
            beyond = device["booked_bytes"] - device["capacity_bytes"] + device["margin_bytes"]
            self.most_beyond = max(self.most_beyond, beyond)
            with self._lock:
                node.device = device
                node.models = {each["name"]: each for each in books["models"]}
                node.ready = status == 200
                node.why = said.get("why", "")
            if was_ready and not node.ready:
                self._bring_elsewhere(node)
        self.looks += 1

    def _lose(self, node, was_ready, why):
        node.ready, node.why = False, why
        if was_ready:
            self._bring_elsewhere(node)
        node.models = {}

    def _run(self):
        while not self._ending.wait(POLL_SECONDS):
            self.look()
            self._tidy()

    # Choosing -------------------------------------------------------------------------------------

    def _cost_ms(self, node, model):
        """Until an answer begins; absent: it does not serve it."""
        entry = node.models.get(model)
        if not node.ready or entry is None or not entry["ready"]:
            return None
        crowd = 20 * node.sent.get(model, 0)
        if entry["state"] == "ready":
            return crowd
        expected = entry["expected_ms"]
        if entry["state"] == "asleep":
            return crowd + (ASLEEP_MS if expected is None else expected) + self._room_ms(node, entry)
        return crowd + (COLD_MS if expected is None else expected) + self._room_ms(node, entry)

    @staticmethod
    def _room_ms(node, entry):
        """What it costs that others leave for it first."""
        device = node.device
        more = entry["awake_bytes"].get(device["id"], 0) - entry["bytes"].get(device["id"], 0)
        if more <= device["free_bytes"]:
            return 0
        return 300 if more <= device["free_bytes"] + device["freeable_bytes"] else 3000

    def choose(self, model, but):
        with self._lock:
            costs = [(self._cost_ms(node, model), node.name, node) for node in self.nodes if node not in but]
            costs = [each for each in costs if each[0] is not None]
            if not costs:
                return None, None
            node = min(costs, key=lambda each: each[:2])[2]
            node.sent[model] = node.sent.get(model, 0) + 1
            return node, node.models[model]["state"]

    def complete(self, node, model, body):
        """Sends a request there. Throws Refused and Broken."""
        try:
            status, answer = call(node.address, "POST", "/v1/chat/completions", {**body, "model": model}, timeout=60.0)
        finally:
            with self._lock:
                node.sent[model] -= 1
        if status in (429, 502, 503):
            raise Refused(f"{status}: {answer}")
        return status, answer

    # Placing --------------------------------------------------------------------------------------

    def _tidy(self):
        """What is awake on two nodes and idle on one of them sleeps there: its room is for others."""
        by_model = {}
        for node in self.nodes:
            for name, entry in node.models.items():
                if node.ready and entry["state"] == "ready":
                    by_model.setdefault(name, []).append((node, entry))
        for name, places in by_model.items():
            idle = [each for each in places if each[1]["active"] == 0 and (each[1]["idle_ms"] or 0) > 500]
            if len(places) < 2 or not idle:
                continue
            node = min(idle, key=lambda each: each[0].device["free_bytes"])[0]
            self.slept += self._order(node, f"/sleep?model={name}&level=1")

    def _bring_elsewhere(self, lost):
        """What was awake there and nowhere else is woken where there is room for it, before somebody asks."""
        room = {node: node.device.get("free_bytes", 0) for node in self.nodes if node.ready}
        for name, entry in lost.models.items():
            others = [node.models.get(name, {}).get("state") for node in room]
            if entry["state"] != "ready" or "ready" in others or not room:
                continue
            node = max(room, key=room.get)
            room[node] -= sum(entry["awake_bytes"].values())
            if room[node] < 0:
                return
            # It is answered when it has begun.
            self.woken += self._order(node, "/models/load", {"model": name})

    def _order(self, node, path, body=None):
        try:
            return call(node.address, "POST", path, body, self.token)[0] == 200
        except Broken:
            return False


class Request:
    """One request, until it is answered or nobody could."""

    def __init__(self, controller, model, body):
        self.began = time.monotonic()
        self.ended = None
        self.tries = []  # (node, when, what came of it)
        self.found = None
        self._controller, self._model, self._body = controller, model, body

    def run(self, until):
        """@return whether it was answered, by its model"""
        refused_by = set()
        while time.monotonic() < until:
            node, state = self._controller.choose(self._model, refused_by)
            if node is None:
                refused_by.clear()
                time.sleep(0.05)
                continue
            began = time.monotonic()
            try:
                status, answer = self._controller.complete(node, self._model, self._body)
            except (Refused, Broken) as why:
                self.tries.append((node.name, began, type(why).__name__))
                refused_by.add(node)
                continue
            self.tries.append((node.name, began, str(status)))
            self.found, self.ended = state, time.monotonic()
            return status == 200 and answer["name"] == self._model
        return False
