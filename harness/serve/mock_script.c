/* mock_script.c — reads a script, checks every name in it, and finds the rule for a request. */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "serve/mock_impl.h"

enum { SCRIPT_MAX_BYTES = 64 << 20, MAX_RULES = 1000 };

const char mk_format[] =
    "The script is one JSON object; every key may be left out:\n"
    "  \"model\": \"mock\"  \"seed\": 1  \"n_ctx\": 4096  \"slots\": 4   what it says of itself\n"
    "  \"server\": \"openai|ollama|gemini|llamacpp|vllm|lmstudio\"   only that one's routes\n"
    "  \"key\": \"SECRET\"   401 without it   \"keep_requests\": 64   bodies at /_mock/requests\n"
    "  \"accept_pause_ms\": 50  \"close_after_replies\": 3  \"idle_ms\": 5000   connections\n"
    "  \"default\": RULE   for what no rule meets   \"rules\": [RULE, …]   the first that meets\n"
    "RULE: which requests (all conditions must hold)\n"
    "  \"method\": \"POST\"  \"path\": \"/v1/*\"  \"match\": \"regex on the body\"\n"
    "  \"at\": \"/messages/0/content\" with \"equals\": VALUE or \"like\": \"regex\"\n"
    "  \"nth\": 2 | [2, 5] | {\"every\": 3}   of the calls that meet the rest   \"share\": 0.1\n"
    "RULE: what they get: a reply in the form of the route …\n"
    "  \"reply\": {\"text\": \"a b\" | \"tokens\": [\"a\", \" b\"], \"repeat\": 100, "
    "\"reasoning\": \"…\",\n"
    "            \"reasoning_field\": \"reasoning_content\", \"finish\": \"stop\", \"logprobs\": "
    "true,\n"
    "            \"usage\": {\"prompt\", \"completion\", \"reasoning\", \"cached\"} | false, "
    "\"blocked\": \"SAFETY\",\n"
    "            \"status\": 429, \"error\": \"slow down\", \"headers\": {\"Retry-After\": "
    "\"1\"}}\n"
    "… or any bytes\n"
    "  \"raw\": {\"status\": 200, \"type\": \"text/html\", \"headers\": {}, \"body\": \"…\" | "
    "\"hex\": \"ff00\" |\n"
    "          \"json\": VALUE | \"file\": \"beside the script\", \"framing\": "
    "\"length|chunked|close|none\"}\n"
    "RULE: how\n"
    "  \"times\": {\"head_ms\", \"first_ms\", \"token_ms\", \"jitter_ms\"}   pauses\n"
    "  \"chunk\": 1 | 7 | \"whole\"   bytes a write, with \"chunk_ms\" between\n"
    "  \"fault\": {\"cut_after\" | \"reset_after\" | \"stall_after\": BYTES of the reply | "
    "\"head\" | \"half\",\n"
    "            \"stall_ms\", \"ping_ms\", \"bad_utf8\", \"bad_json\", \"no_done\", "
    "\"no_last_line\",\n"
    "            \"no_finish\", \"two_finish\", \"endless\", \"long_line\": BYTES, \"close\"}\n"
    "GET /_mock/stats: counters and the times (monotonic ns) of what was really sent; "
    "/_mock/requests;\n"
    "POST /_mock/reset. Prompts are scored by the toy model of harness/base/toymodel.h.\n";

double mk_number(const as_json *object, const char *key, double otherwise)
{
    double v = otherwise;
    return as_json_f64(as_json_get(object, key), &v) ? v : otherwise;
}

as_str mk_text(const as_json *object, const char *key, const char *otherwise)
{
    as_str s;
    return as_json_str(as_json_get(object, key), &s) ? s : as_str_of(otherwise);
}

bool mk_flag(const as_json *object, const char *key, bool otherwise)
{
    bool v = otherwise;
    return as_json_bool(as_json_get(object, key), &v) ? v : otherwise;
}

/* ---- JSON pointers ----------------------------------------------------------------------------- */

