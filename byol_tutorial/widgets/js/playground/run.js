// A run has its pictures and its schedule, and trains in slices of steps, between which it carries out messages. It is in a worker, or
// on the page's own thread where a worker is not allowed.
//
// Messages to it:    begin {settings, changes, number}   make a new run; changes: [[step, {name: value}], …], to be made when their
//                                                step comes; number: a number that all messages of this run carry
//                    change {settings}           change live settings at once
//                    run {until}                 train until this step
//                    pause                       stop after the present step
//                    drawn                       the page has drawn the last frame and can take the next
// Messages from it:  begun {labels, hues, bytes, …}     the pictures on which the run is measured
//                    frame {step, loss, std, seen, …}   what is new since the last frame; applied: how many changes were carried out

const HEADS = {hidden: 256, projection: 64}; // the widths of projector and predictor, as in the course
const TRAINED = 4096, LOOKED_AT = 768, SAMPLED = 512; // pictures for training, for measuring, and for the mean and the deviation of the channels
const HUES = 8, QUERIES = 6, NEAR = 5, PAIRS = 4;
const SLICE = {worker: 40, page: 12}; // milliseconds of training between messages

/** Return the factor of the learning rate at a step, as optim.lr_factor_at does. */
const rateFactor = (step, total, warmup) =>
  step < warmup ? step / warmup : 0.5 * (1 + Math.cos(Math.PI * (step - warmup) / Math.max(total - warmup, 1)));

/** Return τ of the update after `update` earlier ones, as byol.BYOL.tau does. */
function decayRate(s, update, total) {
  if (s.target !== "ema") return s.target === "random" ? 1 : 0;
  return s.tau_schedule === "constant" ? s.tau_base : 1 - (1 - s.tau_base) * (Math.cos(Math.PI * Math.min(update, total) / total) + 1) / 2;
}

class Run {
  /** post(message) sends a message to the page; open is described in kernels.js; place is "worker" or "page". */
  constructor(post, open, place) {
    Object.assign(this, {open, place, running: false, waiting: false, until: 0, number: 0});
    this.post = (message) => post({...message, number: this.number});
    this.channel = new MessageChannel(); // setTimeout would wait four milliseconds between slices
    this.channel.port1.onmessage = () => this.slice();
  }

  receive(message) {
    switch (message.do) {
      case "begin": this.number = message.number; this.begin(message.settings, message.changes ?? []); break;
      case "change": this.applied++; this.change(message.settings); if (!this.running) this.frame(); break;
      case "run":
        this.until = Math.min(message.until, this.total);
        if (!this.running && !this.failed && this.step < this.until) { this.running = true; this.next(); }
        break;
      case "pause": this.running = false; break;
      case "drawn": this.waiting = false; break;
    }
  }

  begin(settings, changes) {
    const s = this.settings = {...settings}, plan = [...changes];
    while (plan[0]?.[0] === 0) Object.assign(s, plan.shift()[1]); // a change before the first step belongs to the start
    const [weights, pictures, batches] = [0, 1, 2].map((k) => generator(3 * s.seed + k));
    Object.assign(this, {step: 0, applied: 0, first: {...s}, plan, changes: [], failed: false, running: false, random: batches, order: [], spent: 0, loss: [], std: []});
    this.learner = new Learner({size: s.pixels, width: s.width, batch: s.batch_size, looked: LOOKED_AT, ...HEADS}, this.open);
    this.learner.initialise(weights, s.target === "random");
    this.pictures = new PictureSet(TRAINED, s.pixels, pictures);
    this.looked = new PictureSet(LOOKED_AT, s.pixels, pictures);
    const bytes = this.looked.all(), statistics = channelStatistics(bytes.subarray(0, SAMPLED * this.looked.each));
    this.maker = new ViewMaker(s.pixels, statistics);
    this.normalised = normalisedPictures(bytes, statistics);
    this.labels = Uint8Array.from(this.looked.factors, (f) => f.shape);
    this.hues = Float32Array.from(this.looked.factors, (f) => f.hue);
    this.hueLabels = this.hues.map((h) => Math.floor(h * HUES));
    this.perEpoch = Math.floor(TRAINED / s.batch_size);
    this.total = s.epochs * this.perEpoch;
    this.warmup = Math.round(s.warmup_epochs * this.perEpoch);
    this.planes = {};
    this.learner.settle(() => this.draw());
    Object.assign(this, {random: generator(3 * s.seed + 2), order: [], waiting: false}); // the first step has the first views
    this.post({kind: "begun", settings: s, labels: this.labels, hues: this.hues, bytes: bytes.slice(), size: s.pixels, ...statistics, total: this.total, perEpoch: this.perEpoch, place: this.place});
    this.look();
    this.frame();
  }

