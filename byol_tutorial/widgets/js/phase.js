// This file draws the phase plane of BYOL's predictor, which dynamics.js computes, and its controls.

const PHASE_PRESETS = [
  ["healthy", {tau: 1, eta: 0.05, alpha: 1, noise: 0.1}, "mild weight decay, and a predictor that learns as fast as the network"],
  ["no weight decay", {tau: 1, eta: 0, alpha: 1, noise: 0.1}, "nothing pulls p and s to 0, and where the mode ends depends on its start"],
  ["slow predictor", {tau: 1, eta: 0.1, alpha: 0.1, noise: 0.1}, "the correlation s has decayed before the predictor p has grown"],
  ["fast predictor", {tau: 1, eta: 0.1, alpha: 5, noise: 0.1}, "p has grown before s can decay, as in table 21 with the predictor's learning rate × 10"],
  ["noisy views", {tau: 1, eta: 0.05, alpha: 1, noise: 1.5}, "augmentations that change much along this direction: p stays small, and a smaller weight decay already leads to collapse"],
  ["target lags behind", {tau: 0.5, eta: 0.05, alpha: 1, noise: 0.1}, "target weights half as large as the online ones: less pull, smaller p and s"],
  ["strong weight decay", {tau: 1, eta: 0.3, alpha: 1, noise: 0.1}, "no start is safe: above τ̂²/(4(1+σ²)) there is no healthy point"],
];
const PHASE_SLIDERS = [
  ["tau", {label: "τ̂, target / online", low: 0.05, high: 1, step: 0.01}],
  ["eta", {label: "η, weight decay", low: 0, high: 0.4, step: 0.005}],
  ["alpha", {label: "α, predictor's rate", low: 0.1, high: 10, scale: "log"}],
  ["noise", {label: "σ², noise of the views", low: 0, high: 2, step: 0.05}],
];
const PHASE_HEIGHT = 420, PHASE_MARGIN = {left: 34, right: 10, top: 10, bottom: 26};
const PHASE_SECONDS = 5; // seconds in which the time plays from 0 to its end
const PHASE_KEPT = 6; // at most so many trajectories are drawn beside the present one

