"""serve_client.py URL KEY PID - a served null backend: forms, streams, cancels, hostile clients."""
import json, sys, threading, time
from http_raw import *

url, key, pid = sys.argv[1:4]
AUTH = f"Authorization: Bearer {key}\r\n"
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}
SOUND = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
HI = [{"role": "user", "content": "hi"}]


def post(path, body, headers=AUTH):
    status, h, b = call(url, path, body, headers)
    return status, json.loads(b), h


def metric(name):
    for line in call(url, "/metrics", None, AUTH)[2].decode().split("\n"):
        if line.startswith(name + " "):
            return float(line.split()[1])
    return None


def toy(prev, i):
    return -1 / 32 if i == (prev + 1) % 256 else -(1 + (31 * prev + 17 * i) % 97) / 16


def forms():
    status, r, _ = post(CHAT, {"messages": HI})
    m = r["choices"][0]["message"]
    check(status == 200 and m["content"] == "The answer is (B)." and m["reasoning_content"] == "I think.",
          f"chat: {r}")
    check(r["usage"]["completion_tokens"] == 26 and r["choices"][0]["finish_reason"] == "stop", "usage")
    check(r["usage"]["completion_tokens_details"]["reasoning_tokens"] == 8, "reasoning tokens")
    check(r["timings"]["predicted_n"] == 26, "timings")
    status, r, _ = post(CHAT, {"messages": HI, "logprobs": True, "top_logprobs": 1, "max_tokens": 3})
    lp = r["choices"][0]["logprobs"]["content"]
    check([x["token"] for x in lp] == ["T", "h", "e"] and r["choices"][0]["finish_reason"] == "length",
          "chat logprobs")
    check(lp[1]["logprob"] == toy(ord("T"), ord("h")), "the toy model's number")
    status, r, _ = post(CHAT, {"messages": HI, "stop": [" is"]})
    check(r["choices"][0]["message"]["content"] == "The answer", "stop")
    status, r, _ = post(TEXT, {"prompt": ["a", "b"], "max_tokens": 4})
    check([c["text"] for c in r["choices"]] == ["The "] * 2 and r["usage"]["completion_tokens"] == 24,
          f"two prompts: {r}")
    ids = [256, 97, 99, 98]
    for prompt in (ids, "acb"):
        for n in (0, 1):
            _, r, _ = post(TEXT, {"prompt": prompt, "echo": True, "logprobs": 1, "max_tokens": n})
            c = r["choices"][0]
            lp = c["logprobs"]
            want = [None] + [toy(a, b) for a, b in zip(ids, ids[1:])] + [toy(98, ord("T"))][:n]
            check(lp["token_logprobs"] == want, f"echo {prompt} {n}: {lp}")
            check(c["text"] == "acb" + "T"[:n] and lp["tokens"][0] == "<bos>", f"echo text {c['text']!r}")
            check(len(lp["top_logprobs"]) == len(lp["tokens"]) == len(lp["text_offset"]), "lengths")
            check(r["usage"]["prompt_tokens"] == 4, "prompt tokens")
    _, r, _ = post(TEXT, {"prompt": ids, "prompt_logprobs": 1, "max_tokens": 1, "return_token_ids": True})
    c = r["choices"][0]
    check(c["prompt_token_ids"] == ids and c["prompt_logprobs"][0] is None, "prompt_logprobs")
    check(c["prompt_logprobs"][2]["99"]["logprob"] == toy(97, 99) and "98" in c["prompt_logprobs"][2], "tops")
    check(post("/tokenize", {"prompt": "ab"})[1]["tokens"] == [256, 97, 98], "tokenize")
    check(post("/tokenize", {"content": "ab"})[1]["tokens"] == [97, 98], "tokenize as llama.cpp")
    for tokens, want in (([97, 98], "ab"), (post("/tokenize", {"content": "a\u00e4"})[1]["tokens"], "a\u00e4")):
        r = post("/detokenize", {"tokens": tokens})[1]
        check(r["prompt"] == r["content"] == want, f"detokenize: {r}")
    check(post("/apply-template", {"messages": HI})[1]["prompt"] == "<user>hi\n<assistant>", "template")
    check(json.loads(call(url, "/v1/models", None, AUTH)[2])["data"][0]["id"] == "toy", "models")


