"""What holds in every test, however pytest is started."""

import os

# One thread, as in `make test` and in the processes that tests start. With another number the same run has other last
# digits, and the threads of a busy machine wait for each other: a test of one second has taken more than a minute.
os.environ.setdefault("OMP_NUM_THREADS", "1")
