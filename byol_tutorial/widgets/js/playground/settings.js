// This file reads and writes the settings of runs, which have the names of Config: as a page's fragment, as the course's experiment in a
// line of JSON or a short text, and as an object. `about` is the description of the fields that playground.py sends.
//
// A plan is {settings, changes, steps}: the settings at the start, changes [[step, {name: value}], …], and the step to train to.
// A fragment is  #playground&predictor=identity&120:lr=0.2&steps=300&b&seed=1  where `b` begins the plan of a second run.

const FRAGMENT = "#playground";
const WIDTHS = {24: 8, 32: 16}; // pixels a side: width of the encoder

const IMAGES = 4096; // the page trains on so many

const isRecord = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const own = (record, name) => Object.hasOwn(record, name) ? record[name] : undefined; // every record inherits a "constructor"
const shown = (value) => String(value !== null && typeof value === "object" ? JSON.stringify(value) : value).slice(0, 40);

/** Return the value if this field may have it, or throw an error that says what is allowed. */
function allowed(about, name, value) {
  const field = own(about.fields, name), words = `${shown(name)}=${shown(value)}`;
  if (!field) throw new Error(`${shown(name)}: the page cannot change it; it can change ${Object.keys(about.fields).join(", ")}`);
  const {kind, options, low, high} = field;
  if (kind === "switch" && typeof value !== "boolean") throw new Error(`${words}: give true or false`);
  if (options && !options.includes(value)) throw new Error(`${words}: choose one of ${options.join(", ")}`);
  if (kind === "number" && !(typeof value === "number" && value >= low && value <= high)) throw new Error(`${words}: give a number from ${low} to ${high}`);
  if (field.whole && !Number.isInteger(value)) throw new Error(`${words}: give a whole number`);
  return value;
}

/** Return the number of a step if a run of the page can reach it, or throw an error that says what is allowed. */
function allowedStep(about, words, step) {
  if (!Number.isInteger(step) || step < 0 || step > about.most_steps) throw new Error(`${words}: give a whole number from 0 to ${about.most_steps}`);
  return step;
}

/** Return a plan with these settings, and the page's own for all others; every value is checked. */
function planOf(about, values, changes = [], steps = 0) {
  const settings = {...about.settings, ...(Object.hasOwn(WIDTHS, own(values, "pixels")) ? {width: WIDTHS[values.pixels]} : {}), ...values};
  for (const [name, value] of Object.entries(settings)) allowed(about, name, value);
  if (settings.warmup_epochs > settings.epochs) throw new Error(`warmup_epochs=${settings.warmup_epochs}: longer than the run of epochs=${settings.epochs}`);
  allowedStep(about, `steps=${shown(steps)}`, steps);
  for (const [step, change] of changes) {
    allowedStep(about, `the step ${shown(step)} of a change`, step);
    for (const [name, value] of Object.entries(change)) {
      allowed(about, name, value);
      if (!about.fields[name].live) throw new Error(`${name}: it cannot change while a run trains`);
    }
  }
  return {settings, changes: [...changes].sort((a, b) => a[0] - b[0]), steps};
}

// --- the fragment -------------------------------------------------------------------------------------------------------

function writeFragment(about, plans) {
  return FRAGMENT + plans.map(({settings, changes, steps}, i) => {
    const parts = i ? ["b"] : [];
    for (const [name, value] of Object.entries(settings))
      if (value !== about.settings[name] && !(name === "width" && WIDTHS[settings.pixels] === value)) parts.push(`${name}=${value}`);
    for (const [step, change] of changes) for (const [name, value] of Object.entries(change)) parts.push(`${step}:${name}=${value}`);
    if (steps) parts.push(`steps=${steps}`);
    return parts.map((part) => `&${part}`).join("");
  }).join("");
}

const isFragment = (text) => text === FRAGMENT || text.startsWith(`${FRAGMENT}&`);

/**
 * Return the fragment in the address of the page, or null. It may come as the query, because the scripts of some sites treat every
 * fragment of a link as a selector. Other scripts write “playground=&b=” instead of “playground&b”.
 */
function addressed() {
  const query = location.search.replace(/^\?(playground)=?/, "#$1");
  return isFragment(location.hash) ? location.hash : isFragment(query) ? query : null;
}

