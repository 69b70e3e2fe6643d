"""Panels in a real kernel: a cell run again replaces its panel; interrupts pause runs; a shutdown ends the process."""

import os
import time

import pytest
from jupyter_client.manager import KernelManager

pytestmark = pytest.mark.slow  # kernels, each of which imports torch
WAIT = 180  # seconds after which a test gives up
SETUP = """
import threading
import byol_tutorial as bt
from byol_tutorial.widgets import cockpit
train, test = bt.load("shapes", limit=64), bt.load("shapes", "test", limit=40)
config = bt.Config(width=4, hidden_dim=16, projection_dim=8, batch_size=8, epochs=100_000, knn_every=0)
"""


class Kernel:
    """A kernel that runs cells as JupyterLab does: each request names its cell."""

    def __init__(self):
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=os.environ | {"OMP_NUM_THREADS": "1"})
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=WAIT)

    def send(self, code: str, cell: str) -> str:
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "stop_on_error": True}
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell})
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def result(self, number: str) -> str:
        """Return what the cell printed, and the name of its error if it had one."""
        text, end = "", time.monotonic() + WAIT
        while time.monotonic() < end:
            message = self.client.get_iopub_msg(timeout=WAIT)
            if message["parent_header"].get("msg_id") != number:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                text += content["text"]
            if message["msg_type"] == "error":
                text += content["ename"]
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                return text
        raise AssertionError("the cell did not end")

    def run(self, code: str, cell: str = "other") -> str:
        return self.result(self.send(code, cell))

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel():
    kernel = Kernel()
    assert kernel.run(SETUP) == ""
    yield kernel
    kernel.close()


RUNNING = """
panel = cockpit(config, train, test)
panel.session.start().result(60)
print(panel.session.state)
"""
# waits for a snapshot of the session, not for the clock
STANDS = """
seen = threading.Event()
unsubscribe = panel.session.subscribe(lambda s: s.state != "running" and seen.set())
print(panel.session.state != "running" or seen.wait(60), panel.session.state)
unsubscribe()
"""


def test_a_cell_run_again_replaces_its_panel(kernel):
    assert kernel.run(RUNNING + "first = panel", "A") == "running\n"
    assert kernel.run(RUNNING, "B") == "running\n"  # another cell: the first one goes on
    assert kernel.run("print(first.session.state)") == "running\n"
    assert kernel.run(RUNNING, "A") == "running\n"
    assert kernel.run("print(first.session.state, first.comm)") == "done None\n"
    assert kernel.run("bt.widgets.lifecycle.interrupt_all()") == ""


def test_two_panels_of_one_cell_do_not_replace_each_other(kernel):
    code = "a, b = cockpit(config, train, test), cockpit(config, train, test)\nprint(a.session.state, b.session.state)"
    assert kernel.run(code, "C") == "idle idle\n"
    assert kernel.run("old = a, b") == ""
    assert kernel.run(code, "C") == "idle idle\n"
    assert kernel.run("print([p.session.state for p in old])") == "['done', 'done']\n"


NOTE = """
import gc, os, weakref
import psutil
made = []
def note(*objects):
    made.append([weakref.ref(one) for one in objects])
"""
ALIVE = "gc.collect()\nprint(*(sum(ref() is not None for ref in refs) for refs in made))"
MEMORY = "gc.collect()\nprint(psutil.Process(os.getpid()).memory_info().rss // 10**6)"
SHOWN = {  # what a cell shows, and what must end with it
    "cockpit": "panel = cockpit(config, train, test)\n"
               "panel.session.run(steps=40)\n"
               "note(panel, panel.session, panel.session.trainer, panel.session.trainer.model)\n"
               "panel",
    "laboratory": "bt.widgets.laboratory(train, test, config, cells=['BYOL'], workers=1)",
    "explorer": "bt.widgets.explorer(train)",
    "playground": "bt.widgets.playground()",
}  # fmt: skip
NOTED = {"laboratory": "note(_, _.panel, _.lab)", "explorer": "note(_)", "playground": "note(_)"}


@pytest.mark.parametrize("name", SHOWN)
def test_what_a_cell_made_earlier_is_collected_when_it_is_run_again(kernel, name):
    """IPython keeps it in Out, as _ and _7, in its hidden names, and with its pictures in the history."""
    assert kernel.run(NOTE) == ""
    for _ in range(4):
        assert kernel.run(SHOWN[name], f"kept {name}") == ""
        assert kernel.run(NOTED.get(name, "")) == ""
    alive = [int(n) for n in kernel.run(ALIVE).split()]
    assert len(alive) == 4
    assert alive[:3] == [0, 0, 0]
    assert alive[3] >= 1  # the panel that the notebook shows
    assert kernel.run("print(len([v for v in Out.values() if getattr(v, 'comm', 1) is None]))") == "0\n"


