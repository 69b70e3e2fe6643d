// This file has what all panels share: elements, labelled controls, a canvas that follows size and theme, and the connection
// to a kernel. It exports nothing, because panel.py puts this text in front of each panel's module.

// Readers with protanopia, deuteranopia or tritanopia can also distinguish these ten colours, on light and on dark grounds;
// tests/widgets/test_palette.py computes this. Each colour has its own mark, the same as in figures/palette.py: the number of
// corners, the radius of the points between them, and the angle of the first corner. The marks suit the drawn shapes, so
// triangles have a triangle.
const BT_COLOURS = ["#486CFA", "#FE368B", "#4D9300", "#C845A4", "#0490BB", "#FF3100", "#978041", "#A057D4", "#A66959", "#7B7D7F"];
const BT_MARKS = [[8, 1, 0], [3, 0.5, -90], [4, 0.71, 45], [5, 0.4, -90], [4, 0.3, 45], [3, 0.5, 90], [3, 0.5, 180], [3, 0.5, 0], [4, 0.5, -90], [4, 0.3, 0]];

const BT_KEYS = ["button", "input", "select", "summary", "textarea"];

/** Make an element: h("p", {class: "x", onclick: f, "aria-label": "…"}, child, "text", …). */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((c) => c !== null && c !== undefined));
  // Without this, JupyterLab uses arrows, Enter and letters that are typed into an output's control as its shortcuts.
  if (BT_KEYS.includes(tag)) element.setAttribute("data-lm-suppress-shortcuts", "true");
  return element;
}

/** Return the corners [x, y] of the mark of class k around 0, about as large as a disc of this radius. */
function btCorners(k, radius) {
  const [n, inner, turn] = BT_MARKS[k % 10], size = radius * (3 / (n * inner * Math.sin(Math.PI / n))) ** 0.4;
  return Array.from({length: 2 * n}, (_, i) => [Math.cos, Math.sin].map((f) => f(turn * Math.PI / 180 + i * Math.PI / n) * size * (i % 2 ? inner : 1)));
}

/** Draw the mark of class k with the context's fill. */
function btMark(context, k, x, y, radius) {
  context.beginPath();
  for (const [u, v] of btCorners(k, radius)) context.lineTo(x + u, y + v);
  context.fill();
}

/** Make the mark of class k, in its colour, for a legend. */
const btKey = (k) => h("i", {class: "bt-class", style: `background:${BT_COLOURS[k % 10]};clip-path:polygon(${btCorners(k, 33).map(([u, v]) => `${50 + u}% ${50 + v}%`)})`});

/** Set a property of an object, such as its text, only if it changes, because the browser repeats its layout after every assignment. */
const btPut = (object, name, value) => { if (object[name] !== value) object[name] = value; };

let btCount = 0;
const btId = () => `bt-${Date.now().toString(36)}-${btCount++}`;

/** Return a number as a short text: 0.004, 1.2e-5, 350. */
function btNumber(x, digits = 3) {
  if (x === null || x === undefined || !Number.isFinite(x)) return "–";
  if (x === 0) return "0";
  const size = Math.abs(x);
  return size < 1e-3 || size >= 1e5 ? x.toExponential(1) : String(Number(x.toPrecision(digits)));
}

/**
 * Make a labelled slider. spec: {label, low, high, step?, scale?: "linear" | "log" | "tau", help?, format?: x => text}.
 * onchange(value) is called while the slider is dragged; see also btGesture. Returns {element, get(), set(value)}; set does not
 * call onchange.
 */
