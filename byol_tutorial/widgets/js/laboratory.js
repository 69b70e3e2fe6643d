// The laboratory in the browser. Python (laboratory.py) sends `setup` once and `frame` up to four times a second;
// the buttons send messages. Sorting and the choice of curves happen only here.

const LAB_SHOWN = [["all", "loss, spread and kNN"], ["std", "spread √d·std"], ["log", "spread √d·std, logarithmic"],
                   ["knn", "kNN accuracy"], ["loss", "loss"]];
const LAB_SORTS = {
  table: ["the tables", () => 0],
  paper: ["the paper’s number", (cell) => -(cell.paper ?? -1)],
  here: ["the number here", (cell, now) => -(now.linear ?? now.knn.at(-1)?.[1] ?? -1)],
  std: ["spread √d·std", (cell, now, curves) => -(curves.std.at(-1) ?? -1)],
};
const LAB_STATES = {idle: "not begun", starting: "starting", running: "running", paused: "paused",
                    evaluating: "being evaluated", done: "done", failed: "failed"};
const DECADES = 3; // powers of ten on the logarithmic axis
const LAB_HEIGHT = 62; // pixels of a run's plot

function render({model, el}) {
  const setup = model.get("setup");
  const send = (message) => model.send(message);
  const root = h("div", {class: "bt bt-lab", role: "region", "aria-label": "Collapse laboratory"});
  if (setup.floor) root.dataset.uneven = ""; // the cells then have more numbers
  const frame = () => model.get("frame"), hints = btHints(setup.about);
  let live = !model.recorded, shown = "all", sort = "table", opened = frame().opened[1], opening = "";

  // --- controls ------------------------------------------------------------------------------------
  const play = btButton("▶ play", () => { revealed = ""; send({do: going() ? "pause" : "play"}); }, {class: "bt-main bt-play"});
  const reset = btButton("reset", () => send({do: "reset"}));
  const going = () => ["starting", "running"].includes(frame().state);
  const speed = btChoice({label: "speed"}, "",
                         setup.rates.map((r) => [r ?? "", r === null ? "full" : `${r} / s`]),
                         (v) => send({do: "speed", rate: v === "" ? null : Number(v)}));
  const names = Object.keys(setup.tables);
  const chosenTables = () => names.filter((t) => setup.cells.some((c) => c.table === t && frame().chosen.includes(c.name)));
  const tables = names.length < 2 ? null : btChoice({label: "tables"},
    chosenTables().join(), [[names.join(), "5a and 5b"], ...names], (v) => send({do: "choose", tables: v.split(",")}));
  const axis = btChoice({label: "y-axis"}, shown, LAB_SHOWN, (v) => { shown = v; drawLegend(); redraw(); });
  const sorting = btChoice({label: "sort by"}, sort, Object.entries(LAB_SORTS).map(([k, [text]]) => [k, text]),
                           (v) => { sort = v; arrange(); });
  const state = h("span", {class: "bt-badge"}), clock = h("span", {class: "bt-quiet bt-clock"});
  const line = h("p", {class: "bt-line", role: "status"});
  const notice = h("p", {class: "bt-notice", hidden: true});
  const problem = h("div", {class: "bt-problem", role: "alert"});
  const legend = h("div", {class: "bt-row bt-quiet bt-keys", "aria-hidden": "true"});

  // --- cells ------------------------------------------------------------------------------------------
  const cells = setup.cells.map((spec, i) => labCell(spec, {
    collapsed: setup.thresholds.collapsed,
    view: () => ({...view(i), shown, lossRange: range(), end: lastEpoch()}),
    select: () => cells.forEach((cell, k) => cell.element.toggleAttribute("data-open", k === i)),
    open: () => { opening = spec.name; showLine(); send({do: "open", cell: spec.name}); },
    code: () => spec.code.join(String(frame().cells[i].step)),
    move: (event) => moveFocus(event, i),
  }));
  const view = (i) => ({now: frame().cells[i], curves: frame().cells[i].curves});
  /** Return one range of the loss for all runs that are shown. */
  function range() {
    let low = 0, high = 4; // the axis has at least this range, so that it rarely changes
    visible().forEach((i) => view(i).curves.loss.forEach((v) => {
      if (v !== null) { low = Math.min(low, v); high = Math.max(high, v); }
    }));
    return [low, high];
  }
  /** Return the right end of all x-axes: the epoch that the furthest run is in or, before any run has begun, the last epoch. */
  function lastEpoch() {
    const most = Math.max(...setup.cells.map((c) => c.total / c.epoch));
    const reached = Math.max(...visible().map((i) => frame().cells[i].step / setup.cells[i].epoch));
    return reached > 0 ? Math.min(most, Math.ceil(reached)) : most;
  }
  const visible = () => setup.cells.map((_, i) => i).filter((i) => frame().chosen.includes(setup.cells[i].name));
  const groups = Object.fromEntries([...names, ""].map((t) => {
    const grid = h("div", {class: "bt-grid"});
    const id = btId();
    const section = h("section", {"aria-labelledby": id}, h("h3", {id, "data-part": t === "" ? false : "tables"}, t === "" ? "Runs" : setup.tables[t]), grid);
    return [t, {section, grid}];
  }));
  let arranged = "";
  function arrange() {
    const key = LAB_SORTS[sort][1];
    const order = visible().map((i) => [key(setup.cells[i], frame().cells[i], view(i).curves), i])
      .sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((pair) => pair[1]);
    const place = sort === "table" ? (i) => setup.cells[i].table : () => "";
    const now = order.map((i) => place(i) + i).join();
    if (now === arranged) return; // an element that is moved loses its focus, so nothing is moved without need
    arranged = now;
    const focused = document.activeElement;
    for (const [t, {section, grid}] of Object.entries(groups)) {
      grid.replaceChildren(...order.filter((i) => place(i) === t).map((i) => cells[i].element));
      section.hidden = !grid.children.length;
      section.firstChild.hidden = t === "" && !names.length;
      if (t === "") section.firstChild.textContent = sort === "table" ? "Runs" : `All runs, by ${LAB_SORTS[sort][0]}`;
    }
    if (root.contains(focused)) focused.focus();
    redraw();
  }
  function moveFocus(event, i) {
    const step = {ArrowRight: 1, ArrowLeft: -1, Home: -1e9, End: 1e9}[event.key];
    if (!step || event.target !== cells[i].element) return;
    const all = [...root.querySelectorAll(".bt-cell")];
    const at = Math.max(0, Math.min(all.length - 1, all.indexOf(event.target) + step));
    all[at].focus();
    event.preventDefault();
    event.stopPropagation();
  }

  // --- notes and table --------------------------------------------------------------------------------
  const list = (items) => h("ul", {}, ...items.map((text) => h("li", {}, text)));
  const notes = !setup.same.length ? null : h("details", {}, h("summary", {}, "What is as in the paper, and what is not"),
    h("div", {class: "bt-notes"}, h("div", {}, h("h4", {}, "The same"), list(setup.same)), h("div", {}, h("h4", {}, "Not the same"), list(setup.other))));
  const body = h("tbody");
  const table = h("details", {}, h("summary", {}, "All of it as a table"), h("div", {class: "bt-scroll"}, h("table", {},
    h("thead", {}, h("tr", {}, ...["run", "paper, %", "here, %", "untrained, %", "kNN, %", "√d·std", "what it means"].map((t) => h("th", {scope: "col"}, t)))),
    body)));
  function fillTable() {
    body.replaceChildren(...visible().map((i) => {
      const {now, curves} = view(i), spec = setup.cells[i];
      const values = [labPercent(spec.paper, 1), labPercent(now.linear) + labBalanced(now, "linear"),
                      labPercent(now.random_linear ?? null) + labBalanced(now, "random_linear"),
                      labPercent(now.accuracy ?? now.knn.at(-1)?.[1]) + labBalanced(now, "knn"), curves.std.at(-1)?.toFixed(3) ?? "–", labVerdict(now)];
      return h("tr", {}, h("th", {scope: "row"}, spec.name), ...values.map((v) => h("td", {}, v)));
    }));
  }
  table.addEventListener("toggle", fillTable);

  root.append(
    h("div", {class: "bt-row bt-spread"},
      h("div", {class: "bt-row"}, play, reset, speed.element, tables?.element ?? ""),
      h("div", {class: "bt-row"}, state, clock)),
    h("div", {class: "bt-row bt-looks"}, axis.element, sorting.element, legend),
    line, notice, problem,
    ...Object.values(groups).map((g) => g.section),
    h("div", {class: "bt-folded"}, ...[notes, table].filter(Boolean),
      setup.floor ? h("p", {class: "bt-quiet"}, `The classes are not equally frequent: ${setup.floor}.`) : ""), hints.element);
  el.append(root);
  cells[0]?.element.setAttribute("data-open", "");
  const explain = [[play, "play"], [reset, "reset"], [speed.element, "speed"], [tables?.element, "tables"], [axis.element, "axis"], [sorting.element, "sort"],
                   ...Object.values(groups).map(({section}) => [section.firstChild, section.firstChild.dataset.part])];
  for (const [element, part] of explain) if (element && part) hints.on(element, part);
  for (const cell of cells) for (const [element, part] of cell.parts) hints.on(element, part);

  function drawLegend() {
    const keys = {all: ["std", "knn", "loss"], std: ["std"], log: ["std"], knn: ["knn"], loss: ["loss"]}[shown];
    const words = {std: "spread √d·std", knn: "kNN accuracy", loss: shown === "all" ? "loss (right axis)" : "loss"};
    legend.replaceChildren(...keys.map((k) => h("span", {class: "bt-key"}, h("i", {class: `bt-stroke bt-${k}`}), words[k])));
  }
  const redraw = () => cells.forEach((cell) => cell.redraw());

  // --- frames --------------------------------------------------------------------------------------------
  let revealed = "";
  const showLine = () => {
    const f = frame();
    line.textContent = opening ? `Opening ${opening} in a cockpit …`
      : revealed + (f.note || labLine(f, visible().map((i) => f.cells[i]), setup));
  };
  const onFrame = () => {
    const f = frame();
    play.textContent = going() ? "❚❚ pause" : "▶ play";
    state.textContent = LAB_STATES[f.state] ?? f.state;
    clock.textContent = `${labClock(f.seconds)} · ${setup.processes} process${setup.processes > 1 ? "es" : ""}`;
    if (document.activeElement !== speed.input) speed.set(String(f.rate ?? ""));
    if (tables && document.activeElement !== tables.input) tables.set(chosenTables().join());
    if (f.opened[1] !== opened) {
      [opening, opened] = ["", f.opened[1]];
      revealed = `The cockpit of ${f.opened[0]} is open beneath this panel. `;
      labReveal(root);
    }
    showLine();
    arrange();
    cells.forEach((cell, i) => cell.show(view(i)));
    redraw();
    if (table.open) fillTable();
    enable();
  };
  function enable() {
    const over = frame().state === "done";
    play.disabled = !live || (over && !going());
    for (const control of [speed.input, tables?.input]) if (control) control.disabled = !live;
    reset.disabled = !live || frame().cells.every((cell) => cell.state === "idle");
    cells.forEach((cell) => cell.enable(live));
  }
  const onProblem = () => {
    problem.textContent = model.get("problem");
    if (problem.textContent) opening = "";
    showLine();
  };
  const connection = btConnection(model, (now) => {
    live = now;
    notice.hidden = now;
    notice.textContent = model.recorded
      ? "A recorded picture. To run it: lab = bt.widgets.laboratory(), then lab as a cell’s last line, and play."
      : "Not live: no kernel answers. Run the cell again to restart; what you see is the last picture.";
    enable();
  }, () => ["starting", "running"].includes(frame().state));
  model.on("change:frame", onFrame);
  model.on("change:frame", connection.received);
  model.on("change:problem", onProblem);
  drawLegend();
  onFrame();
  onProblem();
  return () => {
    connection.close();
    for (const [event, handler] of [["frame", onFrame], ["frame", connection.received], ["problem", onProblem]]) model.off(`change:${event}`, handler);
    cells.forEach((cell) => cell.close());
    hints.close();
  };
}

