// This file makes the controls and canvases of the augmentation explorer. Everything that they show comes from the kernel.

/** Put a picture's bytes (RGBA, from `at` on) onto a canvas of this size; return where the next picture begins. */
function btPicture(canvas, bytes, at, [height, width]) {
  const end = at + 4 * height * width;
  if (end > bytes.length) return end;
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  canvas.classList.toggle("bt-smooth", Math.max(height, width) > 64);  // small pictures show their pixels
  canvas.getContext("2d").putImageData(new ImageData(bytes.slice(at, end), width, height), 0, 0);
  return end;
}

const btBytes = (view) => view?.byteLength ? new Uint8ClampedArray(view.buffer, view.byteOffset, view.byteLength) : new Uint8ClampedArray(0);
const btFieldName = (name) => name.replaceAll("_", " ");

/**
 * Make the controls of one field of Config: two sliders, for T and T′ or for the two ends of a range, or one choice.
 * onchange(value) is called with the field's whole value. Returns {element, inputs, set(value, linked), linked()}.
 */
function btField(field, onchange) {
  const name = btFieldName(field.name);
  if (field.kind === "choice") {
    const choice = btChoice({label: name}, field.choices[0], field.choices, onchange);
    return {element: h("div", {class: "bt-field bt-chosen"}, choice.element), set: choice.set, inputs: [choice.input]};
  }
  const ends = field.kind === "range" ? ["from", "to"] : ["T", "T′"];
  const clamp = (x) => field.logarithmic ? x : Math.min(field.high, Math.max(field.low, Number(x.toFixed(2))));
  const spec = {low: field.low, high: field.high, scale: field.logarithmic ? "log" : "linear",
                step: Number.isInteger(field.low * 100) ? 0.01 : "any", format: (x) => field.logarithmic ? btNumber(x) : String(clamp(x))};
  let linked = false;
  const changed = () => {
    if (linked) sliders[1].set(sliders[0].get());
    onchange(sliders.map((s) => clamp(s.get())));
  };
  const sliders = ends.map((end) => btSlider({...spec, label: end}, field.low, changed));
  sliders.forEach((slider, i) => slider.input.setAttribute("aria-label", `${name}, ${ends[i]}`));
  const element = h("div", {class: "bt-field", role: "group", "aria-label": name},
                    h("strong", {}, name), h("div", {class: "bt-ends"}, ...sliders.map((s) => s.element)));
  const set = (value, both) => {
    linked = both && field.kind === "pair"; // one slider then sets both views
    element.classList.toggle("bt-linked", linked);
    sliders[1].input.disabled = sliders[1].element.hidden = linked;
    sliders.forEach((slider, i) => slider.set(value[i]));
  };
  return {element, set, inputs: sliders.map((s) => s.input), linked: () => linked};
}

