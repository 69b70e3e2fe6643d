#!/usr/bin/env bash
# All that wants a CUDA device, from the repository's root, in .venv with the peers installed (make bench-peers), or in
# any Python that has what pyproject.toml asks for:
#   bench/gpu.sh        the tests marked gpu, and speed; at most eight minutes; results in bench/results
#   bench/gpu.sh DATA   CIFAR-10 as an image folder: 200 epochs of ResNet-18, to the kNN accuracy of the last one; if it
#                       is cut off, the same command goes on from build/cifar10.pt
set -uo pipefail
export PATH="$PWD/.venv/bin:$PATH" PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
python=$(command -v python || command -v python3)
"$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || { echo "no CUDA device here"; exit 2; }
failed=0
part() {  # of so many seconds; one that fails does not keep the others from their turn
  echo "== ${*:2}"
  timeout "$@" || { echo "failed: ${*:2}"; failed=1; }
}
if [ $# -gt 0 ]; then
  mkdir -p build
  part 86400 "$python" bench/photos.py "$1" --limit 50000 --preset cifar10 --batch-size 512 --device cuda --keep build/cifar10.pt
else
  part 170 "$python" -m pytest tests/test_gpu.py -q
  cd bench || exit
  part 110 "$python" step.py
  part 120 "$python" peers.py
  part 80 "$python" growth.py
fi
exit $failed
