// node real_tjs.mjs BRIDGE-FOLDER MODELS-FOLDER EXPECT.json: ids and log-probabilities of the real
// bridge against numpy's of the same weights; batching of lines, cancelling, errors.
import assert from 'node:assert';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const [bridge, models, expectFile] = process.argv.slice(2);
const expect = JSON.parse(readFileSync(expectFile));
const child = spawn('node', [`${bridge}/bridge.mjs`], { stdio: ['pipe', 'pipe', 'inherit'] });
const events = [];
let wake = null;
createInterface({ input: child.stdout }).on('line', (line) => {
  events.push(JSON.parse(line));
  wake?.();
});
const send = (o) => child.stdin.write(JSON.stringify(o) + '\n');
async function until(test) {
  for (;;) {
    const found = events.find(test);
    if (found) return found;
    await new Promise((resolve) => (wake = resolve));
  }
}
const ended = (id) => until((e) => e.id === id && e.ev !== 'token');
setTimeout(() => { console.error('no answer within 100 s'); process.exit(1); }, 100000).unref();

let worst = 0;
const near = (a, b, what) => {
  assert.strictEqual(a.length, b.length, what);
  a.forEach((x, i) => (worst = Math.max(worst, Math.abs(x - b[i]))));
  assert.ok(worst < 1e-4, `${what}: ${a} differs from ${b}`);
};

await until((e) => e.ready === true && e.protocol === 1);
send({ id: 1, op: 'open', model: 'tiny-llama', path: models, dtype: 'fp32', device: 'cpu' });
assert.ok((await ended(1)).ok);
let id = 10;
for (const g of expect.greedy) {
  send({ id: ++id, op: 'generate', tokens: g.prompt, max_tokens: g.ids.length, stream: true, logprobs: 3 });
  const done = await ended(id);
  const tokens = events.filter((e) => e.id === id && e.ev === 'token');
  assert.deepStrictEqual(tokens.map((t) => t.token_id), g.ids);
  near(tokens.map((t) => t.logprob), g.logprobs, 'generated');
  assert.strictEqual(done.finish, 'length');
  assert.strictEqual(done.usage.completion, g.ids.length);
  assert.strictEqual(tokens.map((t) => t.text).join('') + done.rest, done.text);
}
for (const s of expect.scores) {
  send({ id: ++id, op: 'score', tokens: s.ids, from: s.from });
  near((await ended(id)).logprobs, s.logprobs, 'scored');
}
// Characters that some programs take for the end of a line, and one that comes in two halves.
const odd = 'a\u2028b\u2029c\u0085d\re\u{1f600}';
send({ id: 40, op: 'tokenize', text: odd, add_special: false });
assert.strictEqual((await ended(40)).tokens.length, Buffer.from(odd).length);
for (const piece of Buffer.from(`{"id":41,"op":"tokenize","text":"\u{1f600}","add_special":true}\n`)) {
  child.stdin.write(Buffer.from([piece]));
  await new Promise((resolve) => setTimeout(resolve, 1));
}
assert.strictEqual((await ended(41)).tokens.length, 5);
// One job ahead of another; the second is cancelled before its turn, the first while it runs.
send({ id: 50, op: 'generate', tokens: [2, 80], max_tokens: 900 });
send({ id: 51, op: 'generate', tokens: [2, 80], max_tokens: 5 });
send({ id: 51, op: 'cancel' });
send({ id: 50, op: 'cancel' });
assert.strictEqual((await ended(50)).finish, 'cancelled');
assert.strictEqual((await ended(51)).finish, 'cancelled');

const wrong = [
  [{ op: 'generate', tokens: [] }, 'request'],
  [{ op: 'generate', tokens: [4711] }, 'request'],
  [{ op: 'generate', tokens: new Array(1024).fill(5), max_tokens: 1 }, 'context'],
  [{ op: 'score', tokens: [2], from: 1 }, 'request'],
  [{ op: 'score', tokens: [2, 3], from: 0 }, 'request'],
  [{ op: 'fly' }, 'unsupported'],
];
for (const [rq, kind] of wrong) {
  send({ id: ++id, ...rq });
  assert.strictEqual((await ended(id)).error?.class, kind, JSON.stringify(rq).slice(0, 80));
}
child.stdin.write('{"id":1,\n');
await until((e) => e.id === null && e.error.class === 'protocol');
send({ id: 99, op: 'close' });
const code = await new Promise((resolve) => child.on('exit', resolve));
assert.strictEqual(code, 0);
console.log(`ids as by numpy, log-probabilities within ${worst.toExponential(1)}`);
