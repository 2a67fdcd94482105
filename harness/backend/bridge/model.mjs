// model.mjs — one model of transformers.js: generate, score, tokenize, render.
//
// Everything is greedy: the library samples with Math.random, so no other answer could be repeated.
// Log-probabilities are computed from logits in float64, row by row.
import { readFileSync } from 'node:fs';
import { StopTexts, Thinking } from './markup.mjs';

const MAX_LOGITS_BYTES = 4 * 2 ** 30; // of one forward call

/** An error of a class that the other side knows: request, context, unsupported, server, setup. */
export class BridgeError extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/** log sum exp of a row, in float64. */
function logNormalizer(row) {
  let max = -Infinity;
  for (const x of row) if (x > max) max = x;
  let sum = 0;
  for (const x of row) sum += Math.exp(x - max);
  return max + Math.log(sum);
}

/** The n largest of a row, best first, ties by lower id. */
function likeliest(row, n) {
  const ids = [];
  for (let i = 0; i < row.length; i++) {
    if (ids.length === n && !(row[i] > row[ids[n - 1]])) continue;
    let at = ids.length < n ? ids.push(i) - 1 : n - 1;
    for (; at > 0 && row[i] > row[ids[at - 1]]; at--) ids[at] = ids[at - 1];
    ids[at] = i;
  }
  return ids;
}

/** Pieces of text from token ids, whole characters only. */
class Pieces {
  constructor(decode) {
    this.decode = decode;
    this.ids = [];
    this.from = this.read = 0;
  }
  next(id, isEnd) {
    if (id !== null) this.ids.push(id);
    const old = this.decode(this.ids.slice(this.from, this.read));
    const now = this.decode(this.ids.slice(this.from));
    if (now.length <= old.length || (now.endsWith('\ufffd') && !isEnd)) return '';
    this.from = this.read;
    this.read = this.ids.length;
    return now.slice(old.length);
  }
}

export class Model {
  /** {model, path, dtype, device} → a loaded model; nothing is ever fetched. */
  static async open({ model, path, dtype = 'fp32', device = 'cpu' }) {
    const hf = await import('@huggingface/transformers');
    hf.env.allowRemoteModels = false;
    hf.env.allowLocalModels = true;
    hf.env.localModelPath = path;
    const m = new Model();
    const start = performance.now();
    m.hf = hf;
    m.tokenizer = await hf.AutoTokenizer.from_pretrained(model);
    m.model = await hf.AutoModelForCausalLM.from_pretrained(model, { dtype, device });
    const config = m.model.config;
    const text = config.text_config ?? config;
    m.vocab = text.vocab_size ?? config.vocab_size;
    m.ctx = text.max_position_embeddings ?? config.max_position_embeddings ?? 0;
    const eos = m.model.generation_config?.eos_token_id ?? config.eos_token_id ?? [];
    m.eos = new Set([eos].flat().map(Number));
    m.special = new Set(m.tokenizer.all_special_ids.map(Number));
    m.hasTemplate = !!m.tokenizer.chat_template;
    const runtime = JSON.parse(readFileSync(new URL('./node_modules/onnxruntime-node/package.json', import.meta.url)));
    m.info = {
      arch: config.model_type, vocab: m.vocab, ctx: m.ctx, dtype, device,
      runtime: `onnxruntime-node ${runtime.version}`, library: `transformers.js ${hf.env.version}`,
      load_ms: performance.now() - start, template: m.hasTemplate ? String(m.tokenizer.chat_template) : null,
      caps: [...(m.hasTemplate ? ['chat', 'render'] : []), 'raw', 'ids', 'tokenize', 'score', 'logprobs'],
      seed: false,
    };
    return m;
  }

