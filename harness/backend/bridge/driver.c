/*
 * driver.c — transformers.js as a backend, in a Node child that speaks lines (README.md).
 *
 * Options    path=FOLDER (holds REPO; nothing is fetched), dtype=fp32|fp16|q8|q4|…, device=cpu,
 *            node=PROGRAM, bridge=FOLDER (where tools/get-bridge put it), timeout=SECONDS of a job.
 * Sampling   greedy always: the library draws with Math.random, which no seed controls. What a
 *            request asked beyond that is named in its response's `dropped`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/bridge/bridge_impl.h"
#include "backend/drivers.h"
#include "base/io.h"
#include "base/time.h"

static bridge_job *find_job(bridge_backend *be, int64_t id)
{
    for (bridge_job *j = be->first; j != NULL; j = j->next)
        if (j->id == id && id != 0)
            return j;
    return NULL;
}

/* ---- the child ----------------------------------------------------------------------------------- */

/* Ends the child; what it worked on fails so. */
static void break_child(bridge_backend *be, as_error_kind kind, const char *why)
{
    bridge_job *j = find_job(be, be->busy_id);
    (void)snprintf(be->broken, sizeof be->broken, "%s", why);
    if (j != NULL && !j->is_done)
        bridge_job_fail(j, kind, "the bridge: %s", why);
    if (be->has_info) /* else open fails, with these words */
        as_log_line(be->log, AS_LOG_WARN, "tjs: the bridge: %s", why);
    child_stop(be->child);
    be->child = NULL;
    be->is_open = be->is_ready = false;
    be->busy_id = be->call_id = 0;
}

static as_code start_child(bridge_backend *be, as_err *err)
{
    const char *const argv[] = {be->node, be->script, NULL};
    be->deadline_ns = as_now_ns() + (int64_t)BRIDGE_READY_MS * 1000000;
    be->is_open = be->is_ready = false;
    if (child_start(&be->child, argv, be->log, err) == AS_OK)
        return AS_OK;
    return as_fail(err, AS_TIMEOUT,
                   "cannot start %s, which the bridge to transformers.js needs: install Node 20 or "
                   "newer (apt-get install nodejs npm) or name it with -M node=PROGRAM",
                   be->node);
}

static void take_ready(bridge_backend *be, const as_json *line)
{
    bool is_ready = false;
    int64_t protocol = 0;
    if (!as_json_bool(as_json_get(line, "ready"), &is_ready) || !is_ready ||
        !as_json_i64(as_json_get(line, "protocol"), &protocol) || protocol != 1) {
        break_child(be, AS_ERROR_PROTOCOL,
                    "its first line is not {\"ready\":true,\"protocol\":1}; run tools/get-bridge "
                    "again");
        return;
    }
    as_err err = {0};
    be->is_ready = true;
    be->deadline_ns = as_now_ns() + (int64_t)BRIDGE_LOAD_MS * 1000000;
    if (wire_open(be, &err) != AS_OK)
        break_child(be, AS_ERROR_TRANSPORT, err.text);
}

static void take_opened(bridge_backend *be, const as_json *line)
{
    as_err err = {0};
    as_str said = {0};
    const as_json *info = as_json_get(line, "info");
    if (as_json_str(as_json_get(as_json_get(line, "error"), "message"), &said)) {
        (void)snprintf(be->refused, sizeof be->refused, "%.*s", AS_ARG(said));
        break_child(be, AS_ERROR_TRANSPORT, be->refused);
    } else if (info == NULL) {
        break_child(be, AS_ERROR_PROTOCOL, "it opened the model without a word about it");
    } else if (!be->has_info && wire_info(be, info, &err) != AS_OK) {
        break_child(be, AS_ERROR_TRANSPORT, err.text);
    } else {
        be->is_open = be->has_info = true;
    }
}

/* A line about the job in work; the child is free again when it ends there. */
static void take_job_line(bridge_backend *be, int64_t id, const as_json *line)
{
    const as_json *ev = as_json_get(line, "ev"), *error = as_json_get(line, "error");
    as_str name = {0};
    const bool is_piece = as_json_str(ev, &name) && as_str_eq_z(name, "token");
    if (id == be->busy_id && !is_piece)
        be->busy_id = 0;
    bridge_job *j = find_job(be, id);
    if (j == NULL || j->is_done)
        return;
    if (error != NULL)
        wire_error(j, error);
    else if (ev != NULL)
        wire_event(j, line);
    else
        wire_score(j, line);
    if (j->is_done && error == NULL)
        be->may_restart = true;
}

