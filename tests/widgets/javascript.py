"""Run the playground's JavaScript from a test: in the system's node if there is one, else in Chromium."""

import base64
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
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
    if node := shutil.which("node"):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "program.js"
            end = "process.stdout.write(r, () => process.exit(0))"
            file.write_text(
                f'({function})(JSON.parse(require("fs").readFileSync(0, "utf8"))).then((r) => {end});', "utf-8"
            )
            ended = subprocess.run(
                [node, str(file)], input=json.dumps(packed(arguments)), capture_output=True, text=True
            )
        assert ended.returncode == 0, ended.stderr[-2000:]
        return json.loads(ended.stdout)
    if chromium() is None:
        pytest.skip("neither node nor Chromium on this machine")
    return json.loads(in_chromium(function, packed(arguments)))


def in_chromium(function: str, argument: Any) -> str:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            page = browser.new_page()
            return page.evaluate(function, argument)
        finally:
            browser.close()
