// markup.mjs — what a model's raw text becomes: an end at a stop text, thinking told apart.

const marks = [
  { open: '<|channel>', close: '<channel|>', head: 'thought\n' }, // Gemma 4
  { open: '<think>', close: '</think>', head: '' },
];

// How many characters at the end of text could be the beginning of what.
function begun(text, what) {
  for (let n = Math.min(text.length, what.length - 1); n > 0; n--)
    if (text.endsWith(what.slice(0, n))) return n;
  return 0;
}

const heldBack = (text, whats) => whats.reduce((most, what) => Math.max(most, begun(text, what)), 0);

/** Passes text on until the first of the stop texts; holds back what may become one. */
export class StopTexts {
  constructor(stops) {
    this.stops = stops.filter((s) => s.length > 0);
    this.held = '';
    this.isHit = false;
  }
  feed(piece, isEnd) {
    if (this.isHit) return '';
    const text = this.held + piece;
    const at = this.stops.map((s) => text.indexOf(s)).filter((i) => i >= 0);
    this.isHit = at.length > 0;
    const n = this.isHit ? Math.min(...at) : text.length - (isEnd ? 0 : heldBack(text, this.stops));
    this.held = this.isHit ? '' : text.slice(n);
    return text.slice(0, n);
  }
}

/** Tells thinking from the answer while both come. A block that is never closed is all thinking. */
export class Thinking {
  constructor(isWanted) {
    this.isWanted = isWanted;
    this.mark = null; // of the block we are in
    this.held = '';
    this.text = '';
    this.reasoning = '';
    this.isHeadDue = false;
    this.isTrimDue = true; // no blanks at the beginning of the answer
    this.hasThought = false;
  }
  feed(piece, isEnd) {
    const out = { text: '', reasoning: '' };
    this.held += piece;
    for (let guard = 0; guard < 1000 && this.step(out, isEnd); guard++);
    this.text += out.text;
    this.reasoning += out.reasoning;
    return out;
  }
  take(out, n) {
    let part = this.held.slice(0, n);
    this.held = this.held.slice(n);
    if (this.mark) {
      out.reasoning += part;
      return;
    }
    if (this.hasThought && this.isTrimDue) part = part.trimStart();
    if (part.trim() !== '') this.isTrimDue = false;
    out.text += part;
  }
  // One move through what is held; true: look again.
  step(out, isEnd) {
    if (!this.isWanted) return this.take(out, this.held.length), false;
    if (!this.mark) {
      const found = marks.find((m) => this.held.includes(m.open));
      if (!found) {
        const keep = isEnd ? 0 : heldBack(this.held, marks.map((m) => m.open));
        return this.take(out, this.held.length - keep), false;
      }
      this.take(out, this.held.indexOf(found.open));
      this.held = this.held.slice(found.open.length);
      this.mark = found;
      this.hasThought = this.isHeadDue = true;
      return true;
    }
    if (this.isHeadDue) {
      const head = this.mark.head;
      if (!isEnd && this.held.length < head.length && head.startsWith(this.held)) return false;
      if (this.held.startsWith(head)) this.held = this.held.slice(head.length);
      this.isHeadDue = false;
    }
    const end = this.held.indexOf(this.mark.close);
    if (end < 0) return this.take(out, this.held.length - (isEnd ? 0 : begun(this.held, this.mark.close))), false;
    this.take(out, end);
    this.held = this.held.slice(this.mark.close.length);
    this.mark = null;
    return true;
  }
  final() {
    return this.hasThought
      ? { text: this.text, reasoning: this.reasoning.trim() }
      : { text: this.text, reasoning: '' };
  }
}
