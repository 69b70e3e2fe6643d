"""Run the playground's JavaScript from a test: in the system's node if there is one, else in Chromium."""

import atexit
import base64
import functools
import json
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
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


# Evaluates a function for each line of input, and answers in a line. What a function leaves in the global object or lets
# happen later does not reach the next one. What it prints goes to the errors.
NODE = """{
console.log = console.info = console.error;
const known = new Set(Reflect.ownKeys(globalThis)), timers = [], ports = [];
for (const name of ["setTimeout", "setInterval"]) {
  const set = globalThis[name];
  globalThis[name] = (...given) => { const timer = set(...given); timers.push(timer); return timer; };
}
const Channel = globalThis.MessageChannel;
globalThis.MessageChannel = class extends Channel {
  constructor() { super(); ports.push(this.port1, this.port2); }
};
require("readline").createInterface({input: process.stdin}).on("line", async (line) => {
  const answer = {};
  try {
    const {source, argument} = JSON.parse(line);
    answer.result = await (0, eval)(`(${source})`)(argument);
  } catch (error) {
    answer.error = String(error?.stack ?? error);
  }
  timers.splice(0).forEach(clearTimeout);
  ports.splice(0).forEach((port) => port.close());
  for (const key of Reflect.ownKeys(globalThis)) if (!known.has(key)) delete globalThis[key];
  process.stdout.write(JSON.stringify(answer) + "\\n");
});
}"""


@functools.cache
def node() -> subprocess.Popen[str]:
    """Return a process of node that serves all tests of this process: to start one takes longer than most of them."""
    process = subprocess.Popen(
        [str(shutil.which("node")), "-e", NODE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    atexit.register(stop, process)
    return process


def stop(process: subprocess.Popen[str]) -> None:
    process.kill()  # it does not end with its input while something may still happen in it
    process.communicate()


def in_node(function: str, argument: Any) -> str:
    process = node()
    process.stdin.write(json.dumps({"source": function, "argument": argument}) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        node.cache_clear()
    assert line, f"node ended with {process.wait()}"
    answer = json.loads(line)
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