function render({model, el}) {
  const m = {...model.get("values")};
  let [p0, s0] = model.get("start");
  let view, outcome, basin, separatrix, time = null, kept = [], playing = 0; // playing is the request for the next frame while time plays

  const describe = h("p", {class: "bt-phase-words", role: "status"});
  const limit = h("p", {class: "bt-quiet"});
  const plane = btCanvas(PHASE_HEIGHT, "", drawPlane);
  const plot = btCanvas(130, "", drawTimes);
  const handle = h("div", {class: "bt-phase-start", role: "slider", tabindex: 0, "aria-label": "start point: arrow keys move p and s",
                           "aria-valuemin": -0.4, "aria-valuemax": 1.4, "data-lm-suppress-shortcuts": "true", onkeydown: byKey});
  const stage = h("div", {class: "bt-phase-stage"}, plane.element, handle);
  const sliders = Object.fromEntries(PHASE_SLIDERS.map(([name, spec]) =>
    [name, btSlider(spec, m[name], (value) => { m[name] = value; changed(); })]));
  const presets = PHASE_PRESETS.map(([text, values, why]) => btButton(text, () => {
    Object.assign(m, values);
    for (const [name, slider] of Object.entries(sliders)) slider.set(m[name]);
    changed();
  }, {title: why, "aria-pressed": "false"}));
  const preset = h("p", {class: "bt-quiet bt-phase-preset"});
  const clock = btSlider({label: "time t", low: 0, high: 1, step: 0.001, format: (x) => btNumber(x * (outcome?.span ?? 1))}, 0,
                         (x) => { stop(); goTo(x); });
  const play = btButton("▶ play", () => { if (playing) stop(); else start(); }, {class: "bt-phase-play", "aria-label": "play time"});
  const keep = btButton("keep this trajectory", () => {
    kept = [...kept.slice(1 - PHASE_KEPT), {p: p0, s: s0}];
    clear.disabled = false;
    redraw();
  });
  const clear = btButton("clear", () => { kept = []; clear.disabled = true; redraw(); },
                         {disabled: true, "aria-label": "clear the kept trajectories"});
  const key = (mark, text) => h("li", {}, h("i", {class: `bt-phase-key bt-phase-${mark}`, "aria-hidden": "true"}), text);
  const problem = btProblem(model);
  const hints = btHints(model.get("about"));
  const goals = h("ul", {class: "bt-phase-keys", tabindex: 0, "data-lm-suppress-shortcuts": "true"}, key("basin", "collapses"), key("stable", "healthy point"), key("end", "collapse"), key("saddle", "unstable point"),
    key("separatrix", "border of the two fates"), key("parabola", "s = p²/α"), key("pnull", "ṗ = 0"), key("snull", "ṡ = 0"));
  const equations = h("p", {class: "bt-phase-equations", tabindex: 0, "data-lm-suppress-shortcuts": "true"}, h("span", {}, "ṗ = α s (τ̂ − (1+σ²) p) − η p"), h("span", {}, "ṡ = 2 p s (τ̂ − (1+σ²) p) − 2 η s"));
  const root = h("section", {class: "bt bt-phase", "aria-label": "Phase plane of BYOL's predictor"},
    h("div", {class: "bt-row", role: "group", "aria-label": "presets"}, ...presets), preset,
    h("div", {class: "bt-phase-columns"},
      h("div", {}, stage, goals,
        h("p", {class: "bt-quiet"}, "Drag the start point, click into the plane, or use the arrow keys (with Shift, further).")),
      h("div", {class: "bt-phase-side"},
        equations,
        ...PHASE_SLIDERS.map(([name]) => sliders[name].element),
        describe, limit,
        plot.element, h("div", {class: "bt-phase-clock"}, play, clock.element),
        h("div", {class: "bt-row"}, keep, clear), problem.element)), hints.element);
  el.append(root);
  for (const [element, part] of [[equations, "equations"], [goals, "keys"], [handle, "start"], [describe, "outcome"], [limit, "limit"], [clock.element, "time"], [keep, "keep"],
                                 ...PHASE_SLIDERS.map(([name]) => [sliders[name].element, name])]) hints.on(element, part);

  // These return the box of the plane in pixels, and the pixels of p and s.
  const box = () => ({left: PHASE_MARGIN.left, top: PHASE_MARGIN.top, right: plane.element.clientWidth - PHASE_MARGIN.right,
                      bottom: PHASE_HEIGHT - PHASE_MARGIN.bottom});
  const xOf = (p, b) => b.left + (p - view.p[0]) / (view.p[1] - view.p[0]) * (b.right - b.left);
  const yOf = (s, b) => b.bottom - s / view.s[1] * (b.bottom - b.top);

  function changed() {
    const healthy = phaseFixedPoints(m)[2], top = healthy ? healthy.s : (m.tau / (1 + m.noise)) ** 2 / m.alpha;
    const high = [0.5, 1, 2, 5, 10, 20].find((x) => x >= Math.max(1.25 * Math.min(top, 8), s0));
    view = {p: [-0.4, 1.4], s: [0, high ?? s0]};
    basin = phaseBasin(m, view);
    separatrix = phaseSeparatrix(m, view);
    const chosen = PHASE_PRESETS.findIndex(([, values]) => Object.entries(values).every(([name, value]) => m[name] === value));
    presets.forEach((button, i) => button.setAttribute("aria-pressed", i === chosen));
    preset.textContent = chosen < 0 ? "Settings of your own." : `${PHASE_PRESETS[chosen][0]}: ${PHASE_PRESETS[chosen][2]}.`;
    const most = phaseLimit(m);
    limit.textContent = m.eta > most
      ? `η = ${btNumber(m.eta)} is above τ̂²/(4(1+σ²)) = ${btNumber(most)}: there is no healthy point, everything collapses.`
      : m.eta === 0 ? "Without weight decay s − p²/α never changes: every point with p = τ̂/(1+σ²) is at rest, and the start decides which one is reached."
        : `η = ${btNumber(m.eta)} is below τ̂²/(4(1+σ²)) = ${btNumber(most)}: there is a healthy point; every start outside the shaded region reaches it.`;
    moved();
  }

  function moved() {
    outcome = phaseOutcome(m, p0, s0);
    const whole = Math.max(4, 1.25 * outcome.time);
    outcome.span = [5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000].find((x) => x >= whole) ?? 2000;
    stop();
    time = null;
    clock.set(0);
    const at = `p = ${btNumber(p0, 2)}, s = ${btNumber(s0, 2)}`;
    const when = outcome.time < 1900 ? `all but 1 % of the way is done at t = ${btNumber(outcome.time, 2)}` : "very slowly";
    describe.textContent = outcome.collapsed
      ? s0 <= 0 ? `From ${at}: nothing varies along this direction, at any time.`
        : m.eta ? `From ${at} it collapses: p and s both go to 0; ${when}.` : `From ${at} it collapses: s goes to 0 with p = ${btNumber(outcome.p, 2)}.`
      : `From ${at} it survives: p → ${btNumber(outcome.p)}, s → ${btNumber(outcome.s)}; ${when}.`;
    describe.dataset.fate = outcome.collapsed ? "collapses" : "survives";
    handle.setAttribute("aria-valuenow", p0.toFixed(2));
    handle.setAttribute("aria-valuetext", `${at}: ${outcome.collapsed ? "collapses" : "survives"}`);
    redraw();
  }

  function redraw() {
    const points = phaseFixedPoints(m).slice(1).map((f) => `${f.name === "healthy" ? "healthy point" : "unstable point"} p ${btNumber(f.p)}, s ${btNumber(f.s)}`);
    plane.alt(`Phase plane, p from ${view.p[0]} to ${view.p[1]}, s from 0 to ${view.s[1]}. ${Math.round(100 * basin.cells.reduce((a, b) => a + b, 0) / basin.cells.length)} % of it `
      + `collapses${points.length ? `; ${points.join("; ")}` : ""}. ${describe.textContent}`);
    plot.alt(`p and s over time, from 0 to ${outcome.span}. ${describe.textContent}`);
    plane.redraw();
    plot.redraw();
  }

  // --- time ---
  function goTo(x) {
    time = x * outcome.span;
    plane.redraw();
    plot.redraw();
  }
  function start() {
    const from = clock.get() >= 1 ? 0 : clock.get(), begun = performance.now();
    play.textContent = "❚❚ pause";
    play.setAttribute("aria-label", "pause time");
    const tick = (now) => {
      const x = Math.min(1, from + Math.max(0, now - begun) / PHASE_SECONDS / 1000);
      clock.set(x);
      goTo(x);
      if (x < 1) playing = requestAnimationFrame(tick);
      else stop();
    };
    playing = requestAnimationFrame(tick);
  }
  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    play.textContent = "▶ play";
    play.setAttribute("aria-label", "play time");
  }

  // --- moving the start ---
  function put(p, s) {
    p0 = Math.min(view.p[1], Math.max(view.p[0], p));
    s0 = Math.min(view.s[1], Math.max(0, s));
    moved();
  }
  function byPointer(event) {
    const r = plane.element.getBoundingClientRect(), b = box();
    put(view.p[0] + (event.clientX - r.left - b.left) / (b.right - b.left) * (view.p[1] - view.p[0]),
        (b.bottom - (event.clientY - r.top)) / (b.bottom - b.top) * view.s[1]);
  }
  function byKey(event) {
    const far = event.shiftKey ? 10 : 1;
    const by = {ArrowLeft: [-0.01, 0], ArrowRight: [0.01, 0], ArrowUp: [0, 0.01], ArrowDown: [0, -0.01]}[event.key];
    if (!by) return;
    event.preventDefault();
    put(Number((p0 + far * by[0]).toFixed(4)), Number((s0 + far * by[1] * view.s[1]).toFixed(4)));
  }
  // A finger drags the handle or taps the plane, so that it can still scroll the page; a mouse drags from anywhere.
  for (const target of [handle, plane.element]) {
    let held = false;
    target.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || (target !== handle && event.pointerType === "touch")) return;
      held = true;
      target.setPointerCapture(event.pointerId);
      if (target !== handle) byPointer(event);
      handle.focus({preventScroll: true});
      event.preventDefault();
    });
    target.addEventListener("pointermove", (event) => { if (held) byPointer(event); });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) target.addEventListener(end, () => { held = false; });
  }
  plane.element.addEventListener("click", (event) => { if (event.pointerType === "touch") byPointer(event); });

  // --- drawing ---
  function drawPlane(c, width, height, theme) {
    const b = box(), paint = PHASE_COLOURS, X = (p) => xOf(p, b), Y = (s) => yOf(s, b);
    handle.style.left = `${X(p0)}px`;
    handle.style.top = `${Y(s0)}px`;
    for (const fate of ["healthy", "collapse"]) root.style.setProperty(`--phase-${fate}`, paint[fate]);
    c.save();
    c.beginPath();
    c.rect(b.left, b.top, b.right - b.left, b.bottom - b.top);
    c.clip();
    phaseShade(c, b, basin, paint.collapse);
    // the field: its direction, paler where it is slow
    const columns = Math.max(8, Math.round((b.right - b.left) / 34)), rows = 12, length = 9;
    c.strokeStyle = theme.quiet;
    c.lineWidth = 1;
    for (let i = 0; i < columns; i++) for (let j = 0; j < rows; j++) {
      const p = view.p[0] + (i + 0.5) / columns * (view.p[1] - view.p[0]), s = (j + 0.5) / rows * view.s[1];
      const [u, v] = phaseVelocity(m, p, s);
      const dx = u / (view.p[1] - view.p[0]) * (b.right - b.left), dy = -v / view.s[1] * (b.bottom - b.top), speed = Math.hypot(dx, dy);
      if (!(speed > 1e-9)) continue;
      const x = X(p), y = Y(s), ux = dx / speed * length, uy = dy / speed * length;
      c.globalAlpha = 0.25 + 0.5 * speed / (speed + 120);
      c.beginPath();
      c.moveTo(x - ux, y - uy);
      c.lineTo(x + ux, y + uy);
      c.moveTo(x + ux - 0.45 * (ux - 0.6 * uy), y + uy - 0.45 * (uy + 0.6 * ux));
      c.lineTo(x + ux, y + uy);
      c.lineTo(x + ux - 0.45 * (ux + 0.6 * uy), y + uy - 0.45 * (uy - 0.6 * ux));
      c.stroke();
    }
    c.globalAlpha = 1;
    const line = (path, colour, wide, dash = []) => {
      c.setLineDash(dash);
      c.strokeStyle = colour;
      c.lineWidth = wide;
      c.lineJoin = "round";
      c.beginPath();
      path.forEach(([p, s], i) => c[i ? "lineTo" : "moveTo"](X(p), Y(s)));
      c.stroke();
      c.setLineDash([]);
    };
    const over = (f, low, high, n = 160) => Array.from({length: n + 1}, (_, i) => low + i / n * (high - low)).map((p) => [p, f(p)])
      .filter(([, s]) => s >= 0 && s < 4 * view.s[1]);
    const rest = m.tau / (1 + m.noise), fixed = phaseFixedPoints(m);
    // the nullclines, and the parabola that all trajectories approach
    line(over((p) => m.eta * p / (m.alpha * (m.tau - (1 + m.noise) * p)), 0, rest - 1e-4), theme.ink, 1.2, [7, 4]);
    for (const p of m.eta ? fixed.slice(1).map((f) => f.p) : [rest]) line([[p, 0], [p, view.s[1]]], theme.ink, 1.2, [2, 3]);
    line(over((p) => p * p / m.alpha, view.p[0], view.p[1]), theme.quiet, 1, [1, 3]);
    for (const {p, s} of separatrix) line(p.map((x, i) => [x, s[i]]), paint.collapse, 2);
    // trajectories
    for (const start of kept) {
      const o = phaseOutcome(m, start.p, start.s), {p, s} = o.trajectory, colour = o.collapsed ? paint.collapse : paint.healthy;
      c.globalAlpha = 0.75;
      line(p.map((x, i) => [x, s[i]]), colour, 1.5);
      phaseDot(c, X(start.p), Y(start.s), 3.5, colour, theme.ground);
      c.globalAlpha = 1;
    }
    const {p, s} = outcome.trajectory, colour = outcome.collapsed ? paint.collapse : paint.healthy;
    line(p.map((x, i) => [x, s[i]]), theme.ground, 5);
    line(p.map((x, i) => [x, s[i]]), colour, 3);
    phaseHeads(c, p.map((x, i) => [X(x), Y(s[i])]), colour);
    c.restore();
    for (const f of fixed) {
      const x = X(f.p), y = Y(f.s);
      if (y < b.top || x > b.right) continue;
      c.lineWidth = 2;
      c.strokeStyle = f.name === "healthy" ? paint.healthy : paint.collapse;
      c.fillStyle = f.stable ? c.strokeStyle : theme.ground;
      c.beginPath();
      c.arc(x, y, 5.5, 0, 7);
      c.fill();
      c.stroke();
    }
    if (time !== null) { const [a, q] = phaseAt(outcome.trajectory, time); phaseDot(c, X(a), Y(q), 6, theme.ink, theme.ground); }
    phaseAxes(c, b, theme, phaseTicks(...view.p, width < 420 ? 4 : 10).filter((x) => x < view.p[1]).map((x) => [x, X(x)]), phaseTicks(0, view.s[1], 6).map((y) => [y, Y(y)]), "p", "s");
  }

  function drawTimes(c, width, height, theme) {
    const b = {left: 34, right: width - 26, top: 8, bottom: height - 24}, paint = PHASE_COLOURS;
    const {t, p, s} = outcome.trajectory, top = Math.max(...p, ...s, 0.2) * 1.08, low = Math.min(0, ...p) * 1.08;
    const X = (x) => b.left + x / outcome.span * (b.right - b.left), Y = (y) => b.bottom - (y - low) / (top - low) * (b.bottom - b.top);
    phaseAxes(c, b, theme, phaseTicks(0, outcome.span, width > 300 ? 5 : 3).map((x) => [x, X(x)]), phaseTicks(low, top, 4).map((y) => [y, Y(y)]), "", "");
    c.lineWidth = 2;
    for (const [name, values, dash] of [["p", p, [6, 4]], ["s", s, []]]) {
      c.strokeStyle = c.fillStyle = paint[name];
      c.setLineDash(dash);
      c.save();
      c.beginPath();
      c.rect(b.left, b.top - 2, b.right - b.left, b.bottom - b.top + 4);
      c.clip();
      c.beginPath();
      t.forEach((x, i) => c[i ? "lineTo" : "moveTo"](X(x), Y(values[i])));
      c.lineTo(X(outcome.span), Y(values.at(-1)));
      c.stroke();
      c.restore();
      c.setLineDash([]);
    }
    const [pe, se] = phaseApart(...phaseAt(outcome.trajectory, outcome.span).map(Y), 14, b.top + 6, b.bottom - 6); // the curves' names at their ends
    c.font = `600 ${theme.font}`;
    c.textAlign = "left";
    c.textBaseline = "middle";
    for (const [name, y] of [["p", pe], ["s", se]]) {
      c.fillStyle = paint[name];
      c.fillText(name, b.right + 6, y);
    }
    if (time !== null) {
      c.strokeStyle = theme.ink;
      c.lineWidth = 1;
      c.beginPath();
      c.moveTo(X(time), b.top);
      c.lineTo(X(time), b.bottom);
      c.stroke();
    }
  }

  changed();
  return () => { stop(); plane.close(); plot.close(); problem.close(); hints.close(); };
}

export default {initialize: btKeepSaved, render: btFreed(render)};
