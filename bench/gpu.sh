#!/usr/bin/env bash
# Runs everything that needs a CUDA device. Call it from the repository's root, in .venv with the peers installed (make
# bench-peers), or in any Python that has torch and the packages of pyproject.toml:
#   bench/gpu.sh              tests, then speed, each part with its own time limit; about ten minutes
#   bench/gpu.sh PART ...     some of it: tests, learning, peers, or a part of bench/gpu.py
#   bench/gpu.sh DATA         CIFAR-10 as an image folder: 200 epochs of ResNet-18, evaluated at the end
# Each result is written at once to bench/results, or into the folder that OUT names.
set -uo pipefail
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
python=.venv/bin/python
[ -x "$python" ] || python=$(command -v python3)
"$python" -c 'import torch' 2> /dev/null || { echo "no torch in $python: make lab sets up .venv"; exit 2; }
"$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || { echo "no CUDA device here"; exit 2; }
logs=${OUT:-build/gpu}
mkdir -p "$logs"
failed=0
within() {  # SECONDS COMMAND: a part that fails or takes longer does not prevent the other parts
  local start=$SECONDS code=0
  timeout -s INT -k 5 "$@" || code=$?
  [ $code -eq 0 ] || failed=1
  echo "== ${*:3}: $((SECONDS - start)) s, exit $code"
}
slow="compiled_steps or it_learns"
part() {
  case $1 in
    tests) OMP_NUM_THREADS=1 within 200 "$python" -m pytest tests/train/test_gpu.py -q -n 8 --timeout 150 -k "not ($slow)" \
      -p no:cacheprovider --junitxml="$logs/gpu-tests.xml" ;;
    learning) within 150 "$python" -m pytest tests/train/test_gpu.py -q --timeout 140 -k "$slow" \
      -p no:cacheprovider --junitxml="$logs/gpu-learning.xml" ;;
    peers) within 100 "$python" bench/peers.py ;;
    compiled | large) within 150 "$python" bench/gpu.py "$1" ;;
    *) within 70 "$python" bench/gpu.py "$1" ;;
  esac
}
if [ $# -eq 1 ] && [ -d "$1/train" ]; then
  within 86400 "$python" bench/photos.py "$1" --limit 50000 --preset cifar10 --device cuda --batch-size 256 \
    --encoder "$logs/encoder.safetensors"
  # in parts, for a machine from which only smaller files can be copied: cat encoder.part-* > encoder.safetensors
  [ -z "${OUT:-}" ] || split -b 15000000 "$logs/encoder.safetensors" "$logs/encoder.part-"
else
  [ $# -gt 0 ] || set -- tests methods ceilings views eager graph others peers large compiled learning
  for name in "$@"; do part "$name"; done
fi
exit $failed
