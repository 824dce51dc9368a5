"""Every primitive's derivatives of orders 1 to 3 against a numeric oracle: to how many digits they agree.

Runs the table of cases that the tests have (tests/battery/cases) through check_gradients. A primitive's row has the
worst of all cases that it appears in, in every combination of modes; digits count from the size of what is summed, and
16 is all that float64 has. Where an oracle is good to fewer digits than agree, the oracle is the limit.

    python benchmarks/verdicts.py [--only WORD] [--json FILE] [--markdown FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _common import announce, provenance
from report_checks import verdicts

import metagrad as mg
from metagrad.errors import MetagradError
from metagrad.testing import check_gradients

if TYPE_CHECKING:
    from metagrad.testing import Report

ORDERS = (1, 2, 3)
Row = dict[str, Any]


def cases(word: str) -> list[Any]:
    """The battery's cases with derivatives, whose name has the word."""
    tests = Path(__file__).parents[1] / "tests"
    sys.path[:0] = [str(tests), str(tests / "battery")]
    from cases import CASES

    return [case for case in CASES if case.args and case.moving and case.derivative == "smooth" and word in case.id]


def verdict(case: Any) -> Row:
    """What a case's derivatives come to, order by order."""
    args = [mg.asarray(x) for x in case.example()]
    names = sorted({equation.primitive.name for equation in mg.make_graph(case.f)(*args).equations})
    row: Row = {"case": case.id, "primitives": names, "orders": [], "wrong": ""}
    try:
        report = check_gradients(case.f, args, order=max(ORDERS))
    except (AssertionError, MetagradError) as error:
        row["wrong"] = str(error)
        return row
    row["orders"] = [_order(report, order) for order in ORDERS if any(v.order == order for v in report.verdicts)]
    return row


def _order(report: Report, order: int) -> Row:
    found = [v for v in report.verdicts if v.order == order]
    return {
        "order": order,
        "numbers": len(found),
        "digits": round(report.digits(order), 2),
        "oracle": " and ".join(sorted({v.oracle for v in found})),
        "oracle_digits": round(report.oracle_digits(order), 2),
    }


def by_primitive(rows: list[Row]) -> list[Row]:
    """The worst case of each primitive at each order."""
    found = []
    for name in sorted({name for row in rows for name in row["primitives"]}):
        own = [row for row in rows if name in row["primitives"]]
        for order in ORDERS:
            at = [o for row in own for o in row["orders"] if o["order"] == order]
            if at:
                oracles = sorted({oracle for o in at for oracle in o["oracle"].split(" and ")})
                found.append(
                    {
                        "primitive": name,
                        "order": order,
                        "cases": len(at),
                        "digits": min(o["digits"] for o in at),
                        "oracle": " and ".join(oracles),
                        "oracle_digits": min(o["oracle_digits"] for o in at),
                    }
                )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="WORD", help="the cases with this word in their name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all cases and primitives to this file")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table of primitives to this file")
    options = parser.parse_args()
    announce()
    start = time.perf_counter()
    rows = [verdict(case) for case in cases(options.only)]
    found = {"cases": rows, "primitives": by_primitive(rows), **provenance()}
    text = "\n".join(verdicts(found)) + "\n"
    print(f"{text}\n{len(rows)} cases, {time.perf_counter() - start:.0f} s.")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if options.markdown:
        options.markdown.write_text(text, "utf-8")
    if wrong := sum(bool(row["wrong"]) for row in rows):
        sys.exit(f"{wrong} cases are wrong")


if __name__ == "__main__":
    main()
