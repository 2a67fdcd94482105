/*
 * backend_replay.c — recorded answers by item id: scoring without a model.
 *
 * File       JSON Lines, plain or gzip'd, one answer a line:
 *              "item" or "id" or "question_id"   text or integer
 *              "response" (or "model_outputs", "generated_text", "output"; in lines that carry
 *              "item", also "answer": what `assay show --samples --text` prints)  the answer
 *              "reasoning", "finish", "prompt_tokens", "completion_tokens", "seconds"  optional
 *              "answer" (beside "response") or "target"   the key the recording was scored with
 *              "n_options" or "options"                   how many choices there were
 *            A second line for the same item is its repeat 1, and so on. "response": null is an
 *            empty answer.
 * Order      items() gives the file's order, which some official scores depend on.
 */
#include <stdlib.h>
#include <string.h>

#include "backend/drivers.h"
#include "base/hash.h"
#include "base/jsonl.h"
#include "base/time.h"

enum { MAX_LINE_BYTES = 64 << 20 };
static const size_t arena_limit_bytes = (size_t)8 << 30;

typedef struct replay_record {
    as_str item, text, reasoning;
    as_finish finish;
    as_recorded key;
    int64_t prompt_tokens, completion_tokens;
    double seconds;
    int repeat;
    size_t next; /* chain of the hash table, SIZE_MAX ends it */
} replay_record;

typedef struct replay_backend {
    be_backend base;
    be_info info;
    as_arena keep;
    replay_record *record; /* [n], in file order */
    size_t n, cap;
    size_t *bucket; /* [n_buckets] index of the newest record, SIZE_MAX empty */
    size_t n_buckets;
    be_item *items; /* [n] */
    const as_request **pending;
    size_t n_pending, cap_pending;
    bool is_cancelled;
    char sha[AS_SHA256_HEX];
} replay_backend;

static size_t slot_of(const replay_backend *be, as_str item)
{
    return (size_t)as_fnv1a(item) & (be->n_buckets - 1);
}

static const replay_record *find(const replay_backend *be, as_str item, int repeat)
{
    for (size_t i = be->bucket[slot_of(be, item)]; i != SIZE_MAX; i = be->record[i].next)
        if (be->record[i].repeat == repeat && as_str_eq(be->record[i].item, item))
            return &be->record[i];
    return NULL;
}

static as_code grow_table(replay_backend *be, as_err *err)
{
    const size_t n_buckets = be->n_buckets != 0 ? be->n_buckets * 2 : 1024;
    size_t *bucket = malloc(n_buckets * sizeof *bucket);
    if (bucket == NULL)
        return as_nomem(err);
    free(be->bucket);
    be->bucket = bucket;
    be->n_buckets = n_buckets;
    for (size_t b = 0; b < n_buckets; b++)
        bucket[b] = SIZE_MAX;
    for (size_t i = 0; i < be->n; i++) {
        const size_t b = slot_of(be, be->record[i].item);
        be->record[i].next = bucket[b];
        bucket[b] = i;
    }
    return AS_OK;
}

static as_code add_record(replay_backend *be, replay_record *r, as_err *err)
{
    replay_record *record = as_grow(be->record, be->n, &be->cap, sizeof *record);
    if (record == NULL)
        return as_nomem(err);
    be->record = record;
    if (be->n >= be->n_buckets)
        AS_TRY(grow_table(be, err));
    const size_t b = slot_of(be, r->item);
    for (size_t i = be->bucket[b]; i != SIZE_MAX; i = be->record[i].next)
        if (as_str_eq(be->record[i].item, r->item)) {
            r->repeat = be->record[i].repeat + 1; /* the chain begins with the newest */
            break;
        }
    r->next = be->bucket[b];
    be->bucket[b] = be->n;
    be->record[be->n++] = *r;
    return AS_OK;
}

static as_code keep_text(replay_backend *be, as_str from, as_str *to, as_err *err)
{
    *to = as_arena_str(&be->keep, from);
    return as_str_is_set(*to) ? AS_OK : as_nomem(err);
}