def streams():
    for path, body in ((CHAT, {"messages": HI}), (TEXT, {"prompt": "x", "max_tokens": 99})):
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        status, h, b = call(url, path, body, AUTH)
        ev = events(b)
        check(h["content-type"] == "text/event-stream" and ev[-1] == "[DONE]", f"{path}: the end")
        ev = [json.loads(e) for e in ev[:-1]]
        pieces = [c.get("text", c.get("delta", {}).get("content", "")) or "" for e in ev for c in e["choices"]]
        check("".join(pieces) == "The answer is (B)." and len(pieces) >= 4, f"{path}: pieces {pieces}")
        check(ev[-1]["choices"] == [] and ev[-1]["usage"]["completion_tokens"] == 26, f"{path}: usage")
        check(ev[-2]["choices"][0]["finish_reason"] == "stop", f"{path}: finish")
        if path == CHAT:
            check(ev[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}, "role first")
            thought = "".join(c["delta"].get("reasoning_content", "") for e in ev for c in e["choices"])
            check(thought == "I think.", "reasoning in pieces")
    status, _, b = call(url, TEXT, {"prompt": ["a", "b"], "stream": True, "max_tokens": 99}, AUTH)
    for i in range(2):
        text = "".join(c["text"] for e in events(b)[:-1] for c in json.loads(e)["choices"] if c["index"] == i)
        check(text == "The answer is (B).", f"prompt {i} of a stream: {text!r}")


def refusals():
    rows = [(TEXT, {"prompt": "a", "n": 2}, 400, "n"), (TEXT, {}, 400, "prompt"), (TEXT, [], 400, None),
            (TEXT, b"{", 400, None), (TEXT, b"", 400, None), (CHAT, {"messages": []}, 400, "messages"),
            (TEXT, {"prompt": "a", "model": 1}, 400, "model"),
            ("/detokenize", {"tokens": [1, "a"]}, 400, "tokens"), ("/detokenize", {}, 400, "tokens"),
            (CHAT, {"messages": [{"role": "user", "content": [IMAGE]}]}, 400, "messages"),
            (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, SOUND]}]}, 400, "messages"), ("/nowhere", {}, 404, None),
            ("/v1/models", {}, 405, None), (TEXT, b"\xff\xfe", 400, None)]
    for path, body, want, param in rows:
        status, r, _ = post(path, body)
        check(status == want and r["error"]["param"] == param and r["error"]["message"],
              f"{path} {body}: {status} {r}")
    _, r, _ = post(CHAT, {"messages": [{"role": "user", "content": [IMAGE]}]})
    check("no images" in r["error"]["message"], f"an image: {r}")
    check(call(url, TEXT, None, AUTH)[0] == 405, "GET of a POST route")
    for bad in ("", "Authorization: Bearer wrong\r\n", f"Authorization: Bearer {key}x\r\n",
                f"Authorization: Basic {key}\r\n"):
        status, r, h = post(TEXT, {"prompt": "a"}, bad)
        check(status == 401 and "www-authenticate" in h, f"{bad!r}: {status}")
    check(call(url, "/health")[0] == 200, "health is open")
    check(post(TEXT, {"prompt": "a"}, f"X-Api-Key: {key}\r\n")[0] == 200, "the other header")


