"""Write results with their circumstances: date, versions, machine and command. Each machine has its own folder."""

import datetime
import json
import os
import platform
import re
import sys
from pathlib import Path

import torch

import byol_tutorial

# OUT names another folder, for a machine from which only one folder can be copied
RESULTS = Path(os.environ.get("OUT") or Path(__file__).parent / "results")


def processor() -> str:
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ]
        name = names[0] if names else name
    return f"{name}, {os.cpu_count()} cores"


def gpu() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def circumstances() -> dict:
    import torchvision  # here, because this takes four seconds, which a script that writes nothing need not wait

    return {
        "command": "python "
        + " ".join([os.path.relpath(sys.argv[0])] + ["DATA" if Path(a).exists() else a for a in sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "byol_tutorial": byol_tutorial.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "processor": processor(),
        "gpu": gpu(),
    }


def _one_line(numbers: re.Match) -> str:
    return "[" + " ".join(numbers[1].split()) + "]"


def _merged(old: dict, new: dict) -> dict:
    both = {
        k: _merged(old[k], new[k])
        for k in old.keys() & new.keys()
        if isinstance(old[k], dict) and isinstance(new[k], dict)
    }
    return old | new | both


def write(name: str, content: dict, add: bool = False) -> None:
    """Write results/MACHINE/NAME.json, or the same below the folder that the environment variable OUT names.

    add: keep the entries of the file that this content does not have, so that several commands can write one file;
        and print nothing.
    """
    machine = re.sub(r"\W+", "-", re.sub(r"\(\w+\)| Processor", "", gpu() or processor())).lower()
    path = RESULTS / machine / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text()) if add and path.exists() else {}
    text = json.dumps(_merged(before, {"circumstances": circumstances()} | content), indent=1, ensure_ascii=False)
    path.write_text(re.sub(r'\[\s+([^\[\]{}"]+?)\s+\]', _one_line, text) + "\n")
    if not add:
        print(f"written to {os.path.relpath(path)}")
