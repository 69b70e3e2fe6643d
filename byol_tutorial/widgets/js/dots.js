// This file draws thousands of dots in each frame without a GPU. It blends them into an ImageData, which is about ten times
// faster than as many calls of drawImage or arc, and uses one core only.

const DOTS_PLACES = 4; // positions within a pixel in each direction, so that slow dots move smoothly

/** Return a colour "#rrggbb" as three numbers. */
const dotsRgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/**
 * Draw marks about as large as a disc of this radius, in device pixels. start(context) begins a picture of the canvas's
 * size; dot(x, y, [r, g, b], alpha, k) adds the mark of class k at device pixels x, y; finish() replaces the content of the
 * canvas by the picture.
 */
function makeDots(radius) {
  const reach = Math.ceil(1.5 * radius + 1), side = 2 * reach + 1;
  const pen = new OffscreenCanvas(side, side).getContext("2d", {willReadFrequently: true});
  const all = BT_MARKS.map((_, k) => Array.from({length: DOTS_PLACES ** 2}, (_, place) => {
    pen.clearRect(0, 0, side, side);
    btMark(pen, k, reach + 0.5 + place % DOTS_PLACES / DOTS_PLACES, reach + 0.5 + Math.floor(place / DOTS_PLACES) / DOTS_PLACES, radius);
    const {data} = pen.getImageData(0, 0, side, side);
    return Float32Array.from({length: side * side}, (_, i) => data[4 * i + 3] / 255);
  })); // how much of each pixel a mark covers
  let context = null, image = null, pixels = null;
  return {
    radius,
    start(c) {
      const {width, height} = c.canvas;
      if (image?.width !== width || image?.height !== height) image = c.createImageData(width, height);
      context = c;
      pixels = image.data;
      pixels.fill(0);
    },
    dot(x, y, [r, g, b], alpha, k = 0) {
      const left = Math.floor(x), top = Math.floor(y), wide = image.width, tall = image.height;
      const mask = all[k % all.length][Math.floor((y - top) * DOTS_PLACES) * DOTS_PLACES + Math.floor((x - left) * DOTS_PLACES)];
      for (let j = 0; j < side; j++) {
        const row = top + j - reach;
        if (row < 0 || row >= tall) continue;
        for (let i = 0; i < side; i++) {
          const cover = mask[j * side + i], column = left + i - reach;
          if (cover === 0 || column < 0 || column >= wide) continue;
          const at = 4 * (row * wide + column), over = 255 * alpha * cover;
          const all = over + pixels[at + 3] * (1 - alpha * cover), share = over / all; // the operation "over", alpha not premultiplied
          pixels[at] += (r - pixels[at]) * share;
          pixels[at + 1] += (g - pixels[at + 1]) * share;
          pixels[at + 2] += (b - pixels[at + 2]) * share;
          pixels[at + 3] = all;
        }
      }
    },
    finish() { context.putImageData(image, 0, 0); },
  };
}

// --- gestures that all maps have

/** Return which of n points, at [x, y] pairs of pixels in `now`, is nearest to a place and less than `within` away; −1 if none is. */
function nearestDot(now, n, x, y, within, ok = () => true) {
  let best = -1, least = within * within;
  for (let m = 0; m < n; m++) {
    const d = (now[2 * m] - x) ** 2 + (now[2 * m + 1] - y) ** 2;
    if (d < least && ok(m)) { least = d; best = m; }
  }
  return best;
}

/** Return the nearest of n points within 45° of an arrow key's direction from a place; −1 if there is none, null for another key. */
function dotTowards(now, n, x, y, key, ok = () => true) {
  const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[key];
  return step ? nearestDot(now, n, x, y, 1e4, (m) => {
    const dx = now[2 * m] - x, dy = now[2 * m + 1] - y, along = dx * step[0] + dy * step[1];
    return ok(m) && along > 0 && along >= Math.abs(dx * step[1]) + Math.abs(dy * step[0]);
  }) : null;
}

/** Return how many of these points each class has, the most frequent first, as "12 circle, 3 moon". Without classes the text is empty. */
function classCounts(points, labels, classes) {
  const counts = classes.map((name, k) => [points.filter((m) => labels[m] === k).length, name]).filter(([count]) => count);
  return counts.sort((a, b) => b[0] - a[0]).map((pair) => pair.join(" ")).join(", ");
}

/**
 * Open an atlas of small pictures, as widgets/atlas.py makes it. Each image has `tiles` pictures of `size` × `size` pixels beside
 * one another, and a row of the atlas has `columns` images. onload() is called when the atlas can be drawn. Its method
 * draw(context, m, which, x, y, side) draws picture `which` of image m.
 */
