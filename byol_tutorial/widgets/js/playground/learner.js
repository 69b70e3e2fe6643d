// A learner has the online network, a predictor and the target. It makes a step of training on given views, and evaluates pictures.

const NORM = {momentum: 0.1, epsilon: 1e-5, settle: 8}; // for BatchNorm's running statistics; the first two are PyTorch's

class Learner {
  /**
   * spec: {size, width, batch, hidden, projection}; the encoder is the course's SmallEncoder of this width.
   * open(floats) -> {H, kernels} makes the memory and the arithmetic in it; see kernels.js.
   */
  constructor(spec, open) {
    this.spec = spec;
    const {size, width, batch, hidden, projection} = spec, rows = this.rows = 2 * batch, room = new Room();
    this.features = 4 * width;
    // --- forms: the online network, which the target copies, and the two predictors that learn
    const online = new Form(), mlp = new Form(), linear = new Form();
    this.encoder = [];
    let side = size, channels = 3;
    for (const [filters, stride] of [[width, 2], [2 * width, 2], [4 * width, 2], [4 * width, 1]]) {
      const layer = new Convolution(online, `encoder.${this.encoder.length}`, side, channels, filters, stride);
      this.encoder.push(layer);
      [side, channels] = [layer.out, filters];
    }
    this.projector = new MLP(online, "projector", this.features, hidden, projection);
    this.predictor = new MLP(mlp, "mlp", projection, hidden, projection);
    linear.add("linear.weight", projection * projection, 1 / Math.sqrt(projection));
    this.parts = {online, mlp, linear};
    // --- blocks: the weights, their gradients and their velocities
    this.blocks = {};
    for (const [name, form] of Object.entries(this.parts))
      this.blocks[name] = {W: room.take(form.size), G: room.take(form.size), V: room.take(form.size)};
    this.target = room.take(online.size);
    // --- traces, the gradients between layers, and statistics for evaluation
    const scratch = room.take(Math.max(...this.encoder.map((l) => rows * l.area * l.inputs)));
    const traceOf = (unfolded) => ({layers: this.encoder.map((l, i) => l.trace(room, rows, unfolded(i))), y: room.take(rows * this.features), projector: this.projector.trace(room, rows)});
    this.images = room.take(rows * size * size * 3);
    this.seen = room.take(rows * size * size * 3);
    this.traces = {online: traceOf(() => undefined)};
    this.traces.target = traceOf((i) => i === 0 ? this.traces.online.layers[0].unfolded : scratch);
    this.traces.seen = traceOf(() => scratch);
    this.traces.predictor = this.predictor.trace(room, rows);
    const largest = Math.max(rows * size * size * 3, ...this.encoder.map((l) => rows * l.area * l.filters), rows * this.features);
    this.d = [room.take(largest), room.take(largest)];
    [this.dp, this.dz, this.dt] = [0, 1, 2].map(() => room.take(rows * projection));
    this.running = [...this.encoder.map((l) => l.filters), hidden].map((c) => ({c, statistics: room.take(2 * c), given: room.take(2 * c)}));
    // a matrix product needs k × n floats beside its operands, n rounded up to eight
    const products = [[hidden, rows], [hidden, this.features], [rows, hidden], [this.features, hidden], [hidden, projection]];
    for (const l of this.encoder) products.push([l.inputs, l.filters], [rows * l.area, l.filters], [l.filters, l.inputs]);
    const [n, most] = [spec.looked ?? 0, Math.max(this.features, projection)];
    if (n) {
      this.gram = {x: room.take(n * most), out: room.take(n * n)};
      products.push([most, n]);
    }
    this.room = room.take(Math.max(...products.map(([k, m]) => k * (m + 7))));
    Object.assign(this, open(room.used));
  }

  /** Return the floats of a tensor of the online network or a predictor, such as "projector.first", or of another block of its form. */
  tensor(name, block = "W") {
    const part = Object.keys(this.parts).find((p) => name in this.parts[p].tensors), {at, size} = this.parts[part].tensors[name];
    const start = (block === "target" ? this.target : this.blocks[part][block]) + at;
    return this.H.subarray(start, start + size);
  }

