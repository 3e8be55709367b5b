"""Runs the job of a benchmark, and says when it began and ended: what its tracer does before and after does not count.

    stopwatch.py FIFO COMMAND...

Into the FIFO goes a line at each: the monotonic clock. The status is the job's.
"""

import os
import pathlib
import sys
import time

with pathlib.Path(sys.argv[1]).open("w") as to:
    print(time.monotonic(), file=to, flush=True)
    status = os.waitstatus_to_exitcode(os.wait4(os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ), 0)[1])
    print(time.monotonic(), file=to, flush=True)
sys.exit(status)
