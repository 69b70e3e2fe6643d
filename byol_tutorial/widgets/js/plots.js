// This file draws small plots of a run over its steps, in the cockpit, the board and the playground.

const pairs = (list) => ({x: list.map((p) => p[0]), y: list.map((p) => p[1])});

/**
 * Make a crosshair that several plots share. Its `step` is where the pointer or the arrow keys are, or null. onpick(step) is called
 * after a click and after Enter. A plot works without a crosshair, so the playground's page leaves this function out.
 */
function btCross(onpick) {
  const plots = new Set();
  const cross = {step: null, set(step) {
    if (step === cross.step) return;
    cross.step = step;
    for (const redraw of plots) redraw();
  }};

  /** Return the words of a plot's caption at the step, or null if there is no step. */
  cross.says = (title, {now, before, kept}) => {
    if (cross.step === null) return null;
    const other = before ? valueAt(before, cross.step) : undefined;
    return `${title} at step ${cross.step}: ${btNumber(valueAt(now, cross.step))}${other === undefined ? "" : `, ${kept ? "other" : "before"} ${btNumber(other)}`}`;
  };

  /** Draw the words of the last three changes, and the step as a line with a dot where it meets a curve. X and Y return pixels. */
  cross.draw = (context, theme, {now, before, changes}, {X, Y, line, end, low, top, box}) => {
    label(context, theme, changes, X, box);
    if (cross.step === null || cross.step > end) return;
    context.strokeStyle = theme.ink;
    context.lineWidth = 1;
    line([cross.step, cross.step], [low, top]);
    for (const one of [before, now]) {
      const value = one ? valueAt(one, cross.step) : undefined;
      if (!Number.isFinite(value)) continue;
      context.beginPath();
      context.arc(X(cross.step), Y(value), 3.5, 0, 7);
      context.fillStyle = one === now ? BT_COLOURS[4] : theme.quiet;
      context.fill();
      context.strokeStyle = theme.ground;
      context.stroke();
    }
  };

  function label(context, theme, changes, X, box) {
    context.textBaseline = "top";
    changes.slice(-3).forEach(([at, text], row) => {
      if (!text) return;
      const shown = shortenedText(context, text, box.right - box.left), wide = context.measureText(shown).width;
      const beside = box.right - X(at) >= X(at) - box.left ? X(at) + 4 : X(at) - 4 - wide, y = box.top + 14 * row;
      const left = Math.max(box.left, Math.min(beside, box.right - wide));
      context.globalAlpha = 0.8;
      context.fillStyle = theme.ground;
      context.fillRect(left - 1, y - 1, wide + 2, 13);
      context.globalAlpha = 1;
      context.fillStyle = theme.ink;
      context.textAlign = "left";
      context.fillText(shown, left, y);
    });
  }

  /** Let pointer and keys on a plot's picture move the step. stepAt(x) returns the step at a pixel, last() the run's last step or null. */
  cross.attach = (picture, redraw, stepAt, last) => {
    plots.add(redraw);
    picture.tabIndex = 0;
    picture.setAttribute("data-lm-suppress-shortcuts", "true");
    const under = (event) => stepAt(event.clientX - picture.getBoundingClientRect().left);
    picture.addEventListener("pointermove", (event) => cross.set(under(event)));
    picture.addEventListener("pointerleave", () => cross.set(null));
    picture.addEventListener("blur", () => cross.set(null));
    picture.addEventListener("click", (event) => { const at = under(event); if (at !== null) onpick?.(at); });
    picture.addEventListener("keydown", (event) => {
      const by = {ArrowLeft: -1, ArrowRight: 1, PageDown: -20, PageUp: 20}[event.key];
      if (by && last() !== null) { cross.set(Math.min(last(), Math.max(0, (cross.step ?? last()) + by))); event.preventDefault(); }
      if (event.key === "Enter" && cross.step !== null) onpick?.(cross.step);
    });
    return () => plots.delete(redraw);
  };
  return cross;
}

/** Return the value of a curve {x, y} at the last of its points that is not after a step; undefined if there is none. */
function valueAt({x, y}, step) {
  let low = 0, high = x?.length ?? 0;
  while (low < high) { const middle = (low + high) >> 1; if (x[middle] <= step) low = middle + 1; else high = middle; }
  return low ? y[low - 1] : undefined;
}