def test_other_outputs_and_variables_of_the_user_stay(kernel):
    for _ in range(2):
        kernel.run("cockpit(config, train, test)", "stays")
        kernel.run("6 * 7", "number")
    assert kernel.run("print(_, 42 in Out.values())") == "42 True\n"
    kernel.run("mine = cockpit(config, train, test)\nmine", "mine")
    kernel.run("kept = mine", "other")
    kernel.run("mine = cockpit(config, train, test)\nmine", "mine")
    assert kernel.run("print(kept.session.state, kept is not mine)") == "done True\n"
    kernel.run("mine = kept = None", "other")


OTHER_OUTPUT = """
from IPython.core.history import HistoryOutput
get_ipython().history_manager.outputs[number].append(HistoryOutput("display_data", {"text/plain": "6"}))
"""


def test_a_replaced_panel_that_the_user_shows_again_stays(kernel):
    """What is removed is removed once, and only what IPython itself keeps: of the pictures of a cell the panel's alone."""
    code = "mine = cockpit(config, train, test)\nmine"
    kernel.run(code, "again")
    kernel.run("kept, number = mine, max(Out)", "other")
    assert kernel.run(OTHER_OUTPUT) == ""
    kernel.run("8", "eight")
    kernel.run("_ = kept", "own")
    kernel.run(code, "again")
    kinds = "[o.output_type for o in get_ipython().history_manager.outputs[number]]"
    assert kernel.run(f"print(number in Out, _ is kept, {kinds})") == "False True ['display_data']\n"
    kernel.run("del _")
    kernel.run("kept", "shown")
    kernel.run("1", "later")
    assert kernel.run("print(any(v is kept for v in Out.values()), len(bt.widgets.lifecycle._replaced))") == "True 0\n"
    kernel.run("mine = kept = None", "other")


@pytest.mark.parametrize("name", SHOWN)
def test_thirty_runs_of_a_cell_leave_the_kernels_memory_as_it_was(kernel, name):
    assert kernel.run(NOTE) == ""
    for _ in range(5):
        kernel.run(SHOWN[name], f"often {name}")
    before = int(kernel.run(MEMORY))
    for _ in range(30):
        kernel.run(SHOWN[name], f"often {name}")
    assert int(kernel.run(MEMORY)) - before < 20


def test_an_interrupt_between_two_cells_pauses_the_run(kernel):
    assert kernel.run(RUNNING, "D") == "running\n"
    kernel.manager.interrupt_kernel()
    assert kernel.run(STANDS) == "True paused\n"
    assert kernel.run("panel.session.start().result(60)\nprint(panel.session.state)") == "running\n"
    kernel.manager.interrupt_kernel()  # it works again after other cells have run
    assert kernel.run(STANDS) == "True paused\n"


def test_an_interrupt_within_a_cell_pauses_the_run(kernel):
    assert kernel.run(RUNNING, "E") == "running\n"
    cell = kernel.send("print('begun', flush=True)\nthreading.Event().wait()", "F")
    while True:
        message = kernel.client.get_iopub_msg(timeout=WAIT)
        if message["msg_type"] == "stream" and message["content"]["text"].startswith("begun"):
            break
    kernel.manager.interrupt_kernel()
    assert kernel.result(cell) == "KeyboardInterrupt"
    assert kernel.run(STANDS) == "True paused\n"


def test_an_interrupt_ends_a_synchronous_run_after_a_whole_step(kernel):
    assert kernel.run("panel = cockpit(config, train, test)", "G") == ""
    cell = kernel.send(
        "begun = threading.Event()\n"
        "panel.session.subscribe(lambda s: s.step == 3 and print('three', flush=True))\n"
        "panel.session.run()",
        "H",
    )
    while True:
        message = kernel.client.get_iopub_msg(timeout=WAIT)
        if message["msg_type"] == "stream" and "three" in message["content"]["text"]:
            break
    kernel.manager.interrupt_kernel()
    assert kernel.result(cell).endswith("KeyboardInterrupt")
    assert kernel.run(STANDS) == "True paused\n"


def test_nothing_is_printed_into_a_cell_by_a_run_that_fails(kernel):
    assert (
        kernel.run(
            "panel = cockpit(config.replace(lr=1e30, warmup_epochs=0, loss_normalization='none'), train, test)", "I"
        )
        == ""
    )
    assert kernel.run("panel.session.start().result(60)") == ""
    assert kernel.run(STANDS) == "True failed\n"
    assert "lower lr" in kernel.run("print(panel.frame['verdict'])")


@pytest.mark.slow
def test_a_kernel_that_is_shut_down_ends_though_a_run_goes_on(kernel):
    import psutil

    assert kernel.run(RUNNING, "J") == "running\n"
    process = psutil.Process(kernel.manager.provisioner.process.pid)
    kernel.manager.shutdown_kernel(now=False)  # a shutdown request, as JupyterLab sends it
    process.wait(60)
    assert not process.is_running()
