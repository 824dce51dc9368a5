#!/usr/bin/env bash
# Everything that needs a GPU, in one run of under 9 minutes: the kernels' tests and the whole suite on the device,
# compute-sanitizer on the kernels' tests, the benchmarks, short trainings. All of it is written to one folder:
#   bash benchmarks/on_gpu.sh OUT [STEP...]
# with the steps machine, kernels, suite, sanitizer, benchmarks, trainings; all of them if none is named. Each step has a
# log and a time limit, and one that fails does not stop the next; OUT/summary.json says what came of each. PYTHON is the
# interpreter (default python3). Packages that it lacks are taken from the folder wheels/, where there is one, without
# a network. METAGRAD_DATA, or the folder data/omniglot, holds Omniglot; without it the strokes are trained on.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=$(mkdir -p "${1:?a folder for the results}" && cd "$1" && pwd)
shift
steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(machine kernels benchmarks sanitizer trainings suite)
python=${PYTHON:-python3}
cd "$here"
export PYTHONPATH=.:kernels NUMBA_CUDA_ARRAY_INTERFACE_SYNC=0 CUPY_CACHE_DIR=$out/cupy-cache
if [ -z "${METAGRAD_DATA:-}" ] && [ -d data/omniglot ]; then
  export METAGRAD_DATA=$here/data/omniglot
fi

step() { # step NAME SECONDS COMMAND...
  local name=$1 limit=$2 begin=$SECONDS code
  shift 2
  echo "=== $name: $*" | tee "$out/$name.log"
  timeout --kill-after=5 "$limit" "$@" >>"$out/$name.log" 2>&1
  code=$?
  tail -n 12 "$out/$name.log"
  echo "=== $name: exit status $code after $((SECONDS - begin)) s"
  printf '{"step": "%s", "exit": %d, "seconds": %d, "limit": %d}\n' "$name" "$code" $((SECONDS - begin)) "$limit" \
    >>"$out/steps.jsonl"
}

machine() {
  step machine 120 "$python" - "$out/machine.json" <<'PYTHON'
import importlib.metadata
import json
import subprocess
import sys

import cupy

names = ("cupy-cuda13x", "numpy", "numba", "numba-cuda", "torch", "jax")
have = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}
properties = cupy.cuda.runtime.getDeviceProperties(0)
found = {
    "device": properties["name"].decode(),
    "multiprocessors": properties["multiProcessorCount"],
    "bytes": properties["totalGlobalMem"],
    "driver": cupy.cuda.runtime.driverGetVersion(),
    "runtime": cupy.cuda.runtime.runtimeGetVersion(),
    "versions": {name: have.get(name, "absent") for name in names},
    "commit": subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip() or "unknown",
}
json.dump(found, open(sys.argv[1], "w"), indent=1)
print(json.dumps(found, indent=1))
PYTHON
  step devices 60 "$python" -m metagrad
}

kernels() {
  step kernels 100 "$python" -m pytest -q -n 8 -p no:cacheprovider tests/kernels tests/emulation -k "cuda or capture"
}

suite() {
  step suite 150 "$python" -m pytest -q -n 12 -p no:cacheprovider tests -k "not omniglot_example and not lessons"
}

sanitizer() { # the smallest examples of every kernel: the tool slows a kernel down a hundred times
  command -v compute-sanitizer >/dev/null || {
    echo "compute-sanitizer is not installed" | tee "$out/sanitizer.log"
    return
  }
  for tool in memcheck racecheck; do
    step "sanitizer-$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 1 \
      "$python" -m pytest -q -n 0 -p no:cacheprovider tests/emulation/test_gpu.py -k bits
  done
}

benchmarks() {
  step maml_gpu 150 "$python" benchmarks/maml_gpu.py --repeats 9 --json "$out/maml_gpu.json"
}

trainings() {
  local dataset=strokes
  [ -n "${METAGRAD_DATA:-}" ] && dataset=omniglot
  step sinusoid 40 "$python" examples/sinusoid.py --device cuda --iterations 2000 --out "$out/sinusoid"
  step "$dataset" 90 "$python" examples/omniglot.py --dataset "$dataset" --device cuda --iterations 3000 --methods maml \
    --out "$out/$dataset"
}

if [ -d wheels ]; then
  "$python" -m pip install --quiet --no-index --find-links wheels wheels/*.whl >"$out/wheels.log" 2>&1 || tail -n 3 "$out/wheels.log"
fi
rm -f "$out/steps.jsonl"
for name in "${steps[@]}"; do
  case $name in
    machine | kernels | suite | sanitizer | benchmarks | trainings) "$name" ;;
    *) echo "[on_gpu] requires steps among machine kernels suite sanitizer benchmarks trainings but got $name" >&2; exit 2 ;;
  esac
done
rm -rf "$out/cupy-cache"
"$python" - "$out" <<'PYTHON'
import json
import sys
from pathlib import Path

out = Path(sys.argv[1])
rows = [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()]
(out / "summary.json").write_text(json.dumps(rows, indent=1) + "\n")
for row in rows:
    print(f"{row['step']:20} exit {row['exit']:3}  {row['seconds']:4} s of {row['limit']}")
print(f"in all {sum(row['seconds'] for row in rows)} s")
sys.exit(any(row["exit"] for row in rows))
PYTHON