static as_code read_item(replay_backend *be, const as_json *line, bool *is_ours, as_str *out,
                         as_err *err)
{
    static const char *const names[] = {"item", "id", "question_id"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const as_json *node = as_json_get(line, names[i]);
        as_str text;
        int64_t number = 0;
        *is_ours = i == 0;
        if (as_json_str(node, &text) && text.n != 0)
            return keep_text(be, text, out, err);
        if (as_json_i64(node, &number)) {
            *out = as_arena_printf(&be->keep, "%lld", (long long)number);
            return as_str_is_set(*out) ? AS_OK : as_nomem(err);
        }
    }
    return as_fail(err, AS_PARSE,
                   "no item id: want \"item\", \"id\" or \"question_id\", a text or an integer");
}

static as_code read_answer(replay_backend *be, const as_json *line, bool is_ours, as_str *out,
                           as_err *err)
{
    static const char *const names[] = {"response", "model_outputs", "generated_text", "output",
                                        "answer"};
    const size_t n = sizeof names / sizeof names[0] - (is_ours ? 0 : 1);
    for (size_t i = 0; i < n; i++) {
        const as_json *node = as_json_get(line, names[i]);
        as_str text;
        if (as_json_str(node, &text))
            return keep_text(be, text, out, err);
        if (as_json_type(node) == AS_JSON_NULL)
            return keep_text(be, AS_STR(""), out, err);
    }
    return as_fail(err, AS_PARSE, "no answer: want \"response\" (a text)");
}

static as_code read_line(replay_backend *be, const as_json *line, replay_record *r, as_err *err)
{
    *r = (replay_record){.prompt_tokens = -1, .completion_tokens = -1, .seconds = -1};
    if (as_json_type(line) != AS_JSON_OBJECT)
        return as_fail(err, AS_PARSE, "want an object with \"id\" and \"response\"");
    bool is_ours = false;
    AS_TRY(read_item(be, line, &is_ours, &r->item, err));
    AS_TRY(read_answer(be, line, is_ours, &r->text, err));
    as_str text;
    if (as_json_str(as_json_get(line, "reasoning"), &text))
        AS_TRY(keep_text(be, text, &r->reasoning, err));
    if (as_json_str(as_json_get(line, "finish"), &text))
        (void)as_finish_parse(&r->finish, text);
    (void)as_json_i64(as_json_get(line, "prompt_tokens"), &r->prompt_tokens);
    (void)as_json_i64(as_json_get(line, "completion_tokens"), &r->completion_tokens);
    (void)as_json_f64(as_json_get(line, "seconds"), &r->seconds);
    if (as_json_str(as_json_get(line, is_ours ? "target" : "answer"), &text))
        AS_TRY(keep_text(be, text, &r->key.target, err));
    int64_t n_options = 0;
    if (!as_json_i64(as_json_get(line, "n_options"), &n_options))
        n_options = (int64_t)as_json_count(as_json_get(line, "options"));
    if (n_options < 0 || n_options > 26)
        return as_fail(err, AS_RANGE, "\"n_options\" is %lld, want 0 to 26", (long long)n_options);
    r->key.n_choices = (int)n_options;
    return AS_OK;
}

static as_code read_file(replay_backend *be, const char *path, as_err *err)
{
    as_jsonl *in = NULL;
    AS_TRY(as_jsonl_open(&in, path, MAX_LINE_BYTES, err));
    as_code c = AS_OK;
    for (;;) {
        as_json *line = NULL;
        c = as_jsonl_next(in, &line, err);
        if (c != AS_OK || line == NULL)
            break;
        replay_record r;
        c = read_line(be, line, &r, err);
        as_json_free(line);
        if (c == AS_OK)
            c = add_record(be, &r, err);
        if (c != AS_OK) {
            (void)as_jsonl_wrap(in, err);
            break;
        }
    }
    as_jsonl_close(in);
    if (c == AS_OK && be->n == 0)
        c = as_fail(err, AS_PARSE, "%s: holds no recorded answers", path);
    return c;
}

static void fill(const replay_record *rec, as_response *r)
{
    r->finish = rec->finish;
    r->text = rec->text;
    r->reasoning = rec->reasoning;
    r->recorded = rec->key;
    r->prompt_tokens = rec->prompt_tokens;
    r->completion_tokens = rec->completion_tokens;
    r->total_ns = rec->seconds >= 0 ? (int64_t)(rec->seconds * 1e9) : -1;
}

static as_code replay_submit(be_backend *base, const as_request *rq, as_err *err)
{
    replay_backend *be = (replay_backend *)base;
    const as_request **pending =
        as_grow(be->pending, be->n_pending, &be->cap_pending, sizeof *pending);
    if (pending == NULL)
        return as_nomem(err);
    be->pending = pending;
    be->pending[be->n_pending++] = rq;
    return AS_OK;
}

