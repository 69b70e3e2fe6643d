// This file draws the network of a run in the cockpit, with the real pictures and numbers, and with buttons over the boxes and
// arrows that can be switched. A button makes the same change as the control of its field.

const FLOW = 1000; // milliseconds in which data and gradient flow through the network once, at most
const TAUS = [0, 0.5, 0.9, 0.99, 0.999, 1]; // each click on the moving average sets the next of these
const ON_OFF = {true: "on", false: "off"};
const SWITCHES = { // field: [its name in the diagram, its values in words]
  predictor: ["Predictor after the projector", {mlp: "two layers", linear: "one linear layer", identity: "none", fixed: "random, never trained", optimal: "linear, set and not trained"}],
  stop_gradient: ["Gradient into the target", {true: "stopped", false: "flows"}],
  target: ["Target", {ema: "a moving average", online: "the online network itself", random: "random and fixed"}],
  tau_base: ["Moving average", {}],
  symmetric: ["Both directions of the loss", ON_OFF],
  negatives: ["Other images in the loss", {true: "pushed away", false: "left out"}],
  centering: ["Centre of the target's scores", {}],
};

/** Return the value that a click on its part of the diagram gives a field. options: the values that its control offers. */
function nextValue(name, value, options) {
  if (typeof value === "boolean") return !value;
  if (name === "tau_base") return TAUS.find((tau) => tau > value + 1e-9) ?? TAUS[0];
  const all = name === "predictor" ? ["mlp", "linear", "identity"] : options;
  return all[(all.indexOf(value) + 1) % all.length];
}

/**
 * Return the places of the network's parts, as wideNetwork does. In a tall canvas the data goes downwards, otherwise to the right.
 * lines: {words of an arrow: the lines to write instead of them}.
 */
function networkPlaces(width, height, lines = {}) {
  if (height <= width / 2) {
    const wide = wideNetwork(width, height, 64);
    return {...wide, note: (text, words, a, c, colour) => (lines[words] ?? [words]).forEach((line, i) => wide.note(text, line, a, c + 34 * i, colour))};
  }
  const room = Math.min(width, 300), left = (width - room) / 2, start = 72, end = height - 42, half = 11, gap = (end - start - 6 * half) / 3, middle = left + 0.415 * room;
  return {
    tall: true, start, end, half, gap, middle, lead: 24, across: Math.min(88, 0.31 * room), out: 23, elbow: 48, stack: [7, 0], rows: [left + 0.2 * room, left + 0.63 * room], label: [start - 11, middle],
    at: (i) => start + half + i * (2 * half + gap), xy: (a, c) => [c, a],
    note: (text, words, a, c, colour) => (lines[words] ?? words.split(/(?<=-)/)).forEach((line, i, all) => text(line, a + 13 * (i - (all.length - 1) / 2), c + 13, colour, "left")),
  };
}

/** Return where each field's button is, in pixels {left, top, width, height}. */
function switchPlaces({tall, rows, at, half, across, start, end, middle, xy}, width) {
  const place = (a0, a1, c0, c1) => {
    const [left, top] = xy(a0, c0), [right, bottom] = xy(a1, c1);
    return {left, top, width: Math.min(right, width) - left, height: bottom - top};
  };
  const box = (i, j, row) => place(at(i) - half - 2, at(j) + half + 2, rows[row] - across / 2 - 2, rows[row] + across / 2 + 2);
  const loss = tall ? place(end + 7, end + 39, middle - 46, middle + 46) : place(end + 2, end + 60, middle - 17, middle + 17);
  return {
    predictor: box(2, 2, 0), target: box(0, 1, 1), centering: box(0, 1, 1), symmetric: loss, negatives: loss,
    stop_gradient: tall ? place(at(2) - 16, at(2) + 16, rows[1] - 6, rows[1] + 66) : place(at(2) - 46, at(2) + 46, rows[1] - 6, rows[1] + 30),
    tau_base: tall ? place(start - 22, start, middle - 37, middle + 37) : place(at(0) + 4, at(0) + 84, middle - 11, middle + 11),
  };
}

/**
 * Make the diagram of a run. settings() returns the run's present settings, and run() its measurements {passed, loss, positive,
 * alt}. controls is {field: {get(), spec}}; press(field, value) makes a change; why(field) returns the reason for which a field
 * is switched off, or "". Returns {element, buttons, redraw(), flow(ms), close()}.
 */
