#!/usr/bin/env node
// bridge.mjs — transformers.js behind a line protocol on standard input and output (README.md), or
// with --http PORT --path FOLDER --model NAME [--dtype D] behind HTTP on 127.0.0.1.
import { serve } from './http.mjs';
import { BridgeError, Model } from './model.mjs';

// Standard output belongs to the protocol: whatever a library prints goes to standard error.
const write = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr);
const send = (object) => write(JSON.stringify(object) + '\n');

const MAX_LINE = 64 * 2 ** 20; // bytes

let model = null;
const cancelled = new Set();
const waiting = new Set(); // ids of generate and score that have not ended
let turn = Promise.resolve(); // a session is not re-entrant: one after the other

const opened = () => {
  if (!model) throw new BridgeError('request', 'no model is open');
  return model;
};

const ops = {
  async open(rq) {
    model = await Model.open(rq);
    return { ok: true, info: model.info };
  },
  async generate(rq) {
    if (cancelled.has(rq.id)) return { ev: 'done', text: '', reasoning: '', finish: 'cancelled' };
    return opened().generate(rq, (event) => send({ id: rq.id, ...event }), () => cancelled.has(rq.id));
  },
  async score(rq) {
    if (cancelled.has(rq.id)) throw new BridgeError('cancelled', 'cancelled');
    return { ok: true, ...(await opened().score(rq)) };
  },
  async tokenize(rq) {
    return { ok: true, tokens: opened().tokenize(String(rq.text), !!rq.add_special) };
  },
  async render(rq) {
    const prompt = opened().render(rq);
    return { ok: true, prompt, tokens: opened().tokenize(prompt, false) };
  },
};

async function answer(rq) {
  try {
    send({ id: rq.id, ...(await ops[rq.op](rq)) });
  } catch (e) {
    const kind = e instanceof BridgeError ? e.kind : rq.op === 'open' ? 'setup' : 'server';
    send({ id: rq.id, error: { class: kind, message: String(e?.message ?? e).split('\n')[0].slice(0, 500) } });
  } finally {
    waiting.delete(rq.id);
    cancelled.delete(rq.id);
  }
}

function take(line) {
  if (line.trim() === '') return;
  let rq;
  try {
    rq = JSON.parse(line);
  } catch (e) {
    send({ id: null, error: { class: 'protocol', message: `not JSON: ${e.message}` } });
    return;
  }
  if (rq.op === 'close') process.exit(0);
  if (rq.op === 'cancel') {
    if (waiting.has(rq.id)) cancelled.add(rq.id);
  } else if (!Object.hasOwn(ops, rq.op)) {
    send({ id: rq.id ?? null, error: { class: 'unsupported', message: `no operation ${rq.op}` } });
  } else if (rq.op === 'tokenize' || rq.op === 'render') {
    answer(rq);
  } else {
    waiting.add(rq.id);
    turn = turn.then(() => answer(rq));
  }
}

const flags = {};
for (let i = 2; i + 1 < process.argv.length; i += 2) flags[process.argv[i].replace(/^--/, '')] = process.argv[i + 1];
if (flags.http) {
  model = await Model.open(flags);
  serve(model, Number(flags.http), flags.model);
} else {
  // Not node:readline, which takes U+2028 in a prompt for the end of a line.
  let parts = [];
  let n = 0;
  process.stdin.on('data', (chunk) => {
    let from = 0;
    for (let at; (at = chunk.indexOf(10, from)) >= 0; from = at + 1) {
      take(Buffer.concat([...parts, chunk.subarray(from, at)]).toString());
      parts = [];
      n = 0;
    }
    parts.push(chunk.subarray(from));
    n += chunk.length - from;
    if (n > MAX_LINE) {
      send({ id: null, error: { class: 'protocol', message: 'a line over 64 MiB' } });
      process.exit(1);
    }
  });
  process.stdin.on('close', () => process.exit(0)); // the parent is gone
  send({ ready: true, protocol: 1 });
}
