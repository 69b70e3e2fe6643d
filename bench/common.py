"""What every bench writes beside its numbers: when, with what, on what, by which command."""

import datetime
import json
import os
import platform
import re
import sys
from pathlib import Path

import torch
import torchvision

import byol_tutorial

RESULTS = Path(__file__).parent / "results"


def circumstances() -> dict:
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ]
        processor = names[0] if names else processor
    return {
        "command": "python "
        + " ".join([os.path.relpath(sys.argv[0])] + ["DATA" if Path(a).exists() else a for a in sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "byol_tutorial": byol_tutorial.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "processor": f"{processor}, {os.cpu_count()} cores",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _one_line(numbers: re.Match) -> str:
    return "[" + " ".join(numbers[1].split()) + "]"


def write(name: str, content: dict) -> None:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    text = json.dumps({"circumstances": circumstances()} | content, indent=1, ensure_ascii=False)
    path.write_text(re.sub(r'\[\s+([^\[\]{}"]+?)\s+\]', _one_line, text) + "\n")
    print(f"written to {os.path.relpath(path)}")
