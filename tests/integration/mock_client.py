"""mock_client.py GROUP URL - are the mock's faults really on the wire?"""
import json, sys, time
from http_raw import *

group, url = sys.argv[1:3]
CHAT = "/v1/chat/completions"


def ask(model, stream=True, timeout=10, path=CHAT, headers="Connection: close\r\n", **more):
    s = connect(url, timeout)
    s.sendall(request(path, {"model": model, "stream": stream, "messages": [], **more}, headers))
    got, how = read_all(s)
    s.close()
    return got, how


def unchunk(got):
    head, _, rest = got.partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        n = int(size, 16)
        body += rest[:n]
        rest = rest[n + 2:]
        if n == 0:
            break
    return body


def g01():
    whole = unchunk(ask("whole")[0])
    text = "".join(json.loads(e)["choices"][0]["delta"].get("content", "")
                   for e in events(whole) if e != "[DONE]")
    check(text == "The answer is (B).", f"streamed text {text!r}")
    check(whole.endswith(b"data: [DONE]\n\n"), "the stream ends with [DONE]")
    for model in ("byte", "seven"):  # the same bytes but for the id and the name
        got = unchunk(ask(model)[0])
        check(got.count(b"data: ") == whole.count(b"data: "), f"{model}: other events")
    s = connect(url)
    s.sendall(request(CHAT, {"model": "byte", "stream": True}))
    check(len(s.recv(65536)) < 200, "chunk 1: the first read is small")
    s.close()
    check(unchunk(ask("no_last_line")[0]).endswith(b"data: [DONE]"), "no_last_line")
    check(b"[DONE]" not in ask("no_done")[0], "no_done")
    check(b"\r\n\r\ndata:" in unchunk(ask("crlf")[0]), "crlf")
    got = unchunk(ask("long_line")[0])
    check(max(len(l) for l in got.split(b"\n")) > 8388608, "long_line")
    check(b"\xff\xfe" in ask("bad_utf8")[0], "bad_utf8 in a stream")
    check(b"\xff\xfe" in ask("bad_utf8", stream=False)[0], "bad_utf8 in a whole reply")
    for stream in (True, False):
        body = ask("bad_json", stream=stream)[0]
        parts = events(unchunk(body)) if stream else [body.partition(b"\r\n\r\n")[2]]
        bad = 0
        for e in parts:
            try:
                json.loads(e) if e != "[DONE]" else 0
            except ValueError:
                bad += 1
        check(bad == 1, f"bad_json, stream {stream}: {bad} bad")


def g02():
    finishes = [e for e in events(unchunk(ask("two_finish")[0])) if '"finish_reason":"stop"' in e]
    check(len(finishes) == 2, f"two_finish: {len(finishes)}")
    check(b'"finish_reason":"stop"' not in ask("no_finish")[0], "no_finish")
    check(b'"usage"' not in ask("no_usage", stream=False)[0], "no_usage")
    check(b'"cached_tokens":12' in ask("cached", stream=False)[0], "cached")


def g05():
    for model in ("retry_after", "retry_after_ms", "retry_delay", "both", "reset_header"):
        codes = [call(url, CHAT, {"model": model})[0] for _ in range(2)]
        check(codes == [429, 200], f"{model}: {codes}")
    check([call(url, CHAT, {"model": "per_day"})[0] for _ in range(2)] == [429, 429], "per_day")
    check([call(url, CHAT, {"model": "overload"})[0] for _ in range(3)] == [503, 503, 200], "nth range")
    runs = []
    for _ in range(2):
        runs.append([call(url, CHAT, {"model": "share"})[0] for _ in range(60)])
        get_json(url, "/_mock/reset", {})
    check(runs[0] == runs[1], "share: the same calls fail in both runs")
    check(8 <= runs[0].count(503) <= 28, f"share 0.3 of 60: {runs[0].count(503)}")


def g06():
    check(ask("reset_first") == (b"", "reset"), "reset_first")
    check(ask("cut_first") == (b"", "close"), "cut_first")
    got, how = ask("reset_head")
    check(how == "reset" and got.endswith(b"\r\n\r\n"), f"reset_head: {how}, {got[-30:]!r}")
    whole = ask("whole")[0]
    for model, want in (("reset_half", "reset"), ("cut_half", "close")):
        got, how = ask(model)
        check(how == want and b"data: " in got and b"[DONE]" not in got, f"{model}: {how}")
        check(len(got) < len(whole), f"{model}: {len(got)} of {len(whole)} bytes")
    check(ask("stall_head", timeout=0.5) == (b"", "timeout"), "stall_head")
    got, how = ask("stall_first", timeout=0.5)
    check(how == "timeout" and got.endswith(b"\r\n\r\n"), "stall_first")
    s = connect(url, 0.5)
    s.sendall(request(CHAT, {"model": "stall_pings", "stream": True}))
    seen = b""
    while seen.count(b": ping") < 3:
        seen += s.recv(4096)
    check(b"[DONE]" not in seen, "stall_pings: pings and no end")
    s.close()
    t = time.monotonic()
    got, how = ask("stall_short")
    took = time.monotonic() - t
    check(b"[DONE]" in got and 0.58 < took < 3, f"stall_short: {took:.3f} s")
    check(4 <= got.count(b": ping") <= 6, f"stall_short: {got.count(b': ping')} pings")
    t = time.monotonic()
    ask("slow")
    took = time.monotonic() - t
    check(took >= 0.05 + 0.1 + 3 * 0.02, f"slow: {took:.3f} s")
    check([ask("reset_once")[1] for _ in range(2)] == ["reset", "close"], "reset_once")
    check(ask("no_http")[0].startswith(b"this is not"), "no_http")
    check(ask("short_body")[0].endswith(b"\r\n\r\nshort"), "short_body")
    got, how = ask("until_close")
    check(b"Content-Length" not in got and b"chunked" not in got and how == "close", "until_close")


