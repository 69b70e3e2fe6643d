// This file has the layers of BYOL with gradients written by hand: a convolution with BatchNorm and ReLU, and the MLP of two layers.
//
// A layer holds the place of its weights in the block of a network, so that the online network, the target and the gradients, which
// are three blocks of one form, use the same layer. What a forward pass must keep for the backward pass is a trace; each pass
// of each network has its own. The rows are normalised in `groups` separate parts, as the two views are.

/** Hand out addresses in the memory. Each begins at a multiple of four floats. */
class Room {
  constructor() { this.used = STACK; }
  take(floats) {
    const address = this.used;
    this.used += (floats + 3) & ~3;
    return address;
  }
}

/** The form of a block of weights. add(name, size, spread, decays) takes the next place; the first weights are drawn from ± spread. */
class Form {
  constructor() { this.tensors = {}; this.size = 0; }
  add(name, size, spread, decays = true) {
    this.tensors[name] = {at: this.size, size, spread, decays};
    this.size += (size + 3) & ~3;
    return this.size - ((size + 3) & ~3);
  }
}

/** A convolution 3 × 3 without bias, then BatchNorm and ReLU: (rows, size, size, channels) -> (rows, out, out, filters). */
class Convolution {
  constructor(form, name, size, channels, filters, stride) {
    Object.assign(this, {size, channels, filters, stride, out: Math.floor((size - 1) / stride) + 1, inputs: 9 * channels});
    this.area = this.out ** 2;
    this.weight = form.add(`${name}.weight`, this.inputs * filters, 1 / Math.sqrt(this.inputs));
    this.gamma = form.add(`${name}.gamma`, filters, null, false);
    this.beta = form.add(`${name}.beta`, filters, 0, false);
  }
  trace(room, rows, unfolded = room.take(rows * this.area * this.inputs)) {
    const each = rows * this.area * this.filters;
    return {unfolded, before: room.take(each), after: room.take(each), statistics: room.take(4 * this.filters)};
  }
  /** Compute t.after of the pictures at x. If groups is 0, normalise by the statistics at `given`. If x is null, they are unfolded already. */
  forward({kernels: k, room}, W, x, rows, groups, t, given) {
    const {filters: c, area} = this;
    if (x !== null) k.unfold(rows, this.size, this.channels, this.stride, x, t.unfolded);
    k.matmul(rows * area, c, this.inputs, t.unfolded, this.inputs, 1, W + this.weight, c, 1, t.before, room);
    normalise(k, W, this, rows * area, c, groups, t, given);
  }
  /** Turn dL/d(after) at d into dL/dx at dx, if it is asked for; write the gradients of the weights into the block G. */
  backward({kernels: k, room}, W, G, rows, groups, t, d, dx) {
    const {filters: c, inputs, area} = this;
    normaliseBack(k, W, G, this, rows * area, c, groups, t, d, room);
    k.matmul(inputs, c, rows * area, t.unfolded, 1, inputs, d, c, 1, G + this.weight, room);
    if (dx === undefined) return;
    k.matmul(rows * area, inputs, c, d, c, 1, W + this.weight, 1, c, t.unfolded, room); // the unfolded rows are no longer needed
    k.fold(rows, this.size, this.channels, this.stride, t.unfolded, dx);
  }
}

/** An MLP of a linear layer, BatchNorm, ReLU and a linear layer without bias: (rows, inputs) -> (rows, outputs). */
class MLP {
  constructor(form, name, inputs, hidden, outputs) {
    Object.assign(this, {inputs, hidden, outputs});
    const first = 1 / Math.sqrt(inputs);
    this.first = form.add(`${name}.first`, inputs * hidden, first);
    this.second = form.add(`${name}.second`, hidden * outputs, 1 / Math.sqrt(hidden));
    this.bias = form.add(`${name}.bias`, hidden, first, false);
    this.gamma = form.add(`${name}.gamma`, hidden, null, false);
    this.beta = form.add(`${name}.beta`, hidden, 0, false);
  }
  trace(room, rows) {
    const each = rows * this.hidden;
    return {before: room.take(each), after: room.take(each), d: room.take(each), statistics: room.take(4 * this.hidden), out: room.take(rows * this.outputs)};
  }
  forward({kernels: k, room}, W, x, rows, groups, t, given) {
    const {inputs, hidden, outputs} = this;
    k.matmul(rows, hidden, inputs, x, inputs, 1, W + this.first, hidden, 1, t.before, room);
    k.add_bias(rows, hidden, t.before, W + this.bias);
    normalise(k, W, this, rows, hidden, groups, t, given);
    k.matmul(rows, outputs, hidden, t.after, hidden, 1, W + this.second, outputs, 1, t.out, room);
  }
  backward({kernels: k, room}, W, G, x, rows, groups, t, d, dx) {
    const {inputs, hidden, outputs} = this;
    k.matmul(hidden, outputs, rows, t.after, 1, hidden, d, outputs, 1, G + this.second, room);
    k.matmul(rows, hidden, outputs, d, outputs, 1, W + this.second, 1, outputs, t.d, room);
    normaliseBack(k, W, G, this, rows, hidden, groups, t, t.d, room);
    k.sum_rows(rows, hidden, t.d, G + this.bias);
    k.matmul(inputs, hidden, rows, x, 1, inputs, t.d, hidden, 1, G + this.first, room);
    k.matmul(rows, inputs, hidden, t.d, hidden, 1, W + this.first, 1, hidden, dx, room);
  }
}

/** Apply BatchNorm and ReLU to a layer's rows, to each group by its own statistics or, if groups is 0, by the statistics at `given`. */
function normalise(k, W, layer, rows, c, groups, t, given) {
  const one = rows / Math.max(groups, 1);
  if (groups === 0) k.norm_relu(rows, c, t.before, t.after, W + layer.gamma, W + layer.beta, given);
  for (let i = 0; i < groups; i++) {
    k.moments(one, c, t.before + i * one * c, t.statistics + 2 * c * i);
    k.norm_relu(one, c, t.before + i * one * c, t.after + i * one * c, W + layer.gamma, W + layer.beta, t.statistics + 2 * c * i);
  }
}

function normaliseBack(k, W, G, layer, rows, c, groups, t, d, room) {
  const one = rows / groups;
  for (let i = 0, at = 0; i < groups; i++, at += one * c)
    k.norm_relu_back(one, c, t.before + at, t.after + at, d + at, W + layer.gamma, t.statistics + 2 * c * i, G + layer.gamma, G + layer.beta, room);
}