function dotsAtlas(bytes, size, columns, tiles, onload) {
  const image = new Image(), address = URL.createObjectURL(new Blob([bytes], {type: "image/webp"}));
  image.onload = onload;
  image.src = address;
  return {
    draw(context, m, which, x, y, side) {
      if (image.complete && image.naturalWidth) context.drawImage(image, (m % columns * tiles + which) * size, Math.floor(m / columns) * size, size, size, x, y, side, side);
    },
    close() { image.onload = null; URL.revokeObjectURL(address); },
  };
}

/** Return whether a place is inside a polygon of [x, y] corners: a line from it to the right crosses its sides an odd number of times. */
function insidePolygon(corners, x, y) {
  let inside = false;
  corners.forEach(([x0, y0], i) => {
    const [x1, y1] = corners[(i + 1) % corners.length];
    if ((y0 > y) !== (y1 > y) && x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)) inside = !inside;
  });
  return inside;
}

/**
 * Let readers zoom into a map and encircle points in it. A double click, a pinch, the wheel with Ctrl, or the keys + and − zoom;
 * 0 shows the whole map; a drag draws a lasso. When the lasso is closed, onlasso(corners) is called, which returns whether any
 * point is inside. When Escape, a click, or a drag that becomes a scroll removes the lasso, onlasso(null) is called. Returns a
 * lens {zoom, left, top}: the place (x, y) of the whole map is drawn at ((x − left) zoom, (y − top) zoom). The lens also has
 * draw(context, theme), which draws the lasso, and dragged(), which returns whether the last press was a drag and not a click.
 */
function dotsLens(element, redraw, onlasso) {
  let corners = null, drawing = false, dragged = false, from = null;
  const place = (event) => { const box = element.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
  const zoomTo = (to, x = element.clientWidth / 2, y = element.clientHeight / 2) => {
    const [a, b] = [lens.left + x / lens.zoom, lens.top + y / lens.zoom]; // this place of the map does not move
    lens.zoom = clamp(to, 1, 16);
    lens.left = clamp(a - x / lens.zoom, 0, element.clientWidth * (1 - 1 / lens.zoom));
    lens.top = clamp(b - y / lens.zoom, 0, element.clientHeight * (1 - 1 / lens.zoom));
    corners = null;
    onlasso(null);
    redraw();
  };
  element.addEventListener("dblclick", (event) => { zoomTo(lens.zoom * (event.shiftKey ? 0.5 : 2), ...place(event)); event.preventDefault(); });
  element.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // the wheel alone scrolls the page
    zoomTo(lens.zoom * Math.exp(-event.deltaY / 200), ...place(event));
    event.preventDefault();
  }, {passive: false});
  element.addEventListener("pointerdown", (event) => { dragged = false; if (event.button === 0) from = place(event); });
  element.addEventListener("pointermove", (event) => {
    if (!from) return;
    const [x, y] = place(event);
    if (!drawing && Math.hypot(x - from[0], y - from[1]) < 6) return;
    if (!drawing) { drawing = dragged = true; corners = [from]; element.setPointerCapture(event.pointerId); }
    corners.push([x, y]);
    redraw();
  });
  const remove = () => { corners = null; onlasso(null); redraw(); };
  element.addEventListener("pointerup", () => {
    if (drawing ? !onlasso(corners) : from && corners) remove();
    drawing = false;
    from = null;
  });
  element.addEventListener("pointercancel", () => { // the finger scrolls the page
    if (drawing) remove();
    drawing = false;
    from = null;
  });
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") zoomTo(lens.zoom * 2);
    else if (event.key === "-") zoomTo(lens.zoom / 2);
    else if (event.key === "0") zoomTo(1);
    else if (event.key === "Escape" && corners) remove();
    else return;
    event.preventDefault();
  });
  const lens = {
    zoom: 1, left: 0, top: 0, dragged: () => dragged,
    draw(context, theme) {
      if (!corners) return;
      context.strokeStyle = context.fillStyle = theme.ink;
      context.lineWidth = 1.5;
      context.setLineDash([4, 3]);
      context.beginPath();
      for (const corner of corners) context.lineTo(...corner);
      context.closePath();
      context.stroke();
      context.setLineDash([]);
      context.globalAlpha = 0.06;
      context.fill();
      context.globalAlpha = 1;
    },
  };
  return lens;
}

// --- colours

const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

/** Return whether a colour, as the browser computed it, is dark. */
function isDark(colour) {
  const [r, g, b] = (colour.match(/[\d.]+/g) ?? [255, 255, 255]).map(Number);
  return (0.3 * r + 0.59 * g + 0.11 * b) * (colour.startsWith("color") ? 255 : 1) < 128;
}

/** Return a colour of matplotlib's viridis, t in [0, 1]: equal steps look equal, also in lightness alone. */
function viridis(t) {
  const x = t * (VIRIDIS.length - 1), i = Math.min(Math.floor(x), VIRIDIS.length - 2), f = x - i;
  return "#" + VIRIDIS[i].map((v, j) => Math.round(v + f * (VIRIDIS[i + 1][j] - v)).toString(16).padStart(2, "0")).join("");
}
