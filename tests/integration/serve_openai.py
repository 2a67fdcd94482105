"""serve_openai.py URL - the openai package as a client: whole, streamed, cancelled, eight at once, refused."""
import sys, threading
from openai import OpenAI, BadRequestError
from http_raw import call, check, finish, wait_for

url = sys.argv[1]
client = OpenAI(base_url=url + "/v1", api_key="any")
model = client.models.list().data[0].id
ask = dict(model=model, prompt="The capital of France is", max_tokens=6, temperature=0)
whole = client.completions.create(**ask)
text = whole.choices[0].text
check(text and whole.usage.completion_tokens == 6, f"completion: {whole}")
pieces = [c.choices[0].text for c in client.completions.create(**ask, stream=True) if c.choices]
check("".join(pieces) == text and len(pieces) > 2, f"stream: {pieces}")
stream = client.completions.create(**(ask | {"prompt": "Once upon a time", "max_tokens": 400}), stream=True)
for i, _ in enumerate(stream):
    if i == 2:
        stream.close()
        break
wait_for(lambda: b"assay_cancelled_total 1" in call(url, "/metrics")[2], "the cancelled stream is noticed")
out = []
threads = [threading.Thread(target=lambda: out.append(client.completions.create(**ask).choices[0].text)) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
check(out == [text] * 8, f"eight at once: {out}")
try:
    client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hi"}])
    check(False, "a base model has no chat template")
except BadRequestError as e:
    check("/v1/completions" in str(e), f"chat: {e}")
finish()