/**
 * Make a small plot over steps. It shows the earlier run pale, this run strong, and a dashed line with words at each change.
 * data() returns {now, before, frame: {step, epoch, total, changes: [[step, words], ...]}, base, beforeEnd} and may also give
 * `others`, more curves [{x, y, colour, dashed}], another `low`, the value at the bottom, `kept`, whether the earlier run is
 * kept beside this one, and `parted`, the step until which both are one run. empty: the words in a plot without data, or a
 * function that returns them. cross: a crosshair of btCross. fill: the plot takes its parent's height.
 */
function btPlot(title, data, {low: floor, high, dots = false, empty = "press play", cross = null, fill = false}) {
  const canvas = btCanvas(fill ? null : 140, title, draw);
  const caption = h("figcaption", {}, title);
  const element = h("figure", {}, caption, fill ? h("div", {class: "bt-fill"}, canvas.element) : canvas.element);
  let words = "", stepAt = null;

  const say = () => btPut(caption, "textContent", cross?.says(title, data()) ?? (words ? `${title}: ${words}` : title));

  function draw(context, width, height, theme) {
    const {now, before, frame, base, beforeEnd, others = [], low = floor, kept = false, parted = null} = data();
    const end = Math.max(Math.ceil(frame.step / frame.epoch) * frame.epoch, Math.min(beforeEnd, frame.total), frame.epoch);
    const values = [...now.y, ...(before ? before.y : []), ...others.flatMap((o) => [...o.y])].filter(Number.isFinite);
    const none = !now.y.length && !before && !others.length;
    const top = high ?? (values.length ? Math.max(values.reduce((a, b) => Math.max(a, b)) * 1.08, low + 1e-3) : low + 1); // Math.max(...values) fails if the list is long
    context.font = theme.font;
    const ticks = niceTicks(low, top, Math.max(2, Math.min(4, Math.floor(height / 30))));
    const widest = Math.max(0, ...ticks.map((tick) => context.measureText(btNumber(tick)).width));
    const box = {left: Math.max(28, widest + 9), right: width - 8, top: 8, bottom: height - 20};
    const X = (s) => box.left + (box.right - box.left) * s / end;
    const Y = (v) => box.bottom - (box.bottom - box.top) * (Math.min(v, top) - low) / (top - low);
    stepAt = (x) => Math.round(Math.min(1, Math.max(0, (x - box.left) / (box.right - box.left))) * end);
    context.lineWidth = 1;
    if (none) {
      context.strokeStyle = theme.line;
      line([0, end], [low, low]);
      context.fillStyle = theme.quiet;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(typeof empty === "function" ? empty() : empty, width / 2, (box.top + box.bottom) / 2);
      return;
    }
    context.textBaseline = "middle";
    for (const tick of ticks) {
      context.strokeStyle = theme.line;
      context.globalAlpha = 0.6;
      line([0, end], [tick, tick]);
      context.globalAlpha = 1;
      context.fillStyle = theme.quiet;
      context.textAlign = "right";
      context.fillText(btNumber(tick), box.left - 5, Y(tick));
    }
    context.textBaseline = "alphabetic";
    for (const tick of stepTicks(end, (box.right - box.left) / (context.measureText(String(end)).width + 18))) {
      context.textAlign = tick === 0 ? "left" : X(tick) > box.right - context.measureText(String(tick)).width / 2 ? "right" : "center";
      context.fillText(String(tick), X(tick), height - 4);
    }
    if (base !== null && base !== undefined) {
      context.setLineDash([3, 3]);
      context.strokeStyle = theme.quiet;
      line([0, end], [base, base]);
      context.textAlign = "right";
      context.fillText("untrained", box.right, Y(base) + (Y(base) < box.top + 16 ? 13 : -4));
      context.setLineDash([]);
    }
    if (before) {
      context.globalAlpha = kept ? 0.9 : 0.45;
      context.strokeStyle = theme.quiet;
      context.setLineDash(kept ? [5, 3] : []);
      curve(dots || !kept ? before : {x: before.x, y: smoothed(before.y)}, kept ? 1.5 : 1.2);
      context.setLineDash([]);
      context.globalAlpha = 1;
    }
    context.strokeStyle = context.fillStyle = BT_COLOURS[4];
    if (dots) curve(now, 1.8);
    else {
      context.globalAlpha = 0.35;
      curve(now, 1);
      context.globalAlpha = 1;
      curve({x: now.x, y: smoothed(now.y)}, 2);
    }
    for (const {x, y, colour, dashed} of others) {
      context.strokeStyle = context.fillStyle = colour;
      context.setLineDash(dashed ? [4, 3] : []);
      curve({x, y: dots ? y : smoothed(y)}, 2);
      context.setLineDash([]);
    }
    marks(frame.changes, parted);
    cross?.draw(context, theme, {now, before, changes: frame.changes}, {X, Y, line, end, low, top, box});

    /** Draw a dashed line at each change. */
    function marks(changes, parted) {
      context.lineWidth = 1;
      context.setLineDash([3, 3]);
      context.strokeStyle = BT_COLOURS[5];
      for (const [at] of changes) line([at, at], [low, top]);
      if (parted !== null) { context.strokeStyle = theme.quiet; line([parted, parted], [low, top]); }
      context.setLineDash([]);
    }
    function line(xs, ys) {
      context.beginPath();
      xs.forEach((x, i) => context.lineTo(X(x), Y(ys[i])));
      context.stroke();
    }
    function curve({x, y}, thick) {
      if (!x) return;
      context.lineWidth = thick;
      context.beginPath();
      let drawn = 0; // a thick line through more points than pixels takes long and looks the same
      for (let i = 0; i < x.length; i++) if (x[i] <= end && Number.isFinite(y[i]) && (thick < 2 || i === x.length - 1 || X(x[i]) > drawn + 0.7)) context.lineTo(drawn = X(x[i]), Y(y[i]));
      context.stroke();
      if (dots) for (let i = 0; i < x.length; i++) if (x[i] <= end) {
        context.beginPath();
        context.arc(X(x[i]), Y(y[i]), 2.2, 0, 7);
        context.fillStyle = context.strokeStyle;
        context.fill();
      }
    }
  }

  const redraw = () => { say(); canvas.redraw(); };
  const leave = cross?.attach(canvas.element, redraw, (x) => stepAt?.(x) ?? null, () => stepAt ? data().frame.step : null);
  return {element, canvas: canvas.element, close: () => { leave?.(); canvas.close(); }, redraw(text) {
    if (text !== undefined) { words = text; canvas.alt(`${title} over steps, ${text}`); }
    redraw();
  }};
}