/** Return the runs in a text of parts, each {values, changes, steps}. A run without a part “steps” has the given number. */
function readParts(text, steps) {
  const bare = () => Object.create(null), empty = () => ({values: bare(), changes: [], steps}); // an object in which "__proto__" is a name like others
  const valueOf = (word) => word === "true" || word === "false" ? word === "true" : word !== "" && Number.isFinite(Number(word)) ? Number(word) : word;
  const runs = [empty()];
  let whole;
  try { whole = decodeURIComponent(text); } catch { throw new Error("the text is damaged: two digits must follow each % in it; copy it again"); }
  for (const part of whole.split("&").slice(1)) {
    if (part === "b" || part === "b=") { // some scripts rewrite a query
      if (runs.length === 2) throw new Error("the link has more than two runs: keep one “&b”");
      runs.push(empty());
      continue;
    }
    const run = runs.at(-1), [, step, name, word] = /^(?:(\d+):)?(\w+)=(.*)$/.exec(part) ?? [];
    if (name === undefined) throw new Error(`“${shown(part)}” is not a setting: write name=value`);
    const value = word.includes(",") ? word.split(",").map(valueOf) : valueOf(word);
    if (step === undefined && name === "steps") run.steps = value;
    else if (step === undefined) run.values[name] = value;
    else {
      if (run.changes.at(-1)?.[0] !== Number(step)) run.changes.push([Number(step), bare()]);
      run.changes.at(-1)[1][name] = value;
    }
  }
  return runs;
}

/** Return the plans of a fragment, one or two. */
const readFragment = (about, text) => readParts(text, 0).map((run) => planOf(about, run.values, run.changes, run.steps));

// --- the course's experiment: live/experiment.py, and live/short_text.py ------------------------------------------

const outOf = (field, value) => field.pair === "low" ? [value, 1] : field.pair === "both" ? [value, value] : value;

function into(name, field, value) {
  if (!field || !Array.isArray(value)) return value;
  if (field.pair === "low" && value[1] === 1) return value[0];
  if (field.pair === "both" && value[0] === value[1]) return value[0];
  if (field.pair) throw new Error(`${name}=${shown(value)}: the page can change ${field.pair === "low" ? "the first number alone, beside 1" : "both views together, not one"}`);
  return value;
}

const each = (record, change) => Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(name, value)]));

/** Return the line of text from which bt.rebuild makes this run in Python. */
function writeExperiment(about, {settings, changes, steps}) {
  const {pixels, ...config} = settings, write = (name, value) => outOf(about.fields[name], value);
  for (const name of Object.keys(config)) if (config[name] === about.fields[name].value) delete config[name]; // Config's own default
  return JSON.stringify({byol: 1, version: about.version, data: {name: "shapes", images: IMAGES, pixels: [pixels, pixels]}, config: each(config, write),
                         changes: changes.map(([step, change]) => [step, each(change, write)]), steps});
}

/** Return the parts of a short text, also within a line of code, as the line of JSON has them; undefined for another text. */
function readShort(text) {
  const short = /^[^{]*?(byol1&[^'"\s]*)/.exec(text)?.[1];
  if (!short) return;
  const [{values: {data, v, ...config}, changes, steps}] = readParts(short, null), [name, images, side] = [data].flat();
  return {byol: 1, data: {name, images, pixels: [side, side]}, config, changes, steps};
}

/** Return the plan of an experiment of the course, or throw an error that says what a page cannot do. */
function readExperiment(about, text) {
  let parts = readShort(text);
  try { parts ??= JSON.parse(text); } catch { throw new Error("this is not an experiment: give the whole line that a panel or str(bt.Experiment.of(session)) gave"); }
  if (!isRecord(parts) || parts.byol !== 1 || !isRecord(parts.config) || !Array.isArray(parts.changes) || !parts.changes.every((c) => Array.isArray(c) && c.length === 2 && isRecord(c[1])))
    throw new Error("this is not an experiment of a format that this page reads: give the whole line, unchanged");
  const {name, images = IMAGES, pixels} = isRecord(parts.data) ? parts.data : {}, sides = Array.isArray(pixels) ? pixels : [];
  if (name !== "shapes" || sides.length !== 2 || sides[0] !== sides[1] || !about.fields.pixels.options.includes(sides[0]))
    throw new Error(`images of “${shown(name)}”, ${shown(pixels)} pixels: the page has the shapes of 24 and 32 px alone`);
  if (images !== IMAGES) throw new Error(`${shown(images)} images: the page trains on ${IMAGES}`);
  const read = (record) => each(Object.fromEntries(Object.entries(record).filter(([field]) => !about.ignored.includes(field))), (field, value) => into(field, own(about.fields, field), value));
  const first = {...each(about.fields, (_, field) => field.value), ...read(parts.config), pixels: sides[0]};
  return planOf(about, first, parts.changes.map(([step, change]) => [step, read(change)]).filter(([, change]) => Object.keys(change).length), parts.steps ?? null);
}
