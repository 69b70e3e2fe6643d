// The network as boxes. Solid arrows are the way of the data, arrows below the boxes that of the gradient, and an arrow between the
// rows is the moving average. An arrow that a setting removes is drawn broken.

/** Return what the diagram shows of these settings, also in words. */
function networkOf(s) {
  const one = s.method !== "byol" || s.target === "online" || !s.stop_gradient, contrastive = s.method === "simclr";
  return {
    one, contrastive, stopped: s.stop_gradient && !contrastive, predictor: contrastive ? "identity" : s.predictor,
    average: one ? "none" : s.target === "random" || s.tau_base === 1 ? "broken" : "follows",
    words: [
      contrastive || s.predictor === "identity" ? "no predictor" : s.predictor === "linear" ? "a linear predictor" : "a predictor of two layers",
      contrastive ? "the gradient passes through both branches" : s.stop_gradient ? "the gradient stops at the target" : "the gradient also passes through the target",
      one ? "both branches are the same network" : s.target === "random" ? "the target is random and stays as it is" : `the target is a moving average, τ ${btNumber(s.tau_base, 4)}`,
      contrastive && s.negatives ? "other pictures are pushed away" : "no negatives",
    ].join(", "),
  };
}

/** Draw the network of these settings. */
function drawNetwork(context, width, height, theme, s) {
  const {one, contrastive, stopped, predictor, average} = networkOf(s);
  const left = 26, wide = Math.min(96, (width - 150) / 4), gap = (width - left - 70 - 3 * wide) / 3, tall = 30, rows = [26, height - tall - 26];
  const gradient = BT_COLOURS[5], middle = (row) => rows[row] + tall / 2, place = (i) => left + 14 + i * (wide + gap);
  context.font = theme.font;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const text = (words, x, y, colour = theme.ink) => { context.fillStyle = colour; context.fillText(words, x, y); };
  const arrow = (x0, y0, x1, y1, colour, broken = false) => {
    const angle = Math.atan2(y1 - y0, x1 - x0), reach = Math.hypot(x1 - x0, y1 - y0);
    context.save();
    context.translate(x0, y0);
    context.rotate(angle);
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = 2;
    context.setLineDash(broken ? [4, 4] : []);
    context.beginPath();
    context.moveTo(0, 0);
    context.lineTo(broken ? reach / 2 - 5 : reach - 6, 0);
    if (broken) { context.moveTo(reach / 2 + 5, 0); context.lineTo(reach, 0); }
    context.stroke();
    context.setLineDash([]);
    context.beginPath();
    if (broken) { for (const y of [-6, 6]) { context.moveTo(reach / 2 - 4, y); context.lineTo(reach / 2 + 4, -y); } context.stroke(); }
    else { context.moveTo(reach, 0); context.lineTo(reach - 8, 4.5); context.lineTo(reach - 8, -4.5); context.fill(); }
    context.restore();
  };
  const box = (i, row, name, off = false) => {
    context.globalAlpha = off ? 0.4 : 1;
    context.setLineDash(off ? [4, 4] : []);
    context.strokeStyle = row ? theme.quiet : BT_COLOURS[4];
    context.lineWidth = 2;
    context.strokeRect(place(i), rows[row], wide, tall);
    context.setLineDash([]);
    text(name, place(i) + wide / 2, middle(row));
    context.globalAlpha = 1;
  };
  const small = width < 520;
  const last = width - 62, meets = last + 10;
  for (const row of [0, 1]) {
    const dash = row ? "′" : "", end = row ? 1 : 2;
    text(`v${dash}`, left - 12, middle(row));
    arrow(left - 4, middle(row), place(0) - 2, middle(row), theme.ink);
    box(0, row, (small ? "f" : "encoder f") + dash);
    arrow(place(0) + wide, middle(row), place(1) - 2, middle(row), theme.ink);
    text(`y${dash}`, place(0) + wide + gap / 2, middle(row) - 9);
    box(1, row, (small ? "g" : "projector g") + dash);
    text(`z${dash}`, place(1) + wide + gap / 2, middle(row) - 9);
    if (!row) {
      arrow(place(1) + wide, middle(0), place(2) - 2, middle(0), theme.ink);
      box(2, 0, predictor === "identity" ? (small ? "no q" : "no predictor") : small ? "q" : predictor === "linear" ? "linear q" : "predictor q", predictor === "identity");
      text(predictor === "identity" ? "z" : "p", place(2) + wide + gap / 2, middle(0) - 9);
    }
    arrow(place(end) + wide, middle(row), last, middle(row), theme.ink);
  }
  // --- the loss, and the gradient on its way back
  text(contrastive ? "InfoNCE" : s.method === "simsiam" ? "−cos" : "2 − 2 cos", meets + 18, height / 2 - 8);
  text("loss", meets + 18, height / 2 + 8, theme.quiet);
  context.strokeStyle = theme.line;
  context.beginPath();
  for (const row of [0, 1]) { context.moveTo(last, middle(row)); context.lineTo(meets, middle(row)); context.lineTo(meets + 6, height / 2 + (row ? 18 : -18)); }
  context.stroke();
  const back = (row, broken) => arrow(last, rows[row] + tall + 9, broken ? place(1) + wide / 2 : place(0), rows[row] + tall + 9, gradient, broken);
  back(0, false);
  back(1, stopped);
  text(stopped ? "stop-gradient" : "gradient", place(2) + wide / 2, rows[1] + tall + 20, gradient);
  text("gradient", place(2) + wide / 2, rows[0] + tall + 20, gradient);
  // --- the moving average
  const x = place(0) + wide / 2 - 8, [from, to] = [rows[0] + tall + 14, rows[1] - 3];
  if (average === "none") { text(s.method === "byol" && s.stop_gradient ? "τ = 0: the same network" : "the same network", place(0) + wide / 2, (from + to) / 2, theme.quiet); return; }
  arrow(x, from, x, to, BT_COLOURS[2], average === "broken");
  context.textAlign = "left";
  text(average === "broken" ? (s.target === "random" ? "fixed" : "τ = 1: fixed") : `EMA, τ ${btNumber(s.tau_base, 4)}`, x + 12, (from + to) / 2, BT_COLOURS[2]);
}
