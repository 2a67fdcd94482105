// Thinking told apart and stop texts found, however the text is cut into pieces.
import assert from 'node:assert';
import { StopTexts, Thinking } from '../../harness/backend/bridge/markup.mjs';

const rows = [
  // why, raw, is a chat, stop texts, answer, thinking, stopped
  ['plain text', 'four', true, [], 'four', '', false],
  ['a channel before the answer', '<|channel>thought\n2+2\n<channel|>four', true, [], 'four', '2+2', false],
  ['blanks after the channel', '<|channel>thought\nhm<channel|>\n\nfour', true, [], 'four', 'hm', false],
  ['an unclosed channel is all thinking', '<|channel>thought\n2+2 is', true, [], '', '2+2 is', false],
  ['an empty channel', '<|channel>thought\n<channel|>four', true, [], 'four', '', false],
  ['the other markup', '<think>2+2</think>four', true, [], 'four', '2+2', false],
  ['two channels', '<|channel>thought\na<channel|>x<|channel>thought\nb<channel|>y', true, [], 'xy', 'ab', false],
  ['no chat, no markup', '<think>2</think>', false, [], '<think>2</think>', '', false],
  ['a mark that is none', 'a <|chan b', true, [], 'a <|chan b', '', false],
  ['a mark at the very end', 'a<|chan', true, [], 'a<|chan', '', false],
  ['a stop text', 'one\ntwo END three', true, ['END', 'never'], 'one\ntwo ', '', true],
  ['the first of two', 'abcXdY', true, ['Y', 'X'], 'abc', '', true],
  ['half a stop text at the end', 'abcEN', true, ['END'], 'abcEN', '', false],
  ['an empty stop text stops nothing', 'abc', true, [''], 'abc', '', false],
];
for (const [why, raw, isChat, stops, text, reasoning, isHit] of rows)
  for (const size of [1, 2, 3, 7, 1000]) {
    const stop = new StopTexts(stops);
    const thinking = new Thinking(isChat);
    let pieces = '';
    for (let i = 0; i < raw.length; i += size) pieces += thinking.feed(stop.feed(raw.slice(i, i + size), false), false).text;
    pieces += thinking.feed(stop.feed('', true), true).text;
    const got = { ...thinking.final(), isHit: stop.isHit, pieces };
    assert.deepStrictEqual(got, { text, reasoning, isHit, pieces: text }, `${why}, in pieces of ${size}`);
  }
console.log(`${rows.length} texts as expected`);