  decode(ids) {
    return ids.length === 0 ? '' : this.tokenizer.decode(ids, { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  }

  tokenize(text, isPrompt) {
    return text === '' && !isPrompt ? [] : this.tokenizer.encode(text, { add_special_tokens: isPrompt }).map(Number);
  }

  /** The prompt of a chat; a last message of the assistant is the beginning of the reply. */
  render({ messages, thinking }) {
    if (!this.hasTemplate) throw new BridgeError('unsupported', 'this model has no chat template');
    const isBegun = messages.at(-1)?.role === 'assistant';
    const options = { tokenize: false, add_generation_prompt: true };
    if (thinking !== undefined) options.enable_thinking = thinking;
    const prompt = this.tokenizer.apply_chat_template(isBegun ? messages.slice(0, -1) : messages, options);
    return isBegun ? prompt + messages.at(-1).content : prompt;
  }

  promptIds(rq) {
    let ids;
    if (rq.tokens) ids = rq.tokens;
    else if (rq.messages) ids = this.tokenize(this.render(rq), false);
    else ids = this.tokenize(rq.prompt ?? '', true);
    this.check(ids);
    return ids;
  }

  check(ids) {
    if (ids.length === 0) throw new BridgeError('request', 'the prompt has no tokens');
    const wrong = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= this.vocab);
    if (wrong !== undefined) throw new BridgeError('request', `token id ${wrong} is not in the vocabulary of ${this.vocab}`);
    if (this.ctx && ids.length > this.ctx) throw new BridgeError('context', `${ids.length} tokens, the context holds ${this.ctx}`);
  }

  inputs(ids) {
    const { Tensor } = this.hf;
    const dims = [1, ids.length];
    return {
      input_ids: new Tensor('int64', BigInt64Array.from(ids, BigInt), dims),
      attention_mask: new Tensor('int64', new BigInt64Array(ids.length).fill(1n), dims),
    };
  }

  /** {logprob, greedy, top: [[id, logprob, text]]} of a token in a row of logits. */
  place(row, id, n) {
    const norm = logNormalizer(row);
    const top = likeliest(row, Math.max(1, n));
    return { logprob: row[id] - norm, greedy: top[0] === id, top: top.map((t) => [t, row[t] - norm, this.decode([t])]) };
  }

  /** emit gets an event for each token; isCancelled() is asked between tokens. Returns the end. */
  async generate(rq, emit, isCancelled) {
    const { hf } = this;
    const ids = this.promptIds(rq);
    const room = this.ctx ? this.ctx - ids.length : Infinity;
    if (room < 1) throw new BridgeError('context', `${ids.length} tokens leave no room in a context of ${this.ctx}`);
    const start = performance.now();
    const run = new Run(this, rq, emit, start);
    const bridge = { row: null };
    class Rows extends hf.LogitsProcessor {
      _call(_, logits) {
        bridge.row = logits;
        return logits;
      }
    }
    class Streamer extends hf.BaseStreamer {
      isPrompt = true;
      put(value) {
        if (!this.isPrompt) run.take(Number(value[0][0]), bridge.row);
        this.isPrompt = false;
      }
      end() {}
    }
    class Ends extends hf.StoppingCriteria {
      _call(input_ids) {
        return input_ids.map(() => run.isEnded || isCancelled());
      }
    }
    const processors = new hf.LogitsProcessorList();
    processors.push(new Rows());
    const criteria = new hf.StoppingCriteriaList();
    criteria.push(new Ends());
    await this.model.generate({
      ...this.inputs(ids), max_new_tokens: Math.min(rq.max_tokens ?? 256, room), do_sample: false, num_beams: 1,
      repetition_penalty: 1, no_repeat_ngram_size: 0, logits_processor: processors, stopping_criteria: criteria,
      streamer: new Streamer(),
    });
    return run.end(ids.length, isCancelled());
  }

  /** Log-probabilities of tokens[from …], in one forward call. */
  async score({ tokens, from = 1, prompt, continuation, top = 1 }) {
    if (!tokens) {
      const before = this.tokenize(prompt ?? '', true);
      tokens = this.tokenize((prompt ?? '') + (continuation ?? ''), true);
      for (from = 0; from < before.length && before[from] === tokens[from]; ) from++;
    }
    this.check(tokens);
    if (!Number.isInteger(from) || from < 1) throw new BridgeError('request', 'a continuation needs a token before it');
    if (from >= tokens.length) throw new BridgeError('request', 'the continuation is empty');
    if (tokens.length * this.vocab * 4 > MAX_LOGITS_BYTES)
      throw new BridgeError('context', `the logits of ${tokens.length} tokens do not fit into ${MAX_LOGITS_BYTES} bytes`);
    const { logits } = await this.model(this.inputs(tokens));
    if (logits.dims[1] !== tokens.length)
      throw new BridgeError('unsupported', `this model gives ${logits.dims[1]} rows of logits for ${tokens.length} tokens`);
    const data = (logits.type === 'float32' ? logits : logits.to('float32')).data;
    const V = logits.dims[2];
    const out = { ids: tokens.slice(from), texts: [], logprobs: [], greedy: [], top: [], prompt: from };
    for (let i = from; i < tokens.length; i++) {
      const place = this.place(data.subarray((i - 1) * V, i * V), tokens[i], top);
      out.texts.push(this.decode([tokens[i]]));
      out.logprobs.push(place.logprob);
      out.greedy.push(place.greedy);
      out.top.push(place.top);
    }
    return out;
  }
}

/** One generation under way: tokens become pieces of text. */
class Run {
  constructor(model, rq, emit, start) {
    Object.assign(this, { model, rq, emit, start });
    this.pieces = new Pieces((ids) => model.decode(ids));
    this.stop = new StopTexts(rq.stop ?? []);
    this.thinking = new Thinking(!!rq.messages);
    this.n = this.nThinking = 0;
    this.isEnded = this.isEos = false;
    this.firstMs = 0;
  }
  take(id, row) {
    const { model, rq } = this;
    if (this.isEnded) return;
    const t_ms = performance.now() - this.start;
    if (this.n++ === 0) this.firstMs = t_ms;
    this.lastMs = t_ms;
    this.isEos = model.eos.has(id);
    // Special tokens are no text, but for the marks of a thinking channel.
    const own = model.decode([id]);
    const isMark = /^<\|channel>$|^<channel\|>$|^<\/?think>$/.test(own);
    const isText = !this.isEos && (!model.special.has(id) || (isMark && !!rq.messages));
    const raw = isText ? this.pieces.next(id, false) : '';
    const part = this.thinking.feed(this.stop.feed(raw, false), false);
    if (this.thinking.mark) this.nThinking++;
    this.isEnded = this.isEos || this.stop.isHit;
    if (!rq.stream && !rq.logprobs) return;
    const event = { ev: 'token', t_ms, token_id: id, piece: own, text: part.text, reasoning: part.reasoning };
    if (rq.logprobs) Object.assign(event, model.place(row.data, id, rq.logprobs));
    this.emit(event);
  }
  end(nPrompt, isCancelled) {
    const rest = this.stop.feed(this.pieces.next(null, true), true);
    const part = this.thinking.feed(rest, true);
    const wasHit = this.stop.isHit;
    const { text, reasoning } = this.thinking.final();
    return {
      ev: 'done', text, reasoning, rest: part.text, rest_reasoning: part.reasoning,
      finish: isCancelled ? 'cancelled' : wasHit ? 'stop_text' : this.isEos ? 'stop' : 'length',
      usage: { prompt: nPrompt, completion: this.n, reasoning: this.thinking.hasThought ? this.nThinking : 0 },
      timings: { prompt_ms: this.firstMs, gen_ms: this.n > 0 ? this.lastMs - this.firstMs : 0 },
      rss: process.memoryUsage().rss,
    };
  }
}
