"""Who finds wrong derivatives: our checks, torch.autograd's gradcheck and gradgradcheck, JAX's check_grads.

Each error of the catalogue is planted in all three libraries. Then come random programs that are right, from seeds, on
which nobody should raise an alarm. With --json a run that was stopped goes on where it was, and runs over other seeds
(--first) are joined by --join.

    python benchmarks/planted_errors.py [--cases N] [--first SEED] [--json FILE]
    python benchmarks/planted_errors.py --join FILE FILE ... [--json FILE]
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _common import build, need, provenance
from planted_catalogue import (
    CATALOGUE,
    Planted,
    jax_operation,
    jax_space,
    metagrad_operation,
    metagrad_space,
    torch_operation,
    torch_space,
)
from planted_programs import Program

from metagrad import testing

if TYPE_CHECKING:
    from collections.abc import Callable

SAVE_EVERY = 100


class Checker:
    """Somebody who checks functions of a library. `alarm` says why it takes a derivative for wrong, or nothing."""

    name: str

    def planted(self, planted: Planted) -> Any:
        raise NotImplementedError

    def program(self, program: Program) -> Any:
        raise NotImplementedError

    def alarm(self, f: Any, args: Any, forward: bool, reverse: bool = True) -> str:
        raise NotImplementedError


class Ours(Checker):
    """check_gradients of order 2, in the modes that the function has."""

    def __init__(self, name: str, wrap: Callable[[Any], Any], make: Callable[[Planted], Any], space: Any) -> None:
        self.name, self.wrap, self.make, self.space = name, wrap, make, space

    def planted(self, planted: Planted) -> Any:
        return self.wrap(self.make(planted))

    def program(self, program: Program) -> Any:
        return self.wrap(program.bound(self.space))

    def alarm(self, f: Any, args: Any, forward: bool, reverse: bool = True) -> str:
        modes = ["reverse"] * reverse + ["forward"] * forward
        try:
            testing.check_gradients(f, args, order=2, modes=modes)
        except (AssertionError, testing.NotMeasuredError) as error:
            return str(error)
        except NotImplementedError:  # JAX cannot transpose such a tangent: it has forward mode alone
            return self.alarm(f, args, forward, reverse=False) if reverse else ""
        return ""


class Torch(Checker):
    """gradcheck, or gradgradcheck, with its defaults; forward mode where the function has it."""

    def __init__(self, which: str) -> None:
        self.torch = need("torch")
        self.error = need("torch.autograd.gradcheck").GradcheckError
        self.name, self.which, self.space = f"torch {which}", which, torch_space()

    def planted(self, planted: Planted) -> Any:
        return torch_operation(planted)

    def program(self, program: Program) -> Any:
        return program.bound(self.space)

    def alarm(self, f: Any, args: Any, forward: bool, reverse: bool = True) -> str:
        inputs = [self.torch.tensor(x, requires_grad=True) for x in args]
        try:
            if self.which == "gradcheck":
                self.torch.autograd.gradcheck(f, inputs, check_forward_ad=forward)
            else:
                self.torch.autograd.gradgradcheck(f, inputs, check_fwd_over_rev=forward)
        except self.error as error:
            return str(error)
        return ""


class Jax(Checker):
    """check_grads of order 2 with its defaults, in float64."""

    name = "jax check_grads"

    def __init__(self) -> None:
        self.jax = need("jax")
        self.check = need("jax.test_util").check_grads
        self.space = jax_space()

    def planted(self, planted: Planted) -> Any:
        return jax_operation(planted)

    def program(self, program: Program) -> Any:
        return program.bound(self.space)

    def alarm(self, f: Any, args: Any, forward: bool, reverse: bool = True) -> str:
        modes = ("fwd", "rev") if forward else ("rev",)
        with self.jax.enable_x64(True):
            try:
                self.check(f, tuple(map(self.jax.numpy.asarray, args)), order=2, modes=modes)
            except AssertionError as error:
                return str(error)
        return ""


def checkers() -> list[Checker]:
    def on_torch() -> Checker:
        need("torch")
        return Ours("metagrad on torch", testing.torch_function, torch_operation, torch_space())

    def on_jax() -> Checker:
        need("jax")
        return Ours("metagrad on jax", testing.jax_function, jax_operation, jax_space())

    return build(
        lambda: Ours("metagrad", lambda f: f, metagrad_operation, metagrad_space()),
        on_torch,
        on_jax,
        lambda: Torch("gradcheck"),
        lambda: Torch("gradgradcheck"),
        Jax,
    )


def catalogue(people: list[Checker]) -> list[dict[str, Any]]:
    """Who finds what; and whether anybody finds fault with the same operation made right."""
    rows = []
    width = max(len(planted.name) for planted in CATALOGUE)
    print(f"{'':{width}}  " + "  ".join(person.name for person in people))
    for planted in CATALOGUE:
        args = planted.operation.example(np.random.default_rng(0))
        forward = planted.tangent is not None
        found, false = {}, []
        for person in people:
            found[person.name] = bool(person.alarm(person.planted(planted), args, forward))
            if person.alarm(person.planted(planted.right), args, forward):
                false.append(person.name)
        print(
            f"{planted.name:{width}}  "
            + "  ".join(f"{'found' if found[p.name] else 'MISSED':{len(p.name)}}" for p in people)
            + (f"  false alarm when right: {', '.join(false)}" if false else "")
        )
        rows.append({"error": planted.name, "found": found, "false_alarms": false})
    print(f"{f'of {len(CATALOGUE)}':{width}}  " + "  ".join(f"{_total(rows, p.name):<{len(p.name)}}" for p in people))
    if any(p.name == "torch gradcheck" for p in people):
        print(f"by gradcheck or gradgradcheck: {_found_by_torch(rows)}")
    return rows


def _found_by_torch(rows: list[dict[str, Any]]) -> int:
    both = ("torch gradcheck", "torch gradgradcheck")
    return sum(any(row["found"].get(name) for name in both) for row in rows)


def _total(rows: list[dict[str, Any]], name: str) -> int:
    return sum(row["found"][name] for row in rows)


def false_alarms(people: list[Checker], first: int, cases: int, peers: int, state: dict[str, Any], save: Any) -> None:
    """Fill in who raised an alarm at which seed, going on where the state stops.

    All but the two fast ones look at the first `peers` programs only.
    """
    start = time.perf_counter()
    for seed in range(first + state["cases"], first + cases):
        program = Program.of(seed)
        for person in people:
            if state["cases"] >= peers and person.name not in ("metagrad", "metagrad on torch"):
                continue
            before = time.perf_counter()
            text = person.alarm(person.program(program), program.point, forward=person.name != "metagrad on torch")
            seen = state["seen"].setdefault(person.name, {"programs": 0, "seconds": 0.0, "alarms": []})
            seen["programs"] += 1
            seen["seconds"] += time.perf_counter() - before
            if text:
                seen["alarms"].append({"seed": seed, "text": text[:2000]})
        state["cases"] += 1
        if state["cases"] % SAVE_EVERY == 0:
            save()
            print(f"{state['cases']} of {cases} programs, {time.perf_counter() - start:.0f} s", flush=True)
    save()


def join(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Several runs, of other seeds or other checkers, as one."""
    seen = {}
    for name in dict.fromkeys(name for part in parts for name in part["seen"]):
        own = [part for part in parts if part["seen"].get(name, {}).get("programs")]
        seeds = sorted((part["first"], part["first"] + part["seen"][name]["programs"]) for part in own)
        for (_, end), (begin, _) in itertools.pairwise(seeds):
            if begin < end:
                raise SystemExit(f"[planted_errors] requires runs of {name} over other seeds but got {seeds}")
        found = [part["seen"][name] for part in own]
        seen[name] = {
            "programs": sum(one["programs"] for one in found),
            "seconds": sum(one["seconds"] for one in found),
            "alarms": [alarm for one in found for alarm in one["alarms"]],
        }
    planted: dict[str, Any] = {}
    for row in (row for part in parts for row in part["planted"]):
        one = planted.setdefault(row["error"], {**row, "found": {}, "false_alarms": []})
        one["found"].update(row["found"])
        one["false_alarms"] = sorted({*one["false_alarms"], *row["false_alarms"]})
    cases = max(one["programs"] for one in seen.values())
    return {"first": min(part["first"] for part in parts), "cases": cases, "seen": seen, "planted": [*planted.values()]}


