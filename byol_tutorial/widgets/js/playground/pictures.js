// This file draws the map, and pictures with their views and their neighbours.

const DOT = 3, REACHED = 12; // the radius of a dot of the map, and the distance within which the pointer shows a dot's picture

/** Draw a picture of bytes, or of normalised floats, at x, y with a side of `side`. */
function drawPicture(context, begun, values, at, x, y, side) {
  const {size, mean, std} = begun, image = new ImageData(size, size), whole = values instanceof Uint8Array;
  for (let i = 0; i < size * size; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = whole ? values[at + 3 * i + c] : 255 * (values[at + 3 * i + c] * std[c] + mean[c]);
    image.data[4 * i + 3] = 255;
  }
  const small = new OffscreenCanvas(size, size);
  small.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, x, y, side, side);
}

/** Return the place of the map in its canvas: centre, and pixels of a unit. The map of y is scaled to fill it. */
function mapPlace(xy, sphere, width, height) {
  const radius = Math.min(width, height) / 2 - 10;
  const most = sphere ? 1 : xy.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9);
  return {x0: width / 2, y0: height / 2, unit: radius / most, radius};
}

/** Draw the map of a run's pictures; chosen is the number of the picture that is shown, or null. */
function drawMap(context, width, height, theme, {xy, begun, colourOf, sphere, chosen}) {
  const {x0, y0, unit, radius} = mapPlace(xy, sphere, width, height);
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  context.beginPath();
  if (sphere) context.arc(x0, y0, radius, 0, 2 * Math.PI);
  context.stroke();
  context.globalAlpha = 0.85;
  for (let i = 0; i < xy.length / 2; i++) {
    context.fillStyle = colourOf(begun, i);
    btMark(context, begun.labels[i], x0 + unit * xy[2 * i], y0 - unit * xy[2 * i + 1], DOT);
  }
  context.globalAlpha = 1;
  context.fillStyle = theme.quiet;
  context.font = theme.font;
  context.textAlign = "left";
  context.fillText(sphere ? "circle: the unit sphere" : "scaled to fill", 4, height - 4);
  if (chosen === null) return;
  context.strokeStyle = theme.ink;
  context.lineWidth = 2;
  context.beginPath();
  context.arc(x0 + unit * xy[2 * chosen], y0 - unit * xy[2 * chosen + 1], 2 * DOT, 0, 2 * Math.PI);
  context.stroke();
}

/** Return the number of the picture whose dot is nearest to a point of the canvas, or null if none is near. */
function pictureAt(x, y, xy, sphere, width, height) {
  const {x0, y0, unit} = mapPlace(xy, sphere, width, height);
  let best = null, least = REACHED;
  for (let i = 0; i < xy.length / 2; i++) {
    const away = Math.hypot(x0 + unit * xy[2 * i] - x, y0 - unit * xy[2 * i + 1] - y);
    if (away < least) [best, least] = [i, away];
  }
  return best;
}

/** Draw each query and its nearest pictures; those of another shape have a frame. */
function drawNeighbours(context, width, height, theme, begun, near) {
  const rows = near.length, columns = near[0].length + 1, side = Math.min((height - 2 * (rows - 1)) / rows, (width - 14 - 4 * columns) / columns), each = begun.size ** 2 * 3;
  near.forEach((row, i) => [i, ...row].forEach((j, k) => {
    const x = k * (side + 4) + (k ? 10 : 0) + 2, y = i * (side + 2) + 1;
    drawPicture(context, begun, begun.bytes, j * each, x, y, side);
    if (begun.labels[j] === begun.labels[i]) return;
    context.strokeStyle = BT_COLOURS[5];
    context.lineWidth = 3;
    context.strokeRect(x + 1, y + 1, side - 2, side - 2);
  }));
}

/** Draw pairs of views, the first above the second. */
function drawPairs(context, width, height, begun, pairs) {
  const side = Math.min((height - 4) / 2, (width - 4 * pairs.length) / pairs.length);
  pairs.forEach((pair, i) => pair.forEach((view, k) => drawPicture(context, begun, view, 0, i * (side + 4), k * (side + 4), side)));
}
