// http.mjs — the same model behind the OpenAI chat core, on loopback: for trying things by hand.
import { createServer } from 'node:http';

const MAX_BODY = 64 * 2 ** 20; // bytes
const status = { request: 400, context: 400, unsupported: 400 };

async function body(req) {
  const parts = [];
  let n = 0;
  for await (const part of req) {
    n += part.length;
    if (n > MAX_BODY) throw Object.assign(new Error('the body is over 64 MiB'), { kind: 'request' });
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString());
  } catch (e) {
    throw Object.assign(new Error(`not JSON: ${e.message}`), { kind: 'request' });
  }
}

async function chat(model, name, rq, res) {
  const isChat = !!rq.messages;
  let isGone = false;
  res.on('close', () => (isGone = true));
  const head = { id: 'chatcmpl-1', object: rq.stream ? 'chat.completion.chunk' : 'chat.completion', model: name };
  const event = (o) => res.write(`data: ${JSON.stringify({ ...head, ...o })}\n\n`);
  const delta = (text, reasoning) => {
    if (!text && !reasoning) return;
    event({ choices: [{ index: 0, delta: { ...(text && { content: text }), ...(reasoning && { reasoning_content: reasoning }) } }] });
  };
  const ask = {
    messages: rq.messages, prompt: rq.prompt, max_tokens: rq.max_tokens, stop: [rq.stop ?? []].flat(), stream: !!rq.stream,
    thinking: rq.chat_template_kwargs?.enable_thinking,
  };
  model.promptIds(ask); // a wrong request is told before the stream begins
  if (rq.stream) res.writeHead(200, { 'content-type': 'text/event-stream' });
  const end = await model.generate(ask, (e) => delta(e.text, e.reasoning), () => isGone);
  const finish_reason = end.finish === 'length' ? 'length' : 'stop';
  const usage = { prompt_tokens: end.usage.prompt, completion_tokens: end.usage.completion,
                  total_tokens: end.usage.prompt + end.usage.completion };
  if (rq.stream) {
    delta(end.rest, end.rest_reasoning);
    event({ choices: [{ index: 0, delta: {}, finish_reason }], usage });
    res.end('data: [DONE]\n\n');
    return null;
  }
  const message = { role: 'assistant', content: end.text, ...(end.reasoning && { reasoning_content: end.reasoning }) };
  return { ...head, choices: [isChat ? { index: 0, message, finish_reason } : { index: 0, text: end.text, finish_reason }], usage };
}

export function serve(model, port, name) {
  let turn = Promise.resolve(); // one generation at a time
  const inTurn = (f) => (turn = turn.then(f, f));
  const routes = {
    'GET /health': async () => ({ status: 'ok' }),
    'GET /v1/models': async () => ({ object: 'list', data: [{ id: name, object: 'model', meta: { ...model.info, template: undefined } }] }),
    'POST /v1/chat/completions': (rq, res) => inTurn(() => chat(model, name, rq, res)),
    'POST /tokenize': async (rq) => ({ tokens: model.tokenize(String(rq.text ?? rq.content ?? ''), !!rq.add_special) }),
    'POST /score': (rq) => inTurn(() => model.score(rq)),
  };
  const server = createServer(async (req, res) => {
    const json = (code, o) => {
      if (!res.headersSent) res.writeHead(code, { 'content-type': 'application/json' });
      res.end(JSON.stringify(o));
    };
    try {
      const route = routes[`${req.method} ${req.url.split('?')[0]}`];
      if (!route) return json(404, { error: { message: `no route ${req.method} ${req.url}` } });
      const reply = await route(req.method === 'POST' ? await body(req) : null, res);
      if (reply) json(200, reply);
    } catch (e) {
      json(status[e.kind] ?? 500, { error: { message: String(e.message ?? e), type: e.kind ?? 'server' } });
    }
  });
  server.listen(port, '127.0.0.1', () => process.stderr.write(`listening on http://127.0.0.1:${server.address().port}\n`));
}
