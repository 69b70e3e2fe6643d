"""A process that answers many tests never gives one of them what belongs to another."""

import os
import signal
import sys

import pytest
from answering import Answering

# Answers what `say` is, after `before` has run.
ECHO = """
import json, os, subprocess, sys, time
for line in sys.stdin:
    request = json.loads(line)
    exec(request.get("before", ""))
    print(json.dumps({"number": request["number"], "said": request["say"], "process": os.getpid()}), flush=True)
"""


class Stopped(BaseException):
    """As a limit of time or Ctrl-C, which may come at any place."""


class Late(TimeoutError):
    """As a limit of time of a library: Python counts it among the errors of files and pipes."""


@pytest.fixture
def echo():
    answering = Answering([sys.executable, "-c", ECHO])
    yield answering
    answering.stop()


def test_one_process_answers_every_request_with_what_was_asked(echo):
    answers = [echo.ask(60, say=say) for say in ("one\n", "zwölf", ["3", {"x": None}])]
    assert [answer["said"] for answer in answers] == ["one\n", "zwölf", ["3", {"x": None}]]
    assert len({answer["process"] for answer in answers}) == 1


@pytest.mark.skipif(os.name == "nt", reason="no alarm on Windows")
@pytest.mark.parametrize("stopped", [Stopped, Late])
@pytest.mark.parametrize("before", ["time.sleep(0.3)", "print('{', end='', flush=True); time.sleep(100)"])
def test_who_is_stopped_while_waiting_leaves_no_answer_to_the_next(before, stopped, echo):
    def stop(*_):
        raise stopped

    def interrupted():
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        echo.ask(60, say=2, before=before)

    first = echo.ask(60, say=1)["process"]
    previous = signal.signal(signal.SIGALRM, stop)
    try:
        with pytest.raises(stopped):
            interrupted()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    answer = echo.ask(60, say=3)
    assert (answer["said"], answer["process"] == first) == (3, False)


@pytest.mark.parametrize(
    ("before", "error"),
    [
        ("time.sleep(100)", r"did not end within 0\.5 s"),
        ("os._exit(3)", "ended with 3 and without an answer"),
        ("request['number'] = 1", "no answer to request 3"),
        ("print('a line that is no answer')", "Expecting value"),
        ("print('7')", "int"),
    ],
)
def test_a_request_that_fails_says_why_and_the_next_is_answered(before, error, echo):
    echo.ask(60, say=1)
    echo.ask(60, say=2)
    with pytest.raises(Exception, match=error):
        echo.ask(0.5 if "sleep" in before else 60, say=3, before=before)
    assert echo.ask(60, say=4)["said"] == 4


def test_a_process_that_died_while_nobody_asked_is_replaced(echo):
    echo.ask(60, say=1)
    echo.process.kill()
    assert echo.ask(60, say=2)["said"] == 2


@pytest.mark.skipif(os.name == "nt", reason="only the process itself is stopped on Windows")
def test_what_a_stopped_process_started_is_stopped_too():
    read, write = os.pipe()
    echo = Answering([sys.executable, "-c", ECHO], pass_fds=[write])
    echo.ask(60, say=1, before=f"subprocess.Popen(['sleep', '1000'], pass_fds=[{write}])")
    echo.stop()
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b""  # comes when no process holds the other end: without a stop, in 1000 s
