#!/usr/bin/env bash
# All that wants a CUDA device, in one go and in under ten minutes: the tests marked gpu, then speed, with results in
# bench/results. From the repository's root, with `.venv` set up and the peers installed (make bench-peers).
set -euo pipefail
export PATH="$PWD/.venv/bin:$PATH"
python -m pytest -m gpu tests -q
cd bench
timeout 120 python step.py
timeout 200 python peers.py
timeout 120 python growth.py
