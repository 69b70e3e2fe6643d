#!/usr/bin/env bash
# All that wants a CUDA device: the tests marked gpu, then speed in under eight minutes, with results in bench/results;
# and with DATA, CIFAR-10 as an image folder, 200 epochs of ResNet-18 to the kNN accuracy of the last one. From the
# repository's root, with `.venv` set up and the peers installed (make bench-peers): bench/gpu.sh [DATA]
set -euo pipefail
export PATH="$PWD/.venv/bin:$PATH"
data=${1:+$(realpath "$1")}
python -m pytest -m gpu tests -q
cd bench
timeout 120 python step.py
timeout 160 python peers.py
timeout 200 python growth.py
if [ -n "$data" ]; then
  python photos.py "$data" --limit 50000 --preset cifar10 --batch-size 512 --device cuda
fi