// --- texts -------------------------------------------------------------------------------------------------

/** Return the words that stand beside an accuracy where classes are not equally frequent. */
const labBalanced = (now, measure) => measure in now.balanced ? ` (balanced ${labPercent(now.balanced[measure])})` : "";
const labPercent = (x, scale = 100) => x === null || x === undefined ? "–" : (scale * x).toFixed(1);
const labClock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
const labVerdict = (now) => now.state === "idle" ? "not begun" : now.verdict;

function labLine(f, cells, setup) {
  const count = (...states) => cells.filter((c) => states.includes(c.state)).length;
  const over = count("done", "failed"), failed = count("failed");
  const tail = failed ? `, ${failed} of them failed` : "";
  if (f.state === "idle") return `${cells.length} runs, ${setup.processes} at a time, a few steps of each in turn. Press play.`;
  if (f.state === "starting") return "Starting: each process loads PyTorch first, which takes some seconds.";
  if (f.state === "done") return `All ${cells.length} runs are over${tail}.`;
  const evaluating = count("evaluating");
  const made = cells.map((c) => c.step), all = setup.cells.filter((c) => f.chosen.includes(c.name));
  const share = made.reduce((a, b) => a + b) / all.reduce((sum, c) => sum + c.total, 0);
  const epochs = (x, digits) => btNumber(x / all[0].epoch, digits);
  const place = f.state === "running" || share < 1 ? `Epoch ${epochs(Math.min(...made), 3)} of ${epochs(all[0].total, 3)}; ` : "";
  const left = f.state === "running" && share > 0.03 && share < 1 ? `, about ${labClock(f.seconds / share * (1 - share))} left to train` : "";
  return `${place}${over} of ${cells.length} runs over${tail}${left}` + (evaluating ? `; ${evaluating} being evaluated: the linear probe takes some seconds.` : ".");
}

