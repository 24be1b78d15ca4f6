"""The structs that ctypes has, compared with what the C compiler says of the headers; and functions with
their declarations."""

import ctypes
import os
import pathlib
import re
import shlex
import subprocess
import tempfile
import unittest

import lull
from lull import _c

ROOT = pathlib.Path(__file__).resolve().parents[3]
INCLUDES = [ROOT / "include", ROOT / "adapters" / "torch" / "include"]


def compiled_output(source):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "layout.c"
        path.write_text(source)
        program = path.with_suffix("")
        subprocess.run(
            shlex.split(os.environ.get("LULL_TEST_CC", "cc"))
            + ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
            + ["-o", str(program), str(path)]
            + [f"-I{each}" for each in INCLUDES],
            check=True,
        )
        return subprocess.run([program], check=True, capture_output=True, text=True).stdout


def declarations():
    text = "".join(
        path.read_text() for folder in INCLUDES for path in sorted(folder.rglob("*.h"))
    )
    return re.sub(r"\s+", " ", text)


class LayoutTest(unittest.TestCase):
    def test_structs_and_enumerators_are_those_of_the_headers(self):
        lines = [
            "#include <lull/torch.h>",
            "#include <lull/torch_memory_saver.h>",
            "#include <stdio.h>",
            "int main(void) {",
        ]
        expected = []

        def say(key, expression, value):
            lines.append(f'  printf("{key} %zu\\n", (size_t)({expression}));')
            expected.append(f"{key} {value}")

        for struct in _c.STRUCTS:
            name = struct.__name__
            say(name, f"sizeof({name})", ctypes.sizeof(struct))
            for field, _ in struct._fields_:
                member = getattr(struct, field)
                say(f"{name}.{field}", f"offsetof({name}, {field})", member.offset)
                say(f"{name}.{field}:", f"sizeof((({name}*)0)->{field})", member.size)
        for name in dir(_c):
            if name.startswith("LULL_"):
                say(name, name, getattr(_c, name))
        for each in lull.Status:
            name = "LULL_OK" if each is lull.Status.OK else f"LULL_ERROR_{each.name}"
            say(name, name, int(each))
        say("UNKNOWN", "LULL_UNKNOWN", _c.UNKNOWN)
        lines.append("}")
        self.assertEqual(compiled_output("\n".join(lines)).splitlines(), expected)

    def test_each_status_has_a_name(self):
        found = re.findall(r"LULL_ERROR_(\w+) = (\d+)", declarations())
        self.assertEqual(
            {name: int(value) for name, value in found},
            {each.name: int(each) for each in lull.Status if each is not lull.Status.OK},
        )

    def test_functions_have_as_many_parameters_as_in_the_headers(self):
        text = declarations()
        for name, result, parameters in _c.FUNCTIONS:
            found = re.search(rf"LULL_API ([\w ]+?\**) ?{name}\(([^)]*)\);", text)
            self.assertIsNotNone(found, name)
            given = found.group(2)
            count = 0 if given == "void" else given.count(",") + 1
            self.assertEqual(count, len(parameters), name)
            returns = found.group(1).replace(" ", "")
            self.assertEqual(returns == "void", result is None, name)
            if "char*" in returns:
                self.assertIs(result, ctypes.c_char_p, name)

    def test_the_library_is_of_the_headers_version(self):
        text = (ROOT / "include" / "lull" / "version.h").read_text()
        numbers = re.findall(r"#define LULL_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", text)
        self.assertEqual(lull.version(), ".".join(numbers))


if __name__ == "__main__":
    unittest.main()
