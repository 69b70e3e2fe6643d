// This file draws the network as boxes, in the cockpit and in the playground. "Along" is the direction in which the data goes,
// "across" the other. The gradient's arrows are beside the data's arrows, and the moving average's arrows go from row to row. An
// arrow that a setting removes is drawn broken.

const PREDICTORS = { // value: [its words, its name in the box]; the gradient changes only the first two
  mlp: ["a predictor of two layers", "predictor q"], linear: ["a linear predictor", "linear q"], identity: ["no predictor", "no predictor"],
  fixed: ["a random predictor that never learns", "random q"], optimal: ["a linear predictor that is set, not trained", "set linear q"],
};

/** Return what the diagram shows of these settings, also in words. */
function networkOf(s) {
  const follows = s.method === "byol" || s.method === "dino", contrastive = s.method === "simclr";
  const one = !follows || s.target === "online" || !s.stop_gradient;
  return {
    one, contrastive, stopped: s.stop_gradient && !contrastive, predictor: contrastive ? "identity" : s.predictor,
    fixed: s.target === "random" || s.tau_base === 1,
    words: [
      PREDICTORS[contrastive ? "identity" : s.predictor][0],
      contrastive ? "the gradient passes through both branches" : s.stop_gradient ? "the gradient stops at the target" : "the gradient also passes through the target",
      one ? "both branches are the same network" : s.target === "random" ? "the target is random and stays as it is" : `the target is a moving average, τ ${btNumber(s.tau_base, 4)}`,
      contrastive && s.negatives ? "other pictures are pushed away" : "no negatives",
    ].join(", "),
  };
}

/**
 * Return the places of the network's parts in a wide canvas of this size, all in pixels. half: half a box's length along; across: a
 * whole box across; at(i): the middle of box i, along; rows: the middles of the two rows, across; start: where the first box begins;
 * end: where the last arrows end; lead: the length of the arrow to the first box; gap: the space between boxes; out: the distance
 * from the end to the loss; elbow: half of the loss, across; stack: the step from the loss's middle to its second line; label: where
 * the moving average is named. xy(along, across) returns a pixel; note(text, words, along, across, colour) writes words beside an
 * arrow.
 */
function wideNetwork(width, height, start = 40) {
  const end = width - 62, half = Math.min(48, (width - 150) / 8), gap = (end - start) / 3 - 2 * half, middle = height / 2;
  return {start, end, half, gap, middle, lead: 16, across: 30, out: 28, elbow: 18, stack: [0, 8], rows: [41, height - 41], label: [start + half + 8, middle, "left"],
          at: (i) => start + half + i * (2 * half + gap), xy: (...place) => place, note: (text, words, a, c, colour) => text(words, a, c + (colour ? 20 : -14), colour)};
}

/**
 * Draw the network of these settings, in places as wideNetwork returns them. places may also have `loss`, the loss's two lines of
 * text, and `arrows`, a list to which [from, to, colour, broken] is added for each arrow.
 */
function drawNetwork(context, places, theme, s) {
  const {one, contrastive, stopped, predictor, fixed} = networkOf(s);
  const {start, end, half, across, gap, rows, middle, lead, out, at, xy} = places, gradient = BT_COLOURS[5];
  context.font = theme.font;
  context.textBaseline = "middle";
  const text = (words, a, c, colour = theme.ink, align = "center", most) => {
    context.textAlign = align;
    context.fillStyle = `color-mix(in srgb, ${colour} 70%, ${theme.ink})`; // readable on light and dark grounds
    context.fillText(words, ...xy(a, c), most);
  };
  const line = (...points) => { context.beginPath(); for (const point of points) context.lineTo(...point); context.stroke(); };
  const arrow = (from, to, colour, broken) => {
    const [x, y] = xy(...from), [x1, y1] = xy(...to), reach = Math.hypot(x1 - x, y1 - y);
    context.save();
    context.translate(x, y);
    context.rotate(Math.atan2(y1 - y, x1 - x));
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = 2;
    if (broken) { for (const v of [-6, 6]) line([reach / 2 - 4, v], [reach / 2 + 4, -v]); context.setLineDash([4, 4]); }
    else { line([reach - 8, 4], [reach - 1, 0], [reach - 8, -4]); context.fill(); }
    line([0, 0], [reach - 6, 0]);
    context.restore();
    places.arrows?.push([from, to, colour, broken]);
  };
  const none = predictor === "identity", names = ["encoder f", "projector g", PREDICTORS[predictor][1]];
  rows.forEach((c, row) => {
    const dash = row ? "′" : "", learns = !row || !stopped;
    const forth = (a, b) => arrow([a, c - 4], [b, c - 4], theme.ink), back = (a, b, broken) => arrow([a, c + 5], [b + 2, c + 5], gradient, broken);
    let from = start - lead;
    text("v" + dash, from - 10, c);
    for (const i of row ? [0, 1] : [0, 1, 2]) {
      const first = at(i) - half, size = xy(2 * half, across), place = [...xy(first, c - across / 2), ...size];
      forth(from, first - 2);
      if (i && learns) back(first, from);
      from = at(i) + half;
      places.note(text, ["y", "z", none ? "p = z" : "p"][i] + dash, from + gap / 2, c);
      context.save();
      context.globalAlpha = 0.15;
      context.fillStyle = gradient;
      if (learns && (i < 2 || /mlp|linear/.test(predictor))) context.fillRect(...place);
      context.globalAlpha = 1;
      if (i > 1 && none) { context.globalAlpha = 0.4; context.setLineDash([4, 4]); }
      context.strokeStyle = row ? theme.quiet : BT_COLOURS[4];
      context.lineWidth = 2;
      context.strokeRect(...place);
      text(names[i] + dash, at(i), c, theme.ink, "center", size[0] - 6);
      context.restore();
    }
    forth(from, end);
    back(end, from, !learns);
    context.strokeStyle = theme.line;
    line(xy(end, c), xy(end + out, c), xy(end + out, middle + (2 * row - 1) * places.elbow));
  });
  places.note(text, stopped ? "stop-gradient" : "gradient", at(2), rows[1], gradient);
  // --- the loss, where both rows meet
  const loss = places.loss ?? [contrastive ? "InfoNCE" : s.method === "simsiam" ? "−cos" : "2 − 2 cos", "loss"];
  loss.forEach((line, i) => text(line, end + out + (2 * i - 1) * places.stack[0], middle + (2 * i - 1) * places.stack[1], i ? theme.quiet : theme.ink));
  // --- the moving average
  if (!one) for (const i of [0, 1]) arrow([at(i), rows[0] + across / 2 + 2], [at(i), rows[1] - across / 2 - 3], BT_COLOURS[2], fixed);
  const [a, c, align] = places.label;
  text(one ? "one network" : fixed ? s.target === "random" ? "fixed" : "τ = 1: fixed" : `EMA, τ ${btNumber(s.tau_base, 4)}`, a, c, one ? theme.quiet : BT_COLOURS[2], align);
}