function btNetwork({settings, run, controls, press, why}) {
  const canvas = btCanvas(null, "Network", draw), still = matchMedia("(prefers-reduced-motion: reduce)");
  const buttons = Object.fromEntries(Object.keys(SWITCHES).filter((name) => controls[name]).map((name) => [name, btButton("", () => {
    if (!why(name)) press(name, nextValue(name, controls[name].get(), controls[name].spec.options));
  })]));
  const element = h("div", {class: "bt-fill bt-network"}, canvas.element, ...Object.values(buttons));
  let begun = -1e9, lasts = 1, placed = "", pictures = [], shown = null;

  function draw(context, width, height, theme) {
    const {passed, loss} = run(), s = settings(), places = {...networkPlaces(width, height, linesOf(passed)), arrows: []}, flow = (performance.now() - begun) / lasts;
    if (placed !== `${width} ${height}`) {
      placed = `${width} ${height}`;
      for (const [name, place] of Object.entries(switchPlaces(places, width)))
        if (buttons[name]) for (const [side, value] of Object.entries(place)) buttons[name].style[side] = `${value}px`;
    }
    places.loss = lossOf(s, loss, places.tall);
    drawNetwork(context, places, theme, s);
    drawPictures(context, theme, places, passed);
    if (flow >= 1) return;
    drawFlow(context, places, flow);
    canvas.redraw();
  }
  function drawPictures(context, theme, {tall, rows, middle, start, lead, xy}, passed) {
    if (shown !== passed) { shown = passed; pictures = picturesOf(passed); }
    const side = 32, along = start - lead - side / 2;
    for (const [i, [name, c]] of [["x", middle], ["v", rows[0]], ["v′", rows[1]]].entries()) {
      const [x, y] = xy(along, c).map(Math.round);
      context.imageSmoothingEnabled = false;
      if (pictures[i]) context.drawImage(pictures[i], x - side / 2, y - side / 2, side, side);
      context.strokeStyle = theme.line;
      context.lineWidth = 1;
      context.strokeRect(x - side / 2, y - side / 2, side, side);
      context.fillStyle = theme.ink;
      context.textAlign = tall ? "center" : "right";
      context.fillText(name, ...(tall ? [x, y - side / 2 - 7] : [x - side / 2 - 4, y]));
      if (!i) continue;
      const way = Math.sign(c - middle), from = xy(along, middle + way * (side / 2 + 2)), to = xy(along, c - way * (side / 2 + 3));
      context.strokeStyle = context.fillStyle = theme.ink;
      context.beginPath();
      context.moveTo(...from);
      context.lineTo(...to);
      context.stroke();
      context.beginPath();
      for (const [a, b] of [[0, 0], [-5, 3], [-5, -3]]) context.lineTo(to[0] + (tall ? way * a : b), to[1] + (tall ? b : way * a));
      context.fill();
    }
  }
  return {
    element, buttons, close: canvas.close,
    /** Show the run as it is now. */
    redraw() {
      const s = settings(), {passed, alt} = run();
      for (const [name, button] of Object.entries(buttons)) {
        const [what, words] = SWITCHES[name], value = controls[name].get(), next = nextValue(name, value, controls[name].spec.options);
        const say = (v) => words[v] ?? (name === "tau_base" ? `τ ${btNumber(v, 4)}` : v), off = why(name);
        const label = `${what}: ${say(value)}. ${off ? "Switched off" : `Press for: ${say(next)}`}`;
        if (button.getAttribute("aria-label") !== label) button.setAttribute("aria-label", label);
        if (button.getAttribute("aria-disabled") !== String(Boolean(off))) button.setAttribute("aria-disabled", String(Boolean(off)));
      }
      canvas.alt(`Network: ${networkOf(s).words}; ${[...Object.values(linesOf(passed) ?? {}).flat(), alt].filter(Boolean).join(", ")}`);
      canvas.redraw();
    },
    /** Animate the data and the gradient once through the network. Readers who prefer reduced motion see no animation. */
    flow(ms) {
      if (still.matches) return;
      [begun, lasts] = [performance.now(), Math.min(FLOW, ms)];
      element.dataset.flows = Number(element.dataset.flows ?? 0) + 1;
      canvas.redraw();
    },
  };
}

/** Draw the dots in the arrows after this part, in [0, 1], of the animation: first the data, then the gradient, then the moving average. */
function drawFlow(context, {start, end, lead, xy, arrows}, part) {
  for (const [[a0, c0], [a1, c1], colour, broken] of arrows) {
    const average = a0 === a1, ahead = a1 > a0;
    const t = average ? (part - 0.88) / 0.12 // else a place between both ends of the network, which may be within this arrow
      : ((ahead ? start - lead + part / 0.48 * (end - start + lead) : end - (part - 0.5) / 0.36 * (end - start)) - a0) / (a1 - a0);
    if (!(t >= 0 && t <= (broken ? 0.5 : 1)) || (ahead && part > 0.48) || (!average && !ahead && (part < 0.5 || part > 0.86))) continue;
    context.fillStyle = colour;
    context.beginPath();
    context.arc(...xy(a0 + t * (a1 - a0), c0 + t * (c1 - c0)), 5, 0, 7);
    context.fill();
  }
}

/** Return the lines beside the vectors, {name: [length, spread]}; undefined before the first step. */
function linesOf(passed) {
  if (!passed?.lengths) return undefined;
  const {lengths, spreads} = passed;
  const lines = (name, key) => lengths[key] === undefined ? [name] : [`‖${name}‖ ${btNumber(lengths[key])}`, ...(spreads[key] === undefined ? [] : [`spread ${btNumber(spreads[key], 2)}`])];
  return {y: lines("y", "y"), z: lines("z", "z"), p: lines("p", "p"), "z′": lines("z′", "target")};
}

/** Return the loss's two lines of text, which stand where both rows meet and are shorter in a wide diagram. */
function lossOf(s, loss, tall) {
  const of = tall ? "(p, z′)" : "", words = {byol: `2 − 2 cos${of}`, simsiam: `−cos${of}`, simclr: "InfoNCE", dino: "cross-entropy"}[s.method];
  return [words, loss === undefined || loss === null ? "the loss" : `loss ${btNumber(loss)}`];
}

/** Return the pictures x, v and v′ of a step as canvases; an empty list if the step has none. */
function picturesOf(passed) {
  const bytes = btArray(passed?.pictures, Uint8Array), each = bytes.length / 3, side = Math.round(Math.sqrt(each / 3));
  return each ? [0, 1, 2].map((k) => {
    const canvas = new OffscreenCanvas(side, side), image = new ImageData(side, side);
    for (let i = 0; i < side * side; i++) { for (let j = 0; j < 3; j++) image.data[4 * i + j] = bytes[k * each + 3 * i + j]; image.data[4 * i + 3] = 255; }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }) : [];
}
