"""How many characters the longest line of some paragraphs has, as a page shows them."""

LONGEST_LINE = """(paragraphs) => {
  let longest = 0;
  for (const p of paragraphs) {
    if (p.querySelector('math, .math, .katex, mjx-container')) continue; // it holds a formula twice, once to be read aloud
    const range = document.createRange(), lines = {};
    const texts = document.createTreeWalker(p, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) for (let k = 0; k < texts.currentNode.length; k++) {
      range.setStart(texts.currentNode, k); range.setEnd(texts.currentNode, k + 1);
      const box = range.getBoundingClientRect();
      if (box.width) { const y = Math.round(box.bottom / 8); lines[y] = (lines[y] ?? 0) + 1; }
    }
    longest = Math.max(longest, ...Object.values(lines));
  }
  return longest;
}"""
