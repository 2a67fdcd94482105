/* cmd_loglikelihood.c — assay loglikelihood: how likely a model finds given continuations. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/jsonl.h"
#include "cli/backend_flags.h"

enum { WINDOW = 256, MAX_IDS = 1 << 20, POLL_MS = 100 };

/* One input line: its request, and the answer once it is there. */
typedef struct query {
    as_json *line; /* the request borrows its texts */
    as_request request;
    as_str answer; /* JSON, in the window's arena */
    bool is_done;
} query;

typedef struct scorer {
    const be_driver *driver;
    be_backend *be;
    as_jsonl *in;
    as_arena arena; /* of one window */
    query queries[WINDOW];
    int n, n_in_flight, n_window;
    int top;
    int64_t n_failed;
    as_err fatal;
} scorer;

static as_code read_ids(const as_json *line, const char *key, const int32_t **out, int *n,
                        as_arena *keep, as_err *err)
{
    const as_json *list = as_json_get(line, key);
    int32_t *ids = NULL;
    const size_t count = as_json_count(list);
    if (count > MAX_IDS)
        return as_fail(err, AS_RANGE, "\"%s\": %zu ids, at most %d are taken", key, count, MAX_IDS);
    const as_code c = as_json_ids(list, &ids, n, keep, err);
    *out = ids;
    return c == AS_OK ? c : as_wrap(err, "\"%s\"", key);
}

static as_code read_query(query *q, int top, as_arena *keep, as_err *err)
{
    as_request *rq = &q->request;
    *rq = (as_request){.ask = AS_ASK_SCORE,
                       .sampling = AS_SAMPLING_UNSET,
                       .max_tokens = 1,
                       .top_logprobs = top,
                       .whole = true};
    if (as_json_get(q->line, "ids") != NULL) {
        AS_TRY(read_ids(q->line, "ids", &rq->ids, &rq->n_ids, keep, err));
        return read_ids(q->line, "continuation_ids", &rq->continuation_ids, &rq->n_continuation_ids,
                        keep, err);
    }
    AS_TRY(as_json_need_str(q->line, "context", &rq->prompt, err));
    return as_json_need_str(q->line, "continuation", &rq->continuation, err);
}

/* "bound": true where the number is only an upper bound. */
static void put_bound(as_jw *w, bool is_bound)
{
    if (!is_bound)
        return;
    as_jw_put_bool(w, "bound", true);
}

static void put_tokens(as_jw *w, const as_response *r)
{
    as_jw_key(w, "tokens");
    as_jw_begin_array(w);
    for (int i = 0; i < r->n_logprobs; i++) {
        const as_token_logprob *t = &r->logprobs[i];
        as_jw_begin_object(w);
        as_jw_put_i64(w, "id", t->token.id);
        as_jw_put_f64(w, "logprob", t->token.logprob);
        as_jw_put_bool(w, "greedy", t->is_greedy);
        put_bound(w, t->is_bound);
        as_jw_key(w, "top");
        as_jw_begin_array(w);
        for (int k = 0; k < t->n_top; k++) {
            as_jw_begin_array(w);
            as_jw_i64(w, t->top[k].id);
            as_jw_f64(w, t->top[k].logprob);
            as_jw_end_array(w);
        }
        as_jw_end_array(w);
        as_jw_end_object(w);
    }
    as_jw_end_array(w);
}

static void put_answer(as_jw *w, const as_response *r)
{
    as_jw_begin_object(w);
    if (r->finish == AS_FINISH_ERROR) {
        as_jw_put_str(w, "error", r->message);
        as_jw_put_z(w, "kind", as_error_kind_name(r->error));
    } else {
        double sum = 0;
        bool is_greedy = true, is_bound = false;
        for (int i = 0; i < r->n_logprobs; i++) {
            sum += r->logprobs[i].token.logprob;
            is_greedy = is_greedy && r->logprobs[i].is_greedy;
            is_bound = is_bound || r->logprobs[i].is_bound;
        }
        as_jw_put_f64(w, "sum", sum);
        as_jw_put_i64(w, "n", r->n_logprobs);
        as_jw_put_bool(w, "greedy", is_greedy);
        put_bound(w, is_bound);
        put_tokens(w, r);
    }
    as_jw_end_object(w);
}

static void on_done(void *user, const as_request *request, const as_response *response)
{
    scorer *s = user;
    query *q = &s->queries[request->job];
    as_buf b;
    as_buf_init(&b, 0);
    as_jw w;
    as_jw_init(&w, &b);
    put_answer(&w, response);
    q->answer = as_arena_str(&s->arena, as_buf_str(&b));
    if (as_buf_ok(&b, &s->fatal) == AS_OK && !as_str_is_set(q->answer))
        (void)as_nomem(&s->fatal);
    as_buf_release(&b);
    q->is_done = true;
    s->n_failed += response->finish == AS_FINISH_ERROR ? 1 : 0;
    s->n_in_flight--;
}

