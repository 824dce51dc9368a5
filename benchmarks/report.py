"""RESULTS.md from result files: every number in it was written by the program that measured it.

    python benchmarks/report.py --sinusoid OUT [OUT ...] --omniglot OUT [OUT ...] --rl OUT [OUT ...]
        --benchmarks FILE [FILE ...] --planted FILE --verdicts FILE --to RESULTS.md

Each OUT is an output folder of `examples/sinusoid.py`, `examples/omniglot.py`, `examples/navigation2d.py` or
`examples/locomotion.py` (results.json, run.json), each FILE what a benchmark, planted_errors.py or verdicts.py wrote
with `--json`. Sinusoid runs that differ in the seed only are averaged.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from report_checks import origin, planted_totals, verdict_totals
from report_omniglot import omniglot
from report_rl import reinforcement, ways
from report_sinusoid import sinusoid
from report_tables import Rows, read_run, table


def benchmark(path: Path) -> list[str]:
    """The sections on what a benchmark measured."""
    lines = []
    rows: Rows = json.loads(path.read_text())
    for title in dict.fromkeys(row["benchmark"] for row in rows):
        own = [row for row in rows if row["benchmark"] == title]
        lines += [f"### {title}", ""]
        lines += _contenders([row for row in own if "contender" in row])
        lines += _kernels([row for row in own if "shape" in row])
        lines += ways([way for row in own for way in row.get("ways", [])])
        for row in own:
            for what, value, bound in row.get("claims", []):
                verdict = "" if bound is None else f", asked at most {bound:g}: {'met' if value <= bound else 'MISSED'}"
                lines += [f"- {value:.2f} {what}{verdict}"]
            if "target" in row:
                met = "met" if row["ratio"] <= row["at_most"] else "MISSED"
                lines += [
                    f"- {row['target']}: {row['ratio']:.2f} x {row['peer']}, asked at most {row['at_most']:g}: {met}"
                ]
        lines += [""]
    last = rows[-1]
    versions = ", ".join(f"{name} {version}" for name, version in last["versions"].items())
    origin = f"commit {last['commit']}, {last['cpu']}, {last['cores']} cores, Python {last['python']}, {versions}"
    return [*lines, f"- `{last['command']}`: {origin}", ""]


def _contenders(rows: Rows) -> list[str]:
    """The work of one benchmark, done by each library."""
    if not rows:
        return []
    header = ["", "median, µs", "fastest, µs", "relative to the first"]
    body = [
        [r["contender"], f"{r['median_s'] * 1e6:.0f}", f"{r['fastest_s'] * 1e6:.0f}", f"{r['relative_to_first']:.2f}"]
        for r in rows
    ]
    if "peak_bytes" in rows[0]:
        header.append("peak memory, MB")
        for cells, r in zip(body, rows, strict=True):
            cells.append(f"{r['peak_bytes'] / 1e6:.1f}")
    return [*table(header, body), "", f"Floor of the machine: {rows[0]['floor_s'] * 1e6:.0f} µs.", ""]


def _kernels(rows: Rows) -> list[str]:
    """One kernel on each shape."""
    if not rows:
        return []
    body = []
    for r in rows:
        beside = ["-"] * 2 if r["torch"] is None else [f"{r['torch_s'] * 1e6:.0f}", f"{r['speed']:.2f}"]
        mark = "" if r["needed"] else " \\*"
        body.append([r["shape"] + mark, f"{r['metagrad_s'] * 1e6:.0f}", f"{r['share']:.0%}", *beside])
    header = ["", "metagrad, µs", f"share of {rows[0]['share_of']}", "torch, µs", "speed, in torch's"]
    note = [] if all(r["needed"] for r in rows) else ["\\* No net needs it: the images are data.", ""]
    return [*table(header, body), "", *note]


def on_gpu(path: Path | None) -> list[str]:
    """What was measured on a GPU, or that nothing was."""
    lines = ["## On a GPU", ""]
    if path is None:
        return [*lines, "Not measured: `benchmarks/on_gpu.sh` has not been run on one.", ""]
    rows = json.loads(path.read_text())
    return [*lines, f"Device: {rows[-1]['device']}.", "", *benchmark(path)]


def checks(planted: Path | None, verdicts: Path | None) -> list[str]:
    """The sections on derivatives that were checked."""
    lines = ["## Derivatives, checked", ""]
    if planted:
        found = json.loads(planted.read_text())
        lines += [
            "### Who finds planted errors, and who cries wolf",
            "",
            *planted_totals(found),
            "",
            *origin(found),
            "",
        ]
    if verdicts:
        found = json.loads(verdicts.read_text())
        lines += ["### Every primitive against numeric derivatives", "", *verdict_totals(found), "", *origin(found), ""]
    return [*lines, "Error by error and primitive by primitive: `docs/verified.md`, as the site shows it.", ""]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--sinusoid", type=Path, nargs="+", default=[], metavar="OUT")
    parser.add_argument("--omniglot", type=Path, nargs="+", default=[], metavar="OUT")
    parser.add_argument("--rl", type=Path, nargs="+", default=[], metavar="OUT")
    parser.add_argument("--benchmarks", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--planted", type=Path, metavar="FILE", help="of planted_errors.py")
    parser.add_argument("--verdicts", type=Path, metavar="FILE", help="of verdicts.py")
    parser.add_argument("--gpu", type=Path, metavar="FILE", help="of maml_gpu.py")
    parser.add_argument("--to", type=Path, required=True, metavar="RESULTS.md")
    args = parser.parse_args()
    lines = ["# Results", "", "Written by `benchmarks/report.py` from the files that the runs wrote.", ""]
    if args.sinusoid:
        lines += sinusoid([read_run(folder) for folder in args.sinusoid])
    if args.omniglot:
        lines += omniglot([read_run(folder) for folder in args.omniglot])
    if args.rl:
        lines += reinforcement([read_run(folder) for folder in args.rl])
    if args.planted or args.verdicts:
        lines += checks(args.planted, args.verdicts)
    if args.benchmarks:
        lines += ["## Speed and memory", ""]
        for path in args.benchmarks:
            lines += benchmark(path)
    lines += on_gpu(args.gpu)
    args.to.write_text("\n".join(lines).rstrip() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
