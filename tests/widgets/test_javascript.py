"""A test that runs JavaScript gets its own result, whatever the one before it did."""

import shutil
import signal

import javascript
import pytest

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="in Chromium each test has a page of its own")

LEFT = """
Math.random = () => 7; performance.now = () => 7; Array.prototype.left = 7; Object.prototype.left = 7; JSON.stringify = () => "7";
globalThis.left = 7; globalThis.setTimeout = () => 7; globalThis.atob = () => 7; process.env.LEFT = "7"; console.log(7);
Object.defineProperty(globalThis, "fixed", {value: 7});
setImmediate(() => { globalThis.left = 8; }); setInterval(() => { globalThis.left = 9; }, 1);
Promise.resolve().then(() => { globalThis.left = 10; });
"""
SEEN = """
await new Promise((go) => setTimeout(go, 5));
return [Math.random() < 1, performance.now() !== 7, [].left ?? 0, ({}).left ?? 0, globalThis.left ?? 0, globalThis.fixed ?? 0,
  atob("Nw=="), process.env.LEFT ?? 0];
"""


def test_nothing_that_a_program_changes_reaches_the_next():
    clean = [True, True, 0, 0, 0, 0, "7", 0]
    assert javascript.run("", SEEN) == clean
    javascript.run("", LEFT)
    assert javascript.run("", SEEN) == clean


def test_a_process_that_died_between_two_tests_is_replaced():
    assert javascript.run("", "return a.x + 1", x=1) == 2
    javascript.node().process.send_signal(signal.SIGTERM)
    assert javascript.run("", "return a.x + 1", x=2) == 3
    javascript.node().process.kill()
    javascript.node().process.wait()
    assert javascript.run("", "return a.x + 1", x=3) == 4


@pytest.mark.parametrize(
    "body", ["for (;;);", "await new Promise((go) => setTimeout(go, 1e9));"], ids=["loop", "timer"]
)
def test_a_program_without_end_is_stopped_and_the_next_has_its_own_result(body, monkeypatch):
    with monkeypatch.context() as short:
        short.setattr(javascript, "LIMIT", 0.3)
        with pytest.raises(AssertionError, match=r"did not end within 0\.3 s"):
            javascript.run("", body)
    assert javascript.run("", "return 5") == 5


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("await new Promise(() => {});", "waits for a promise that nothing settles"),
        ("process.exit(3);", "ended without a result"),
        ("throw new RangeError('seven');", "RangeError: seven"),
        ("setTimeout(() => { throw Error('later'); }); await new Promise((go) => setTimeout(go, 1000));", "later"),
        ("return (", "SyntaxError"),
    ],
)
def test_a_program_that_fails_says_why(body, error):
    with pytest.raises(AssertionError, match=error):
        javascript.run("", body)
    assert javascript.run("", "return 5") == 5