/** Scroll to the cockpit that opens beneath the panel, as soon as it is there. */
function labReveal(root, tries = 20) {
  const cockpit = root.closest(".widget-vbox, .jp-OutputArea")?.querySelector(".bt-cockpit");
  if (cockpit) cockpit.scrollIntoView({block: "nearest", behavior: "smooth"});
  else if (tries) setTimeout(() => labReveal(root, tries - 1), 150);
}

// --- a cell ------------------------------------------------------------------------------------------------

const labMark = (kind) => h("i", {class: `bt-mark bt-${kind}`});

/** Make the bar from 0 to 100 %. It is hidden from screen readers, because the text beside it has the same numbers. */
function labRuler() {
  const marks = Object.fromEntries(["untrained", "paper", "here"].map((kind) => [kind, labMark(kind)]));
  const element = h("div", {class: "bt-ruler", "aria-hidden": "true"}, ...Object.values(marks));
  const put = (kind, percent) => {
    marks[kind].hidden = percent === null || percent === undefined;
    if (!marks[kind].hidden) marks[kind].style.left = `${percent}%`;
  };
  return {element, put};
}

/**
 * Make a run's cell: {element, parts, show(view), redraw(), enable(live), close()}. What does not fit into the cell is below all
 * cells while this one is selected. `parts` are the elements that have an explanation. `on` is what the cell gets from the panel:
 * {collapsed, view(), select(), open(), code(), move(event)}.
 */
