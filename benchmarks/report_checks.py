"""What `planted_errors.py` and `verdicts.py` wrote, as tables: whole ones for the site, short ones for RESULTS.md."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from report_tables import table

if TYPE_CHECKING:
    from collections.abc import Iterable

Found = dict[str, Any]


def planted_totals(found: Found) -> list[str]:
    """Each checker: how many of the planted errors it finds, and how often it is wrong about what is right."""
    planted = found["planted"]
    header = ["", f"finds, of {len(planted)} errors", "false alarms", "on right programs", "ms a program"]
    body = []
    for name, seen in found["seen"].items():
        alarms = len(seen["alarms"]) + sum(name in row["false_alarms"] for row in planted)
        right = seen["programs"] + len(planted)
        each = f"{1e3 * seen['seconds'] / max(1, seen['programs']):.0f}"
        body.append([name, str(sum(row["found"][name] for row in planted)), str(alarms), f"{right:,}", each])
    either = [any(row["found"].get(f"torch {check}") for check in ("gradcheck", "gradgradcheck")) for row in planted]
    return [*table(header, body), "", f"By torch's gradcheck or its gradgradcheck: {sum(either)}."]


def planted_errors(found: Found) -> list[str]:
    """Each planted error: who finds it."""
    people = list(found["seen"])
    body = [
        [row["error"], *("found" if row["found"][name] else "**missed**" for name in people)]
        for row in found["planted"]
    ]
    return table(["error", *people], body, words=len(people) + 1)


def verdict_totals(found: Found) -> list[str]:
    """Each order: to how many digits the derivatives of all primitives agree with the oracle's."""
    header = ["order", "primitives", "least digits", "median", "least of the oracle"]
    body = []
    for order in _orders(found["primitives"]):
        own = [row for row in found["primitives"] if row["order"] == order]
        digits = [row["digits"] for row in own]
        least = f"{min(digits):.1f} (`{min(own, key=lambda row: row['digits'])['primitive']}`)"
        middle, oracle = statistics.median(digits), min(row["oracle_digits"] for row in own)
        body.append([str(order), str(len(own)), least, f"{middle:.1f}", f"{oracle:.1f}"])
    return [*table(header, body), *_wrong(found)]


def verdicts(found: Found) -> list[str]:
    """Each primitive: its digits, and the oracle's, at each order."""
    orders = _orders(found["primitives"])
    header = ["primitive", "cases", *(f"order {k}: digits (oracle's)" for k in orders), "oracle"]
    body = []
    for name in dict.fromkeys(row["primitive"] for row in found["primitives"]):
        own = {row["order"]: row for row in found["primitives"] if row["primitive"] == name}
        cells = [f"{own[k]['digits']:.1f} ({own[k]['oracle_digits']:.1f})" if k in own else "" for k in orders]
        oracles = sorted({oracle for row in own.values() for oracle in row["oracle"].split(" and ")})
        body.append([f"`{name}`", str(own[1]["cases"]), *cells, ", ".join(oracles)])
    return [*table(header, body), *_wrong(found)]


def origin(found: Found) -> list[str]:
    """Where the numbers come from."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    machine = f"{found['cpu']}, {found['cores']} cores, Python {found['python']}, {versions}"
    return [f"- `{found['command']}`: commit {found['commit']}, {machine}"]


def _orders(rows: Iterable[Found]) -> list[int]:
    return sorted({row["order"] for row in rows})


def _wrong(found: Found) -> list[str]:
    wrong = [row for row in found["cases"] if row["wrong"]]
    return [""] * bool(wrong) + [f"- WRONG: {row['case']}: {' '.join(row['wrong'].splitlines()[:2])}" for row in wrong]
