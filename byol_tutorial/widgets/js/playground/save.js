// Files that the reader can keep: a picture of the panel, and the curves.

function download(name, blob) {
  const url = URL.createObjectURL(blob), link = h("a", {href: url, download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Return the curves of runs {name: run} as CSV: a row for each step that is kept, with what was measured after it. */
function curvesAsCsv(runs) {
  const rows = ["run,step,loss,std,rank,knn_shape,knn_hue"];
  for (const [name, {curves}] of Object.entries(runs)) {
    const at = new Map(curves.step.map((step, i) => [step, i])), seen = new Map(curves.seen.map((s) => [s.step, s]));
    for (const step of [...new Set([...at.keys(), ...seen.keys()])].sort((a, b) => a - b)) {
      const s = seen.get(step), i = at.get(step);
      rows.push([name, step, curves.loss[i] ?? "", curves.std[i] ?? "", s?.rank ?? "", s?.shape ?? "", s?.hue ?? ""].join(","));
    }
  }
  return rows.join("\n") + "\n";
}

const GAP = 14; // pixels that are left of a part of the panel that the picture leaves out

/** Return a canvas with the visible canvases of the panel and the texts of the given elements, one below the other as they stand. */
function pictureOf(root, texts) {
  const box = root.getBoundingClientRect(), scale = 2;
  const parts = [...root.querySelectorAll("canvas"), ...texts].map((element) => ({element, at: element.getBoundingClientRect()})).filter(({at}) => at.width).sort((a, b) => a.at.top - b.at.top);
  let end = box.top, left = 0; // how far the panel has been looked at, and how much of it was left out
  for (const part of parts) {
    left += Math.max(0, part.at.top - end - GAP);
    part.y = part.at.top - box.top - left;
    end = Math.max(end, part.at.bottom);
  }
  const canvas = h("canvas", {width: Math.round(box.width * scale), height: Math.round((end - box.top - left + GAP) * scale)}), context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.fillStyle = getComputedStyle(root).backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.textBaseline = "top";
  for (const {element, at, y} of parts) {
    const x = at.left - box.left;
    if (element.tagName === "CANVAS") context.drawImage(element, x, y, at.width, at.height);
    else drawText(context, element, x, y, at.width);
  }
  return canvas;
}

/** Write an element's text as the page shows it, in as many lines as its width asks for. */
function drawText(context, element, x, y, width) {
  const style = getComputedStyle(element), inset = parseFloat(style.paddingLeft) || 0;
  context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  context.fillStyle = style.color;
  let line = "", down = y + (parseFloat(style.paddingTop) || 0);
  for (const word of element.textContent.split(" ")) {
    const longer = line ? `${line} ${word}` : word;
    if (line && context.measureText(longer).width > width - 2 * inset + 1) {
      context.fillText(line, x + inset, down);
      down += 1.4 * parseFloat(style.fontSize);
      line = word;
    } else line = longer;
  }
  context.fillText(line, x + inset, down);
}