static void take_line(bridge_backend *be, as_str text)
{
    as_json *line = NULL;
    int64_t id = 0;
    if (as_json_parse(&line, text, NULL) != AS_OK || as_json_type(line) != AS_JSON_OBJECT) {
        char why[128];
        (void)snprintf(why, sizeof why, "it sent a line that is not a JSON object: %.60s",
                       text.n != 0 ? text.p : "");
        const size_t end = strcspn(why, "\r\n");
        why[end] = '\0';
        break_child(be, AS_ERROR_PROTOCOL, why);
    } else if (!be->is_ready) {
        take_ready(be, line);
    } else if (!as_json_i64(as_json_get(line, "id"), &id)) {
        break_child(be, AS_ERROR_PROTOCOL, "it sent a line without an id");
    } else if (!be->is_open) {
        if (id == be->open_id)
            take_opened(be, line);
    } else if (id == be->call_id && id != 0) {
        be->call_id = 0;
        be->call_reply = line;
        return;
    } else {
        take_job_line(be, id, line);
    }
    as_json_free(line);
}

static void pump(bridge_backend *be, int wait_ms)
{
    as_str line = {0};
    const child_state state = child_pump(be->child, wait_ms);
    while (be->child != NULL && child_line(be->child, &line))
        take_line(be, line);
    if (be->child == NULL)
        return;
    const int64_t now = as_now_ns();
    if (state == CHILD_GONE) {
        char why[600];
        (void)snprintf(why, sizeof why, "it ended (%s)", child_obituary(be->child));
        break_child(be, AS_ERROR_TRANSPORT, why);
    } else if (state == CHILD_TOO_LONG) {
        break_child(be, AS_ERROR_PROTOCOL, "it sent a line over 64 MiB");
    } else if (!be->is_open && now > be->deadline_ns) {
        break_child(be, AS_ERROR_TIMEOUT,
                    be->is_ready ? "it did not load the model within 15 minutes"
                                 : "it was not ready within 30 s");
    } else if (be->busy_id != 0 && now > be->busy_deadline_ns) {
        break_child(be, AS_ERROR_TIMEOUT, "it did not answer in time (-M timeout)");
    }
}

/* Sends the next job if the child is free. */
static as_code feed(bridge_backend *be, as_err *err)
{
    if (!be->is_open || be->busy_id != 0)
        return AS_OK;
    for (bridge_job *j = be->first; j != NULL; j = j->next) {
        if (j->is_done || j->id != 0)
            continue;
        as_err why = {0};
        const as_code c = wire_job(be, j, &why);
        if (c == AS_NOMEM || c == AS_RANGE) {
            bridge_job_fail(j, AS_ERROR_REQUEST, "the request is too large: %s", why.text);
            continue;
        }
        if (c != AS_OK)
            return as_fail(err, c, "%s", why.text);
        j->sent_ns = as_now_ns();
        be->busy_id = j->id;
        be->busy_deadline_ns = j->sent_ns + be->timeout_ns;
        return AS_OK;
    }
    return AS_OK;
}

/* A child that is gone is started again, if that has not just been tried. */
static void revive(bridge_backend *be)
{
    as_err err = {0};
    if (be->child != NULL)
        return;
    if (be->may_restart) {
        be->may_restart = false;
        if (start_child(be, &err) == AS_OK)
            return;
        (void)snprintf(be->broken, sizeof be->broken, "%.390s", err.text);
    }
    for (bridge_job *j = be->first; j != NULL; j = j->next)
        if (!j->is_done)
            bridge_job_fail(j, AS_ERROR_TRANSPORT, "the bridge is gone: %s", be->broken);
}

/* ---- jobs ------------------------------------------------------------------------------------------ */

static unsigned dropped_of(const as_request *rq)
{
    unsigned dropped = 0;
    const as_sampling *s = &rq->sampling;
    if (rq->ask == AS_ASK_SCORE)
        return 0;
    if (s->temperature > 0) {
        dropped |= AS_DROPPED_SEED;
        dropped |= s->top_k > 0 ? AS_DROPPED_TOP_K : 0u;
        dropped |= s->top_p < 1 ? AS_DROPPED_TOP_P : 0u;
        dropped |= s->min_p > 0 ? AS_DROPPED_MIN_P : 0u;
    }
    dropped |= rq->reasoning_tokens > 0 ? AS_DROPPED_THINK_BUDGET : 0u;
    dropped |= rq->ignore_eos ? AS_DROPPED_IGNORE_EOS : 0u;
    for (int i = 0; i < rq->n_messages; i++)
        dropped |= rq->messages[i].n_media > 0 ? AS_DROPPED_MEDIA : 0u;
    return dropped;
}

