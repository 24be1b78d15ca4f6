"""Uses the installed Python package. Usage: use_lull.py FOLDER VERSION"""

import importlib.metadata
import sys

folder, version = sys.argv[1:]
sys.path.insert(0, folder)
import lull  # noqa: E402  (it is there from here on)

assert lull.__file__.startswith(folder), lull.__file__
assert lull.version() == version, lull.version()
found = importlib.metadata.distribution("lull")
assert found.version == version, found.version
points = [each for each in found.entry_points if each.group == "vllm.general_plugins"]
assert [(each.name, each.value) for each in points] == [("lull", "lull.vllm:register")], points
points[0].load()()  # there is no vLLM here, which is no failure

with lull.allocate(1 << 20, tag="weights") as buffer:
    buffer.write(b"contents")
    lull.sleep()
    lull.wake()
    assert buffer.read(8) == b"contents"
print("package of Python:", lull.library_path())
