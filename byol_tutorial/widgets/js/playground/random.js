// Random numbers from a seed, the same in every browser: sfc32 (Chris Doty-Humphrey's PractRand). They are not those of PyTorch, so
// the seed of a page is not the seed of a notebook.

/** Return a function that gives numbers in [0, 1). */
function generator(seed) {
  let a = 0x9e3779b9, b = 0x243f6a88, c = 0xb7e15162, count = seed | 0;
  const next = () => {
    const sum = (((a + b) | 0) + count) | 0;
    count = (count + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 16; i++) next();
  return next;
}

/** Return 0 … n − 1 in a random order (Fisher and Yates). */
function shuffled(n, random) {
  const order = Uint16Array.from({length: n}, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