/** Return the text, shortened with "…" if it is wider than `room` pixels. */
function shortenedText(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let n = text.length;
  while (n > 1 && context.measureText(`${text.slice(0, n).trimEnd()}…`).width > room) n--;
  return `${text.slice(0, n).trimEnd()}…`;
}

/** Return round steps from 0 to `end`: at most `room` of them, and at least two. */
function stepTicks(end, room) {
  let best = [0];
  for (let about = 1; about <= Math.max(2, Math.floor(room)); about++) {
    const ticks = niceTicks(0, end, about).filter(Number.isInteger);
    if (ticks.length > best.length && ticks.length <= Math.max(2, room)) best = ticks;
  }
  return best.length > 1 ? best : [0, end];
}

/** Return the running mean over `window` values. */
function smoothed(y, window = 12) {
  const out = new Float32Array(y?.length ?? 0);
  let sum = 0;
  for (let i = 0; i < out.length; i++) {
    sum += y[i] - (i >= window ? y[i - window] : 0);
    out[i] = sum / Math.min(i + 1, window);
  }
  return out;
}

/** Return round numbers between low and high; `about` is about how many. */
function niceTicks(low, high, about) {
  const raw = (high - low) / about, power = 10 ** Math.floor(Math.log10(raw));
  const unit = [1, 2, 5, 10].find((m) => m * power >= raw) * power;
  const ticks = [];
  for (let t = Math.ceil(low / unit) * unit; t <= high + 1e-9; t += unit) ticks.push(Number(t.toPrecision(6)));
  return ticks;
}