static const char *unsupported(const bridge_backend *be, const as_request *rq)
{
    return rq->lora.n != 0                                             ? "take an adapter"
           : rq->is_chat && (be->caps & BE_CAN_CHAT) == 0              ? "chat, it has no template"
           : rq->ask == AS_ASK_SCORE && rq->is_chat                    ? "score after chat messages"
           : rq->ask == AS_ASK_SCORE && (be->caps & BE_CAN_SCORE) == 0 ? "score"
                                                                       : NULL;
}

static as_code tjs_submit(be_backend *base, const as_request *rq, as_err *err)
{
    bridge_backend *be = (bridge_backend *)base;
    bridge_job *j = bridge_job_new(rq), **end = &be->first;
    if (j == NULL)
        return as_nomem(err);
    while (*end != NULL)
        end = &(*end)->next;
    *end = j;
    j->dropped = dropped_of(rq);
    const char *cannot = unsupported(be, rq);
    if (cannot != NULL)
        bridge_job_fail(j, AS_ERROR_UNSUPPORTED, "this model cannot %s", cannot);
    return AS_OK;
}

static bool deliver_all(bridge_backend *be, be_done done, void *user)
{
    bridge_job *ended = NULL, **end = &ended;
    for (bridge_job **link = &be->first; *link != NULL;) {
        bridge_job *j = *link;
        bridge_job_flush(j);
        if (!j->is_done) {
            link = &j->next;
            continue;
        }
        *link = j->next;
        *end = j;
        end = &j->next;
        *end = NULL;
    }
    const bool is_any = ended != NULL;
    while (ended != NULL) {
        bridge_job *next = ended->next;
        bridge_job_deliver(ended, done, user, be->info.model_name);
        ended = next;
    }
    return is_any;
}

static as_code tjs_poll(be_backend *base, int wait_ms, be_done done, void *user, as_err *err)
{
    bridge_backend *be = (bridge_backend *)base;
    const int64_t deadline_ns = as_now_ns() + (int64_t)wait_ms * 1000000;
    if (deliver_all(be, done, user))
        return AS_OK;
    if (be->first == NULL) {
        as_sleep_ns((int64_t)wait_ms * 1000000);
        return AS_OK;
    }
    for (;;) {
        revive(be);
        AS_TRY(feed(be, err));
        const int64_t left_ms = (deadline_ns - as_now_ns() + 999999) / 1000000;
        if (be->child != NULL)
            pump(be, left_ms > 0 ? (int)left_ms : 0);
        if (deliver_all(be, done, user) || as_now_ns() >= deadline_ns)
            return AS_OK;
    }
}

static void cancel_job(bridge_backend *be, bridge_job *j)
{
    if (j->is_done)
        return;
    if (j->id != 0 && j->id == be->busy_id && be->child != NULL)
        (void)wire_cancel(be, j->id, NULL);
    as_response_init(&j->reply);
    j->n_logprobs = 0;
    j->reply.finish = AS_FINISH_CANCELLED;
    j->is_done = true;
}

static void tjs_cancel(be_backend *base)
{
    bridge_backend *be = (bridge_backend *)base;
    for (bridge_job *j = be->first; j != NULL; j = j->next)
        cancel_job(be, j);
}

static void tjs_cancel_one(be_backend *base, uint64_t id)
{
    bridge_backend *be = (bridge_backend *)base;
    for (bridge_job *j = be->first; j != NULL; j = j->next)
        if (j->rq->job == id)
            cancel_job(be, j);
}

/* ---- calls that wait ----------------------------------------------------------------------------- */

/* Sends the call and waits for its reply, which the caller frees. Jobs go on meanwhile; what they
 * bring is told at the next poll. */
static as_code call(bridge_backend *be, const char *op, const as_request *rq, as_str text,
                    bool is_prompt, as_json **reply, as_err *err)
{
    const int64_t deadline_ns = as_now_ns() + (int64_t)BRIDGE_CALL_MS * 1000000;
    if (be->child == NULL || !be->is_open)
        return as_fail(err, AS_TIMEOUT, "tjs: the bridge is not there: %s", be->broken);
    AS_TRY(wire_call(be, op, rq, text, is_prompt, err));
    const int64_t id = be->call_id;
    while (be->call_id == id && as_now_ns() < deadline_ns && be->child != NULL)
        pump(be, 50);
    *reply = be->call_reply;
    be->call_reply = NULL;
    be->call_id = 0;
    if (*reply == NULL)
        return as_fail(err, AS_TIMEOUT, "tjs: no reply to %s%s%s", op,
                       be->child == NULL ? ": " : "", be->child == NULL ? be->broken : "");
    as_str said = {0};
    if (as_json_get(*reply, "error") == NULL)
        return AS_OK;
    (void)as_json_str(as_json_get(as_json_get(*reply, "error"), "message"), &said);
    const as_code c = as_fail(err, AS_UNSUPPORTED, "tjs: %s: %.*s", op, AS_ARG(said));
    as_json_free(*reply);
    *reply = NULL;
    return c;
}