function labCell(spec, on) {
  const id = btId();
  const state = h("span"), kind = h("b"), line = h("p", {class: "bt-kind"}, state, kind), short = h("p", {class: "bt-numbers bt-short"});
  const verdict = h("p", {class: "bt-verdict"});
  const ruler = labRuler();
  const numbers = h("p", {class: "bt-numbers"});
  const remark = h("p", {class: "bt-remark"});
  const canvas = btCanvas(LAB_HEIGHT, spec.name, (context, width, height, theme) => {
    labDraw(context, width, height, theme, on.view(), spec, on.collapsed);
  });
  const open = btButton("open in cockpit", on.open, {"aria-label": `open ${spec.name} in cockpit`});
  const copy = btButton("copy code", () => btCopy(copy, on.code()), {"aria-label": `copy code of ${spec.name}`});
  const element = h("article", {class: "bt-cell", tabindex: 0, "aria-labelledby": id, onkeydown: on.move, onfocusin: on.select, onclick: on.select, "data-lm-suppress-shortcuts": "true"},
    h("h4", {id}, spec.name), canvas.element, line, short,
    h("div", {class: "bt-more"},
      h("p", {class: "bt-about"}, h("b", {"aria-hidden": "true"}, spec.name), " ", h("span", {class: "bt-quiet"}, spec.about || "a run of your own")),
      h("div", {class: "bt-row bt-buttons"}, open, copy), h("div", {class: "bt-words"}, verdict, remark), h("div", {class: "bt-compared"}, ruler.element, numbers)));
  const parts = [[verdict, "verdict"], [numbers, "numbers"], [open, "open"], [copy, "code"]];

  function show({now, curves}) {
    const words = labVerdict(now), [first] = words.split(":");
    state.textContent = now.state === "idle" || now.state === "done" ? "" : LAB_STATES[now.state];
    kind.textContent = now.state === "failed" ? "" : first;
    verdict.textContent = words;
    verdict.dataset.kind = line.dataset.kind = now.state === "failed" ? "stopped" : first;
    ruler.put("paper", spec.paper);
    ruler.put("here", now.linear === null ? null : 100 * now.linear);
    ruler.put("untrained", now.random_linear === null ? null : 100 * now.random_linear);
    const paper = spec.paper === null ? [] : [h("span", {}, labMark("paper"), " paper ", h("b", {}, `${spec.paper.toFixed(1)} %`))];
    const check = now.knn.at(-1)?.[1];
    const here = now.linear !== null
      ? [h("span", {}, labMark("here"), " here ", h("b", {}, `${labPercent(now.linear)} %`), labBalanced(now, "linear")), h("span", {class: "bt-quiet"}, labMark("untrained"), ` untrained ${labPercent(now.random_linear)} %`)]
      : check !== undefined ? [h("span", {}, "kNN ", h("b", {}, `${labPercent(check)} %`), labBalanced(now, "knn")),
          h("span", {class: "bt-quiet"}, now.start_knn === null ? "" : `untrained ${labPercent(now.start_knn)} %`)]
      : [h("span", {class: "bt-quiet"}, "here –")];
    numbers.replaceChildren(...paper, ...here);
    short.textContent = [spec.paper === null ? "" : `paper ${spec.paper.toFixed(1)} %`,
      now.linear !== null ? `here ${labPercent(now.linear)} %` : check !== undefined ? `kNN ${labPercent(check)} %` : ""].filter(Boolean).join(" · ");
    remark.textContent = now.remark;
    remark.dataset.agrees = String(now.agrees);
    const last = (x) => btNumber(x.at(-1));
    canvas.alt(now.step === 0 ? `${spec.name}: no steps yet`
      : `${spec.name}, step ${now.step} of ${spec.total}: loss ${last(curves.loss)}, spread ${last(curves.std)}` +
        (check === undefined ? "" : `, kNN accuracy ${labPercent(check)} %`));
  }
  const enable = (live) => { open.disabled = !live; };
  return {element, parts, show, enable, redraw: canvas.redraw, close: canvas.close};
}

