"""For pip; `cmake --install` needs none of it. The version is written in include/lull/version.h alone."""

import pathlib
import re

from setuptools import setup

header = pathlib.Path(__file__).resolve().parents[2] / "include" / "lull" / "version.h"
numbers = dict(re.findall(r"#define LULL_VERSION_(MAJOR|MINOR|PATCH) (\d+)", header.read_text()))
setup(version=".".join(numbers[each] for each in ("MAJOR", "MINOR", "PATCH")))