function btSlider(spec, value, onchange) {
  const id = btId(), log = spec.scale === "log", tau = spec.scale === "tau";
  const format = spec.format ?? (tau ? (x) => String(Number(x.toFixed(5))) : btNumber);
  const input = h("input", {type: "range", id, title: spec.help, min: log || tau ? 0 : spec.low,
                            max: log || tau ? 1000 : spec.high, step: log || tau ? 1 : spec.step ?? 0.01});
  const output = h("output", {for: id});
  const ratio = Math.log(spec.high / spec.low);
  const tauAt = (s) => s >= 1000 ? 1 : Number((1 - 10 ** (-s / 250)).toFixed(s < 250 ? 2 : s < 500 ? 3 : 5));
  const toValue = (s) => tau ? tauAt(Number(s)) : !log ? Number(s) : spec.zero && Number(s) === 0 ? 0
    : Number((spec.low * Math.exp(ratio * s / 1000)).toPrecision(3));
  const toSlider = (v) => tau ? (v >= 1 ? 1000 : Math.round(-250 * Math.log10(1 - v))) : !log ? v : v <= 0 ? 0 : Math.round(1000 * Math.log(v / spec.low) / ratio);
  let now = value;
  const show = () => { output.value = format(now); input.setAttribute("aria-valuetext", format(now)); };
  const set = (v) => { now = v; input.value = toSlider(v); show(); };
  input.addEventListener("input", () => { now = toValue(input.value); show(); onchange(now); });
  onchange.watch?.(input);
  set(value);
  const element = h("div", {class: "bt-control"}, h("label", {for: id, title: spec.help}, spec.label), output, input);
  return {element, input, get: () => now, set};
}

/**
 * Return an onchange for a slider that makes a whole gesture one change. It calls touched() while the slider moves, and
 * onchange(value) at the end of the gesture: when the pointer is released, or when no key was pressed for 0.3 s.
 */
function btGesture(onchange, touched) {
  let pressed = false, waiting = 0, now;
  const settled = () => {
    if (!waiting) return;
    clearTimeout(waiting);
    waiting = 0;
    onchange(now);
  };
  const moved = (value) => {
    now = value;
    touched();
    clearTimeout(waiting);
    waiting = setTimeout(settled, pressed ? 60_000 : 300);
  };
  moved.watch = (input) => {
    input.addEventListener("pointerdown", () => { pressed = true; });
    for (const end of ["pointerup", "pointercancel", "blur"]) input.addEventListener(end, () => { pressed = false; setTimeout(settled); }); // "input" comes first
  };
  return moved;
}

/** Make a labelled check box. */
function btSwitch(spec, value, onchange) {
  const id = btId();
  const input = h("input", {type: "checkbox", id, title: spec.help, onchange: () => onchange(input.checked)});
  input.checked = value;
  const element = h("div", {class: "bt-switch"}, input, h("label", {for: id, title: spec.help}, spec.label));
  return {element, input, get: () => input.checked, set: (v) => { input.checked = v; }};
}

/** Make a labelled choice. options: [value, text] pairs, or values. */
function btChoice(spec, value, options, onchange) {
  const id = btId();
  const pairs = options.map((o) => Array.isArray(o) ? o : [o, o]);
  const input = h("select", {id, title: spec.help, onchange: () => onchange(input.value)},
                  ...pairs.map(([v, text]) => h("option", {value: v}, text)));
  input.value = value;
  const element = h("div", {class: "bt-control"}, h("label", {for: id, title: spec.help}, spec.label), input);
  return {element, input, get: () => input.value, set: (v) => { input.value = v; }};
}

/** Make a button. */
function btButton(text, onclick, attributes = {}) {
  return h("button", {type: "button", onclick, ...attributes}, text);
}

/** Make the line in which a panel shows why it refused a command. */
function btProblem(model) {
  const element = h("p", {class: "bt-problem", role: "alert"});
  const fill = () => { element.textContent = model.get("problem") ?? ""; element.hidden = !element.textContent; };
  model.on("change:problem", fill);
  fill();
  return {element, close: () => model.off("change:problem", fill)};
}

/** Copy text, and show "copied" on the button for a moment. It also works on http pages without navigator.clipboard. */
async function btCopy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", {style: "position:fixed;opacity:0"});
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const before = button.textContent;
  button.textContent = "copied";
  setTimeout(() => { button.textContent = before; }, 1200);
}

const btThemes = new WeakMap(); // element: [its theme, when it was looked up]

/** Return the theme's colours and font in the form that a canvas needs. They are looked up once a second, for all canvases of a panel. */
function btTheme(element) {
  const [known, at] = btThemes.get(element) ?? [], now = performance.now();
  if (known && now - at < 1000) return known;
  const style = getComputedStyle(element);
  const probe = (name) => {
    const dot = h("i", {style: `color:var(${name});display:none`});
    element.append(dot);
    const colour = getComputedStyle(dot).color;
    dot.remove();
    return colour;
  };
  const theme = {ink: probe("--bt-ink"), quiet: probe("--bt-quiet"), line: probe("--bt-line"), ground: probe("--bt-ground"),
                 font: `12px ${style.fontFamily}`};
  btThemes.set(element, [theme, now]);
  return theme;
}