static as_code tjs_tokenize(be_backend *base, as_str text, bool is_prompt, int32_t **ids, int *n,
                            as_arena *keep, as_err *err)
{
    as_json *reply = NULL;
    AS_TRY(call((bridge_backend *)base, "tokenize", NULL, text, is_prompt, &reply, err));
    const as_code c = as_json_ids(as_json_get(reply, "tokens"), ids, n, keep, err);
    if (c != AS_OK)
        (void)as_wrap(err, "tjs: \"tokens\"");
    as_json_free(reply);
    return c;
}

static as_code tjs_render(be_backend *base, const as_request *rq, as_str *prompt, as_arena *keep,
                          as_err *err)
{
    as_json *reply = NULL;
    as_str told = {0};
    AS_TRY(call((bridge_backend *)base, "render", rq, (as_str){0}, false, &reply, err));
    as_code c = as_json_need_str(reply, "prompt", &told, err);
    if (c == AS_OK) {
        *prompt = as_arena_str(keep, told);
        c = as_str_is_set(*prompt) ? AS_OK : as_nomem(err);
    }
    as_json_free(reply);
    return c;
}

static as_code tjs_count(be_backend *base, const as_request *rq, int *n, as_err *err)
{
    bridge_backend *be = (bridge_backend *)base;
    if (rq->n_ids > 0) {
        *n = rq->n_ids;
        return AS_OK;
    }
    as_json *reply = NULL;
    as_buf whole;
    as_buf_init(&whole, CHILD_MAX_LINE);
    (void)as_buf_add(&whole, rq->prefix);
    (void)as_buf_add(&whole, rq->prompt);
    as_code c = as_buf_ok(&whole, err);
    if (c == AS_OK)
        c = rq->is_chat ? call(be, "render", rq, (as_str){0}, false, &reply, err)
                        : call(be, "tokenize", NULL, as_buf_str(&whole), true, &reply, err);
    *n = (int)as_json_count(as_json_get(reply, "tokens"));
    as_json_free(reply);
    as_buf_release(&whole);
    return c;
}

static unsigned tjs_caps(const be_backend *base)
{
    return ((const bridge_backend *)base)->caps;
}

static const be_info *tjs_info(const be_backend *base)
{
    return &((const bridge_backend *)base)->info;
}

/* ---- birth and death --------------------------------------------------------------------------------- */

static as_code option(bridge_backend *be, const be_config *config, const char *key,
                      const char *otherwise, const char **out, as_err *err)
{
    const as_str s = be_option_get(config, key);
    *out = as_str_is_set(s) ? as_arena_str(&be->keep, s).p : otherwise;
    return *out != NULL ? AS_OK : as_nomem(err);
}

/* REPO under path=, or a folder by itself. */
static as_code find_model(bridge_backend *be, const be_config *config, as_err *err)
{
    const char *name = as_arena_str(&be->keep, config->name).p;
    if (name == NULL)
        return as_nomem(err);
    if (config->name.n == 0)
        return as_fail(err, AS_RANGE,
                       "want tjs:REPO and -M path=FOLDER, the folder that holds REPO");
    be->model = name;
    AS_TRY(option(be, config, "path", "", &be->models_dir, err));
    if (be->models_dir[0] == '\0') {
        const size_t slash = as_str_rfind(config->name, AS_STR("/"));
        be->model = slash != SIZE_MAX ? name + slash + 1 : name;
        be->models_dir =
            slash == SIZE_MAX
                ? "."
                : as_arena_str(&be->keep, as_str_sub(config->name, 0, slash != 0 ? slash : 1)).p;
    }
    const char *folder =
        be->models_dir != NULL ? as_path_join(&be->keep, be->models_dir, be->model) : NULL;
    const char *file = folder != NULL ? as_path_join(&be->keep, folder, "config.json") : NULL;
    if (file == NULL)
        return as_nomem(err);
    if (be->model[0] == '\0' || !as_file_exists(file))
        return as_fail(err, AS_RANGE,
                       "%s: no such file; want tjs:REPO and -M path=FOLDER, the folder that holds "
                       "REPO with config.json, tokenizer.json and onnx/ (nothing is fetched)",
                       file);
    return AS_OK;
}

