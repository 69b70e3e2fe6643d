"""Drive the system's Firefox by WebDriver BiDi, the protocol that Firefox speaks itself.

Playwright needs a Firefox of its own, and WebDriver a program beside the browser; a distribution has neither.
"""

import json
import queue
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from websocket import WebSocket

START = 60  # seconds that the browser may take to start
PATIENCE = 90  # seconds that a command or a condition may take
ADDRESS = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
KEYS = {"Enter": "\ue007", "Tab": "\ue004", " ": " ", "ArrowDown": "\ue015"}
QUIET = {  # nothing may call another host, and no window may ask anything
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


def firefox() -> str | None:
    return next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)


class Firefox:
    """One headless browser with one page. `faults` collects what its console calls an error, and uncaught exceptions."""

    def __init__(self, folder: Path):
        self.faults: list[str] = []
        profile = folder / "profile"
        profile.mkdir(parents=True)
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in QUIET.items()]
        (profile / "user.js").write_text("\n".join(lines), "utf-8")
        self.process = subprocess.Popen(
            [firefox(), "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
        )  # fmt: skip
        try:
            self.socket = WebSocket()
            self.socket.settimeout(PATIENCE)
            self.socket.connect(f"{self._address()}/session", suppress_origin=True)
            self._count = 0
            self.send("session.new", capabilities={})
            self.send("session.subscribe", events=["log.entryAdded"])
            self.page = self.send("browsingContext.getTree")["contexts"][0]["context"]
        except BaseException:
            self.close()
            raise

    def _address(self) -> str:
        """Return the address that Firefox writes to its standard error, which is read to its end, so that it never is full."""
        lines: queue.Queue[str] = queue.Queue()

        def read():
            for line in self.process.stderr:
                lines.put(line)
            lines.put("")

        threading.Thread(target=read, daemon=True).start()
        end, said = time.monotonic() + START, []
        while line := lines.get(timeout=max(0.1, end - time.monotonic())):
            if found := ADDRESS.search(line):
                return found[1]
            said.append(line)
        raise RuntimeError(f"Firefox ended before it could be driven:\n{''.join(said)[-2000:]}")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; what the browser reports in the meantime goes into `faults`."""
        self._count += 1
        self.socket.send(json.dumps({"id": self._count, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer["type"] == "event":
                entry = answer["params"]
                if answer["method"] == "log.entryAdded" and entry["level"] == "error":
                    self.faults.append(str(entry["text"]))
            elif answer["id"] == self._count:
                if answer["type"] == "error":
                    raise RuntimeError(f"{method}: {answer['message']}")
                return answer["result"]

    def open(self, address: str) -> None:
        self.send("browsingContext.navigate", context=self.page, url=address, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript, awaited if it is a promise."""
        code = f"(async () => JSON.stringify((await ({expression})) ?? null))()"
        result = self.send("script.evaluate", expression=code, awaitPromise=True, target={"context": self.page})
        if result["type"] == "exception":
            raise RuntimeError(f"{expression}: {result['exceptionDetails']['text']}")
        return json.loads(result["result"]["value"])

    def wait(self, condition: str, seen: str = "document.body.innerText.slice(0, 400)") -> None:
        """Wait until an expression of JavaScript is true; after PATIENCE seconds fail with the value of `seen`."""
        end = time.monotonic() + PATIENCE
        while not self.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < end, f"not true within {PATIENCE} seconds: {condition}; {self.evaluate(seen)}"
            self.evaluate("new Promise((done) => setTimeout(done, 50))")  # the page goes on in the meantime

    def click(self, role: str, name: str) -> None:
        """Press with the mouse on the middle of the first element of this role and accessible name."""
        found = self.send(
            "browsingContext.locateNodes",
            context=self.page,
            locator={"type": "accessibility", "value": {"role": role, "name": name}},
            maxNodeCount=1,
        )["nodes"]
        assert found, f"no {role} is named {name!r}"
        node = {"sharedId": found[0]["sharedId"]}
        self.send(
            "script.callFunction",
            functionDeclaration="(e) => e.scrollIntoView({block: 'center'})",
            arguments=[node],
            awaitPromise=False,
            target={"context": self.page},
        )
        steps = [
            {"type": "pointerMove", "x": 0, "y": 0, "origin": {"type": "element", "element": node}},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        self.send(
            "input.performActions", context=self.page, actions=[{"type": "pointer", "id": "mouse", "actions": steps}]
        )

    def press(self, key: str) -> None:
        steps = [{"type": kind, "value": KEYS[key]} for kind in ("keyDown", "keyUp")]
        self.send(
            "input.performActions", context=self.page, actions=[{"type": "key", "id": "keyboard", "actions": steps}]
        )

    def workers(self) -> int:
        """Return how many workers the browser has."""
        return len(self.send("script.getRealms", type="dedicated-worker")["realms"])

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