static as_code replay_poll(be_backend *base, int wait_ms, be_done done, void *user, as_err *err)
{
    (void)err;
    replay_backend *be = (replay_backend *)base;
    if (be->n_pending == 0)
        as_sleep_ns((int64_t)wait_ms * 1000000);
    /* Requests that done() submits wait for the next poll. */
    const size_t n = be->n_pending;
    for (size_t i = 0; i < n; i++) {
        const as_request *rq = be->pending[i];
        as_response r;
        as_response_init(&r);
        r.started_wall_ns = as_wall_ns();
        const replay_record *rec = find(be, rq->item, rq->repeat);
        if (be->is_cancelled) {
            r.finish = AS_FINISH_CANCELLED;
        } else if (rec != NULL) {
            fill(rec, &r);
        } else {
            r.finish = AS_FINISH_ERROR;
            r.error = AS_ERROR_MISSING;
            r.message = AS_STR("the recording has no answer for this item");
        }
        done(user, rq, &r);
    }
    be->n_pending -= n;
    memmove(be->pending, be->pending + n, be->n_pending * sizeof *be->pending);
    return AS_OK;
}

static void replay_cancel(be_backend *base)
{
    ((replay_backend *)base)->is_cancelled = true;
}

static unsigned replay_caps(const be_backend *base)
{
    (void)base;
    return BE_CAN_CHAT | BE_CAN_TEXT | BE_CAN_SEED | BE_HAS_ANSWERS;
}

static const be_info *replay_info(const be_backend *base)
{
    return &((const replay_backend *)base)->info;
}

static as_code replay_items(be_backend *base, const be_item **items, size_t *n, as_err *err)
{
    replay_backend *be = (replay_backend *)base;
    if (be->items == NULL) {
        be->items = as_new(&be->keep, be_item, be->n);
        if (be->items == NULL)
            return as_nomem(err);
        for (size_t i = 0; i < be->n; i++)
            be->items[i] = (be_item){be->record[i].item, be->record[i].repeat};
    }
    *items = be->items;
    *n = be->n;
    return AS_OK;
}

static void replay_close(be_backend *base)
{
    replay_backend *be = (replay_backend *)base;
    if (be == NULL)
        return;
    as_arena_release(&be->keep);
    free(be->record);
    free(be->bucket);
    free(be->pending);
    free(be);
}

static as_code open_file(replay_backend *be, const be_config *config, as_err *err)
{
    if (config->name.n == 0)
        return as_fail(err, AS_RANGE, "want a file: replay:FILE.jsonl or replay:FILE.jsonl.gz");
    const as_str path = as_arena_str(&be->keep, config->name);
    if (!as_str_is_set(path))
        return as_nomem(err);
    as_sha256 h;
    AS_TRY(as_sha256_file(&h, path.p, err));
    as_sha256_hex(be->sha, &h);
    AS_TRY(grow_table(be, err));
    AS_TRY(read_file(be, path.p, err));
    const char *slash = strrchr(path.p, '/');
    be->info = (be_info){
        .model_name = as_str_of(slash != NULL ? slash + 1 : path.p),
        .sha256 = as_str_of(be->sha),
        BE_INFO_UNKNOWN,
        .json = AS_STR("{}"),
    };
    return AS_OK;
}

static as_code replay_open(be_backend **out, const be_config *config, as_err *err)
{
    *out = NULL;
    static const char *const known[] = {NULL};
    AS_TRY(be_options_check(config, known, err));
    replay_backend *be = calloc(1, sizeof *be);
    if (be == NULL)
        return as_nomem(err);
    be->base.driver = &be_replay;
    as_arena_init(&be->keep, arena_limit_bytes);
    const as_code c = open_file(be, config, err);
    if (c != AS_OK) {
        replay_close(&be->base);
        return as_wrap(err, "replay");
    }
    *out = &be->base;
    return AS_OK;
}

const be_driver be_replay = {
    .scheme = "replay",
    .title = "recorded answers by item id",
    .is_in_process = true,
    .open = replay_open,
    .close = replay_close,
    .caps = replay_caps,
    .info = replay_info,
    .submit = replay_submit,
    .poll = replay_poll,
    .cancel = replay_cancel,
    .items = replay_items,
};