/**
 * Make a canvas of fixed height and its parent's width, sharp on any screen. With height null it fills its parent.
 * draw(context, width, height, theme) is called in CSS pixels, at most once a frame, after redraw(), a resize or a change
 * of theme. The alt text is the canvas's label. Returns {element, redraw, alt(text), close()}.
 */
function btCanvas(height, alt, draw) {
  const element = h("canvas", {role: "img", "aria-label": alt, style: height === null ? "position:absolute;inset:0;width:100%;height:100%" : `width:100%;height:${height}px`});
  const themed = () => element.closest(".bt") ?? element.parentElement;
  let requested = 0;
  const paint = () => {
    requested = 0;
    const width = element.clientWidth, tall = height ?? element.clientHeight;
    if (!element.isConnected || width === 0 || tall === 0) return;
    const scale = window.devicePixelRatio || 1;
    const w = Math.round(width * scale), t = Math.round(tall * scale);
    if (element.width !== w || element.height !== t) { element.width = w; element.height = t; }
    const context = element.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, tall);
    draw(context, width, tall, btTheme(themed()));
  };
  const redraw = () => { requested ||= requestAnimationFrame(paint); };
  const resized = new ResizeObserver(redraw);
  resized.observe(element);
  const timers = [];
  const anew = () => { btThemes.delete(themed()); redraw(); };
  const changed = new MutationObserver(() => { // a theme's style sheet may be loaded after the attribute that names it
    for (const wait of [0, 400, 1500]) timers.push(setTimeout(anew, wait));
  });
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", anew);
  for (const root of [document.documentElement, document.body])
    changed.observe(root, {attributes: true, attributeFilter: ["class", "data-theme", "data-jp-theme-light", "data-jp-theme-name"]});
  return {element, redraw, alt: (text) => element.setAttribute("aria-label", text),
          close() { resized.disconnect(); changed.disconnect(); system.removeEventListener("change", anew); timers.forEach(clearTimeout); cancelAnimationFrame(requested); }};
}

