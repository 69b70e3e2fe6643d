// This file makes what a reader can keep of a panel: a picture, the curves, and a clip of the last minute.

/** Make the browser save a file with this name. */
function btDownload(name, blob) {
  const url = URL.createObjectURL(blob), link = h("a", {href: url, download: name});
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/**
 * Return curves as CSV, with a row for each step, a whole number, at which one of them has a value. runs: {name: {column: {x:
 * steps, y: values}}}; every run has the same columns, and a name that contains a comma comes in quotes.
 */
function curvesAsCsv(runs) {
  const columns = Object.keys(Object.values(runs)[0]), rows = [["run", "step", ...columns]];
  for (const [name, curves] of Object.entries(runs)) {
    const at = {}; // an object lists keys that are whole numbers in ascending order
    columns.forEach((column, k) => curves[column].x.forEach((step, i) => { (at[step] ??= [])[k] = curves[column].y[i]; }));
    for (const step in at) rows.push([name, step, ...columns.map((_, k) => at[step][k] ?? "")]);
  }
  return rows.join("\n") + "\n";
}

const GAP = 14; // pixels of space in place of a part of the panel that the picture leaves out

/**
 * Return a canvas with the visible canvases of the panel and the texts of the given elements, one below the other as they stand.
 * An element that is not plain text has a function btDraw(context, element, x, y, width).
 */
function pictureOf(root, texts, scale = 2) {
  const box = root.getBoundingClientRect();
  const parts = [...root.querySelectorAll("canvas"), ...texts].map((element) => ({element, at: element.getBoundingClientRect()})).filter(({at}) => at.width).sort((a, b) => a.at.top - b.at.top);
  let end = box.top, left = 0; // the end of the parts so far, and the pixels that were left out so far
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
    else (element.btDraw ?? drawText)(context, element, x, y, at.width);
  }
  return canvas;
}

/** Write an element's text as the page shows it, in as many lines as its width needs. */
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

/**
 * Return the address of an experiment in the book's playground. On a page of the book the address is complete. Elsewhere the
 * reader puts the book's address in front of it, or pastes it into a playground as it is.
 */
function btBookLink(fragment) {
  const page = `book/play.html${fragment}`;
  return (/\/(notebooks|book)\/[\w.]+\.html$/).test(location.pathname) ? new URL(`../${page}`, location.href).href : page;
}

/**
 * Keep the values of a model's trait from the last minute in which it changed, at most four a second. Returns {model, values(),
 * show(value), close()}: `model` is the same model, but after show(value) its trait has this value, until show(null) is called.
 */
function btLastMinute(model, trait) {
  const kept = []; // [time, value]
  let shown = null;
  const keep = () => {
    const now = performance.now();
    if (kept.length && now - kept.at(-1)[0] < 250) return;
    kept.push([now, model.get(trait)]);
    while (now - kept[0][0] > 60_000) kept.shift();
  };
  keep();
  model.on(`change:${trait}`, keep);
  return {
    model: {...model, get: (name) => name === trait && shown ? shown : model.get(name)},
    values: () => [...kept.map(([, value]) => value), model.get(trait)],
    show(value) { shown = value; },
    close: () => model.off(`change:${trait}`, keep),
  };
}

/** Return the first kind of video that this browser can record, or null. */
function btVideoKind() {
  return ["video/webm", "video/mp4"].find((kind) => globalThis.MediaRecorder?.isTypeSupported(kind)) ?? null;
}

/**
 * Return a video of pictures as a Blob. draw(i) makes the page show the i-th of `count` moments; picture() returns a canvas with
 * what the page shows. The canvas keeps its first size.
 */
async function btClip(count, draw, picture, perSecond = 20) {
  draw(0);
  const {width, height} = picture(), even = (x) => 2 * Math.ceil(x / 2); // video encoders need even numbers of pixels
  const canvas = h("canvas", {width: even(width), height: even(height)}), context = canvas.getContext("2d");
  const stream = canvas.captureStream(0), [track] = stream.getVideoTracks(); // a picture is taken when one is asked for
  const recorder = new MediaRecorder(stream, {mimeType: btVideoKind()}), parts = [];
  const pause = () => new Promise((done) => setTimeout(done, 1000 / perSecond));
  recorder.ondataavailable = ({data}) => parts.push(data);
  const ended = new Promise((resolve, reject) => { recorder.onstop = resolve; recorder.onerror = ({error}) => reject(error ?? new Error("the browser cannot record")); });
  recorder.start();
  for (let i = 0; i < count; i++) {
    draw(i);
    await pause(); // the page draws meanwhile
    context.drawImage(picture(), 0, 0);
    track.requestFrame();
  }
  await pause(); // the recorder takes the last picture
  recorder.stop();
  await ended;
  track.stop();
  return new Blob(parts, {type: recorder.mimeType});
}
