"""How the playground's module is made of its parts, and its WebAssembly of kernels.c.

The module is one text, because a page that lies on a disk can load no second file. The engine, which trains, is the
body of one function in it. The same function runs on the page's own thread, and its text is the source of a worker.

    python -m byol_tutorial.widgets.playground.build      compiles kernels.c to kernels.wasm again
"""

import base64
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

from ..assets import HERE, script, source
from .shrink import shrink

FOLDER = HERE / "js" / "playground"
ENGINE = ("random", "shapes", "views", "kernels", "networks", "losses", "learner", "measures", "run")
PANEL = ("settings", "pictures", "diagram", "guide", "curves", "save", "host", "panel")
OFFERED = "Run, ViewMaker, drawView, generator, openScript, openWebAssembly"  # what the panel takes from the engine
COMPILE = [
    "-target",
    "wasm32-freestanding",
    "-mcpu=generic+simd128+bulk_memory",
    "-O2",
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


def module() -> str:
    """Return the ES module of the panel, as small as `shrink` makes it."""
    deflate = zlib.compressobj(9, wbits=-15)  # without a header
    wasm = deflate.compress((FOLDER / "kernels.wasm").read_bytes()) + deflate.flush()
    parts = [
        source("plots", "js"),
        f"function playgroundEngine() {{\n{engine()}\nreturn {{{OFFERED}}};\n}}",
        f'const PLAYGROUND_WASM = "{base64.b64encode(wasm).decode()}";',
        *(script(f"playground/{name}.js") for name in PANEL),
    ]
    return shrink("\n".join(parts), rename=True)


def compiled() -> bytes:
    """Compile kernels.c by the compiler that `pip install ziglang` brings. The same source gives the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "kernels.wasm"
        command = [sys.executable, "-m", "ziglang", "cc", *COMPILE, "-o", str(out), str(FOLDER / "kernels.c")]
        subprocess.run(command, check=True)
        return out.read_bytes()


if __name__ == "__main__":
    (FOLDER / "kernels.wasm").write_bytes(compiled())
