/*
 * wire.c — the line protocol (README.md of this folder), both directions.
 *
 * What comes from the child is read as any outside bytes: kinds and ranges are checked, and what
 * does not fit fails the job that it was said of.
 */
#include <math.h>
#include <string.h>

#include "backend/bridge/bridge_impl.h"

/* ---- to the child ------------------------------------------------------------------------------ */

static as_code send_line(bridge_backend *be, as_buf *b, as_err *err)
{
    as_code c = as_buf_ok(b, err);
    if (c == AS_OK)
        c = child_send(be->child, as_buf_str(b), err);
    as_buf_release(b);
    return c;
}

static int64_t begin(bridge_backend *be, as_jw *w, as_buf *b, const char *op)
{
    as_buf_init(b, CHILD_MAX_LINE);
    as_jw_init(w, b);
    as_jw_begin_object(w);
    as_jw_put_i64(w, "id", ++be->last_id);
    as_jw_put_z(w, "op", op);
    return be->last_id;
}

static void put_ids(as_jw *w, const char *key, const int32_t *a, int n_a, const int32_t *b, int n_b)
{
    as_jw_key(w, key);
    as_jw_begin_array(w);
    for (int i = 0; i < n_a; i++)
        as_jw_i64(w, a[i]);
    for (int i = 0; i < n_b; i++)
        as_jw_i64(w, b[i]);
    as_jw_end_array(w);
}

