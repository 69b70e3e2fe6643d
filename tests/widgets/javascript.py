"""Run the playground's JavaScript from a test: in the system's node if there is one, else in Chromium."""

import base64
import functools
import json
import shutil
from typing import Any

import numpy as np
import pytest
from answering import Answering
from chromium import FLAGS, chromium

RUNNER = """
const given = (v) => v === null || typeof v !== "object" ? v : Array.isArray(v) ? v.map(given)
  : "bytes" in v ? new ({f8: Float64Array, u1: Uint8Array, i8: BigInt64Array})[v.type](Uint8Array.from(atob(v.bytes), (c) => c.charCodeAt(0)).buffer)
  : Object.fromEntries(Object.entries(v).map(([name, item]) => [name, given(item)]));
const plain = (_, v) => ArrayBuffer.isView(v) ? Array.from(v) : v;
"""


def packed(value: Any) -> Any:
    """Return the value as JSON can hold it: arrays and bytes in base64, which `given` of RUNNER reads."""
    if isinstance(value, bytes):
        return {"type": "u1", "bytes": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray):
        value = value.astype(np.uint8 if value.dtype in (np.uint8, bool) else np.float64)
        return {"type": "u1" if value.dtype == np.uint8 else "f8", "bytes": base64.b64encode(value.tobytes()).decode()}
    if hasattr(value, "numpy"):
        return packed(value.numpy())
    if isinstance(value, dict):
        return {name: packed(item) for name, item in value.items()}
    return [packed(item) for item in value] if isinstance(value, list | tuple) else value


def run(source: str, body: str, **arguments: Any) -> Any:
    """Return what the body of an async function returns, after the source; it reads its arguments from `a`."""
    function = (
        f"async (packed) => {{ {source}\n{RUNNER}\n const a = given(packed);\n"
        f"const result = await (async () => {{ {body} }})();\n return JSON.stringify(result ?? null, plain); }}"
    )
    if shutil.which("node"):
        return json.loads(in_node(function, packed(arguments)))
    if chromium() is None:
        pytest.skip("neither node nor Chromium on this machine")
    return json.loads(in_chromium(function, packed(arguments)))


# Evaluates a function for each request in a thread of its own, with a global object of its own. What the function prints
# goes to the errors. The answer comes after the end of the thread, and with it of all that would happen later.
NODE = """
const {Worker} = require("worker_threads");
const PROGRAM = `{
  const {parentPort, workerData: {source, argument}} = require("worker_threads");
  (async () => (0, eval)("(" + source + ")")(argument))().then(
    (result) => parentPort.postMessage({result}),
    (error) => parentPort.postMessage({error: String(error?.stack ?? error)}),
  );
}`;
const input = require("readline").createInterface({input: process.stdin});
input.on("line", (line) => {
  const {number, ...workerData} = JSON.parse(line), worker = new Worker(PROGRAM, {eval: true, stdout: true, workerData});
  let answer;
  worker.stdout.pipe(process.stderr, {end: false});
  worker.on("message", (sent) => { answer ??= sent; worker.terminate(); });
  worker.on("error", (error) => { answer ??= {error: String(error?.stack ?? error)}; });
  worker.on("exit", () => {
    answer ??= {error: "the program ended without a result: it waits for a promise that nothing settles"};
    process.stdout.write(JSON.stringify({number, ...answer}) + "\\n");
  });
});
input.on("close", () => process.exit());
"""
LIMIT = 60.0  # seconds that a function may take; beside the whole suite on two cores, the slowest test took 9


@functools.cache
def node() -> Answering:
    """Return a process of node that serves all tests of this process: to start one takes longer than most of them.

    Only files and V8's flags reach the next test.
    """
    return Answering([str(shutil.which("node")), "-e", NODE])


def in_node(function: str, argument: Any) -> str:
    answer = node().ask(LIMIT, source=function, argument=argument)
    assert "error" not in answer, answer["error"][-2000:]
    return answer["result"]


def in_chromium(function: str, argument: Any) -> str:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            page = browser.new_page()
            return page.evaluate(function, argument)
        finally:
            browser.close()