// --- curves ------------------------------------------------------------------------------------------------

/** Draw a run's curves; view is {now, curves, shown, lossRange, end}. */
function labDraw(c, width, height, theme, {now, curves, shown, lossRange, end}, spec, collapsed) {
  const ink = {std: BT_COLOURS[0], knn: BT_COLOURS[2], loss: BT_COLOURS[5]};
  const twin = shown === "all";
  c.font = theme.font.replace("12px", "10px");
  const box = {left: shown === "log" ? 34 : 20, right: width - (twin ? 18 : 4), top: 5, bottom: height - 13};
  const X = (step) => box.left + (box.right - box.left) * step / spec.epoch / end;
  const over = (low, high) => (v) => box.bottom - (box.bottom - box.top) * Math.max(0, Math.min(1.02, (v - low) / (high - low)));
  const unit = over(0, 1.05), loss = over(...lossRange);
  const log = (v) => over(-DECADES, 0.05)(Math.log10(Math.max(v, 1e-9)));
  const Y = {all: unit, std: unit, knn: unit, log, loss}[shown];
  const nice = labTicks(...lossRange);
  const ticks = {all: [0, 1], std: [0, 0.5, 1], knn: [0, 0.5, 1], log: [1e-3, 1e-2, 1e-1, 1], loss: nice}[shown];

  c.lineWidth = 1;
  c.textBaseline = "middle";
  c.textAlign = "right";
  for (const tick of ticks) {
    c.strokeStyle = theme.line;
    c.globalAlpha = 0.5;
    stroke([[box.left, Y(tick)], [box.right, Y(tick)]]);
    c.globalAlpha = 1;
    c.fillStyle = theme.quiet;
    c.fillText(String(tick), box.left - 4, Y(tick));
  }
  if (twin) {
    c.textAlign = "left";
    c.fillStyle = ink.loss;
    for (const tick of nice) c.fillText(String(tick), box.right + 4, loss(tick));
  }
  c.fillStyle = theme.quiet;
  c.textBaseline = "alphabetic";
  c.textAlign = "left";
  c.fillText("0", box.left, height - 2);
  c.textAlign = "right";
  c.fillText(`${btNumber(end)} epoch${end === 1 ? "" : "s"}`, box.right, height - 2);
  c.setLineDash([2, 3]);
  c.strokeStyle = theme.quiet;
  if (shown === "std" || shown === "log") level(Y(collapsed), "collapse");
  if (shown === "knn" && now.start_knn !== null) level(unit(now.start_knn), "untrained");
  c.setLineDash([]);

  const middle = (i) => (i * curves.block + Math.min((i + 1) * curves.block, now.step) + 1) / 2; // the middle of block i, in steps
  const line = (values, y) => stroke(values.map((v, i) => [X(middle(i)), v === null ? NaN : y(v)]));
  c.lineJoin = "round";
  if (twin || shown === "loss") {
    c.strokeStyle = ink.loss;
    c.lineWidth = 1.5;
    c.setLineDash(twin ? [5, 3] : []);
    line(curves.loss, loss);
    c.setLineDash([]);
  }
  if (twin || shown === "std" || shown === "log") {
    c.strokeStyle = ink.std;
    c.lineWidth = 2.2;
    line(curves.std, Y);
  }
  if (twin || shown === "knn") {
    c.strokeStyle = c.fillStyle = ink.knn;
    c.lineWidth = 1.3;
    const checks = (now.start_knn === null ? [] : [[0, now.start_knn]]).concat(now.knn).map(([s, v]) => [X(s), unit(v)]);
    stroke(checks);
    for (const [x, y] of checks) {
      c.beginPath();
      c.arc(x, y, 2.4, 0, 7);
      c.fill();
    }
  }
  if (!curves.loss.length) {
    c.fillStyle = theme.quiet;
    c.textAlign = "center";
    const words = {starting: "starting …", failed: "failed"}[now.state];
    if (words) c.fillText(words, (box.left + box.right) / 2, (box.top + box.bottom) / 2);
  }

  function stroke(points) {
    c.beginPath();
    for (const [x, y] of points) if (Number.isFinite(y)) c.lineTo(x, y);
    c.stroke();
  }
  function level(y, words) {
    stroke([[box.left, y], [box.right, y]]);
    c.fillStyle = theme.quiet;
    c.textAlign = "right";
    c.fillText(words, box.right - 2, y < box.top + 14 ? y + 11 : y - 3);
  }
}

/** Return two or three round numbers from low to high. */
function labTicks(low, high) {
  const raw = (high - low) / 2, power = 10 ** Math.floor(Math.log10(raw));
  const unit = [1, 2, 5, 10].find((m) => m * power >= raw) * power;
  const ticks = [];
  for (let t = Math.ceil(low / unit) * unit; t <= high + 1e-9; t += unit) ticks.push(Number(t.toPrecision(6)));
  return ticks;
}

export default {initialize: btKeepSaved, render: btFreed(render)};