static bool unescape(as_str part, char *out, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < part.n; i++) {
        if (n + 1 >= room)
            return false;
        char c = part.p[i];
        if (c == '~' && i + 1 < part.n && (part.p[i + 1] == '0' || part.p[i + 1] == '1'))
            c = part.p[++i] == '0' ? '~' : '/';
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

/* The value a JSON pointer (RFC 6901) leads to, or NULL. */
static const as_json *mk_pointer(const as_json *tree, as_str pointer)
{
    const as_json *at = tree;
    while (at != NULL && pointer.n != 0) {
        if (pointer.p[0] != '/')
            return NULL;
        as_str part, rest;
        (void)as_str_cut(as_str_sub(pointer, 1, pointer.n), '/', &part, &rest);
        pointer = as_str_sub(pointer, 1 + part.n, pointer.n);
        char key[256];
        int64_t i = 0;
        if (!unescape(part, key, sizeof key))
            return NULL;
        if (as_json_type(at) == AS_JSON_OBJECT) {
            at = as_json_get(at, key);
        } else if (as_json_type(at) == AS_JSON_ARRAY) {
            const int64_t n = (int64_t)as_json_count(at);
            if (strcmp(key, "-") == 0) /* the last one, which RFC 6901 leaves to applications */
                i = n - 1;
            else if (!as_parse_i64(part, 0, n - 1, &i))
                return NULL;
            at = as_json_first(at);
            while (i-- > 0 && at != NULL)
                at = as_json_next(at);
        } else {
            return NULL;
        }
    }
    return at;
}

static bool same_value(const as_json *a, const as_json *b)
{
    as_buf x, y;
    as_buf_init(&x, 0);
    as_buf_init(&y, 0);
    as_jw w;
    as_jw_init(&w, &x);
    as_jw_node(&w, a);
    as_jw_init(&w, &y);
    as_jw_node(&w, b);
    const bool is_same = as_str_eq(as_buf_str(&x), as_buf_str(&y));
    as_buf_release(&x);
    as_buf_release(&y);
    return is_same;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static as_code check_keys(const as_json *object, const char *where, const char *const *known,
                          as_err *err)
{
    if (as_json_type(object) != AS_JSON_OBJECT)
        return as_fail(err, AS_PARSE, "%s: want an object, found %s", where,
                       as_json_kind_name(as_json_type(object)));
    for (const as_json *m = as_json_first(object); m != NULL; m = as_json_next(m)) {
        bool is_known = false;
        for (const char *const *k = known; *k != NULL && !is_known; k++)
            is_known = as_str_eq_z(as_json_key(m), *k);
        if (!is_known)
            return as_fail(err, AS_PARSE,
                           "%s: unknown key \"%.*s\"; `assay mock --help` lists them", where,
                           AS_ARG(as_json_key(m)));
    }
    return AS_OK;
}

static as_code read_place(const as_json *fault, const char *key, int64_t *out, as_err *err)
{
    const as_json *node = as_json_get(fault, key);
    as_str word;
    *out = MK_NONE;
    if (node == NULL)
        return AS_OK;
    if (as_json_str(node, &word) && as_str_eq_z(word, "head"))
        *out = MK_HEAD;
    else if (as_json_str(node, &word) && as_str_eq_z(word, "half"))
        *out = MK_HALF;
    else if (!as_json_i64(node, out) || *out < 0)
        return as_fail(err, AS_PARSE, "\"%s\": want a number of bytes, \"head\" or \"half\"", key);
    return AS_OK;
}

static as_code read_fault(const as_json *node, mk_fault *f, as_err *err)
{
    static const char *const known[] = {"cut_after", "reset_after",  "stall_after", "stall_ms",
                                        "ping_ms",   "long_line",    "bad_utf8",    "bad_json",
                                        "no_done",   "no_finish",    "two_finish",  "endless",
                                        "close",     "no_last_line", NULL};
    *f = (mk_fault){.cut_after = MK_NONE, .reset_after = MK_NONE, .stall_after = MK_NONE};
    if (node == NULL)
        return AS_OK;
    AS_TRY(check_keys(node, "\"fault\"", known, err));
    AS_TRY(read_place(node, "cut_after", &f->cut_after, err));
    AS_TRY(read_place(node, "reset_after", &f->reset_after, err));
    AS_TRY(read_place(node, "stall_after", &f->stall_after, err));
    f->stall_ms = mk_number(node, "stall_ms", 0);
    f->ping_ms = mk_number(node, "ping_ms", 0);
    f->long_line = (int64_t)mk_number(node, "long_line", 0);
    if (f->long_line < 0 || f->long_line > 64 << 20)
        return as_fail(err, AS_RANGE, "\"long_line\": want 0 … 67108864 bytes");
    f->bad_utf8 = mk_flag(node, "bad_utf8", false);
    f->bad_json = mk_flag(node, "bad_json", false);
    f->no_done = mk_flag(node, "no_done", false);
    f->no_last_line = mk_flag(node, "no_last_line", false);
    f->no_finish = mk_flag(node, "no_finish", false);
    f->two_finish = mk_flag(node, "two_finish", false);
    f->endless = mk_flag(node, "endless", false);
    f->close = mk_flag(node, "close", false);
    return AS_OK;
}

static as_code read_nth(const as_json *nth, mk_rule *r, as_err *err)
{
    if (nth == NULL)
        return AS_OK;
    int64_t n = 0;
    bool ok = false;
    if (as_json_i64(nth, &n)) {
        r->nth_from = r->nth_to = n;
        ok = n >= 1;
    } else if (as_json_type(nth) == AS_JSON_ARRAY && as_json_count(nth) == 2) {
        const as_json *first = as_json_first(nth);
        ok = as_json_i64(first, &r->nth_from) && as_json_i64(as_json_next(first), &r->nth_to) &&
             r->nth_from >= 1 && r->nth_to >= r->nth_from;
    } else if (as_json_i64(as_json_get(nth, "every"), &r->nth_every)) {
        ok = r->nth_every >= 1;
    }
    return ok ? AS_OK
              : as_fail(err, AS_PARSE, "\"nth\": want 2, [from, to] or {\"every\": 3}, from 1 on");
}

static as_code read_regex(const as_json *rule, const char *key, as_regex **out, as_err *err)
{
    const as_str pattern = mk_text(rule, key, NULL);
    if (!as_str_is_set(pattern))
        return AS_OK;
    const as_code c = as_regex_new(out, pattern.p, AS_RE_DOTALL | AS_RE_BYTES, err);
    return c == AS_OK ? c : as_wrap(err, "\"%s\"", key);
}

static as_code read_chunk(const as_json *rule, mk_rule *r, as_err *err)
{
    const as_json *chunk = as_json_get(rule, "chunk");
    as_str word;
    if (chunk == NULL || (as_json_str(chunk, &word) && as_str_eq_z(word, "whole")))
        return AS_OK;
    if (!as_json_i64(chunk, &r->piece_bytes) || r->piece_bytes < 1)
        return as_fail(err, AS_PARSE, "\"chunk\": want a number of bytes from 1 on, or \"whole\"");
    r->piece_ms = mk_number(rule, "chunk_ms", 0);
    return AS_OK;
}

static as_code read_rule(const as_json *node, mk_rule *r, as_err *err)
{
    static const char *const known[] = {"method",   "path",  "match", "at",  "equals", "like",
                                        "nth",      "share", "reply", "raw", "times",  "chunk",
                                        "chunk_ms", "fault", "why",   NULL};
    static const char *const reply_keys[] = {
        "text",  "tokens", "repeat", "reasoning", "reasoning_field", "finish", "logprobs",
        "usage", "status", "error",  "headers",   "blocked",         "model",  NULL};
    static const char *const raw_keys[] = {"status", "type", "headers", "body", "hex",
                                           "json",   "file", "framing", NULL};
    static const char *const time_keys[] = {"head_ms", "first_ms", "token_ms", "jitter_ms", NULL};
    *r = (mk_rule){.share = 1};
    AS_TRY(check_keys(node, "rule", known, err));
    r->method = mk_text(node, "method", "");
    r->path = mk_text(node, "path", "");
    r->at = mk_text(node, "at", NULL);
    r->equals = as_json_get(node, "equals");
    r->share = mk_number(node, "share", 1);
    AS_TRY(read_regex(node, "match", &r->match, err));
    AS_TRY(read_regex(node, "like", &r->like, err));
    AS_TRY(read_nth(as_json_get(node, "nth"), r, err));
    r->reply = as_json_get(node, "reply");
    r->raw = as_json_get(node, "raw");
    if (r->reply != NULL && r->raw != NULL)
        return as_fail(err, AS_PARSE, "give \"reply\" or \"raw\", not both");
    if (r->reply != NULL)
        AS_TRY(check_keys(r->reply, "\"reply\"", reply_keys, err));
    if (r->raw != NULL)
        AS_TRY(check_keys(r->raw, "\"raw\"", raw_keys, err));
    const as_json *times = as_json_get(node, "times");
    if (times != NULL)
        AS_TRY(check_keys(times, "\"times\"", time_keys, err));
    r->times = (mk_times){mk_number(times, "head_ms", 0), mk_number(times, "first_ms", 0),
                          mk_number(times, "token_ms", 0), mk_number(times, "jitter_ms", 0)};
    AS_TRY(read_chunk(node, r, err));
    return read_fault(as_json_get(node, "fault"), &r->fault, err);
}

static as_code read_server(mk_script *s, as_err *err)
{
    static const char *const names[] = {"openai",   "ollama", "gemini",
                                        "llamacpp", "vllm",   "lmstudio"};
    s->servers = MK_ALL;
    if (s->server.n == 0)
        return AS_OK;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (as_str_eq_z(s->server, names[i])) {
            s->servers = 1U << i;
            return AS_OK;
        }
    return as_fail(
        err, AS_RANGE,
        "\"server\": \"%.*s\" is none of openai, ollama, gemini, llamacpp, vllm, lmstudio",
        AS_ARG(s->server));
}

static as_code read_script(mk_script *s, as_err *err)
{
    static const char *const known[] = {"model",
                                        "seed",
                                        "n_ctx",
                                        "slots",
                                        "server",
                                        "key",
                                        "keep_requests",
                                        "default",
                                        "rules",
                                        "accept_pause_ms",
                                        "close_after_replies",
                                        "idle_ms",
                                        "why",
                                        NULL};
    AS_TRY(check_keys(s->tree, "script", known, err));
    s->model = mk_text(s->tree, "model", "mock");
    s->server = mk_text(s->tree, "server", "");
    s->key = mk_text(s->tree, "key", "");
    s->seed = (uint64_t)mk_number(s->tree, "seed", 0);
    s->n_ctx = (int64_t)mk_number(s->tree, "n_ctx", 4096);
    s->slots = (int64_t)mk_number(s->tree, "slots", 4);
    s->close_after_replies = (int64_t)mk_number(s->tree, "close_after_replies", 0);
    s->idle_ms = (int64_t)mk_number(s->tree, "idle_ms", 60000);
    s->keep_requests = (int64_t)mk_number(s->tree, "keep_requests", 64);
    s->accept_pause_ms = mk_number(s->tree, "accept_pause_ms", 0);
    if (s->keep_requests < 0 || s->keep_requests > 65536)
        return as_fail(err, AS_RANGE, "\"keep_requests\": want 0 … 65536");
    AS_TRY(read_server(s, err));
    const as_json *otherwise = as_json_get(s->tree, "default");
    if (otherwise != NULL && read_rule(otherwise, &s->otherwise, err) != AS_OK)
        return as_wrap(err, "\"default\"");
    if (otherwise == NULL)
        (void)read_fault(NULL, &s->otherwise.fault, err);
    const as_json *rules = as_json_get(s->tree, "rules");
    if (rules != NULL && as_json_type(rules) != AS_JSON_ARRAY)
        return as_fail(err, AS_PARSE, "\"rules\": want an array");
    const size_t n = as_json_count(rules);
    if (n > MAX_RULES)
        return as_fail(err, AS_RANGE, "\"rules\": %zu of them, at most %d", n, MAX_RULES);
    s->rules = as_new(&s->keep, mk_rule, n);
    if (s->rules == NULL)
        return as_nomem(err);
    for (const as_json *r = as_json_first(rules); r != NULL; r = as_json_next(r), s->n_rules++)
        if (read_rule(r, &s->rules[s->n_rules], err) != AS_OK) {
            const int at = s->n_rules++; /* its patterns are released with the script */
            return as_wrap(err, "rule %d", at + 1);
        }
    return AS_OK;
}

as_code mk_script_load(mk_script *s, const char *path, as_err *err)
{
    *s = (mk_script){0};
    as_arena_init(&s->keep, 0);
    as_buf_init(&s->text, SCRIPT_MAX_BYTES);
    const char *slash = strrchr(path, '/');
    s->dir = as_arena_str(&s->keep,
                          slash != NULL ? (as_str){path, (size_t)(slash - path)} : AS_STR("."));
    as_code c = as_read_file(&s->text, path, err);
    if (c == AS_OK) {
        c = as_json_parse(&s->tree, as_buf_str(&s->text), err);
        if (c == AS_OK)
            c = read_script(s, err);
        if (c != AS_OK)
            (void)as_wrap(err, "%s", path);
    }
    if (c != AS_OK)
        mk_script_release(s);
    return c;
}

void mk_script_release(mk_script *s)
{
    for (int i = 0; i < s->n_rules; i++) {
        as_regex_free(s->rules[i].match);
        as_regex_free(s->rules[i].like);
    }
    as_regex_free(s->otherwise.match);
    as_regex_free(s->otherwise.like);
    as_json_free(s->tree);
    as_buf_release(&s->text);
    as_arena_release(&s->keep);
    *s = (mk_script){0};
}

/* ---- finding ----------------------------------------------------------------------------------- */

static bool fits_path(as_str pattern, as_str path)
{
    if (pattern.n == 0)
        return true;
    if (as_str_ends(pattern, AS_STR("*")))
        return as_str_starts(path, as_str_sub(pattern, 0, pattern.n - 1));
    return as_str_eq(pattern, path);
}

static bool fits_regex(as_regex *re, as_str text)
{
    as_match m;
    bool found = false;
    return re == NULL || (as_regex_find(re, text, 0, &m, &found, NULL) == AS_OK && found);
}

static bool fits_value(const mk_rule *r, const as_json *tree)
{
    if (!as_str_is_set(r->at))
        return true;
    const as_json *value = mk_pointer(tree, r->at);
    if (value == NULL)
        return false;
    if (r->equals != NULL && !same_value(value, r->equals))
        return false;
    if (r->like == NULL)
        return true;
    as_str text;
    if (as_json_str(value, &text))
        return fits_regex(r->like, text);
    as_buf out;
    as_buf_init(&out, 0);
    as_jw w;
    as_jw_init(&w, &out);
    as_jw_node(&w, value);
    const bool fits = fits_regex(r->like, as_buf_str(&out));
    as_buf_release(&out);
    return fits;
}

static bool fits_count(const mk_rule *r)
{
    if (r->nth_every != 0)
        return r->n_met % r->nth_every == 0;
    return r->nth_from == 0 || (r->n_met >= r->nth_from && r->n_met <= r->nth_to);
}

mk_rule *mk_script_find(mk_script *s, const sv_head *head, as_str body, const as_json *tree)
{
    for (int i = 0; i < s->n_rules; i++) {
        mk_rule *r = &s->rules[i];
        if ((r->method.n != 0 && !as_str_eq(r->method, head->method)) ||
            !fits_path(r->path, head->path) || !fits_regex(r->match, body) || !fits_value(r, tree))
            continue;
        r->n_met++;
        if (!fits_count(r))
            continue;
        if (r->share < 1) { /* by seed, rule and call: the same calls every time */
            as_rng rng;
            as_rng_init(&rng, s->seed ^ (uint64_t)r->n_met, (as_str){(const char *)&i, sizeof i});
            if (as_rng_f64(&rng) >= r->share)
                continue;
        }
        r->n_played++;
        return r;
    }
    s->otherwise.n_met++;
    s->otherwise.n_played++;
    return &s->otherwise;
}