  change(settings) {
    const s = this.settings, changed = Object.entries(settings).filter(([name, value]) => s[name] !== value);
    if (!changed.length) return;
    Object.assign(s, settings);
    const last = this.changes.at(-1);
    if (this.step === 0) this.first = {...s};
    else if (last?.[0] === this.step) Object.assign(last[1], Object.fromEntries(changed));
    else this.changes.push([this.step, Object.fromEntries(changed)]);
  }

  next() { this.channel.port2.postMessage(null); }

  /** Train for some milliseconds, measure if it is time to, send a frame, and request the next slice. */
  slice() {
    if (!this.running) { this.look(); this.frame(); return; }
    const start = performance.now();
    do this.one(); while (this.running && performance.now() - start < SLICE[this.place]);
    this.spent += performance.now() - start;
    // measuring takes at most a sixth of the time
    if (!this.running || performance.now() - this.lookedAt > 5 * this.lookTook) this.look();
    if (!this.waiting || !this.running) this.frame();
    if (this.running) this.next();
  }

  /** Make one step. */
  one() {
    while (this.plan.length && this.plan[0][0] <= this.step) this.change(this.plan.shift()[1]);
    const s = this.settings;
    this.draw();
    const lr = s.lr * s.batch_size / 256 * rateFactor(Math.min(this.step, this.total), this.total, this.warmup);
    const {loss, std} = this.learner.step(s, lr, decayRate(s, this.step, this.total));
    this.loss.push(loss);
    this.std.push(std);
    this.step++;
    this.failed = !Number.isFinite(loss) || !Number.isFinite(std);
    if (this.failed || this.step >= this.until) this.running = false;
  }

  /** Write the views of the next batch to the learner's images. */
  draw() {
    const {learner: {H, images}, settings: s, pictures, maker, random} = this;
    for (let i = 0; i < s.batch_size; i++) {
      if (!this.order.length) this.order = Array.from(shuffled(TRAINED, random));
      const from = pictures.at(this.order.pop());
      for (const row of [i, s.batch_size + i]) maker.make(pictures.bytes, from, drawView(s, pictures.size, random), H, images + row * pictures.each);
    }
  }

  /** Measure the representations of the run's pictures for measuring. Training does not use their labels, and the run does not change. */
  look() {
    const start = performance.now(), {learner, labels} = this;
    const {y, z} = learner.look(this.normalised), [features, d] = [learner.features, HEADS.projection];
    unitRows(y, features);
    unitRows(z, d);
    const near = neighbours(learner.products(y, features), LOOKED_AT), spreadOfZ = covariance(z, d);
    const maps = {};
    // The map of z is around the centre of its sphere, so that no dot is outside of the circle; the map of y is around its mean.
    for (const [name, x, columns, c] of [["z", z, d, {...spreadOfZ, mean: new Float64Array(d)}], ["y", y, features, covariance(y, features)]]) {
      const {xy, directions} = principalPlane(x, columns, c, this.planes[name]);
      if (directions.every(Number.isFinite)) this.planes[name] = directions;
      maps[name] = xy;
    }
    this.seen = {step: this.step, shape: voteAccuracy(near, labels, SHAPES.length), hue: voteAccuracy(near, this.hueLabels, HUES), rank: effectiveRank(spreadOfZ.matrix, d),
                 maps, near: Array.from({length: QUERIES}, (_, i) => Array.from(near.index.subarray(i * near.k, i * near.k + NEAR)))};
    this.lookedAt = performance.now();
    this.lookTook = this.lookedAt - start;
  }

  /** Send what is new since the last frame. */
  frame() {
    const {learner: {H, images}, settings: s, pictures: {each}} = this;
    const pairs = Array.from({length: this.step ? PAIRS : 0}, (_, i) => [i, s.batch_size + i].map((row) => Float32Array.from(H.subarray(images + row * each, images + (row + 1) * each))));
    this.post({kind: "frame", step: this.step, running: this.running, failed: this.failed, applied: this.applied, settings: {...s}, first: this.first, changes: this.changes.concat(this.plan), loss: this.loss, std: this.std,
               seen: this.seen ?? null, pairs, perSecond: this.spent ? 1000 * this.step / this.spent : 0});
    Object.assign(this, {loss: [], std: [], seen: null, waiting: true});
  }
}