static as_code fill_window(scorer *s, as_err *err)
{
    s->n = 0;
    while (s->n < s->n_window) {
        query *q = &s->queries[s->n];
        *q = (query){0};
        AS_TRY(as_jsonl_next(s->in, &q->line, err));
        if (q->line == NULL)
            return AS_OK;
        s->n++;
        if (read_query(q, s->top, &s->arena, err) != AS_OK)
            return as_jsonl_wrap(s->in, err);
        q->request.job = (uint64_t)(q - s->queries);
    }
    return AS_OK;
}

static as_code ask(scorer *s, const cli_env *env, as_err *err)
{
    for (int i = 0; i < s->n; i++) {
        AS_TRY(s->driver->submit(s->be, &s->queries[i].request, err));
        s->n_in_flight++;
    }
    while (s->n_in_flight > 0) {
        if (*env->cancel != 0)
            s->driver->cancel(s->be);
        AS_TRY(s->driver->poll(s->be, POLL_MS, on_done, s, err));
        if (s->fatal.code != AS_OK) {
            *err = s->fatal;
            return err->code;
        }
    }
    return AS_OK;
}

static as_code print_window(const scorer *s, as_err *err)
{
    as_buf out;
    as_buf_init(&out, (size_t)1 << 30);
    for (int i = 0; i < s->n; i++) {
        (void)as_buf_add(&out, s->queries[i].answer);
        (void)as_buf_add_byte(&out, '\n');
    }
    return cli_print_buf(&out, err);
}

static as_code score_all(scorer *s, const cli_env *env, as_err *err)
{
    for (;;) {
        as_code c = fill_window(s, err);
        if (c == AS_OK && s->n > 0)
            c = ask(s, env, err);
        if (c == AS_OK && *env->cancel == 0)
            c = print_window(s, err);
        for (int i = 0; i < s->n; i++)
            as_json_free(s->queries[i].line);
        as_arena_rewind(&s->arena, 0);
        if (c != AS_OK || s->n < s->n_window || *env->cancel != 0)
            return c;
    }
}

static as_code run(scorer *s, const cli_backend_flags *f, int64_t j, cli_env *env, as_err *err)
{
    cli_model model;
    if (f->model == NULL)
        return as_fail(err, AS_RANGE, "usage: assay loglikelihood -m MODEL <FILE.jsonl");
    AS_TRY(cli_backend_open(&s->be, &model, f, env, err));
    s->driver = model.driver;
    s->n_window = (int)j;
    as_code c = AS_OK;
    if ((s->driver->caps(s->be) & (BE_CAN_SCORE | BE_CAN_SCORE_FIRST)) == 0)
        c = as_fail(err, AS_UNSUPPORTED,
                    "-m %s: this backend tells no log-probabilities of given tokens", f->model);
    if (c == AS_OK && s->driver->prepare != NULL)
        c = s->driver->prepare(s->be, 0, s->n_window, err);
    if (c == AS_OK)
        c = as_jsonl_open(&s->in, "-", 0, err);
    if (c == AS_OK)
        c = score_all(s, env, err);
    as_jsonl_close(s->in);
    s->driver->close(s->be);
    return c;
}

int cmd_loglikelihood(cli_env *env, int argc, char **argv)
{
    cli_backend_flags f = {0};
    int64_t j = 8, top = 1;
    cli_flag flags[] = {
        CLI_BACKEND_FLAGS(&f),
        cli_short('j', cli_int("max-connections", &j, "N", 1, WINDOW, "lines in work at once")),
        cli_int("top", &top, "N", 1, 128, "likeliest tokens told in each place"),
    };
    cli_args a = {
        .usage = "assay loglikelihood -m MODEL <FILE.jsonl",
        .about =
            "Reads JSON lines {\"context\", \"continuation\"} (texts) or {\"ids\", "
            "\"continuation_ids\"} and writes\n{\"sum\", \"n\", \"greedy\", \"tokens\": [{\"id\", "
            "\"logprob\", \"greedy\", \"top\": [[id, logprob]]}]} or {\"error\"}, a line\neach: "
            "the natural log of the continuation's probability after the context. A context of "
            "text\n"
            "gets the model's start token, ids are taken as they are. \"bound\": true says that a\n"
            "number is only an upper bound: the server (ollama:) tells the likeliest tokens "
            "alone.\n"
            "Exit 3 if a line failed.",
        .flags = flags,
        .n_flags = sizeof flags / sizeof flags[0],
    };
    int code = CLI_OK;
    if (!cli_begin(&a, argc, argv, env, &code))
        return code;
    static scorer s; /* a window of requests is too much for a stack */
    s = (scorer){.top = (int)top};
    as_arena_init(&s.arena, 0);
    as_err err = {0};
    const as_code c = run(&s, &f, j, env, &err);
    as_arena_release(&s.arena);
    if (c != AS_OK)
        return cli_fail(&err);
    if (*env->cancel != 0)
        return CLI_INTERRUPTED;
    return s.n_failed != 0 ? CLI_INCOMPLETE : CLI_OK;
}