function render({model, el}) {
  const {groups, recipes, views, about} = model.get("controls");
  const STEPS = 10, hints = btHints(about);
  let stamp = null, unsent = {}, requested = 0;

  // Sliders send at most one message in each frame of the page, with only the values that were moved. Answers with an
  // older stamp than that of the last message do not set the sliders, so that none jumps back while it is dragged.
  const flush = () => {
    requested = 0;
    stamp = btId();
    model.send({do: "set", stamp, ...unsent});
    unsent = {};
  };
  const change = (name, value) => { unsent[name] = value; requested ||= requestAnimationFrame(flush); };

  // --- choice of picture and draw
  const go = (where) => model.send({do: "go", ...where});
  const step = (by) => () => { const s = model.get("settings"); go({index: (s.index + by + s.count) % s.count}); };
  const thumbs = Array.from({length: 12}, (_, i) => {
    const canvas = h("canvas", {"aria-hidden": "true"});
    const button = btButton("", () => go({index: model.get("settings").first + i}), {class: "bt-thumb"});
    button.append(canvas);
    return {button, canvas};
  });
  const number = (label, key) => {
    const id = btId();
    const input = h("input", {type: "number", id, min: 0, step: 1, onchange: () => go({[key]: input.value === "" ? null : Number(input.value)})});
    return {input, element: h("span", {class: "bt-number"}, h("label", {for: id}, label), input)};
  };
  const index = number("picture", "index"), seed = number("seed", "seed");
  const caption = h("span", {class: "bt-quiet bt-caption"});
  const many = btSwitch({label: "a picture for each pair"}, false, (on) => go({many: on}));

  // --- settings
  const link = btSwitch({label: "T′ as T"}, false, (on) => model.send({do: "link", on}));
  const buttons = recipes.map((name) => btButton(name, () => model.send({do: "recipe", name})));
  const fields = {};
  const boxes = groups.map((group) => h("details", {open: true}, h("summary", {}, group.title),
    ...group.fields.map((field) => (fields[field.name] = btField(field, (value) => change(field.name, value))).element)));

  // --- the chain, the pairs, the bars: they are built once, and later only filled
  const chain = views.map((view, row) => {
    const steps = Array.from({length: STEPS}, (_, i) => {
      const canvas = h("canvas", {role: "img"});
      const frame = i === 0 ? h("i", {class: "bt-frame"}) : null;
      const name = h("strong"), words = h("span", {class: "bt-quiet"});
      return {canvas, frame, name, words, element: h("li", {}, h("div", {class: "bt-shot"}, canvas, frame), name, words)};
    });
    const prime = row ? "′" : "";
    return {steps, element: h("section", {class: "bt-chain", "data-view": row, "aria-label": `${view}, step by step`},
      h("h4", {}, `${view} = t${prime}(x), t${prime} ~ T${prime}`), h("ol", {}, ...steps.map((s) => s.element)))};
  });
  const pairs = Array.from({length: 8}, (_, i) => {
    const canvases = views.map((_v, row) => h("canvas", {"aria-hidden": "true", "data-view": row}));
    const button = btButton("", () => go({pair: i}), {class: "bt-pair"});
    const label = h("span");
    button.append(...canvases, label);
    return {canvases, button, label};
  });
  const bars = h("ul", {class: "bt-bars", "aria-label": "What two views still share"});
  const counted = h("p", {class: "bt-quiet"}), shared = h("h4", {tabindex: 0, "data-lm-suppress-shortcuts": "true"}, "What two views still share");

  // --- the rest
  const code = h("code");
  const copy = btButton("copy", () => btCopy(copy, code.textContent), {class: "bt-main"});
  const problem = h("p", {class: "bt-problem", role: "alert"});
  const badge = h("span", {class: "bt-badge", role: "status"}, "…");
  const notice = h("p", {class: "bt-notice", hidden: true});
  const live = h("fieldset", {class: "bt-whole"});  // disabled while no kernel answers

  live.append(
    h("div", {class: "bt-row bt-strip"}, btButton("‹", step(-1), {"aria-label": "previous picture"}),
      ...thumbs.map((t) => t.button), btButton("›", step(1), {"aria-label": "next picture"}),
      index.element, caption,
      btButton("another draw", () => model.send({do: "another"}), {class: "bt-main"}), seed.element),
    h("div", {class: "bt-sides"},
      h("div", {class: "bt-settings"}, link.element, ...boxes),
      h("div", {class: "bt-stage"}, ...chain.map((c) => c.element),
        h("div", {class: "bt-below"},
          h("section", {}, shared, bars, counted),
          h("section", {"aria-label": "pairs of views"},
            h("div", {class: "bt-row bt-spread"}, h("h4", {}, "Pairs of views"), many.element),
            h("div", {class: "bt-pairs"}, ...pairs.map((p) => p.button)))))));
  const recipeRow = h("fieldset", {class: "bt-row bt-recipes", "aria-label": "recipes"}, ...buttons);
  const root = h("div", {class: "bt bt-explorer", role: "region", "aria-label": "Augmentation explorer"},
    h("div", {class: "bt-row bt-spread bt-top"}, h("h3", {}, "Augmentation explorer"), recipeRow, badge), notice, problem, live,
    h("div", {class: "bt-row bt-code"}, code, copy), hints.element);
  el.append(root);

  // --- explanations; a control that has no effect now is off, and its explanation gives the reason
  const inert = (name) => model.get("settings").inert?.[name] ?? "";
  for (const {fields: all} of groups) for (const {name} of all) hints.on(fields[name].element, name, () => inert(name));
  for (const [element, part] of [[link.element, "link"], [shared, "shared"], [many.element, "many"], [seed.element, "seed"], [copy, "code"],
                                 ...chain.map(({element}) => [element.firstChild, "chain"]), ...buttons.map((button) => [button, "recipe"])]) hints.on(element, part);

  // --- from the kernel
  const fillSettings = () => {
    const s = model.get("settings");
    if (!s.values) return;
    code.textContent = s.code;
    caption.title = s.caption;
    caption.textContent = s.caption.replace(/^picture \d+/, `of ${s.count}`);
    index.input.max = s.count - 1;
    index.input.value = s.index;
    seed.input.value = s.seed;
    many.set(s.many);
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", s.recipes.includes(recipes[i])));
    thumbs.forEach(({button}, i) => {
      button.hidden = i >= s.thumbs.length;
      button.setAttribute("aria-label", s.thumbs[i] ?? "");
      button.title = s.thumbs[i] ?? "";
      button.setAttribute("aria-pressed", s.first + i === s.index);
    });
    if (stamp !== null && s.stamp !== stamp) return;
    stamp = null;
    if (requested) return;
    link.set(s.linked);
    for (const [name, value] of Object.entries(s.values)) {
      const field = fields[name], off = Boolean(s.inert[name]);
      field.set(value, s.linked);
      field.element.classList.toggle("bt-off", off);
      field.inputs.forEach((input, i) => { input.disabled = off || (i === 1 && field.linked()); });
    }
  };
  const fillThumbs = () => {
    const s = model.get("settings"), bytes = btBytes(model.get("thumbs"));
    let at = 0;
    for (const {canvas} of thumbs.slice(0, s.thumbs?.length ?? 0)) at = btPicture(canvas, bytes, at, s.size);
  };
  const fillChain = () => {
    const c = model.get("chain"), bytes = btBytes(model.get("pictures"));
    if (!c.rows) return;
    c.rows.forEach((row, r) => row.steps.forEach((s, i) => {
      const {canvas, name, words, element} = chain[r].steps[i];
      name.textContent = s.name;
      words.textContent = s.words;
      element.classList.toggle("bt-idle", !s.done);
      canvas.setAttribute("aria-label", `${row.view}, ${s.name}: ${s.words}`);
    }));
    let at = 0;
    for (const {steps: [{canvas}]} of chain) btPicture(canvas, bytes, 0, c.image);
    at = 4 * c.image[0] * c.image[1];
    for (const {steps} of chain) for (const {canvas} of steps.slice(1)) at = btPicture(canvas, bytes, at, c.size);
    for (const row of [0, 1]) for (const {canvases} of pairs) at = btPicture(canvases[row], bytes, at, c.size);
    chain.forEach(({steps: [{frame}]}, r) => {
      const [left, top, width, height] = c.rows[r].crop.map((x) => `${100 * x}%`);
      Object.assign(frame.style, {left, top, width, height});
    });
    pairs.forEach(({button, label}, i) => {
      const name = c.pairs[i].replace(/^picture \d+(: )?/, "");
      label.textContent = `${i + 1}${name && model.get("settings").many ? ` ${name}` : ""}`;
      button.setAttribute("aria-label", `pair ${i + 1}${name ? `: ${name}` : ""}`);
      button.setAttribute("aria-pressed", i === c.pair);
    });
  };
  const fillBars = () => {
    const b = model.get("bars");
    if (!b.rows) return;
    counted.textContent = b.rows.length ? `100\u00a0%: the partner is always found. Tick: chance, ${b.pairs} pairs.` : "Nothing to compare: there is only one picture.";
    bars.replaceChildren(...b.rows.map((row) => {
      const percent = (x) => `${Math.min(100, Math.max(0, 100 * x))}%`;
      return h("li", {title: row.words}, h("strong", {}, row.name), h("span", {class: "bt-track", "aria-hidden": "true"},
        h("i", {style: `width:${percent(row.same)}`}), h("b", {style: `left:${percent(Math.abs(row.different))}`})),
        h("output", {}, `${Math.round(100 * Math.max(0, row.same))} %`), h("span", {class: "bt-hidden"}, row.words));
    }));
  };
  const fillProblem = () => { problem.textContent = model.get("problem"); };

  const connection = btConnection(model, (now) => {
    badge.textContent = now ? "live" : model.recorded ? "recorded" : "not live";
    badge.dataset.kind = now ? "" : "warn";
    live.disabled = recipeRow.disabled = !now;
    notice.hidden = now;
    notice.textContent = model.recorded
      ? "A recorded picture. To move its controls, run in a notebook: bt.widgets.explorer(bt.load(\"shapes\"))"
      : "No kernel answers: this is the last picture. Run the cell again to move the controls.";
  });
  const handlers = Object.entries({"change:settings": fillSettings, "change:thumbs": fillThumbs, "change:chain": fillChain,
                                   "change:bars": fillBars, "change:problem": fillProblem})
    .map(([event, fill]) => [event, () => { connection.received(); fill(); }]);
  for (const [event, fill] of handlers) model.on(event, fill);
  for (const fill of [fillSettings, fillThumbs, fillChain, fillBars, fillProblem]) fill();
  return () => {
    connection.close();
    hints.close();
    cancelAnimationFrame(requested);
    for (const [event, fill] of handlers) model.off(event, fill);
  };
}

export default {initialize: btKeepSaved, render: btFreed(render)};