def g07():
    before = get_json(url, "/_mock/stats")["cancelled"]
    for model in ("endless", "flood", "slow_head", "slow_first"):
        s = connect(url)
        s.sendall(request(CHAT, {"model": model, "stream": True}))
        if model in ("endless", "flood"):
            check(len(s.recv(1000)) > 0, f"{model} speaks")
        time.sleep(0.1)
        s.close()
    wait_for(lambda: get_json(url, "/_mock/stats")["cancelled"] == before + 4, "four are cancelled")
    check(get_json(url, "/_mock/stats")["busy"] == 0, "none is busy any more")


def g11():
    s = connect(url)
    for i in range(3):
        s.sendall(request(CHAT, {"model": "m"}))
        status, headers, _ = read_reply(s)
        check(status == 200 and (headers.get("connection") == "close") == (i == 2), f"reply {i}")
    check(s.recv(10) == b"", "closed after three replies")
    s = connect(url)
    t = time.monotonic()
    check(s.recv(10) == b"" and 0.25 < time.monotonic() - t < 3, "closed when idle")
    big = {"model": "m", "messages": [{"role": "user", "content": "x" * (5 << 20)}]}
    check(call(url, CHAT, big)[0] == 200, "a body of 5 MiB")
    s = connect(url)  # two at once on one connection: answered in order
    s.sendall(request(CHAT, {"model": "a"}) + request(CHAT, {"model": "b"}))
    f = b""
    while f.count(b"chat.completion") < 2:
        f += s.recv(65536)
    check(f.index(b'"model":"a"') < f.index(b'"model":"b"'), "sent ahead")


def g12():
    socks = [connect(url) for _ in range(8)]
    for i, s in enumerate(socks):
        s.sendall(request(CHAT, {"model": "m", "stream": True}, f"X-Request-Id: r{i}\r\n"))
    firsts = {}
    for i, s in enumerate(socks):
        while b"content\":\"The" not in firsts.get(i, (b"", 0))[0]:
            firsts[i] = (firsts.get(i, (b"", 0))[0] + s.recv(4096), time.monotonic_ns())
    for s in socks:
        s.close()
    stats = get_json(url, "/_mock/stats")
    check(stats["max_at_once"] == 8, f"max_at_once {stats['max_at_once']}")
    for r in stats["times"]:
        ms = (r["first_token_ns"] - r["received_ns"]) / 1e6
        check(49 < ms < 500, f"first token sent after {ms:.1f} ms, scripted 50")
        late = firsts[int(r["request_id"][1:])][1] - r["first_token_ns"]
        check(late > 0, "nobody hears a token before it was sent")
    kept = get_json(url, "/_mock/requests")
    check(len(kept) == 8 and json.loads(kept[0]["body"])["model"] == "m", "kept requests")
    get_json(url, "/_mock/reset", {})
    check(get_json(url, "/_mock/stats")["requests"] == 0, "reset")


def toy(prev, i):
    return -1 / 32 if i == (prev + 1) % 256 else -(1 + (31 * prev + 17 * i) % 97) / 16


def g13():
    body = {"prompt": [256, 97], "n_predict": 3, "n_probs": 1, "return_tokens": True,
            "grammar": "root ::= <[98]> <[7]> <[300]>"}
    r = get_json(url, "/completion", body)
    check(r["tokens"] == [98, 7, 300] and r["stop_type"] == "limit", f"forced: {r['tokens']}")
    got = [p["logprob"] for p in r["completion_probabilities"]]
    check(got == [toy(97, 98), toy(98, 7), toy(7, 300)], f"forced log-probs {got}")
    check([p["top_logprobs"][0]["id"] == p["id"] for p in r["completion_probabilities"]] ==
          [True, False, False], "the arg-max is told")
    t = get_json(url, "/tokenize", {"content": "a\u00e4", "add_special": True, "with_pieces": True})
    check([x["id"] for x in t["tokens"]] == [256, 97, 0xc3, 0xa4], "tokenize")
    check(t["tokens"][2]["piece"] == [0xc3], "a piece that is no text is bytes")
    check(get_json(url, "/detokenize", {"tokens": [104, 105]})["content"] == "hi", "detokenize")
    check(get_json(url, "/props")["total_slots"] == 4, "props")
    check(call(url, "/api/tags")[0] == 404, "only the scripted server's routes")


def g10():
    key = "Authorization: Bearer mock-key-1\r\n"
    check(call(url, "/v1/models")[0] == 401, "401 without the key")
    r = get_json(url, "/v1/completions", {"model": "m", "prompt": [256, 97, 98], "prompt_logprobs": 1,
                                          "max_tokens": 1, "return_token_ids": True}, key)
    c = r["choices"][0]
    check(c["prompt_logprobs"][0] is None and c["prompt_token_ids"] == [256, 97, 98], "ids, null first")
    check(c["prompt_logprobs"][1]["97"]["logprob"] == toy(256, 97), "by id as a string")
    check(c["prompt_logprobs"][2]["98"]["rank"] == 1, "rank")
    r = get_json(url, "/v1/completions", {"model": "m", "prompt": "ab", "echo": True, "logprobs": 1,
                                          "max_tokens": 0}, key)
    lp = r["choices"][0]["logprobs"]
    check(lp["token_logprobs"] == [None, toy(256, 97), toy(97, 98)], f"echo: {lp}")


{"01": g01, "02": g02, "05": g05, "06": g06, "07": g07, "10": g10, "11": g11, "12": g12, "13": g13}[group]()
finish()