  /** Draw the first weights as PyTorch does: uniform in ± 1/√inputs; BatchNorm's γ are 1. With ownTarget the target gets other weights. */
  initialise(random, ownTarget) {
    const {H, blocks, target, parts} = this;
    const draw = (form, block) => {
      for (const {at, size, spread} of Object.values(form.tensors))
        for (let i = block + at; i < block + at + size; i++) H[i] = spread === null ? 1 : (2 * random() - 1) * spread;
    };
    for (const [name, form] of Object.entries(parts)) {
      draw(form, blocks[name].W);
      H.fill(0, blocks[name].V, blocks[name].V + form.size);
    }
    if (ownTarget) draw(parts.online, target);
    else H.copyWithin(target, blocks.online.W, blocks.online.W + parts.online.size);
    for (const {c, statistics} of this.running) H.fill(0, statistics, statistics + c).fill(1, statistics + c, statistics + 2 * c);
  }

  /** Compute z = g(f(v)) of one network for the pictures at x; if x is null, they are unfolded already. The trace gets y, and z as projector.out. */
  branch(W, x, rows, groups, t) {
    this.encoder.forEach((layer, l) => {
      layer.forward(this, W, l === 0 ? x : t.layers[l - 1].after, rows, groups, t.layers[l], this.running[l].given);
    });
    this.kernels.pool(rows, this.encoder.at(-1).area, this.features, t.layers.at(-1).after, t.y);
    this.projector.forward(this, W, t.y, rows, groups, t.projector, this.running.at(-1).given);
    return t.projector.out;
  }

  /** Compute the gradients of the online network's weights from dL/dz at d. */
  branchBack(d) {
    const {rows, kernels, encoder, blocks: {online: {W, G}}, traces: {online: t}, d: [a, b]} = this, last = encoder.at(-1);
    this.projector.backward(this, W, G, t.y, rows, 2, t.projector, d, a);
    kernels.pool_back(rows, last.area, last.filters, a, b);
    for (let l = encoder.length - 1, [from, to] = [b, a]; l >= 0; l--, [from, to] = [to, from])
      encoder[l].backward(this, W, G, rows, 2, t.layers[l], from, l === 0 ? undefined : to);
  }

  /**
   * Make one step on the views at this.images, and return {loss, std}. s: settings with the names of Config; lr: the learning rate of
   * this step; tau: the decay rate of its update. If update is false, the weights stay as they are.
   */
  step(s, lr, tau, update = true) {
    const {H, rows, blocks, traces, spec: {batch, projection: d}} = this;
    const z = this.branch(blocks.online.W, this.images, rows, 2, traces.online);
    for (const [name, {G}] of Object.entries(blocks)) H.fill(0, G, G + this.parts[name].size);
    const contrastive = s.method === "simclr", p = contrastive ? z : this.predict(s.predictor, z);
    const own = s.method !== "byol" || s.target === "online" || !s.stop_gradient; // the online network is its own target
    const t = own ? z : this.branch(this.target, null, rows, 2, traces.target);
    const through = !s.stop_gradient && !contrastive; // the gradient also passes through z′
    const loss = contrastive ? contrastiveLoss(H, z, this.dp, batch, d, s.temperature, s.negatives)
      : s.method === "simsiam" ? simsiamLoss(H, p, t, this.dp, through ? this.dt : null, batch, d)
        : cosineLoss(H, p, t, this.dp, through ? this.dt : null, batch, d, s.symmetric);
    const std = spread(H, z, batch, d);
    const dz = contrastive ? this.dp : this.predictBack(s.predictor, z);
    if (through) for (let i = 0; i < rows * d; i++) H[dz + i] += H[this.dt + i];
    this.branchBack(dz);
    this.follow(own || s.symmetric ? 2 : 1);
    if (update) this.update(s, lr, own ? 0 : tau);
    return {loss, std};
  }

  /** Compute p = q(z) by the MLP or by one linear map; without a predictor it is z itself. */
  predict(kind, z) {
    const {kernels, rows, blocks, traces: {predictor: t}, spec: {projection: d}} = this;
    if (kind === "mlp") this.predictor.forward(this, blocks.mlp.W, z, rows, 2, t);
    else if (kind === "linear") kernels.matmul(rows, d, d, z, d, 1, blocks.linear.W, d, 1, t.out, this.room);
    return kind === "identity" ? z : t.out;
  }

