// This file opens a host, in which a run trains: a worker made from this module's own text or, where a policy forbids workers, the
// page's own thread. Both use WebAssembly where it is allowed, and JavaScript elsewhere.

const WORKER = `
const {Run, openScript, openWebAssembly} = (${playgroundEngine})();
let run = null;
onmessage = async ({data}) => {
  try {
    if (data.do !== "open") { run.receive(data); return; }
    const open = await openWebAssembly(data.wasm).catch(() => openScript());
    run = new Run((message) => postMessage(message), open, "worker");
    postMessage({kind: "open", wasm: open.wasm === true});
  } catch (error) { postMessage({kind: "problem", text: String(error.message ?? error)}); }
};`;
const PATIENCE = 5000; // milliseconds until a worker that does not answer counts as forbidden

/** Return the bytes of kernels.wasm, which the module contains deflated and in base64; null where they cannot be read. */
async function wasmBytes() {
  try {
    const packed = Uint8Array.from(atob(PLAYGROUND_WASM), (c) => c.charCodeAt(0));
    return new Uint8Array(await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).arrayBuffer());
  } catch { return null; }
}

/** Open a host. received(message) is called with each message of its run. Returns {post, end, place}; place describes it in words. */
async function openHost(received) {
  const wasm = await wasmBytes();
  let worker = null;
  try {
    const address = URL.createObjectURL(new Blob([WORKER], {type: "text/javascript"}));
    worker = new Worker(address);
    const first = await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error("no answer")), PATIENCE);
      worker.onmessage = ({data}) => { clearTimeout(late); data.kind === "open" ? resolve(data) : reject(new Error(data.text)); };
      worker.onerror = (event) => { clearTimeout(late); event.preventDefault(); reject(new Error(event.message)); };
      worker.postMessage({do: "open", wasm});
    });
    URL.revokeObjectURL(address);
    worker.onmessage = ({data}) => received(data);
    worker.onerror = (event) => received({kind: "problem", text: event.message});
    return {post: (message) => worker.postMessage(message), end: () => worker.terminate(), place: first.wasm ? "in a worker, by WebAssembly" : "in a worker, by JavaScript: slower"};
  } catch {
    worker?.terminate();
    const {Run, openScript, openWebAssembly} = playgroundEngine();
    const open = await openWebAssembly(wasm).catch(() => openScript());
    let ended = false;
    const run = new Run((message) => queueMicrotask(() => { if (!ended) received(message); }), open, "page");
    const post = (message) => { try { run.receive(message); } catch (error) { received({kind: "problem", text: String(error.message ?? error)}); } };
    return {post, end() { ended = true; run.running = false; }, place: open.wasm ? "on the page’s thread, by WebAssembly" : "on the page’s thread, by JavaScript: slower"};
  }
}
