"""How many threads a run's steps compute with on a CPU, where no number was set.

A step of a small network computes with one thread, always, so that it gives the same numbers on every machine. A step of
a larger one is measured: twice as many threads are worth it if they make a step 1.2 times as fast.
"""

import statistics

LARGE_STEP = 1e9  # multiplications in a step, about 30 ms on one core, from which on the number of threads is measured
GAIN = 1.2  # how much faster a step must become by twice as many threads
TRIAL = 3  # steps that are made with a number of threads to measure it; the fastest counts
WINDOW = 10  # steps after which a run looks again at the time of a step
SLOWER = 1.5  # how much longer a step must take, in the median of the window, before fewer threads are tried
AGAIN = 60.0  # seconds of steps after which more threads are tried again


class ThreadChoice:
    """The number of threads of the next step, `count`, chosen by the seconds that steps take.

    A new run begins with all threads and tries half as many, as long as the loss of time is small. When steps become slow
    because the machine is busy, half as many are tried again. Each minute twice as many are tried, as the machine may be
    free again.

    Args:
        most: the largest number of threads; with 1 there is nothing to choose.
        count: the number to begin with, for a run that is resumed. Default: `most`. With `most`, which may never have been
            compared with others, fewer are tried at once.
    """

    def __init__(self, most: int, count: int | None = None) -> None:
        self.most, self.count = most, min(count or most, most)
        self._resumed = self.count < most
        self._trying = True  # the first steps measure the number that the run begins with
        self._other: tuple[int, float] | None = None  # the number that a trial is compared with, and its seconds
        self._usual = 0.0  # seconds of a step with `count` threads, when it was last measured
        self._seconds: list[float] = []  # of the steps since the last look
        self._since = 0.0  # seconds of steps since the last trial

    def add(self, seconds: float) -> None:
        """Take note of how long the last step took, made with `count` threads, and choose the next number."""
        if self.most == 1:
            return
        self._seconds.append(seconds)
        self._since += seconds
        if self._trying:
            if len(self._seconds) == TRIAL:
                self._judge(min(self._seconds))
        elif len(self._seconds) == WINDOW:
            now = statistics.median(self._seconds)
            self._seconds.clear()
            if now > SLOWER * self._usual and self.count > 1:
                self._usual = now
                self._try(self.count // 2)
            elif self._since > AGAIN and self.count < self.most:
                self._usual = now
                self._try(min(2 * self.count, self.most))
            else:  # what was usual on a busy machine would hide the next time that it is busy
                self._usual = min(self._usual, now)

    def _try(self, count: int) -> None:
        """Make the next steps with this number, to compare it with the present one."""
        self._other, self._trying, self.count = (self.count, self._usual), True, count
        self._seconds.clear()

    def _judge(self, seconds: float) -> None:
        """End a trial: keep the number that was tried or return to the one before, and perhaps try a further one."""
        tried, before = self.count, self._other
        self._trying, self._other, self._since = False, None, 0.0
        self._seconds.clear()
        if before is None:
            self._usual = seconds
            if not self._resumed:
                self._try(tried // 2)
            return
        other, usual = before
        kept = seconds * GAIN < usual if tried > other else seconds < usual * GAIN
        if not kept:
            self.count, self._usual = other, usual
            return
        self._usual = seconds
        if tried > other and tried < self.most:
            self._try(min(2 * tried, self.most))
        elif tried < other and tried > 1:
            self._try(tried // 2)
