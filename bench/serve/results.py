"""What was measured: a table for people, and JSON of Google Benchmark's family, as other benchmarks write."""

import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys


def context():
    cpu = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())
    version = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "host_name": platform.node(), "executable": sys.argv[0], "num_cpus": os.cpu_count(),
        "load_avg": list(os.getloadavg()), "cpu": cpu, "lull": version.stdout.strip() or "unknown"}


class Results:
    """Rounds of cases; each case has a way: direct, routed, or another word."""

    def __init__(self):
        self.rounds = {}
        self.rows = []
        self.claims = []
        self.context = context()

    def add(self, case, way, **figures):
        """One round."""
        self.rounds.setdefault((case, way), []).append(figures)

    def median(self, case, way, figure):
        return statistics.median(each[figure] for each in self.rounds[case, way])

    def range_of(self, case, way, figure):
        all_of_it = [each[figure] for each in self.rounds[case, way]]
        return min(all_of_it), max(all_of_it)

    def difference(self, case, figure):
        """Routed less direct, round by round."""
        pairs = zip(self.rounds[case, "routed"], self.rounds[case, "direct"])
        return statistics.median(routed[figure] - direct[figure] for routed, direct in pairs)

    def claim(self, text, measured, unit, target, better):
        self.claims.append({"claim": text, "measured": measured, "unit": unit, "target": target, "better": better})

    def row(self, *cells):
        """A line of the table: what it is, direct, routed, in comparison."""
        self.rows.append(cells)

    def print_table(self):
        head = ("case", "direct", "routed", "")
        widths = [max(len(row[i]) for row in [head, *self.rows]) for i in range(len(head))]
        for row in [head, *self.rows]:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        print()
        for each in self.claims:
            less = each["better"] == "less"
            met = each["measured"] <= each["target"] if less else each["measured"] >= each["target"]
            print(f"{'met   ' if met else 'MISSED'}  {each['claim']}: {each['measured']:.4g} {each['unit']}, "
                  f"{'at most' if less else 'at least'} {each['target']:g}")

    def write(self, path):
        entries = []
        for (case, way), rounds in self.rounds.items():
            name = f"{case}/{way}"
            for index, each in enumerate(rounds):
                entries.append({"name": name, "run_type": "iteration", "repetition_index": index, **each})
            entries.append({
                "name": f"{name}_median", "run_name": name, "run_type": "aggregate", "aggregate_name": "median",
                "repetitions": len(rounds),
                **{figure: value if isinstance(value, str) else self.median(case, way, figure)
                   for figure, value in rounds[0].items()}})
        text = json.dumps({"context": self.context, "benchmarks": entries, "claims": self.claims}, indent=2)
        pathlib.Path(path).write_text(text + "\n", encoding="utf-8")
