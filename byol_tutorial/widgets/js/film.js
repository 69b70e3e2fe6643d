// The embedding film in the browser. Python (film.py) sends `about`, `data` and `atlas` once.

const FULL = 32000, BINS = 24; // FULL is the same as in film.py; a factor has BINS colours
const SPEEDS = [["0.5", "half"], ["1", "normal"], ["2", "double"], ["4", "fourfold"]];
const SECONDS = 0.8; // seconds from one map to the next, at normal speed
const MAP_HEIGHT = 420, ENCIRCLED = 20; // at most ENCIRCLED of the encircled images are shown

function render({model, el}) {
  const about = model.get("about"), {points: n, frames, neighbours: k} = about;
  const numbers = btArray(model.get("data"), Int16Array);
  const maps = numbers.subarray(0, frames * n * 2);
  const near = numbers.subarray(frames * n * 2, frames * n * (2 + k));
  const rest = numbers.subarray(frames * n * (2 + k));
  const labels = rest.subarray(0, n);
  const factorNames = Object.keys(about.factors);
  const factors = Object.fromEntries(factorNames.map((name, i) => [name, rest.subarray(n * (i + 1), n * (i + 2))]));
  const last = frames - 1;

  let dark = false;
  const now = new Float32Array(2 * n); // the points' positions in pixels
  const bins = new Uint8Array(n);      // each point's index into the palette
  const off = new Set();               // classes that are hidden
  let at = 0, playing = false, speed = 1, before = 0, colourBy = about.classes.length ? "class" : factorNames[0] ?? "nothing";
  let hovered = -1, chosen = -1, lit = -1, palette = [], rgb = [], dots = null, drawnFor = "", describedAt = 0;
  const calm = matchMedia("(prefers-reduced-motion: reduce)"); // if it matches, the film jumps from map to map

  const atlas = dotsAtlas(model.get("atlas"), about.size, about.columns, 3, () => showPoint());

  // --- controls ---------------------------------------------------------------------------------
  const play = btButton("▶ play", () => playing ? stop() : start(), {class: "bt-main", style: "min-width:92px"});
  const epochAt = (u) => { const i = Math.min(Math.floor(u), last), j = Math.min(i + 1, last); return about.epochs[i] + (u - i) * (about.epochs[j] - about.epochs[i]); };
  const scrub = btSlider({label: "epoch", low: 0, high: Math.max(last, 0.01), step: 0.01, format: (u) => epochAt(u).toFixed(1)}, 0,
                         (u) => { stop(); go(u); });
  scrub.element.classList.add("bt-scrub");
  const tempo = btChoice({label: "speed"}, "1", SPEEDS, (v) => { speed = Number(v); });
  const options = [...(about.classes.length ? [["class", "class"]] : []), ...factorNames.map((f) => [f, f]), ...(about.classes.length || factorNames.length ? [] : [["nothing", "nothing"]])];
  const colouring = btChoice({label: "colour by"}, colourBy, options, (v) => { colourBy = v; colour(); });
  const legend = h("div", {class: "bt-legend", role: "group", "aria-label": "Classes shown"}, ...about.classes.map((name, c) => {
    const key = btButton("", () => {
      off.has(c) ? off.delete(c) : off.add(c);
      key.setAttribute("aria-pressed", String(!off.has(c)));
      map.redraw();
    }, {class: "bt-key", "aria-pressed": "true", "aria-label": name, title: "show or hide; rest here to see it alone"});
    key.append(btKey(c), name);
    for (const [event, which] of [["pointerenter", c], ["pointerleave", -1], ["focus", c], ["blur", -1]])
      key.addEventListener(event, () => { if (event !== "focus" || key.matches(":focus-visible")) { lit = which; map.redraw(); } });
    return key;
  }));
  const ramp = h("div", {class: "bt-legend bt-row"});

  // --- pictures -----------------------------------------------------------------------------------
  const map = btCanvas(MAP_HEIGHT, "Map", drawMap);
  map.element.tabIndex = 0;
  map.element.setAttribute("data-lm-suppress-shortcuts", "true");
  map.element.style.touchAction = "manipulation";
  map.element.addEventListener("pointermove", (event) => { const i = under(event); if (i !== hovered) { hovered = i; showPoint(); map.redraw(); } });
  map.element.addEventListener("pointerleave", () => { hovered = -1; showPoint(); map.redraw(); });
  map.element.addEventListener("click", (event) => { if (lens.dragged()) return; chosen = under(event); showPoint(); map.redraw(); });
  map.element.addEventListener("keydown", byKey);
  let encircled = null;
  const lens = dotsLens(map.element, map.redraw, (corners) => {
    const within = corners ? [...Array(n).keys()].filter((m) => !off.has(labels[m]) && insidePolygon(corners, now[2 * m], now[2 * m + 1])) : [];
    encircled = within.length ? within : null;
    showPoint();
    map.redraw();
    return within.length > 0;
  });
  const strip = btCanvas(96, "Spread and kNN accuracy over epochs", drawStrip);
  strip.element.addEventListener("pointerdown", (event) => { if (event.button === 0) { strip.element.setPointerCapture(event.pointerId); scrubTo(event); } });
  strip.element.addEventListener("pointermove", (event) => { if (strip.element.hasPointerCapture(event.pointerId)) scrubTo(event); });
  const side = h("div", {class: "bt-look", "aria-live": "polite"});

  const problem = btProblem(model);
  const root = h("div", {class: "bt bt-film", role: "region", "aria-label": `Embedding film of ${about.name}, ${about.kind}`},
    h("div", {class: "bt-row"}, play, scrub.element, tempo.element, options.length ? colouring.element : null),
    h("div", {class: "bt-stage"}, h("div", {}, map.element, legend, ramp, strip.element), side),
    h("div", {class: "bt-quiet"}, `${about.kind} of ${about.space === "z" ? "the projections z" : "the representations y"} of ${n.toLocaleString("en")} images of ${about.name}`
      + `; each map is aligned with the one before. ${about.kind === "PCA" ? "The scale is the same at all epochs: a map that shrinks is a collapse."
        : "Near points are similar; lengths and sizes have no meaning."} The dotted line is a point's path through all epochs.${about.floor && about.knn ? ` The classes are not equally frequent: ${about.floor}.` : ""}${about.note ? ` The run ${about.note}.` : ""}`), problem.element);
  el.append(root);

  // --- time -----------------------------------------------------------------------------------------
  function start() {
    if (at >= last) go(0);
    playing = true;
    side.setAttribute("aria-live", "off"); // otherwise the neighbours would be read aloud at every map
    before = performance.now();
    play.textContent = "❚❚ pause";
    requestAnimationFrame(tick);
  }
  function stop() {
    playing = false;
    side.setAttribute("aria-live", "polite");
    play.textContent = "▶ play";
    describe();
    map.redraw();
  }
  function tick(time) {
    if (!playing || !root.isConnected) return;
    go(Math.min(last, at + Math.max(0, time - before) / 1000 / SECONDS * speed));
    before = time;
    if (at >= last) stop();
    else requestAnimationFrame(tick);
  }
  function go(u) {
    const other = Math.round(u) !== Math.round(at);
    at = u;
    if (other && chosen >= 0) showPoint(); // the neighbours are those of another map now
    if (Math.abs(scrub.get() - u) > 1e-9) scrub.set(u);
    map.redraw();
    strip.redraw();
    if (performance.now() - describedAt > 500 || !playing) describe();
  }
  /** Go to the time under the pointer, on the strip. */
  function scrubTo(event) {
    const r = strip.element.getBoundingClientRect(), {left, right} = stripBox(r.width, r.height);
    const epoch = about.epochs[0] + (event.clientX - r.left - left) / (right - left) * (about.epochs[last] - about.epochs[0]);
    let i = 0;
    while (i < last - 1 && about.epochs[i + 1] < epoch) i++;
    stop();
    go(last && Math.min(last, Math.max(0, i + (epoch - about.epochs[i]) / (about.epochs[i + 1] - about.epochs[i]))));
  }
  function describe() {
    describedAt = performance.now();
    const i = Math.round(at);
    map.alt(`Map by ${about.kind} of ${n} images at epoch ${epochAt(at).toFixed(1)}: spread ${btNumber(about.spread[i])}`
      + (about.knn ? `, kNN accuracy ${btNumber(about.knn[i])}` : "") + (about.balanced ? `, balanced ${btNumber(about.balanced[i])}` : ""));
    strip.alt(`Spread √d·std from ${btNumber(about.spread[0])} to ${btNumber(about.spread[last])}`
      + (about.knn ? `, kNN accuracy from ${btNumber(about.knn[0])} to ${btNumber(about.knn[last])}` : "")
      + (about.balanced ? `, balanced accuracy from ${btNumber(about.balanced[0])} to ${btNumber(about.balanced[last])}` : "") + `, over ${btNumber(about.epochs[last])} epochs`);
  }

  // --- colours -------------------------------------------------------------------------------------------
  function colour() {
    const values = factors[colourBy];
    const from = dark ? 0.3 : 0, to = dark ? 1 : 0.82; // the part of viridis that is visible on this ground
    palette = !values ? (about.classes.length ? BT_COLOURS : [BT_COLOURS[0]])
      : Object.hasOwn(about.circles, colourBy) ? about.circles[colourBy] : Array.from({length: BINS}, (_, b) => viridis(from + (b + 0.5) / BINS * (to - from)));
    for (let i = 0; i < n; i++) bins[i] = values ? Math.min(BINS - 1, values[i] / FULL * BINS) : labels[i] < 0 ? 0 : labels[i] % palette.length;
    legend.classList.toggle("bt-plain", Boolean(values));
    legend.hidden = !about.classes.length;
    ramp.style.visibility = values ? "visible" : "hidden"; // its space stays reserved
    if (values) {
      const [low, high] = about.factors[colourBy];
      ramp.replaceChildren(low.toFixed(2), h("i", {class: "bt-ramp", style: `background:linear-gradient(90deg, ${palette.join(",")})`}), `${high.toFixed(2)} ${colourBy}`);
    }
    rgb = palette.map(dotsRgb);
    map.redraw();
  }

  // --- the map ------------------------------------------------------------------------------------------
  function drawMap(c, width, height, theme) {
    const i = Math.min(Math.floor(at), last), j = Math.min(i + 1, last), f = at - i;
    const t = calm.matches && playing ? Math.round(f) : f;
    const unit = Math.min((width / 2 - 12) / FULL, (height / 2 - 12) / about.height), x0 = width / 2, y0 = height / 2;
    const from = maps.subarray(i * 2 * n, (i + 1) * 2 * n), to = maps.subarray(j * 2 * n, (j + 1) * 2 * n);
    for (let m = 0; m < 2 * n; m += 2) {
      now[m] = (x0 + unit * (from[m] + t * (to[m] - from[m])) - lens.left) * lens.zoom;
      now[m + 1] = (y0 - unit * (from[m + 1] + t * (to[m + 1] - from[m + 1])) - lens.top) * lens.zoom;
    }
    const within = encircled && new Set(encircled);
    const radius = n > 2500 ? 2 : n > 800 ? 2.5 : 3.2, scale = window.devicePixelRatio || 1;
    dark = isDark(theme.ground);
    if (drawnFor !== `${dark} ${scale}`) { drawnFor = `${dark} ${scale}`; colour(); }
    if (dots?.radius !== radius * scale) dots = makeDots(radius * scale);
    dots.start(c);
    const front = (m) => lit >= 0 ? labels[m] === lit : within ? within.has(m) : chosen < 0;
    for (const ahead of lit >= 0 || within ? [false, true] : [chosen < 0]) { // the points that do not stand out are drawn first, and paler
      for (let m = 0; m < n; m++) if (front(m) === ahead && !(off.size && off.has(labels[m]) && labels[m] !== lit))
        dots.dot(scale * now[2 * m], scale * now[2 * m + 1], rgb[bins[m]], ahead ? 0.85 : 0.25, colourBy === "class" ? labels[m] : 0);
    }
    dots.finish();
    c.strokeStyle = theme.line;
    c.lineWidth = 1;
    c.strokeRect(0.5, 0.5, width - 1, height - 1);
    const ring = (m, wide, fill) => {
      c.fillStyle = palette[bins[m]];
      if (fill) btMark(c, colourBy === "class" ? labels[m] : 0, now[2 * m], now[2 * m + 1], radius + wide);
      else { c.beginPath(); c.arc(now[2 * m], now[2 * m + 1], radius + wide, 0, 7); }
      c.stroke();
    };
    if (chosen >= 0) {
      const where = (frame, m) => [(x0 + unit * maps[2 * (frame * n + m)] - lens.left) * lens.zoom, (y0 - unit * maps[2 * (frame * n + m) + 1] - lens.top) * lens.zoom];
      c.strokeStyle = theme.ink;
      c.setLineDash([1, 3]);
      c.lineWidth = 1.5;
      c.beginPath(); // the point's path through all maps
      for (let g = 0; g < frames; g++) c.lineTo(...where(g, chosen));
      c.stroke();
      c.setLineDash([]);
      c.lineWidth = 1;
      for (const m of neighboursOf(chosen)) {
        c.beginPath();
        c.moveTo(now[2 * chosen], now[2 * chosen + 1]);
        c.lineTo(now[2 * m], now[2 * m + 1]);
        c.stroke();
      }
      for (const m of neighboursOf(chosen)) ring(m, 1.5, true);
      ring(chosen, 2.5, true);
    }
    for (const m of new Set([chosen, hovered])) if (m >= 0) {
      c.strokeStyle = theme.ink;
      c.lineWidth = 2;
      ring(m, 4, false);
    }
    lens.draw(c, theme);
    root.dataset.drawn = Number(root.dataset.drawn ?? 0) + 1;
  }
  const neighboursOf = (m) => { const i = Math.round(at); return near.subarray((i * n + m) * k, (i * n + m + 1) * k); };
  function under(event) {
    const box = map.element.getBoundingClientRect();
    return nearestDot(now, n, event.clientX - box.left, event.clientY - box.top, 14, (m) => !off.has(labels[m]));
  }
  function byKey(event) {
    const [x, y] = hovered < 0 ? [map.element.clientWidth / 2, map.element.clientHeight / 2] : [now[2 * hovered], now[2 * hovered + 1]];
    const shown = (m) => !off.has(labels[m]) && m !== hovered, next = dotTowards(now, n, x, y, event.key, shown);
    if (event.key === "Enter" || event.key === " ") chosen = hovered;
    else if (event.key === "Escape") chosen = hovered = -1;
    else if (next === null) return;
    else if (hovered < 0) hovered = nearestDot(now, n, x, y, 1e4, shown);
    else if (next >= 0) hovered = next;
    event.preventDefault();
    showPoint();
    map.redraw();
  }

  // --- the hovered or chosen point ------------------------------------------------------------------------
  function tile(m, which, size, caption, words, same) {
    const s = about.size;
    const element = h("canvas", {role: "img", "aria-label": words, width: s, height: s, style: `width:${size}px;height:${size}px`,
                                 ...(same === undefined ? {} : {"data-same": String(same)})});
    atlas.draw(element.getContext("2d"), m, which, 0, 0, s);
    return h("figure", {}, element, h("figcaption", {}, caption));
  }
  const nameOf = (m) => about.classes.length ? `${about.classes[labels[m]]}, number ${m}` : `image ${m}`;
  function showPoint() {
    const m = hovered >= 0 ? hovered : chosen;
    if (m < 0 && encircled) {
      side.replaceChildren(h("h4", {}, `${encircled.length} encircled`), h("p", {class: "bt-quiet"}, classCounts(encircled, labels, about.classes)),
        h("div", {class: "bt-tiles bt-near"}, ...encircled.slice(0, ENCIRCLED).map((q) => tile(q, 0, 40, about.classes.length ? about.classes[labels[q]] : `${q}`, `encircled: ${nameOf(q)}`))));
      return;
    }
    if (m < 0) {
      side.replaceChildren(h("p", {class: "bt-quiet"}, "Rest on a point to see its image and two views of it. Press it to see its nearest neighbours. By keyboard: Tab to the map, arrow keys, Enter. Drag around points to see them together; double-click, or + and −, to look closer, 0 to see all."));
      return;
    }
    const facts = [];
    if (labels[m] >= 0 && about.classes.length) facts.push(["class", about.classes[labels[m]]]);
    for (const name of factorNames) {
      const [low, high] = about.factors[name];
      facts.push([name, btNumber(low + factors[name][m] / FULL * (high - low), 2)]);
    }
    side.replaceChildren(h("div", {class: "bt-tiles"}, tile(m, 0, 96, "image x", `image x: ${nameOf(m)}`),
      tile(m, 1, 48, "view v", `view v of ${nameOf(m)}`), tile(m, 2, 48, "view v′", `view v′ of ${nameOf(m)}`)),
      h("dl", {}, ...facts.flatMap(([name, value]) => [h("dt", {class: "bt-quiet"}, name), h("dd", {}, value)])));
    if (chosen < 0) return;
    const found = [...neighboursOf(chosen)];
    side.append(h("h4", {}, `nearest in ${about.space} at epoch ${btNumber(about.epochs[Math.round(at)])}`),
      h("div", {class: "bt-tiles bt-near"}, ...found.map((q) => tile(q, 0, 40, about.classes.length ? about.classes[labels[q]] : `${q}`, `neighbour: ${nameOf(q)}`,
        about.classes.length ? labels[q] === labels[chosen] : undefined))));
  }

  // --- the strip ----------------------------------------------------------------------------------------------
  const stripBox = (width, height) => ({left: 30, right: width - 8, top: 8, bottom: height - 30});
  function drawStrip(c, width, height, theme) {
    const box = stripBox(width, height), curves = [BT_COLOURS[0], BT_COLOURS[5], BT_COLOURS[2]];
    const e0 = about.epochs[0], e1 = Math.max(about.epochs[last], e0 + 1e-9);
    const X = (e) => box.left + (box.right - box.left) * (e - e0) / (e1 - e0), Y = (v) => box.bottom - (box.bottom - box.top) * Math.min(v, 1.05) / 1.05;
    c.font = theme.font;
    c.lineWidth = 1;
    c.strokeStyle = theme.line;
    c.fillStyle = theme.quiet;
    c.textAlign = "right";
    c.textBaseline = "middle";
    for (const v of [0, 0.5, 1]) {
      c.beginPath();
      c.moveTo(box.left, Y(v));
      c.lineTo(box.right, Y(v));
      c.stroke();
      c.fillText(v, box.left - 5, Y(v));
    }
    const curve = (values, colour, dash) => {
      c.strokeStyle = colour;
      c.setLineDash(dash);
      c.lineWidth = 2;
      c.beginPath();
      values.forEach((v, i) => c.lineTo(X(about.epochs[i]), Y(v)));
      c.stroke();
      c.setLineDash([]);
    };
    const rows = [["spread √d·std of z", about.spread, []], ...(about.knn ? [["kNN accuracy", about.knn, [6, 3]]] : []),
                  ...(about.balanced ? [["balanced accuracy", about.balanced, [2, 3]]] : [])];
    rows.forEach(([, values, dash], r) => curve(values, curves[r], dash));
    c.strokeStyle = theme.ink;
    c.lineWidth = 1.5;
    c.beginPath();
    c.moveTo(X(epochAt(at)), box.top);
    c.lineTo(X(epochAt(at)), box.bottom);
    c.stroke();
    c.textAlign = "left";
    c.textBaseline = "alphabetic";
    c.fillStyle = theme.quiet;
    rows.forEach(([name, , dash], r) => {
      const x = box.left + 150 * r;
      c.strokeStyle = curves[r];
      c.lineWidth = 2;
      c.setLineDash(dash);
      c.beginPath();
      c.moveTo(x, height - 12);
      c.lineTo(x + 22, height - 12);
      c.stroke();
      c.fillText(name, x + 27, height - 8);
    });
    c.setLineDash([]);
    c.textAlign = "right";
    if (width > 120 + 150 * rows.length) c.fillText(`epoch ${epochAt(at).toFixed(1)} of ${btNumber(e1)}`, box.right, height - 8);
  }

  colour();
  showPoint();
  go(0);
  return () => {
    stop();
    atlas.close();
    map.close();
    strip.close();
    problem.close();
  };
}

export default {initialize: btKeepSaved, render: btFreed(render)};
