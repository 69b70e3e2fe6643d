// Files that the reader can keep: a picture of the panel, and the curves.

function download(name, blob) {
  const url = URL.createObjectURL(blob), link = h("a", {href: url, download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Return the curves of runs {name: run} as CSV: a row for each step, with what was measured after it. */
function curvesAsCsv(runs) {
  const rows = ["run,step,loss,std,rank,knn_shape,knn_hue"];
  for (const [name, {curves}] of Object.entries(runs)) {
    const seen = new Map(curves.seen.map((s) => [s.step, s]));
    for (let step = 0; step <= curves.loss.length; step++) {
      const s = seen.get(step);
      if (step || s) rows.push([name, step, curves.loss[step - 1] ?? "", curves.std[step - 1] ?? "", s?.rank ?? "", s?.shape ?? "", s?.hue ?? ""].join(","));
    }
  }
  return rows.join("\n") + "\n";
}

/** Return a canvas with the visible canvases of the panel where they stand, and the texts of the given elements. */
function pictureOf(root, texts) {
  const box = root.getBoundingClientRect(), scale = 2, canvas = h("canvas", {width: Math.round(box.width * scale), height: Math.round(box.height * scale)});
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.fillStyle = getComputedStyle(root).backgroundColor;
  context.fillRect(0, 0, box.width, box.height);
  for (const part of root.querySelectorAll("canvas")) {
    const at = part.getBoundingClientRect();
    if (at.width) context.drawImage(part, at.left - box.left, at.top - box.top, at.width, at.height);
  }
  context.textBaseline = "top";
  for (const element of texts) {
    const at = element.getBoundingClientRect(), style = getComputedStyle(element);
    context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    context.fillStyle = style.color;
    const inset = parseFloat(style.paddingLeft) || 0, wide = at.width - 2 * inset;
    let line = "", y = at.top - box.top + (parseFloat(style.paddingTop) || 0);
    for (const word of element.textContent.split(" ")) {
      if (line && context.measureText(`${line} ${word}`).width > wide) { context.fillText(line, at.left - box.left + inset, y); line = word; y += 1.4 * parseFloat(style.fontSize); }
      else line = line ? `${line} ${word}` : word;
    }
    context.fillText(line, at.left - box.left + inset, y);
  }
  return canvas;
}