def show(state: dict[str, Any]) -> None:
    print("\nfalse alarms on random programs that are right:")
    for name, seen in state["seen"].items():
        alarms = seen["alarms"]
        seeds = f", at seeds {', '.join(str(a['seed']) for a in alarms[:8])}" if alarms else ""
        time_each = 1e3 * seen["seconds"] / max(1, seen["programs"])
        print(f"  {name:20} {len(alarms):4} of {seen['programs']:6}  {time_each:7.1f} ms a program{seeds}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100, help="random programs that are right")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the seed of the first of them")
    parser.add_argument("--peers", type=int, default=100, metavar="N", help="of these, how many the slower ones see")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these checkers alone")
    parser.add_argument("--join", nargs="+", type=Path, metavar="FILE", help="join the JSON files of other runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write to this file, and go on from it")
    options = parser.parse_args()
    # What PyTorch and JAX warn of in their own checks is not the matter here.
    warnings.simplefilter("ignore")
    if options.join:
        state = join([json.loads(path.read_text("utf-8")) for path in options.join])
    else:
        people = [p for p in checkers() if not options.only or p.name in options.only]
        state = {"first": options.first, "cases": 0, "seen": {}, "planted": []}
        if options.json and options.json.exists():
            state = json.loads(options.json.read_text("utf-8"))
            if state["first"] != options.first:
                needed = f"--first {state['first']}, as in {options.json}"
                raise SystemExit(f"[planted_errors] requires {needed} but got {options.first}")
        state["planted"] = state["planted"] or catalogue(people)
        false_alarms(people, options.first, options.cases, options.peers, state, lambda: save(state, options.json))
    show(state)
    save(state, options.json)


def save(state: dict[str, Any], path: Path | None) -> None:
    if path:
        part = path.with_suffix(".part")
        part.write_text(json.dumps({**state, **provenance()}, indent=1) + "\n", "utf-8")
        part.replace(path)


if __name__ == "__main__":
    main()
