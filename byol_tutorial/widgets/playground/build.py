"""How the modules of the playground and of the first panel are made of their parts, and the WebAssembly of kernels.c.

A module is one text, because a page that lies on a disk can load no second file. The engine, which trains, is the
body of one function in it. The same function runs on the page's own thread, and its text is the source of a worker.
What is built is committed, so that only people who edit the sources need the tools (the extra "dev"):

    python -m byol_tutorial.widgets.playground.build      makes kernels.wasm, module.min.js and first.min.js again

The modules are minified by tdewolff's minify. Before that, functions of the shared files that a panel does not use are left
out.
"""

import base64
import re
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from pathlib import Path

from ..assets import HERE, script, source

FOLDER = HERE / "js" / "playground"
ENGINE = ("random", "shapes", "views", "kernels", "networks", "losses", "learner", "measures", "run")
PANEL = ("settings", "pictures", "guide", "curves", "host", "panel")
FIRST = ("pictures", "guide", "curves", "host", "first")  # the first panel of the course
SHARED = ("tour", "share")  # files that the other panels also use
MODULES = {"module": PANEL, "first": FIRST}  # the file NAME.min.js, and the parts of its panel
OFFERED = "Run, ViewMaker, drawView, generator, openScript, openWebAssembly"  # what the panel takes from the engine
END = re.compile(r"^export default (\{.+\});\n", re.MULTILINE)  # the last line of every panel's file
# A function at the beginning of a line, with the lines after it that are indented, empty, or begin with its last brace.
FUNCTION = re.compile(r"^(?:async )?function (\w+)[^\n]*\n(?:[ }][^\n]*\n|\n(?=[ ]))*", re.MULTILINE)
COMPILE = [
    "-target",
    "wasm32-freestanding",
    "-mcpu=generic+simd128+bulk_memory",
    "-Os",
    "-fno-unroll-loops",
    "-nostdlib",
    "-Wl,--no-entry",
    "-Wl,--import-memory",
    "-Wl,--strip-all",
    "-Wl,-z,stack-size=8192",
]


def engine() -> str:
    """Return the engine's JavaScript: the parts in ENGINE, one after the other."""
    return "\n".join(script(f"playground/{name}.js") for name in ENGINE)


def module(name: str = "module") -> str:
    """Return the ES module of a panel, one of MODULES, as `built` made it."""
    return (FOLDER / f"{name}.min.js").read_text(encoding="utf-8")


def built(wasm: bytes, panel: tuple[str, ...] = PANEL) -> str:
    """Make the ES module of a panel's parts, of the engine and of the compiled kernels, as small as it can be."""
    deflate = zlib.compressobj(9, wbits=-15)  # without a header
    packed = deflate.compress(wasm) + deflate.flush()
    # In this order similar parts are close together, so that the module compresses best; the base64 text is at the end.
    parts = [
        f"function playgroundEngine() {{\n{engine()}\nreturn {{{OFFERED}}};\n}}",
        script("diagram.js"),
        source("plots", "js"),
        *(script(f"{name}.js") for name in SHARED),
        *(script(f"playground/{name}.js") for name in panel),
        f'const PLAYGROUND_WASM = "{base64.b64encode(packed).decode()}";\n',
    ]
    text = without_unused("\n".join(parts))
    exported = END.findall(text)[-1]
    return minified(f"export default (() => {{\n{END.sub('', text)}return {exported};\n}})();")


def minified(text: str, keep_names: bool = False) -> str:
    """Return JavaScript with the same effect in fewer characters. Names that are used only within functions become short."""
    import minify

    minify.config({"js-keep-var-names": keep_names})
    return minify.string("application/javascript", text)


def without_unused(text: str) -> str:
    """Leave out functions that are used nowhere, and then those that only they used. A name in a comment does not count as a use."""
    uses = Counter(re.findall(r"[A-Za-z_$][\w$]*", minified(text, keep_names=True)))  # without comments
    shorter = FUNCTION.sub(lambda found: "" if uses[found[1]] == 1 else found[0], text)
    return text if shorter == text else without_unused(shorter)


def compiled() -> bytes:
    """Compile kernels.c by the compiler that `pip install ziglang` brings. The same source gives the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "kernels.wasm"
        command = [sys.executable, "-m", "ziglang", "cc", *COMPILE, "-o", str(out), str(FOLDER / "kernels.c")]
        subprocess.run(command, check=True)
        return out.read_bytes()


if __name__ == "__main__":
    wasm = compiled()
    (FOLDER / "kernels.wasm").write_bytes(wasm)
    for name, parts in MODULES.items():
        (FOLDER / f"{name}.min.js").write_text(built(wasm, parts), encoding="utf-8")