/** Return a copy of the numbers in a bytes trait (a DataView): btArray(view, Float32Array). Its offset may be odd. */
function btArray(view, Type) {
  if (!view || !view.byteLength) return new Type(0);
  return new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/** Return render with a cleanup that also empties the panel's element, because JupyterLab keeps the views of closed widgets. */
const btFreed = (render) => (given) => {
  const close = render(given);
  return () => { close?.(); given.el.replaceChildren(); };
};

/**
 * Save the panels of a notebook, with what they show, in the notebook's file. JupyterLab saves widgets only if a setting is on,
 * and never those whose kernel has ended, so without this a notebook that is opened and saved again loses its panels. Outside
 * JupyterLab this does nothing.
 */
function btKeepSaved({model}) {
  const manager = model.widget_manager, context = manager?.context;
  if (!context?.saveState || !context.model?.setMetadata) return;
  manager.btRemember ??= btSaving(manager, context);
  model.on("comm_live_update", manager.btRemember);
}

/** Add the panels' states to a notebook whenever it is saved. Return a function that records the states of all widgets. */
function btSaving(manager, context) {
  const VIEW = "application/vnd.jupyter.widget-view+json", STATE = "application/vnd.jupyter.widget-state+json", options = {drop_defaults: true};
  let kept = {};
  const remember = async () => { kept = {...(await manager.get_state(options)).state}; }; // including those whose kernel has ended
  context.saveState.connect((_, phase) => {
    if (phase !== "started") return;
    const all = {...kept, ...manager.get_state_sync(options).state}; // the present states, if the kernel answers
    const state = {...context.model.getMetadata("widgets")?.[STATE]?.state};
    const ours = (states) => (id) => String(states[id].state._anywidget_id).startsWith("byol_tutorial");
    for (const id of Object.keys(state).filter(ours(state))) for (const part of btParts(id, state)) delete state[part]; // these may come from an earlier run
    kept = {};
    for (const output of context.model.toJSON().cells.flatMap((cell) => cell.outputs ?? [])) {
      const parts = btParts(output.data?.[VIEW]?.model_id, all);
      if (parts.some(ours(all))) for (const id of parts) state[id] = kept[id] = all[id];
    }
    if (Object.keys(state).length) context.model.setMetadata("widgets", {[STATE]: {version_major: 2, version_minor: 0, state}});
  });
  remember();
  return remember;
}

/** Return the ids of a widget and of those that it refers to, such as its layout and the children of a box. */
function btParts(root, states) {
  const found = [], left = [root];
  while (left.length) {
    const id = left.pop();
    if (!states[id] || found.includes(id)) continue;
    found.push(id);
    left.push(...[...JSON.stringify(states[id].state).matchAll(/IPY_MODEL_(\w+)/g)].map((match) => match[1]));
  }
  return found;
}

/**
 * Watch whether a kernel answers, and report this view to it: send pings that say whether this tab is hidden, and "left" when
 * the view closes (presence.py). While running() is true, a ping is sent every two seconds. Otherwise one is sent every four
 * seconds while the reader uses the page and every half minute while the page is idle, but none from a hidden tab, so that an
 * idle panel does not prevent a server from ending the kernel. No ping is sent while another is unanswered, because pings would
 * queue behind a busy cell; after a quarter of a minute a ping counts as lost. onchange(true | false) is called when the kernel
 * begins or stops answering. Call received() for every other message of the kernel, because it also shows that the kernel
 * answers. Returns {received(), close()}.
 */
function btConnection(model, onchange, running = () => false) {
  const every = 2000, patience = 12_500, lost = 15_000, inUse = 10_000; // milliseconds
  const view = btId() + Math.random().toString(36).slice(1, 6);
  let waits = false, sent = 0, latest = 0, used = -Infinity, reported = "", connected = null, left = false;
  const update = (now) => { if (now !== connected) { connected = now; onchange(now); } };
  const state = () => ({hidden: document.hidden, idle: !running()});
  const ping = () => {
    if (left || waits) return;
    [waits, sent, reported] = [true, performance.now(), JSON.stringify(state())];
    try { model.send({do: "ping", view, ...state()}); } catch { waits = false; update(false); }
  };
  const tell = () => { if (JSON.stringify(state()) !== reported) ping(); }; // a run has begun or ended, or the tab was hidden or shown
  const received = () => {
    latest = performance.now();
    update(true);
    tell();
  };
  const answered = () => { waits = false; received(); };
  const rhythm = () => running() ? every : document.hidden ? Infinity : performance.now() - used < inUse ? 2 * every : 15 * every;
  const look = () => {
    const now = performance.now();
    if (waits && now - Math.max(sent, latest) > patience) update(false);
    if (now - sent > lost) waits = false; // the ping or its answer was lost
    if (now - sent >= rhythm() - every / 2) ping();
  };
  if (model.recorded) { update(false); return {received() {}, close() {}}; }
  model.on("msg:custom", answered);
  const cut = () => { update(false); waits = false; ping(); }; // JupyterLab has lost the kernel, or has found it again; only then does it answer
  model.on("comm_live_update", cut);
  const timer = setInterval(look, every);
  ping();
  const leave = () => { left = true; try { model.send({do: "left", view}); } catch { /* the connection is closed already */ } };
  const back = () => { left = waits = false; ping(); }; // the browser shows a cached page again
  const use = () => { used = performance.now(); if (used - sent >= rhythm()) ping(); }; // after a pause a ping is due at once
  const events = [[window, "pagehide", leave], [window, "pageshow", back], [window, "online", back], [document, "visibilitychange", tell],
    ...["pointermove", "keydown", "wheel", "focus"].map((event) => [window, event, use])];
  for (const [target, event, f] of events) target.addEventListener(event, f, {passive: true});
  return {received, close() {
    clearInterval(timer);
    for (const [target, event, f] of events) target.removeEventListener(event, f);
    model.off("msg:custom", answered);
    model.off("comm_live_update", cut);
    leave();
  }};
}