static as_code find_bridge(bridge_backend *be, const be_config *config, as_err *err)
{
    const char *dir = as_arena_printf(&be->keep, "%.*s/bridge", AS_ARG(config->cache_dir)).p;
    if (dir == NULL)
        return as_nomem(err);
    AS_TRY(option(be, config, "bridge", dir, &dir, err));
    AS_TRY(option(be, config, "node", "node", &be->node, err));
    be->script = as_path_join(&be->keep, dir, "bridge.mjs");
    const char *package = as_path_join(&be->keep, dir, "node_modules/@huggingface/transformers");
    if (be->script == NULL || package == NULL)
        return as_nomem(err);
    if (!as_file_exists(be->script) || !as_is_dir(package))
        return as_fail(err, AS_TIMEOUT,
                       "%s: no bridge to transformers.js there; run tools/get-bridge, or name its "
                       "folder with -M bridge=FOLDER",
                       dir);
    return AS_OK;
}

static as_code read_options(bridge_backend *be, const be_config *config, as_err *err)
{
    static const char *const known[] = {"path",   "dtype",   "device", "node",
                                        "bridge", "timeout", NULL};
    AS_TRY(be_options_check(config, known, err));
    AS_TRY(option(be, config, "dtype", "fp32", &be->dtype, err));
    AS_TRY(option(be, config, "device", "cpu", &be->device, err));
    const as_str timeout = be_option_get(config, "timeout");
    int64_t seconds = BRIDGE_TIMEOUT_S;
    if (as_str_is_set(timeout) && !as_parse_i64(timeout, 1, 86400, &seconds))
        return as_fail(err, AS_RANGE, "-M timeout=%.*s: want seconds, 1 to 86400", AS_ARG(timeout));
    be->timeout_ns = seconds * 1000000000;
    return AS_OK;
}

/* Waits until the model is loaded. */
static as_code load(bridge_backend *be, as_err *err)
{
    AS_TRY(start_child(be, err));
    while (be->child != NULL && !be->is_open)
        pump(be, 100);
    if (be->is_open)
        return AS_OK;
    if (be->refused[0] != '\0')
        return as_fail(err, AS_RANGE, "tjs:%s: %s", be->model, be->refused);
    return as_fail(err, AS_TIMEOUT, "tjs:%s: the bridge: %s", be->model, be->broken);
}

static void tjs_close(be_backend *base)
{
    bridge_backend *be = (bridge_backend *)base;
    if (be == NULL)
        return;
    child_stop(be->child);
    while (be->first != NULL) {
        bridge_job *next = be->first->next;
        bridge_job_free(be->first);
        be->first = next;
    }
    as_json_free(be->call_reply);
    as_arena_release(&be->keep);
    free(be);
}

static as_code open_all(bridge_backend *be, const be_config *config, as_err *err)
{
    AS_TRY(read_options(be, config, err));
    AS_TRY(find_model(be, config, err));
    AS_TRY(find_bridge(be, config, err));
    AS_TRY(bridge_identity(be, config->cache_dir, err));
    be->info.model_name = as_str_of(be->model);
    be->info.quantization = as_str_of(be->dtype);
    be->info.sha256 = as_str_of(be->sha);
    return load(be, err);
}

static as_code tjs_open(be_backend **out, const be_config *config, as_err *err)
{
    *out = NULL;
    bridge_backend *be = calloc(1, sizeof *be);
    if (be == NULL)
        return as_nomem(err);
    be->base.driver = &be_tjs;
    be->log = config->log;
    be->may_restart = true;
    be->info = (be_info){BE_INFO_UNKNOWN, .max_concurrency = 1};
    as_arena_init(&be->keep, 0);
    const as_code c = open_all(be, config, err);
    if (c != AS_OK) {
        tjs_close(&be->base);
        return c;
    }
    *out = &be->base;
    return AS_OK;
}

const be_driver be_tjs = {
    .scheme = "tjs",
    .title = "transformers.js on ONNX: tjs:REPO -M path=FOLDER, dtype=, device=, node=",
    .open = tjs_open,
    .close = tjs_close,
    .caps = tjs_caps,
    .info = tjs_info,
    .submit = tjs_submit,
    .poll = tjs_poll,
    .cancel = tjs_cancel,
    .count_tokens = tjs_count,
    .cancel_one = tjs_cancel_one,
    .tokenize = tjs_tokenize,
    .render = tjs_render,
};
