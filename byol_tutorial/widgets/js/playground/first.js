// This file makes the first panel of the course: BYOL trains as soon as the panel is visible, and one large button removes its
// predictor after a guess.

const REST_AFTER = 3000; // steps until the run pauses by itself, to spare the battery
const JUDGED_AFTER = 100; // steps from the button until the panel answers the guess
const PERIOD = {moving: 100, still: 1000}; // milliseconds between drawings; the second where the reader prefers reduced motion
const FALLS = "falls"; // this is what the loss does
const GUESSES = {
  "rises": "the network loses a part that it needs",
  "stays": "the part is small",
  [FALLS]: "the task becomes easier",
};

function render({model, el}) {
  const about = model.get("about"), [plan] = model.get("plans"), still = matchMedia("(prefers-reduced-motion: reduce)");
  let run, playing = true, inView = false, closed = false, opening = null, host = null, number = 0;
  let guess = null, before = null; // the reader's guess; step, loss and spread when the predictor was removed
  const begin = () => {
    run = {begun: null, frame: null, curves: noCurves(), limit: 0, goal: REST_AFTER};
    guess = before = null;
    host?.post({do: "begin", number: ++number, settings: plan.settings, changes: plan.changes});
  };
  const stepOf = () => run.frame?.step ?? 0;

  // --- running ------------------------------------------------------------------------------------------------------------
  async function open() {
    opening = true;
    host = await openHost(received);
    if (closed) host.end(); else begin();
  }
  function received(message) {
    if (closed) return;
    if (message.kind === "problem") { said.textContent = message.text; return; }
    if (message.number !== number) return;
    if (message.kind === "begun") { run.begun = message; return; }
    run.frame = message;
    extend(run.curves, message);
    if (message.failed || stepOf() >= Math.min(run.goal, run.begun.total)) playing = false;
    sync();
    schedule();
  }
  /** Tell the run until which step it may train now: it does not train while the panel is hidden. */
  function sync() {
    play.textContent = playing ? "❚❚ pause" : "▶ train";
    if (!run.begun) return;
    const limit = !playing || !inView || document.hidden ? 0 : run.goal;
    if (limit === run.limit) return;
    run.limit = limit;
    host.post(limit ? {do: "run", until: limit} : {do: "pause"});
  }
  const setPlaying = (on) => {
    if (on && globalThis.btPlaying && globalThis.btPlaying !== pause) globalThis.btPlaying(); // one panel of a page runs at a time
    if (on) globalThis.btPlaying = pause;
    playing = on;
    if (on && stepOf() >= run.goal) run.goal = stepOf() + REST_AFTER;
    sync();
    show();
  };
  const pause = () => setPlaying(false);
  const again = () => { begin(); setPlaying(true); button.focus({preventScroll: true}); };
  const remove = (word) => {
    guess = word;
    before = {step: stepOf(), loss: meanOfLast(run.curves.loss, 20), std: meanOfLast(run.curves.std, 20)};
    host.post({do: "change", settings: {predictor: "identity"}});
    setPlaying(true);
    button.focus({preventScroll: true});
  };

  // --- what is seen ---------------------------------------------------------------------------------------------------------
  const play = btButton("❚❚ pause", () => setPlaying(!playing), {class: "bt-play"});
  const counter = h("span", {class: "bt-counter bt-quiet"});
  const said = h("p", {class: "bt-first-said"});
  const announced = h("div", {class: "bt-hidden", "aria-live": "polite"}); // the numbers change too often to be read aloud
  const button = btButton("remove the predictor", () => before ? again() : ask(), {class: "bt-main bt-large"});
  const question = h("div", {class: "bt-question", role: "group", "aria-label": "Your guess", hidden: true},
    h("strong", {}, "Guess first. Without its predictor, the network has to give the same answer as the other network, instead of predicting it. What will the loss do?"),
    h("div", {class: "bt-row"}, ...Object.entries(GUESSES).map(([word, why]) => btButton(`it ${word}: ${why}`, () => answered(word))), btButton("cancel", () => answered(null))));
  const ask = () => { question.hidden = false; button.hidden = said.hidden = true; question.querySelector("button").focus({preventScroll: true}); };
  const answered = (word) => {
    question.hidden = true;
    button.hidden = said.hidden = false;
    if (word) remove(word); else button.focus({preventScroll: true});
  };
  const curve = (name) => ({now: {x: run.curves.step, y: run.curves[name]}, before: null, base: null, beforeEnd: 0,
    frame: {step: Math.max(1, stepOf()), epoch: 100, total: Infinity, changes: run.frame?.changes ?? []}});
  const plots = {
    loss: btPlot("loss", () => curve("loss"), {low: 0, empty: "it begins when it is visible"}),
    std: btPlot("spread of the answers, √d·std", () => curve("std"), {low: 0, high: 1.05, empty: ""}),
  };
  const map = btCanvas(300, "Map", (context, width, height, theme) => {
    const xy = run.curves.seen.at(-1)?.maps.z;
    if (xy) drawMap(context, width, height, theme, {xy, begun: run.begun, colourOf: (begun, i) => BT_COLOURS[begun.labels[i]], sphere: true, chosen: null});
  });
  const legend = h("div", {class: "bt-row bt-quiet bt-legend"}, ...about.classes.map((name, k) => h("span", {}, btKey(k), name)));
  const root = h("div", {class: "bt bt-first", role: "region", "aria-label": "BYOL at first sight"},
    h("div", {class: "bt-row bt-first-row"}, button, play, counter), question,
    h("div", {class: "bt-first-views"},
      h("figure", {}, h("figcaption", {}, "768 pictures, placed by the network’s answers"), map.element),
      h("div", {}, ...Object.values(plots).map((p) => p.element))),
    legend, said, announced);
  el.append(root);

  /** Return the words about the run, from its measurements. */
  function words() {
    const {curves, frame} = run, known = curves.seen.at(-1), percent = (x) => `${Math.round(100 * x)} %`;
    if (frame?.failed) return "The numbers have overflowed: start again.";
    if (!known || !curves.loss.length) return "Drawing the first pictures …";
    const [loss, std] = [curves.loss, curves.std].map((y) => meanOfLast(y, 20)), made = stepOf() - (before?.step ?? 0);
    if (!before) return `It learns from pictures without labels. Look at the map: dots of one colour are one shape. For ${percent(known.shape)} of the pictures the nearest others have the same shape; untrained it was ${percent(curves.seen[0].shape)}.`;
    if (made < JUDGED_AFTER) return "The predictor is gone. Watch the loss, the spread and the map …";
    const fell = loss < 0.7 * before.loss, rose = loss > 1.3 * before.loss, did = fell ? FALLS : rose ? "rises" : "stays";
    const start = `You guessed that the loss ${guess}; ${did === guess ? "so it did" : `it ${did}`}: ${btNumber(before.loss, 2)} before, ${btNumber(loss, 2)} now. The spread was ${btNumber(before.std, 2)} and is ${btNumber(std, 2)}: `;
    return start + (std < about.thresholds.partial ? "every picture gets nearly the same answer. That is the easiest thing to agree on, and nothing is learned. This is called collapse." : "the answers still differ.");
  }
  let drawnAt = 0, timer = 0;
  function schedule() {
    if (timer || closed) return;
    timer = setTimeout(() => { timer = 0; show(); host.post({do: "drawn"}); }, Math.max(0, drawnAt + (still.matches ? PERIOD.still : PERIOD.moving) - performance.now()));
  }
  function show() {
    if (closed) return;
    drawnAt = performance.now();
    counter.textContent = `step ${stepOf()}`;
    button.textContent = before ? "start again, with the predictor" : "remove the predictor";
    button.disabled = !run.curves.loss.length;
    const now = words();
    said.textContent = now;
    const phase = `${number} ${before !== null} ${now.startsWith("You")}`;
    if (phase !== announced.dataset.phase) { announced.dataset.phase = phase; announced.textContent = now; }
    for (const [name, plot] of Object.entries(plots)) plot.redraw(run.curves[name].length ? btNumber(run.curves[name].at(-1), 2) : "");
    map.alt(`Map of the projections z in two principal components, coloured by shape. ${now}`);
    map.redraw();
  }

  begin();
  show();
  const visible = () => sync();
  document.addEventListener("visibilitychange", visible);
  const watcher = new IntersectionObserver((entries) => {
    inView = entries.at(-1).isIntersecting; // the newest of them
    if (inView && !opening) { setPlaying(true); open(); }
    sync();
  });
  watcher.observe(root);
  return () => {
    closed = true;
    watcher.disconnect();
    document.removeEventListener("visibilitychange", visible);
    if (globalThis.btPlaying === pause) globalThis.btPlaying = null;
    clearTimeout(timer);
    host?.end();
    for (const part of [map, ...Object.values(plots)]) part.close();
  };
}

export default {initialize: btKeepSaved, render: btFreed(render)};