  /** Turn dL/dp at this.dp into dL/dz, and return its address. */
  predictBack(kind, z) {
    const {kernels, rows, blocks: {mlp, linear}, traces: {predictor: t}, spec: {projection: d}, dp, dz} = this;
    if (kind === "identity") return dp;
    if (kind === "mlp") this.predictor.backward(this, mlp.W, mlp.G, z, rows, 2, t, dp, dz);
    else {
      kernels.matmul(d, d, rows, z, 1, d, dp, d, 1, linear.G, this.room);
      kernels.matmul(rows, d, d, dp, d, 1, linear.W, 1, d, dz, this.room);
    }
    return dz;
  }

  /** Update the online network and the predictor in use by SGD; biases and BatchNorm have no weight decay. Then set ξ ← τ ξ + (1 − τ) θ. */
  update(s, lr, tau) {
    const used = s.method === "simclr" ? ["online"] : Object.keys(this.parts).filter((part) => part === "online" || part === s.predictor);
    for (const part of used) {
      const {W, G, V} = this.blocks[part];
      for (const {at, size, decays} of Object.values(this.parts[part].tensors))
        this.kernels.sgd(size, W + at, G + at, V + at, lr, 0.9, decays ? s.weight_decay : 0);
    }
    if (tau < 1 && s.method === "byol") this.kernels.follow(this.parts.online.size, this.target, this.blocks.online.W, 1 - tau);
  }

  /** Move BatchNorm's running statistics towards those of this step, one view after the other, at the rate NORM.momentum. */
  follow(views, rate = NORM.momentum) {
    const {H, traces: {online: t}, spec: {batch}} = this;
    this.running.forEach(({c, statistics: r}, l) => {
      const from = (l < this.encoder.length ? t.layers[l] : t.projector).statistics, n = batch * (this.encoder[l]?.area ?? 1);
      for (let i = 0; i < views; i++) for (let k = 0; k < c; k++) {
        const variance = (1 / H[from + 2 * c * i + c + k] ** 2 - NORM.epsilon) * n / (n - 1);
        H[r + k] += rate * (H[from + 2 * c * i + k] - H[r + k]);
        H[r + c + k] += rate * (variance - H[r + c + k]);
      }
    });
  }

  /** Set the running statistics to their mean over a few batches before the first step. fill() writes views to this.images. */
  settle(fill) {
    for (let i = 0; i < NORM.settle; i++) {
      fill();
      this.branch(this.blocks.online.W, this.images, this.rows, 2, this.traces.online);
      this.follow(2, 1 / (i + 1));
    }
  }

  /** Return {y, z} of normalised pictures, float32 (n, size, size, 3): representations and projections in evaluation mode. */
  look(pictures) {
    const {H, rows, features, seen, traces: {seen: t}, spec: {size, projection}} = this, each = size * size * 3, n = pictures.length / each;
    const y = new Float32Array(n * features), z = new Float32Array(n * projection);
    for (const {c, statistics: r, given} of this.running) for (let k = 0; k < c; k++) {
      H[given + k] = H[r + k];
      H[given + c + k] = 1 / Math.sqrt(H[r + c + k] + NORM.epsilon);
    }
    for (let i = 0; i < n; i += rows) {
      const m = Math.min(rows, n - i);
      H.set(pictures.subarray(i * each, (i + m) * each), seen);
      const out = this.branch(this.blocks.online.W, seen, m, 0, t);
      y.set(H.subarray(t.y, t.y + m * features), i * features);
      z.set(H.subarray(out, out + m * projection), i * projection);
    }
    return {y, z};
  }

  /** Return the products of all rows of x, (n, d), with each other: (n, n), valid until the next call. */
  products(x, d) {
    const {H, kernels, gram} = this, n = x.length / d;
    H.set(x, gram.x);
    kernels.matmul(n, n, d, gram.x, d, 1, gram.x, 1, d, gram.out, this.room);
    return H.subarray(gram.out, gram.out + n * n);
  }
}