def hostile():
    """Each of these must leave the server well and others unharmed."""
    def ok(what):
        check(post(TEXT, {"prompt": "a", "max_tokens": 2})[0] == 200, f"a good request after: {what}")
    sent = [("not HTTP", b"\x16\x03\x01\x00\xff\r\n\r\n", 400), ("a head without end", b"GET / HTTP/1.1\r\nA: " + b"x" * 40000, 431),
            ("too many headers", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100 + b"\r\n", 431),
            ("a body too large", b"POST /v1/completions HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
            ("chunks too large", b"POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", 413),
            ("two lengths", b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400)]
    for what, data, want in sent:
        s = connect(url)
        s.sendall(data)
        status, _, body = read_reply(s)
        check(status == want and json.loads(body)["error"]["message"], f"{what}: {status} {body}")
        check(s.recv(10) == b"", f"{what}: closed")
        s.close()
        ok(what)
    s = connect(url)
    s.sendall(b"POST /v1/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
    s.close()
    ok("a cut body")
    s = connect(url)
    s.sendall(request(TEXT, {"prompt": "a"}, AUTH)[:-5])
    reset(s)
    ok("a reset")
    deep = b"[" * 100000
    check(post(TEXT, deep)[0] == 400, "deep JSON")
    s = connect(url)  # a byte now and then: told off in time, though never silent
    t = time.monotonic()
    s.settimeout(0.2)
    got = b""
    for b in b"POST /v1/completions HTTP/1.1\r\nContent-Length: 1000000\r\n" + b"A: b\r\n" * 40:
        try:
            s.sendall(bytes([b]))
            got = s.recv(10000)
            break
        except (TimeoutError, OSError):
            pass
        if time.monotonic() - t > 8:
            break
    check(got.startswith(b"HTTP/1.1 408") and time.monotonic() - t < 5, f"slow-loris: {got[:30]!r}")
    s.close()
    s = connect(url)
    s.sendall(request(CHAT, {"messages": HI}, AUTH + "Expect: 100-continue\r\n")[:-10])
    s.sendall(request(CHAT, {"messages": HI}, AUTH + "Expect: 100-continue\r\n")[-10:])
    check(read_reply(s)[0] in (100, 200), "Expect")
    s.close()


def cancel():
    before = metric("assay_cancelled_total")
    for path, body in ((CHAT, {"messages": HI, "stream": True}), (TEXT, {"prompt": "x"})):
        body["model"] = "toy"
        s = connect(url)
        s.sendall(request(path, body, AUTH))
        if body.get("stream"):
            got = b""
            while b"think" not in got:
                got += s.recv(1000)
        else:
            wait_for(lambda: metric("assay_requests_running") >= 1, "it runs")
        s.close()
    wait_for(lambda: metric("assay_cancelled_total") == before + 2, "two are cancelled")
    wait_for(lambda: metric("assay_requests_running") == 0, "their places are free")


def eight():
    took = []
    def one():
        t = time.monotonic()
        check(post(CHAT, {"messages": HI})[0] == 200, "one of eight")
        took.append(time.monotonic() - t)
    t = time.monotonic()
    threads = [threading.Thread(target=one) for _ in range(8)]
    [x.start() for x in threads]
    [x.join() for x in threads]
    check(len(took) == 8 and time.monotonic() - t < 4 * max(min(took), 0.15), f"eight at once: {took}")


def pileup():
    """More than batch and queue hold: the rest is refused at once, and may come again."""
    socks = [connect(url) for _ in range(24)]
    for s in socks:
        s.sendall(request(CHAT, {"messages": HI}, AUTH))
    replies = [read_reply(s) for s in socks]
    codes = [r[0] for r in replies]
    check(codes.count(200) >= 12 and codes.count(503) >= 1 and set(codes) == {200, 503}, f"queue: {codes}")
    check(all("retry-after" in r[1] for r in replies if r[0] == 503), "Retry-After")
    for s in socks:
        s.close()


for part in (forms, streams, refusals, hostile, cancel, eight, pileup):
    try:
        part()
    except Exception as e:
        check(False, f"{part.__name__}: {type(e).__name__}: {e}")
finish()
