// This file makes the cockpit in the browser. Python (cockpit/cockpit.py) sends `setup` once and `frame` while the run changes; the
// controls send messages. All drawing is done here.

const GLIDE = 500; // milliseconds in which the map moves from one measure to the next
const NUMBERS = 240; // at least so many milliseconds are between two drawings of the network that differ only in numbers
const SINGLE = 150; // a step is shown alone if at least so many milliseconds are between two steps
const GONE = "no kernel answers: run the cell again";

function render({model: live, el}) {
  const minute = btLastMinute(live, "frame"), model = minute.model; // a clip shows the last minute again
  const setup = model.get("setup");
  const send = (message) => model.send(message);
  const root = h("div", {class: "bt bt-cockpit", role: "region", "aria-label": "BYOL cockpit"});
  const hints = btHints(setup.about);
  let connected = true;
  const whyOff = () => connected ? "" : GONE;

  // --- the run -------------------------------------------------------------------------------
  const play = btButton("▶ play", () => send({do: live.get("frame").state === "running" ? "pause" : "play"}), {class: "bt-main bt-play"});
  const step = btButton("step", () => send({do: "step"}));
  const reset = btButton("reset", () => send({do: "reset"}));
  const undo = btButton("undo", () => send({do: "undo"}));
  const speed = btChoice({label: "speed"}, "", [["", "full"], ["20", "20 / s"], ["5", "5 / s"], ["1", "1 / s"]],
                         (v) => send({do: "speed", value: v === "" ? null : Number(v)}));
  const seed = h("input", {type: "number", id: btId(), min: 0, step: 1, class: "bt-seed", value: model.get("frame").values.seed, onchange: () => newSeed(),
                           onkeydown: (event) => { if (event.key === "Enter") newSeed(); }}); // JupyterLab handles Enter itself, so no change event follows
  let lastSeed = seed.value;
  const newSeed = () => {
    if (seed.value === "" || seed.value === lastSeed) return;
    lastSeed = seed.value;
    send({do: "change", name: "seed", value: Number(seed.value)});
  };
  const seedBox = h("div", {class: "bt-control"}, h("label", {for: seed.id}, "seed"), seed);
  const state = h("span", {class: "bt-badge bt-state"});
  const counter = h("span", {class: "bt-counter bt-quiet"});
  const notice = h("span", {class: "bt-badge", "data-kind": "warn", hidden: true});

  // --- presets, and the learner's prediction ---------------------------------------------------
  const ask = btSwitch({label: "ask me first"}, false, () => closeForm());
  const form = h("form", {class: "bt-form", hidden: true, "aria-label": "Your prediction"});
  const closeForm = () => { form.hidden = true; form.replaceChildren(); };
  const openForm = (name) => {
    const fields = Object.entries(setup.questions).map(([key, q]) =>
      [key, btChoice({label: `${q.text} …`}, "", [["", "choose"], ...q.answers], () => {})]);
    const run = h("button", {type: "submit", class: "bt-main"}, `run “${name}”`);
    form.onsubmit = (event) => {
      event.preventDefault();
      send({do: "preset", name, prediction: Object.fromEntries(fields.map(([key, f]) => [key, f.get()]))});
      closeForm();
    };
    form.replaceChildren(h("strong", {}, `${name}: what will happen?`), ...fields.map(([, f]) => f.element),
                         h("div", {class: "bt-row"}, run, btButton("cancel", closeForm)));
    form.hidden = false;
    fields[0][1].input.focus();
  };
  const presets = setup.presets.map((name) => btButton(name, () => {
    if (ask.get()) openForm(name);
    else { closeForm(); send({do: "preset", name}); }
  }));
  const outcome = h("div", {class: "bt-outcome", hidden: true});

  // --- verdict and messages --------------------------------------------------------------------------
  const verdict = h("div", {class: "bt-verdict", role: "status"});
  const announced = h("div", {class: "bt-hidden", "aria-live": "polite"});
  const problem = h("div", {class: "bt-problem", role: "alert"});
  const said = h("span", {class: "bt-said", "aria-live": "polite"});
  const back = btButton("", () => { const {late} = live.get("frame"); if (late) send({do: "fork", step: late.step, change: "the last change"}); }, {hidden: true, class: "bt-main"});
  const log = h("ol", {class: "bt-log", "aria-label": "Changes made to this run"});

  // --- a branch ------------------------------------------------------------------------------------
  const from = h("input", {type: "number", id: btId(), min: 0, step: 1, value: 0, class: "bt-seed"});
  const branches = btChoice({label: "with"}, setup.branches[0], setup.branches, () => {});
  const fork = btButton("branch", () => send({do: "fork", step: Math.round(Number(from.value)), change: branches.get()}));
  const swap = btButton("swap runs", () => send({do: "swap"}), {hidden: true});
  const forkRow = h("div", {class: "bt-row bt-forks", role: "group", "aria-label": "Branch"},
    h("div", {class: "bt-control"}, h("label", {for: from.id}, "branch from step"), from), branches.element, fork, swap);

  // --- pictures -----------------------------------------------------------------------------------
  const cross = btCross((at) => { from.value = Math.min(at, live.get("frame").step); from.dataset.chosen = ""; });
  const empty = () => ({idle: "press play", running: "the first step is being made"})[model.get("frame").state] ?? "no step made yet";
  const options = {cross, empty, fill: true};
  const plots = {
    loss: btPlot("loss", () => series("loss"), {low: setup.loss_low, ...options}),
    std: btPlot("spread √d·std", () => series("std"), {low: 0, high: 1.05, ...options}),
    rank: btPlot("rank of z", () => series("ranks"), {low: 0, dots: true, ...options}),
    knn: btPlot("kNN accuracy", () => series("knn"), {low: 0, high: 1, dots: true, ...options}),
  };
  const names = h("div", {class: "bt-names"});
  const hidden = new Set();
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let glide = null; // the map's way from one measure to the next: {of, from, to, begun}
  let colourBy = "class", mapOf = "z", hovered = -1, encircled = null, dots = null, now = new Float32Array(0);
  const rgb = BT_COLOURS.map(dotsRgb), circle = setup.circle.map(dotsRgb);
  const visible = (i) => colourBy !== "class" || !hidden.has(labels[i]);
  const map = btCanvas(null, "Map of the embedding", drawMap);
  const atlas = dotsAtlas(setup.atlas, setup.thumbnail, setup.columns, 1, map.redraw);
  const point = (i) => { if (i !== hovered) { hovered = i; sayMap(); map.redraw(); } };
  const lens = dotsLens(map.element, map.redraw, (corners) => {
    const within = corners ? [...Array(now.length / 2).keys()].filter((i) => visible(i) && insidePolygon(corners, now[2 * i], now[2 * i + 1])) : [];
    encircled = within.length ? within : null;
    sayMap();
    map.redraw();
    return within.length > 0;
  });
  map.element.tabIndex = 0;
  map.element.setAttribute("data-lm-suppress-shortcuts", "true");
  map.element.addEventListener("pointermove", (event) => {
    const box = map.element.getBoundingClientRect();
    point(nearestDot(now, now.length / 2, event.clientX - box.left, event.clientY - box.top, 14, visible));
  });
  for (const end of ["pointerleave", "blur"]) map.element.addEventListener(end, () => point(-1));
  map.element.addEventListener("keydown", (event) => {
    const [x, y] = hovered < 0 ? [map.element.clientWidth / 2, map.element.clientHeight / 2] : [now[2 * hovered], now[2 * hovered + 1]];
    const next = dotTowards(now, now.length / 2, x, y, event.key, visible);
    if (event.key === "Escape") point(-1);
    if (next === null) return;
    if (next >= 0) point(next);
    event.preventDefault();
  });
  const mapWords = h("figcaption", {class: "bt-quiet"});
  const mapKind = btChoice({label: "map of"}, mapOf, [["z", "projections z/‖z‖"], ["y", "representations y"]], (v) => { mapOf = v; map.redraw(); sayMap(); });
  const factorNames = Object.keys(setup.factors);
  const colouring = btChoice({label: "colour by"}, colourBy, [["class", setup.classes.length ? "class" : "nothing"], ...factorNames],
                             (v) => { colourBy = v; legend.hidden = v !== "class"; map.redraw(); });
  const labels = btArray(setup.labels, Uint16Array);
  const factors = Object.fromEntries(factorNames.map((name) => [name, btArray(setup.factors[name], Float32Array)]));
  const keys = [];
  const legend = h("div", {class: "bt-legend"}, ...setup.classes.map((name, k) => {
    const mark = Object.assign(btKey(k), {btDraw(context, _, x, y, width) {
      context.fillStyle = BT_COLOURS[k % 10];
      btMark(context, k, x + width / 2, y + width / 2, width / 3);
    }});
    keys.push(mark);
    const button = btButton("", () => {
      hidden.has(k) ? hidden.delete(k) : hidden.add(k);
      button.setAttribute("aria-pressed", String(!hidden.has(k)));
      map.redraw();
    }, {"aria-pressed": "true", "aria-label": name, class: "bt-key"});
    button.append(mark, h("span", {}, name));
    return button;
  }));

  // --- controls ----------------------------------------------------------------------------------
  const controls = {};
  const touched = {}; // the time when each control was last moved; frames do not move it back before the run has the new value
  const groups = new Map();
  for (const given of setup.controls) {
    const touch = () => { touched[given.name] = performance.now(); };
    const spec = {...given, help: setup.about[given.name] ? undefined : given.help};
    const change = (value) => {
      touch();
      send({do: "change", name: spec.name, value});
      network.redraw();
    };
    const control = spec.kind === "switch" ? btSwitch(spec, spec.value, change)
      : spec.kind === "choice" ? btChoice(spec, String(spec.value), spec.options.map(String),
          (v) => change(typeof spec.options[0] === "number" ? Number(v) : v))
      : btSlider(spec, spec.value, btGesture(change, touch));
    controls[spec.name] = {...control, spec, change};
    hints.on(control.element, spec.name, () => control.element.dataset.why || whyOff());
    if (setup.main.includes(spec.name)) continue;
    if (!groups.has(spec.group)) groups.set(spec.group, []);
    groups.get(spec.group).push(control.element);
  }
  const network = btNetwork({
    settings: () => ({predictor: "identity", target: "ema", stop_gradient: true, ...model.get("frame").values, method: setup.method}),
    run: () => {
      const {last, step} = model.get("frame");
      return {passed: model.get("passed"), loss: last.loss, alt: step ? `loss ${btNumber(last.loss)}, mean cosine of p and z′ ${btNumber(last.positive)}` : ""};
    },
    controls,
    press: (name, value) => { // this does exactly what the control beside it does
      controls[name].set(value);
      controls[name].change(value);
    },
    why: (name) => controls[name].element.dataset.why || whyOff(),
  });
  for (const [name, button] of Object.entries(network.buttons)) hints.on(button, name, () => controls[name].element.dataset.why || whyOff());
  const networkWords = h("figcaption", {class: "bt-quiet"}, "press a part to change it");
  const main = h("div", {class: "bt-main-controls", role: "group", "aria-label": "Controls"}, ...setup.main.map((name) => controls[name].element));
  const NOTES = {"New run": "each of these begins a new run, at step 0"};
  const fieldsets = [...groups].map(([name, elements]) =>
    h("fieldset", {}, h("legend", {}, name, NOTES[name] ? h("span", {class: "bt-quiet bt-note"}, ` ${NOTES[name]}`) : null),
      h("div", {class: "bt-controls"}, ...elements)));

  // --- to share and to keep --------------------------------------------------------------------------
  const code = h("input", {type: "text", readonly: true, id: btId(), class: "bt-code", onfocus: () => code.select()});
  const copy = btButton("copy code", () => btCopy(copy, live.get("frame").code));
  const link = btButton("copy link", () => btCopy(link, btBookLink(live.get("frame").link.fragment)));
  const kept = () => [...names.querySelectorAll("i, bdi"), ...keys, verdict, counter, ...root.querySelectorAll(".bt-views figcaption, .bt-key span")];
  const picture = btButton("save picture", () => pictureOf(root, kept()).toBlob((blob) => btDownload("byol.png", blob)));
  const curves = btButton("save curves", () => {
    const f = live.get("frame"), of = (rows, run) => ({loss: {x: rows.steps, y: rows.loss}, std: {x: rows.steps, y: rows.std}, rank: pairs(run.ranks), knn: pairs(run.knn)});
    const quoted = (name) => `"${name.replaceAll('"', '""')}"`, runs = {[quoted(f.name)]: of(btRows(f.curves), f)};
    if (earlier) runs[quoted(earlier.name + (earlier.name === f.name ? ", earlier" : ""))] = of(earlier, earlier);
    btDownload("byol.csv", new Blob([curvesAsCsv(runs)], {type: "text/csv"}));
  });
  const clip = btButton("save clip", async () => {
    const moments = minute.values();
    clip.textContent = "recording …";
    clip.disabled = true;
    try {
      const video = await btClip(moments.length, (i) => { minute.show(moments[i]); onFrame(); }, () => pictureOf(root, kept(), 1));
      btDownload(`byol.${btVideoKind().split("/")[1]}`, video);
    } catch (error) { said.textContent = `no clip could be made: ${error.message}`; }
    minute.show(null);
    clip.textContent = "save clip";
    clip.disabled = false;
    onFrame();
  }, {disabled: !btVideoKind()});
  const take = btButton("tour", () => tour.open());
  const more = h("details", {class: "bt-more"}, h("summary", {}, "more controls, the changes, and how to share and keep this run"),
    ...fieldsets,
    h("fieldset", {}, h("legend", {}, "This run: share and keep"), log,
      h("div", {class: "bt-row bt-keep"}, link, picture, curves, clip, take),
      h("div", {class: "bt-row bt-codeline"}, copy, h("label", {for: code.id, class: "bt-hidden"}, "Experiment as code"), code)));

  const plotsBox = h("div", {class: "bt-plots"}, names, ...Object.values(plots).map((p) => p.element));
  const mapFigure = h("figure", {class: "bt-map"}, h("div", {class: "bt-row"}, mapKind.element, setup.classes.length || factorNames.length ? colouring.element : null),
    h("div", {class: "bt-fill"}, map.element), mapWords);
  const networkFigure = h("figure", {class: "bt-diagram"}, network.element, networkWords);
  const views = h("div", {class: "bt-views"}, plotsBox, mapFigure, networkFigure);
  const tour = btCockpitTour({root, model: live, send, speed, branches: setup.branches, places: {play, map: mapFigure, views, std: plots.std.element,
    predictor: (controls.predictor ?? Object.values(controls)[0]).element, branch: forkRow}});
  root.append(
    h("div", {class: "bt-row bt-spread bt-head"},
      h("div", {class: "bt-row"}, play, step, reset, undo, speed.element, seedBox),
      h("div", {class: "bt-row"}, state, counter, notice)),
    h("div", {class: "bt-row bt-presets", role: "group", "aria-label": "Presets"}, h("span", {class: "bt-quiet"}, "run:"), ...presets, ask.element),
    form, main, verdict, announced,
    h("div", {class: "bt-saying"}, problem, said, back, tour.invitation), outcome,
    views,
    legend, forkRow, more, hints.element, tour.element);
  el.append(root);

  for (const [element, part] of [[play, "play"], [step, "step"], [reset, "reset"], [undo, "undo"], [speed.element, "speed"], [seedBox, "seed"],
    [fork, "fork"], [from.parentElement, "fork"], [branches.element, "fork"], [swap, "swap"], [state, "state"], [names, "names"], [ask.element, "ask"], [copy, "code"], [picture, "picture"], [curves, "curves"], [take, "tour"], [verdict, "verdict"], [counter, "counter"], [mapKind.element, "map"], [colouring.element, "map"],
    ...presets.map((button) => [button, "preset"])]) hints.on(element, part, whyOff);
  for (const [name, plot] of Object.entries(plots)) hints.on(plot.element.querySelector("figcaption"), name);
  hints.on(mapWords, "map");
  hints.on(networkWords, "network");
  hints.on(link, "link", () => live.get("frame").link.why);
  hints.on(clip, "clip", () => btVideoKind() ? "" : "this browser cannot record what it draws");

  // --- frames --------------------------------------------------------------------------------------
  let announcedKind = "", arrays = {}, earlier = null, drawn = {};
  const series = (name) => ({
    now: name === "ranks" || name === "knn" ? pairs(model.get("frame")[name]) : {x: arrays.steps, y: arrays[name]},
    before: !earlier ? null : name === "ranks" || name === "knn" ? pairs(earlier[name]) : {x: earlier.steps, y: earlier[name]},
    frame: model.get("frame"),
    base: name === "knn" ? model.get("frame").start_knn : null,
    others: name === "knn" && model.get("frame").balanced.length ? [{...pairs(model.get("frame").balanced), colour: BT_COLOURS[2], dashed: true}] : [],
    beforeEnd: earlier?.end ?? 0,
    kept: earlier?.at !== null && earlier?.at !== undefined,
    parted: earlier?.at ?? null,
  });

  /** Switch a control on, or switch it off for a reason, which its explanation then gives. */
  const switchOff = ({element, input}, why) => {
    btPut(input, "disabled", Boolean(why) || !connected);
    if ((element.dataset.why ?? "") === (why ?? "")) return;
    if (why) { element.dataset.why = why; element.tabIndex = 0; } else { delete element.dataset.why; element.removeAttribute("tabindex"); }
  };

  const onFrame = () => {
    const f = model.get("frame"), present = live.get("frame"); // the buttons act on the present run, even while a clip shows the past
    const {state: is} = present, over = is === "done" || is === "failed";
    arrays = btRows(f.curves);
    btPut(play, "textContent", is === "running" ? "❚❚ pause" : "▶ play");
    btPut(from, "max", String(present.step));
    for (const [button, off] of [[play, over], [step, over || is === "running"],
      [undo, present.changes.length === 0], [fork, present.step === 0], [reset, false], [swap, false], ...presets.map((b) => [b, false])]) btPut(button, "disabled", off || !connected);
    btPut(swap, "hidden", present.branched_at === null);
    const gone = !connected && !model.recorded;
    btPut(state, "textContent", gone ? "kernel gone" : f.state);
    btPut(state.dataset, "state", f.state);
    btPut(state.dataset, "kind", f.state === "failed" || gone ? "warn" : "");
    counter.textContent = `step ${f.step} of ${f.total} · epoch ${(f.step / f.epoch).toFixed(1)}`;
    const kind = f.verdict.split(":")[0];
    btPut(verdict.dataset, "kind", kind);
    btPut(verdict, "textContent", f.note ? `${f.verdict} — ${f.note}` : f.verdict);
    if (kind !== announcedKind) announced.textContent = announcedKind = kind; // the numbers change too often to be read aloud
    say(present);
    for (const [name, value] of Object.entries(present.values)) {
      if (name !== "seed") switchOff(controls[name], present.inert[name]);
      if (performance.now() - (touched[name] ?? -1e9) < 1000) continue;
      if (name === "seed") { if (document.activeElement !== seed) seed.value = lastSeed = String(value); continue; }
      const control = controls[name];
      if (control.spec.kind === "choice") control.set(String(value));
      else if (control.get() !== value) control.set(value);
    }
    if (!("chosen" in from.dataset) && document.activeElement !== from) btPut(from, "value", String(Math.min(present.step, present.epoch)));
    btPut(code, "value", present.code);
    btPut(link, "disabled", !present.link.fragment);
    tour.frame(f, arrays);
    const changes = f.resets + JSON.stringify([f.changes, f.branched_at]);
    if (changes !== drawn.changes) {
      log.replaceChildren(...f.changes.slice(-8).map(([at, words, effect]) => h("li", {}, `step ${at}: ${words}`, effect ? h("span", {class: "bt-quiet"}, `: ${effect}`) : null)));
      if (!f.changes.length) log.append(h("li", {class: "bt-quiet"}, "no changes since step 0"));
    }
    followStep(f);
    sayNames(f);
    btPut(outcome, "hidden", !f.outcome);
    if (f.outcome) outcome.replaceChildren(...outcomeRows(f.outcome));
    // Drawing takes time from the training, so only what has changed is drawn again.
    const views = [changes, f.ranks.length, f.knn.length, Math.ceil(f.step / f.epoch), f.state].join();
    for (const [name, plot] of Object.entries(plots))
      if (name === "loss" || name === "std" || views !== drawn.views) plot.redraw(plotWords(name, f));
    const seen = [f.resets, f.map_step, f.branched_at, f.state].join();
    const moved = seen !== drawn.map;
    drawn = {changes, views, map: seen};
    if (!moved) return;
    const at = f.map_step === null ? "nothing measured yet" : `at step ${f.map_step}`;
    map.alt(`Map of the embedding, ${at}; ${f.verdict}`);
    sayMap();
    map.redraw();
  };
  /** Show the network as it is now. After each single step, animate the data and the gradient once. */
  let stepAt = performance.now(), seenStep = model.get("frame").step, drawnAt = -1e9, drawnOf = "";
  const followStep = (f) => {
    const now = performance.now(), settings = JSON.stringify(f.values);
    if (f !== live.get("frame") || f.state !== "running" || settings !== drawnOf || now - drawnAt >= NUMBERS) { // each moment of a clip
      [drawnAt, drawnOf] = [now, settings];
      network.redraw();
    }
    if (f.step === seenStep) return;
    const alone = f.step === seenStep + 1, between = now - stepAt;
    [stepAt, seenStep] = [now, f.step];
    if (alone && (f.state !== "running" || between > SINGLE)) network.flow(f.state === "running" ? 0.9 * between : FLOW);
  };
  /** Show the most important message now: a change comes late, a run that has ended can still be used, or the last change had an effect. */
  const say = (f) => {
    const last = f.changes.at(-1);
    btPut(said, "textContent", f.next || f.late?.words || (!last ? "" : last[2] ? `${last[1]}: ${last[2]}` : `${last[1]} at step ${last[0]}: its effect is shown after 30 steps`));
    btPut(back, "hidden", Boolean(f.next) || !f.late);
    if (f.late) btPut(back, "textContent", `go back to epoch ${f.late.epoch}`);
    btPut(back, "disabled", !connected);
  };
  const sayNames = (f) => {
    const name = (kind, text) => h("span", {title: text}, Object.assign(h("i", {"data-kind": kind, style: `color:${BT_COLOURS[4]}`}), {btDraw(context, element, x, y, width) {
      context.strokeStyle = getComputedStyle(element).borderTopColor;
      context.lineWidth = 2;
      context.setLineDash(kind === "kept" ? [4, 3] : []);
      context.beginPath();
      context.moveTo(x, y + 1);
      context.lineTo(x + width, y + 1);
      context.stroke();
      context.setLineDash([]);
    }}), h("bdi", {}, text));
    const kept = earlier?.at !== null && earlier?.at !== undefined;
    const balanced = f.balanced.length ? `balanced ${btNumber(f.balanced.at(-1)[1])}` : "";
    const beside = [balanced, setup.floor].filter(Boolean).join("; ");
    const key = JSON.stringify([f.name, earlier?.name, kept, beside]);
    if (key === names.dataset.key) return;
    names.dataset.key = key;
    names.replaceChildren(name("now", f.name), ...(earlier ? [name(kept ? "kept" : "before", kept ? earlier.name : `before: ${earlier.name}`)] : []),
      ...(beside ? [name("balanced", beside)] : []));
  };
  const sayMap = () => {
    mapWords.textContent = hovered >= 0 ? `image ${hovered}${setup.classes.length ? `, ${setup.classes[labels[hovered]]}` : ""}`
      : encircled ? `${encircled.length} encircled${setup.classes.length ? `: ${classCounts(encircled, labels, setup.classes)}` : ""}`
      : mapOf === "z" ? "circle: the size of the unit sphere" : "scaled to fill";
    mapWords.title = mapWords.textContent;
  };
  const onBefore = () => {
    const b = model.get("before");
    earlier = b ? {...btRows(b.curves), knn: b.knn, ranks: b.ranks, name: b.name, end: b.step, at: b.at} : null;
    sayNames(model.get("frame"));
    for (const plot of Object.values(plots)) plot.redraw();
  };
  const plotWords = (name, f) => {
    const last = {loss: arrays.loss?.at(-1), std: arrays.std?.at(-1), rank: f.ranks.at(-1)?.[1], knn: f.knn.at(-1)?.[1]}[name];
    return last === undefined ? "nothing yet" : `now ${btNumber(last)}`;
  };
  const onProblem = () => { problem.textContent = model.get("problem"); };

  function outcomeRows(rows) {
    return Object.values(rows).map(({text, guess, seen}) => {
      const mark = !seen ? "…" : seen === guess ? "✓" : "✗";
      return h("div", {}, h("strong", {}, `${text}: `), `you said “${guess}”; so far it ${seen ?? "is undecided"} `,
               h("span", {class: "bt-mark", "data-mark": mark}, mark));
    });
  }

  /** Return the map's points as they are shown now. After a measure they move to their new places. */
  function mapPoints(f) {
    const key = [f.resets, f.branched_at, f.map_step, mapOf].join();
    if (glide?.key !== key) {
      const to = btArray(f.maps[mapOf], Int16Array), begun = performance.now();
      const before = glide?.of === mapOf && glide.to.length === to.length && !still.matches ? glidden() : to;
      glide = {key, of: mapOf, from: before, to, begun};
    }
    const points = glidden();
    map.element.toggleAttribute("data-moves", points !== glide.to);
    if (points !== glide.to) map.redraw();
    return points;
  }
  function glidden() {
    const t = (performance.now() - glide.begun) / GLIDE;
    if (t >= 1 || glide.from === glide.to) return glide.to;
    const share = t * t * (3 - 2 * t); // slow at both ends
    return glide.to.map((x, i) => glide.from[i] + share * (x - glide.from[i]));
  }

  function drawMap(context, width, height, theme) {
    const f = model.get("frame"), points = mapPoints(f), n = points.length / 2, scale = window.devicePixelRatio || 1;
    const half = (Math.min(width, height) - 8) / 2, x0 = width / 2, y0 = height / 2, factor = factors[colourBy], plain = factor || !setup.classes.length;
    if (now.length !== points.length) now = new Float32Array(points.length);
    dots = dots?.radius === 3 * scale ? dots : makeDots(3 * scale);
    dots.start(context);
    const within = encircled && new Set(encircled);
    for (const ahead of within ? [false, true] : [true]) for (let i = 0; i < n; i++) {
      if (within && within.has(i) !== ahead) continue;
      now[2 * i] = (x0 + points[2 * i] / 32000 * half - lens.left) * lens.zoom;
      now[2 * i + 1] = (y0 - points[2 * i + 1] / 32000 * half - lens.top) * lens.zoom;
      if (visible(i)) dots.dot(scale * now[2 * i], scale * now[2 * i + 1], factor ? circle[Math.floor(factor[i] * circle.length) % circle.length] : rgb[plain ? 0 : labels[i] % 10], ahead ? 0.85 : 0.2, plain ? 0 : labels[i]);
    }
    dots.finish();
    context.strokeStyle = theme.line;
    context.lineWidth = 1;
    if (mapOf === "z") {
      context.beginPath();
      context.arc((x0 - lens.left) * lens.zoom, (y0 - lens.top) * lens.zoom, half * lens.zoom, 0, 2 * Math.PI);
      context.stroke();
    }
    lens.draw(context, theme);
    context.fillStyle = theme.quiet;
    context.font = theme.font;
    if (!n) {
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(f.map_step === null ? "no map yet" : "nothing finite to show", x0, y0);
      return;
    }
    if (hovered >= 0 && hovered < n) drawPoint(context, theme, hovered, width, height);
  }
  /** Draw a ring around a point, and its image beside it, within the map. */
  function drawPoint(context, theme, i, width, height) {
    const [x, y] = [now[2 * i], now[2 * i + 1]], side = 2 * setup.thumbnail;
    const left = x + 12 + side < width ? x + 12 : x - 12 - side, top = Math.max(2, Math.min(height - side - 2, y - side / 2));
    context.strokeStyle = theme.ink;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, 7, 0, 7);
    context.stroke();
    context.imageSmoothingEnabled = false;
    atlas.draw(context, i, 0, Math.round(left), Math.round(top), side);
    context.strokeRect(Math.round(left), Math.round(top), side, side);
  }

  model.on("change:frame", onFrame);
  model.on("change:before", onBefore);
  model.on("change:problem", onProblem);
  model.on("change:passed", network.redraw);
  const kernelControls = () => [...root.querySelectorAll("button, input, select")]
    .filter((control) => !control.closest(".bt-map, .bt-diagram, .bt-legend, .bt-hint, .bt-keep, .bt-codeline, .bt-touring, .bt-invitation"));
  const connection = btConnection(model, (now) => {
    connected = now;
    notice.hidden = now;
    take.disabled = !now;
    tour.switched(now);
    notice.textContent = model.recorded ? "a recorded picture: run the notebook for live controls" : `not live: ${GONE}`;
    onFrame();
    for (const control of kernelControls()) if (!now) control.disabled = true;
    for (const control of [seed, speed.input, ask.input, from, branches.input]) control.disabled = !now;
  }, () => live.get("frame").state === "running");
  model.on("change:frame", connection.received);
  onBefore();
  onFrame();
  onProblem();
  return () => {
    connection.close();
    minute.close();
    tour.close();
    hints.close();
    for (const [event, handler] of [["frame", onFrame], ["frame", connection.received], ["before", onBefore], ["problem", onProblem], ["passed", network.redraw]])
      model.off(`change:${event}`, handler);
    map.close();
    atlas.close();
    network.close();
    for (const plot of Object.values(plots)) plot.close();
  };
}

/** Return the float32 rows steps, loss and std of a frame. */
function btRows(view) {
  const all = btArray(view, Float32Array), n = all.length / 3;
  return {steps: all.subarray(0, n), loss: all.subarray(n, 2 * n), std: all.subarray(2 * n)};
}

export default {initialize: btKeepSaved, render: btFreed(render)};