static void put_messages(as_jw *w, const as_request *rq)
{
    as_jw_key(w, "messages");
    as_jw_begin_array(w);
    for (int i = 0; i < rq->n_messages; i++) {
        as_jw_begin_object(w);
        as_jw_put_str(w, "role", rq->messages[i].role);
        as_jw_put_str(w, "content", rq->messages[i].text);
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
    if (rq->think == AS_THINK_AUTO)
        return;
    as_jw_put_bool(w, "thinking", rq->think == AS_THINK_ON);
}

static void put_text(as_jw *w, const as_request *rq)
{
    as_buf whole;
    as_buf_init(&whole, CHILD_MAX_LINE);
    (void)as_buf_add(&whole, rq->prefix);
    (void)as_buf_add(&whole, rq->prompt);
    as_jw_put_str(w, "prompt", as_buf_str(&whole));
    w->out->is_full = w->out->is_full || whole.is_full;
    as_buf_release(&whole);
}

as_code wire_open(bridge_backend *be, as_err *err)
{
    as_buf b;
    as_jw w;
    be->open_id = begin(be, &w, &b, "open");
    const char *const pairs[][2] = {{"model", be->model},
                                    {"path", be->models_dir},
                                    {"dtype", be->dtype},
                                    {"device", be->device}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        as_jw_put_z(&w, pairs[i][0], pairs[i][1]);
    as_jw_end_object(&w);
    return send_line(be, &b, err);
}

static void put_generate(as_jw *w, const as_request *rq)
{
    if (rq->is_chat)
        put_messages(w, rq);
    else if (rq->n_ids > 0)
        put_ids(w, "tokens", rq->ids, rq->n_ids, NULL, 0);
    else
        put_text(w, rq);
    as_jw_put_i64(w, "max_tokens", rq->max_tokens);
    as_jw_put_i64(w, "temperature", 0);
    as_jw_key(w, "stop");
    as_jw_begin_array(w);
    for (int i = 0; i < rq->n_stop; i++)
        as_jw_str(w, rq->stop[i]);
    as_jw_end_array(w);
    as_jw_put_bool(w, "stream", !rq->whole || rq->on_delta != NULL);
    as_jw_put_i64(w, "logprobs", rq->top_logprobs);
}

static void put_score(as_jw *w, const as_request *rq)
{
    if (rq->n_ids > 0 || rq->n_continuation_ids > 0) {
        put_ids(w, "tokens", rq->ids, rq->n_ids, rq->continuation_ids, rq->n_continuation_ids);
        as_jw_put_i64(w, "from", rq->n_ids);
    } else {
        put_text(w, rq);
        as_jw_put_str(w, "continuation", rq->continuation);
    }
    as_jw_put_i64(w, "top", rq->top_logprobs > 0 ? rq->top_logprobs : 1);
}

as_code wire_job(bridge_backend *be, bridge_job *j, as_err *err)
{
    as_buf b;
    as_jw w;
    const bool is_score = j->rq->ask == AS_ASK_SCORE;
    j->id = begin(be, &w, &b, is_score ? "score" : "generate");
    if (is_score)
        put_score(&w, j->rq);
    else
        put_generate(&w, j->rq);
    as_jw_end_object(&w);
    return send_line(be, &b, err);
}

as_code wire_call(bridge_backend *be, const char *op, const as_request *rq, as_str text,
                  bool is_prompt, as_err *err)
{
    as_buf b;
    as_jw w;
    be->call_id = begin(be, &w, &b, op);
    if (rq != NULL) {
        put_messages(&w, rq);
    } else {
        as_jw_put_str(&w, "text", text);
        as_jw_put_bool(&w, "add_special", is_prompt);
    }
    as_jw_end_object(&w);
    return send_line(be, &b, err);
}

as_code wire_cancel(bridge_backend *be, int64_t id, as_err *err)
{
    as_buf b;
    as_jw w;
    as_buf_init(&b, 256);
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    as_jw_put_i64(&w, "id", id);
    as_jw_put_z(&w, "op", "cancel");
    as_jw_end_object(&w);
    return send_line(be, &b, err);
}

/* ---- from the child ---------------------------------------------------------------------------- */

static as_str str_at(const as_json *o, const char *key)
{
    as_str s = {0};
    return as_json_str(as_json_get(o, key), &s) ? s : (as_str){0};
}

static int64_t i64_at(const as_json *o, const char *key)
{
    int64_t n = -1;
    return as_json_i64(as_json_get(o, key), &n) && n >= 0 ? n : -1;
}

/* A log-probability; JSON has no infinity, so null is no probability at all. */
static bool logprob_of(const as_json *node, double *out)
{
    if (as_json_type(node) == AS_JSON_NULL) {
        *out = (double)-INFINITY;
        return true;
    }
    return as_json_f64(node, out) && *out <= 1e-3;
}

/* [[id, logprob, text], …], best first. */
static bool take_top(bridge_job *j, as_token_logprob *place, const as_json *list)
{
    const size_t n = as_json_count(list);
    as_token *top = n <= BRIDGE_MAX_TOP ? as_new(&j->keep, as_token, n + 1) : NULL;
    if (top == NULL)
        return false;
    size_t k = 0;
    for (const as_json *t = as_json_first(list); t != NULL; t = as_json_next(t), k++) {
        const as_json *id = as_json_first(t), *lp = as_json_next(id);
        as_str text = {0};
        if (!as_json_id(id, &top[k].id) || !logprob_of(lp, &top[k].logprob))
            return false;
        if (as_json_str(as_json_next(lp), &text))
            top[k].text = as_arena_str(&j->keep, text);
    }
    place->top = top;
    place->n_top = (int)n;
    return true;
}

static bool take_place(bridge_job *j, const as_json *id, const as_json *logprob,
                       const as_json *greedy, const as_json *top, const as_json *text)
{
    as_token_logprob *place = bridge_job_place(j);
    as_str s = {0};
    if (place == NULL)
        return true; /* has failed with a reason of its own */
    if (!as_json_id(id, &place->token.id) || !logprob_of(logprob, &place->token.logprob) ||
        !as_json_bool(greedy, &place->is_greedy))
        return false;
    if (as_json_str(text, &s))
        place->token.text = as_arena_str(&j->keep, s);
    return take_top(j, place, top);
}

static void take_token(bridge_job *j, const as_json *line)
{
    const as_str text = str_at(line, "text"), reasoning = str_at(line, "reasoning");
    bridge_job_note_piece(j, text.n != 0);
    if (j->rq->on_delta != NULL) {
        (void)as_buf_add(&j->new_text, text);
        (void)as_buf_add(&j->new_reasoning, reasoning);
    }
    if (j->rq->top_logprobs > 0 &&
        !take_place(j, as_json_get(line, "token_id"), as_json_get(line, "logprob"),
                    as_json_get(line, "greedy"), as_json_get(line, "top"),
                    as_json_get(line, "piece")))
        bridge_job_fail(j, AS_ERROR_PROTOCOL, "the bridge told a token without id, logprob or top");
}

static bool keep_str(bridge_job *j, as_str *out, as_str s)
{
    *out = as_arena_str(&j->keep, s);
    return as_str_is_set(*out);
}

static void take_done(bridge_job *j, const as_json *line)
{
    as_response *r = &j->reply;
    const as_str finish = str_at(line, "finish"), text = str_at(line, "text");
    if (!as_str_is_set(text) || !as_finish_parse(&r->finish, finish) ||
        r->finish == AS_FINISH_ERROR) {
        bridge_job_fail(j, AS_ERROR_PROTOCOL, "the bridge ended a job without text or finish");
        return;
    }
    if (!keep_str(j, &r->text, text) || !keep_str(j, &r->reasoning, str_at(line, "reasoning")) ||
        !keep_str(j, &r->finish_raw, finish)) {
        bridge_job_fail(j, AS_ERROR_SERVER, "out of memory for the reply");
        return;
    }
    if (j->rq->on_delta != NULL) {
        (void)as_buf_add(&j->new_text, str_at(line, "rest"));
        (void)as_buf_add(&j->new_reasoning, str_at(line, "rest_reasoning"));
    }
    const as_json *usage = as_json_get(line, "usage"), *times = as_json_get(line, "timings");
    r->prompt_tokens = i64_at(usage, "prompt");
    r->completion_tokens = i64_at(usage, "completion");
    r->reasoning_tokens = i64_at(usage, "reasoning");
    double ms = 0;
    if (as_json_f64(as_json_get(times, "prompt_ms"), &ms) && ms >= 0 && ms < 1e12)
        r->server_prompt_ns = (int64_t)(ms * 1e6);
    if (as_json_f64(as_json_get(times, "gen_ms"), &ms) && ms >= 0 && ms < 1e12)
        r->server_generation_ns = (int64_t)(ms * 1e6);
    j->is_done = true;
}

void wire_event(bridge_job *j, const as_json *line)
{
    const as_str ev = str_at(line, "ev");
    if (j->rq->ask == AS_ASK_SCORE)
        bridge_job_fail(j, AS_ERROR_PROTOCOL, "the bridge generates where it should score");
    else if (as_str_eq_z(ev, "token"))
        take_token(j, line);
    else if (as_str_eq_z(ev, "done"))
        take_done(j, line);
    else
        bridge_job_fail(j, AS_ERROR_PROTOCOL, "the bridge sent an event \"%.*s\"", AS_ARG(ev));
}

void wire_score(bridge_job *j, const as_json *line)
{
    const as_json *id = as_json_first(as_json_get(line, "ids"));
    const as_json *greedy = as_json_first(as_json_get(line, "greedy"));
    const as_json *top = as_json_first(as_json_get(line, "top"));
    const as_json *text = as_json_first(as_json_get(line, "texts"));
    const as_json *lp = as_json_first(as_json_get(line, "logprobs"));
    const int wanted = j->rq->n_continuation_ids;
    bool is_good = j->rq->ask == AS_ASK_SCORE;
    for (; lp != NULL && is_good && !j->is_done; lp = as_json_next(lp)) {
        is_good = take_place(j, id, lp, greedy, top, text);
        id = as_json_next(id);
        greedy = as_json_next(greedy);
        top = as_json_next(top);
        text = as_json_next(text);
    }
    if (j->is_done)
        return;
    if (!is_good || j->n_logprobs == 0 || (wanted > 0 && j->n_logprobs != wanted)) {
        bridge_job_fail(j, AS_ERROR_PROTOCOL, "the bridge scored %d tokens of %d, or not wholly",
                        j->n_logprobs, wanted);
        return;
    }
    j->reply.finish = AS_FINISH_STOP;
    j->reply.prompt_tokens = i64_at(line, "prompt");
    j->is_done = true;
}

void wire_error(bridge_job *j, const as_json *error)
{
    as_error_kind kind = AS_ERROR_SERVER;
    (void)as_error_kind_parse(&kind, str_at(error, "class"));
    if (kind == AS_ERROR_NONE)
        kind = AS_ERROR_SERVER;
    const as_str said = str_at(error, "message");
    bridge_job_fail(j, kind, "%.*s",
                    AS_ARG(said.n != 0 ? said : AS_STR("the bridge failed without a reason")));
}

static unsigned cap_of(as_str name)
{
    static const struct {
        const char *name;
        unsigned bits;
    } caps[] = {
        {"chat", BE_CAN_CHAT | BE_CAN_THINK},
        {"raw", BE_CAN_TEXT},
        {"ids", BE_CAN_IDS},
        {"tokenize", BE_CAN_TOKENIZE | BE_CAN_COUNT},
        {"score", BE_CAN_SCORE},
        {"logprobs", BE_CAN_LOGPROBS},
        {"render", BE_CAN_RENDER},
    };
    for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++)
        if (as_str_eq_z(name, caps[i].name))
            return caps[i].bits;
    return 0;
}

static as_code write_json(bridge_backend *be, const as_json *info, as_err *err)
{
    as_buf b;
    as_jw w;
    as_buf_init(&b, 1 << 20);
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    as_jw_put_z(&w, "kind", "tjs");
    as_jw_put_z(&w, "sampling", "greedy");
    for (const as_json *i = as_json_first(info); i != NULL; i = as_json_next(i)) {
        /* The template has a hash of its own; a time would make every run another model's. */
        if (as_str_eq_z(as_json_key(i), "template") || as_str_eq_z(as_json_key(i), "load_ms"))
            continue;
        as_jw_key_str(&w, as_json_key(i));
        as_jw_node(&w, i);
    }
    as_jw_end_object(&w);
    as_code c = as_buf_ok(&b, err);
    be->info.json = c == AS_OK ? as_arena_str(&be->keep, as_buf_str(&b)) : (as_str){0};
    if (c == AS_OK && !as_str_is_set(be->info.json))
        c = as_nomem(err);
    as_buf_release(&b);
    return c;
}

as_code wire_info(bridge_backend *be, const as_json *info, as_err *err)
{
    be->caps = BE_CAN_NO_CACHE; /* every prompt is computed anew */
    const as_json *cap = as_json_first(as_json_get(info, "caps"));
    for (; cap != NULL; cap = as_json_next(cap)) {
        as_str name = {0};
        if (as_json_str(cap, &name))
            be->caps |= cap_of(name);
    }
    be->info.architecture = as_arena_str(&be->keep, str_at(info, "arch"));
    const int64_t ctx = i64_at(info, "ctx");
    be->info.n_ctx = ctx > 0 && ctx < INT32_MAX ? (int)ctx : 0;
    const as_str template = str_at(info, "template");
    if (as_str_is_set(template)) {
        const as_sha256 h = as_sha256_of(template);
        as_sha256_hex(be->template_sha, &h);
        be->info.template_sha256 = as_str_of(be->template_sha);
    }
    return write_json(be, info, err);
}
