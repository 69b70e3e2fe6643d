"""A panel in a page without Jupyter: a model in JavaScript that is connected to the real widget in this process.

The widget's `command` carries out the messages of the page; `settle` sends the values of the widget to the page. So a
test uses the panel's own JavaScript, styles and Python, and decides itself when a message arrives.
"""

import base64
import json
import queue

MODEL = """
window.sent = [];
window.makeModel = (state, recorded) => {
  const handlers = {};
  const decode = (v) => v !== null && typeof v === "object" && typeof v.bytes === "string"
    ? new DataView(Uint8Array.from(atob(v.bytes), (c) => c.charCodeAt(0)).buffer) : v;
  const values = Object.fromEntries(Object.entries(state).map(([k, v]) => [k, decode(v)]));
  const fire = (event, ...a) => (handlers[event] ?? []).slice().forEach((f) => f(...a));
  return {
    recorded,
    get: (name) => values[name],
    on: (event, f) => (handlers[event] ??= []).push(f),
    off: (event, f) => { handlers[event] = (handlers[event] ?? []).filter((g) => g !== f); },
    send: (message) => { window.sent.push(window.toPython(JSON.stringify(message))); },
    receive: (name, value) => { values[name] = decode(value); fire("change:" + name); },
    answer: (message) => fire("msg:custom", message),
    lose: () => fire("comm_live_update"), // as JupyterLab's widget manager does when it loses the kernel
    listeners: () => Object.values(handlers).flat().length,
  };
};
window.mount = async (source, css, state, recorded) => {
  const style = document.createElement("style");
  style.textContent = css;
  document.head.append(style);
  window.model = makeModel(state, recorded);
  const module = await import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
  window.unmount = await module.default.render({model, el: document.getElementById("panel")});
};
"""
PAGE = """<!doctype html><html lang="en"><head><title>panel</title><meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width"></head><body style="margin:8px"><div id="panel"></div></body></html>"""


def packed(value):
    return {"bytes": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


class Bridge:
    """A panel shown in a page.

    page: a page of Playwright. panel: a widgets.Panel. recorded: whether to show it as in a page without a kernel.
    finished: a function that waits until the panel has finished its computations, called before its values are sent.
    """

    def __init__(self, page, panel, recorded: bool = False, finished=lambda: None):
        self.page, self.panel, self.finished = page, panel, finished
        self.sent: list[dict] = []  # all messages except pings
        self.pings: list[dict] = []
        self.errors: list[str] = []
        self.held: list[dict] | None = None  # messages that have been sent but not delivered yet, while they are held
        self.answers = True  # whether pings are answered
        self._news: queue.Queue = queue.Queue()
        names = [
            n for n in panel.traits(sync=True) if not n.startswith("_") and n not in ("layout", "tabbable", "tooltip")
        ]
        panel.observe(lambda change: self._news.put((change["name"], packed(change["new"]))), names=names)
        panel.send = lambda content, buffers=None: self._news.put((None, content))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.expose_function("toPython", self._receive)
        page.set_content(PAGE)
        page.add_script_tag(content=MODEL)
        state = {name: packed(getattr(panel, name)) for name in names}
        page.evaluate("(a) => mount(...a)", [str(panel._esm), str(panel._css), state, recorded])
        self.settle()

    def _receive(self, text: str) -> None:
        message = json.loads(text)
        if message["do"] in ("ping", "left"):
            self.pings += [message] * (message["do"] == "ping")
            if self.answers:
                self.panel.command(message)
            return
        self.sent.append(message)
        if self.held is None:
            self.panel.command(message)
        else:
            self.held.append(message)

    def hold(self) -> None:
        """Hold all messages from now on, until `deliver`."""
        self.held = []

    def deliver(self, n: int | None = None) -> None:
        """Deliver the first n held messages; without n, deliver all and stop holding."""
        held = self.held
        now, self.held = (held, None) if n is None else (held[:n], held[n:])
        for message in now:
            self.panel.command(message)

    def settle(self) -> None:
        """Wait until the messages of the page have arrived and been carried out, and the results are on the page."""
        frames = "new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))"
        self.page.evaluate(f"async () => {{ await {frames}; await Promise.all(window.sent); }}")
        self.finished()
        while not self._news.empty():
            name, value = self._news.get()
            self.page.evaluate("([n, v]) => n === null ? model.answer(v) : model.receive(n, v)", [name, value])
        self.page.evaluate(f"async () => {{ await {frames}; }}")
        assert not self.errors, self.errors
