// Small plots of a run over its steps, for the cockpit and the board.

const pairs = (list) => ({x: list.map((p) => p[0]), y: list.map((p) => p[1])});

/**
 * Make a small plot over steps: the earlier run pale, this run strong, a dashed line at each change. data() may also give
 * `others`, more curves [{x, y, colour, dashed}], and another `low`, the value at the bottom. empty: the words in a plot without data.
 */
function btPlot(title, data, {low: floor, high, dots = false, empty = "press play"}) {
  const canvas = btCanvas(140, title, draw);
  const caption = h("figcaption", {}, title);
  const element = h("figure", {}, caption, canvas.element);

  function draw(context, width, height, theme) {
    const {now, before, frame, base, beforeEnd, others = [], low = floor} = data();
    const box = {left: 38, right: width - 8, top: 8, bottom: height - 20};
    const end = Math.max(Math.ceil(frame.step / frame.epoch) * frame.epoch, Math.min(beforeEnd, frame.total), frame.epoch);
    const values = [...now.y, ...(before ? before.y : []), ...others.flatMap((o) => [...o.y])].filter(Number.isFinite);
    const top = high ?? values.reduce((a, b) => Math.max(a, b), values.length ? 1e-3 : 1) * 1.08; // a long list is too many arguments
    const X = (s) => box.left + (box.right - box.left) * s / end;
    const Y = (v) => box.bottom - (box.bottom - box.top) * (Math.min(v, top) - low) / (top - low);
    context.font = theme.font;
    context.lineWidth = 1;
    context.textBaseline = "middle";
    const ticks = niceTicks(low, top, 4);
    for (const tick of ticks) {
      context.strokeStyle = theme.line;
      context.globalAlpha = 0.6;
      context.beginPath();
      context.moveTo(box.left, Y(tick));
      context.lineTo(box.right, Y(tick));
      context.stroke();
      context.globalAlpha = 1;
      context.fillStyle = theme.quiet;
      context.textAlign = "right";
      context.fillText(btNumber(tick), box.left - 5, Y(tick));
    }
    context.textBaseline = "alphabetic";
    for (const tick of niceTicks(0, end, Math.max(2, Math.floor(width / 90)))) {
      context.textAlign = tick === 0 ? "left" : X(tick) > box.right - 14 ? "right" : "center";
      context.fillText(String(tick), X(tick), height - 4);
    }
    context.setLineDash([3, 3]);
    context.strokeStyle = BT_COLOURS[5];
    for (const [at] of frame.changes) line([at, at], [low, top]);
    if (base !== null && base !== undefined) {
      context.strokeStyle = theme.quiet;
      line([0, end], [base, base]);
      context.textAlign = "right";
      context.fillText("untrained", box.right, Y(base) - 4);
    }
    context.setLineDash([]);
    if (before) { context.globalAlpha = 0.45; context.strokeStyle = theme.quiet; curve(before, 1.2); context.globalAlpha = 1; }
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
    if (!now.x?.length && !before) {
      context.fillStyle = theme.quiet;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(empty, width / 2, (Y(ticks[0]) + Y(ticks[1])) / 2); // between two lines of the grid
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
      for (let i = 0; i < x.length; i++) if (x[i] <= end && Number.isFinite(y[i])) context.lineTo(X(x[i]), Y(y[i]));
      context.stroke();
      if (dots) for (let i = 0; i < x.length; i++) if (x[i] <= end) {
        context.beginPath();
        context.arc(X(x[i]), Y(y[i]), 2.2, 0, 7);
        context.fillStyle = context.strokeStyle;
        context.fill();
      }
    }
  }

  return {element, close: canvas.close, redraw(words) {
    if (words !== undefined) { caption.textContent = `${title}: ${words}`; canvas.alt(`${title} over steps, ${words}`); }
    canvas.redraw();
  }};
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

/** Return round numbers between low and high, about this many. */
function niceTicks(low, high, about) {
  const raw = (high - low) / about, power = 10 ** Math.floor(Math.log10(raw));
  const unit = [1, 2, 5, 10].find((m) => m * power >= raw) * power;
  const ticks = [];
  for (let t = Math.ceil(low / unit) * unit; t <= high + 1e-9; t += unit) ticks.push(Number(t.toPrecision(6)));
  return ticks;
}
