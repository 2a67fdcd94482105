#include "run/preflight.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/time.h"
#include "run/retry.h"

enum {
    FEW_REQUESTS = 20,
    ANSWER_LIMIT_S = 900,
    POLL_MS = 100,
    CANARY_TOKENS = 256,
    CANARY_THINK_TOKENS = 1024,
    SEED_TOKENS = 24,
    LONG_TOKENS = 16,
    MIN_WORDS = 300,
    MAX_WORDS = 16384,
    SPREAD_PROMPTS = 64,
};

/* What is kept of an answer. */
typedef struct reply {
    as_finish finish;
    as_error_kind error;
    int http_status;
    as_str message, text, reasoning;
    int64_t prompt_tokens, completion_tokens, reasoning_tokens, total_ns, retry_after_ms;
    unsigned dropped;
    bool is_done;
} reply;

typedef struct preflight {
    const run_plan *plan;
    const be_driver *driver;
    be_backend *be;
    const be_info *info;
    const volatile sig_atomic_t *cancel;
    run_findings *out;
    as_arena *keep;
    const run_task *task; /* the one whose settings are tried */
    reply last;
    as_code keep_code;
    as_err *err; /* of the caller */
} preflight;

const char *run_level_name(run_level level)
{
    return level == RUN_WARN ? "warn" : "info";
}

static as_code AS_PRINTF(4, 5)
    found(preflight *p, run_level level, const char *kind, const char *fmt, ...)
{
    char text[600];
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    const size_t length = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    const as_str kept = as_arena_str(p->keep, (as_str){text, length});
    if (!as_str_is_set(kept))
        return as_nomem(p->err);
    if (p->out->n < RUN_MAX_FINDINGS)
        p->out->of[p->out->n++] = (run_finding){level, kind, kept};
    return AS_OK;
}

static bool has_words(as_str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (strchr(" \t\r\n", s.p[i]) == NULL)
            return true;
    return false;
}

/* ---- asking ------------------------------------------------------------------------------------
 */

static void on_done(void *user, const as_request *request, const as_response *r)
{
    (void)request;
    preflight *p = user;
    p->last = (reply){
        .finish = r->finish,
        .error = r->error,
        .http_status = r->http_status,
        .message = as_arena_str(p->keep, r->message),
        .text = as_arena_str(p->keep, r->text),
        .reasoning = as_arena_str(p->keep, r->reasoning),
        .prompt_tokens = r->prompt_tokens,
        .completion_tokens = r->completion_tokens,
        .reasoning_tokens = r->reasoning_tokens,
        .total_ns = r->total_ns,
        .retry_after_ms = r->retry_after_ms,
        .dropped = r->dropped,
        .is_done = true,
    };
    if (!as_str_is_set(p->last.message) || !as_str_is_set(p->last.text) ||
        !as_str_is_set(p->last.reasoning))
        p->keep_code = AS_NOMEM;
}

static bool is_cancelled(const preflight *p)
{
    return p->cancel != NULL && *p->cancel != 0;
}

static as_code cancelled(as_err *err)
{
    return as_fail(err, AS_CANCELLED, "interrupted during the checks before the run");
}

/* One try, to its end. */
static as_code ask_once(preflight *p, const as_request *rq, as_response *judged, as_err *err)
{
    const int64_t give_up_ns = as_now_ns() + (int64_t)ANSWER_LIMIT_S * 1000000000;
    bool has_cancelled = false;
    p->last = (reply){0};
    AS_TRY(p->driver->submit(p->be, rq, err));
    while (!p->last.is_done) {
        if (!has_cancelled && (is_cancelled(p) || as_now_ns() > give_up_ns)) {
            has_cancelled = true;
            p->driver->cancel(p->be);
        }
        AS_TRY(p->driver->poll(p->be, POLL_MS, on_done, p, err));
    }
    if (p->keep_code != AS_OK)
        return as_nomem(err);
    if (is_cancelled(p))
        return cancelled(err);
    as_response_init(judged);
    judged->finish = p->last.finish;
    judged->error = p->last.error;
    judged->http_status = p->last.http_status;
    judged->retry_after_ms = p->last.retry_after_ms;
    if (p->last.finish == AS_FINISH_CANCELLED) {
        p->last.finish = AS_FINISH_ERROR;
        p->last.error = AS_ERROR_TIMEOUT;
        p->last.message = AS_STR("no answer within 15 minutes");
    }
    return AS_OK;
}

static as_code pause_ms(const preflight *p, int64_t ms, as_err *err)
{
    for (; ms > 0; ms -= POLL_MS) {
        if (is_cancelled(p))
            return cancelled(err);
        as_sleep_ns(1000000 * (ms < POLL_MS ? ms : POLL_MS));
    }
    return AS_OK;
}

/* With the run's retries; what cannot get better fails. */
static as_code ask(preflight *p, as_request *rq, reply *out, as_err *err)
{
    enum { MOST_TRIES = 100 };
    db_try failed[MOST_TRIES];
    const run_options *o = p->plan->options;
    const int max = o->max_tries < MOST_TRIES ? o->max_tries : MOST_TRIES;
    for (int n_failed = 0;; n_failed++) {
        as_response judged;
        rq->try_no = n_failed;
        AS_TRY(ask_once(p, rq, &judged, err));
        *out = p->last;
        if (run_decide(&judged, failed, n_failed, max) != RUN_RETRY)
            break;
        failed[n_failed] = (db_try){.error = out->error, .http_status = out->http_status};
        AS_TRY(pause_ms(p, run_wait_ms(rq->seed, n_failed + 1, out->retry_after_ms, o->retry_ms),
                        err));
    }
    const as_str said = as_str_sub(out->message, 0, 200);
    if (out->finish != AS_FINISH_ERROR)
        return AS_OK;
    if (out->error == AS_ERROR_AUTH)
        return as_fail(err, AS_RANGE,
                       "the server refuses the key (or wants one): %.*s; set the right key in the "
                       "environment",
                       AS_ARG(said));
    if (out->error == AS_ERROR_NOT_FOUND)
        return as_fail(err, AS_RANGE,
                       "the server knows no model \"%.*s\" or no such route: %.*s; check the name "
                       "and --base-url",
                       AS_ARG(p->info->model_name), AS_ARG(said));
    if (out->error == AS_ERROR_TRANSPORT)
        return as_fail(err, AS_TIMEOUT, "the backend cannot be reached: %.*s", AS_ARG(said));
    return AS_OK;
}

/* The run's own settings around another question. */
static as_code canary(const preflight *p, const char *name, as_str question, as_message *message,
                      as_request *rq, as_err *err)
{
    AS_TRY(run_request(p->plan, p->task, 0, 0, rq, p->keep, err));
    rq->suite = AS_STR("preflight");
    rq->item = as_str_of(name);
    rq->prefix = AS_STR("");
    rq->prompt = question;
    rq->messages = NULL;
    rq->n_messages = 0;
    rq->ids = NULL;
    rq->n_ids = 0;
    if (rq->is_chat) {
        rq->prompt = AS_STR("");
        *message = (as_message){.role = AS_STR("user"), .text = question};
        rq->messages = message;
        rq->n_messages = 1;
    }
    return AS_OK;
}

/* ---- without a request -------------------------------------------------------------------------
 */

static size_t bytes_of(const as_request *rq)
{
    size_t n = rq->prefix.n + rq->prompt.n;
    for (int i = 0; i < rq->n_messages; i++)
        n += rq->messages[i].text.n;
    return n;
}

typedef struct longest {
    const run_task *task;
    size_t position, bytes;
    int64_t tokens;
    bool is_counted;
} longest;

/* By bytes; where each prompt costs calls to the server, of a spread sample only. */
static as_code find_longest(const preflight *p, const run_task *task, longest *out,
                            as_arena *scratch, as_err *err)
{
    const bool asks = run_can_count(p->be) && task->suite.protocol->max_prompt_tokens > 0;
    const size_t n = asks && task->n_samples > SPREAD_PROMPTS ? SPREAD_PROMPTS : task->n_samples;
    *out = (longest){.task = task};
    for (size_t k = 0; k < n; k++) {
        const size_t position = k * task->n_samples / n;
        const size_t mark = as_arena_mark(scratch);
        as_request rq;
        AS_TRY(run_request(p->plan, task, position, 0, &rq, scratch, err));
        const size_t bytes = bytes_of(&rq);
        as_arena_rewind(scratch, mark);
        if (bytes >= out->bytes) {
            out->bytes = bytes;
            out->position = position;
        }
    }
    return AS_OK;
}

static as_code count_longest(const preflight *p, longest *l, as_arena *scratch, as_err *err)
{
    as_request rq;
    AS_TRY(run_request(p->plan, l->task, l->position, 0, &rq, scratch, err));
    l->tokens = (int64_t)(l->bytes / 3);
    int n = 0;
    if (run_can_count(p->be)) {
        if (p->driver->count_tokens(p->be, &rq, &n, NULL) != AS_OK)
            return AS_OK;
    } else if (p->driver->tokenize != NULL && (p->driver->caps(p->be) & BE_CAN_TOKENIZE) != 0) {
        as_buf b; /* without the template's own tokens: never more than the truth */
        as_buf_init(&b, 0);
        (void)as_buf_add(&b, rq.prefix);
        (void)as_buf_add(&b, rq.prompt);
        for (int i = 0; i < rq.n_messages; i++)
            (void)as_buf_add(&b, rq.messages[i].text);
        int32_t *ids = NULL;
        const as_code c =
            as_buf_ok(&b, NULL) == AS_OK
                ? p->driver->tokenize(p->be, as_buf_str(&b), true, &ids, &n, scratch, NULL)
                : AS_NOMEM;
        as_buf_release(&b);
        if (c != AS_OK)
            return AS_OK;
    } else {
        return AS_OK;
    }
    l->tokens = n;
    l->is_counted = true;
    return AS_OK;
}

static as_code check_context(preflight *p, longest *of_all, as_err *err)
{
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_code c = AS_OK;
    for (int i = 0; c == AS_OK && i < p->plan->n_tasks; i++) {
        const run_task *t = &p->plan->tasks[i];
        longest l;
        c = find_longest(p, t, &l, &scratch, err);
        if (c == AS_OK && t->n_samples > 0)
            c = count_longest(p, &l, &scratch, err);
        as_arena_rewind(&scratch, 0);
        if (c != AS_OK)
            break;
        if (l.tokens > of_all->tokens)
            *of_all = l;
        const int64_t window = p->info->n_ctx;
        const int64_t sum = l.tokens + t->max_tokens;
        if (window <= 0 || sum <= window)
            continue;
        const bool is_sure = l.is_counted || t->max_tokens >= window;
        if (is_sure)
            c = as_fail(err, AS_RANGE,
                        "%s:%s does not fit the server's window: longest prompt %s%lld tokens + "
                        "at most %d for the answer = %lld, the window has %lld; give the server a "
                        "larger one, or ask for less with --max-tokens (--preflight off runs it "
                        "all the same)",
                        t->suite.suite->name, t->suite.protocol->id, l.is_counted ? "" : "about ",
                        (long long)l.tokens, t->max_tokens, (long long)sum, (long long)window);
        else
            c = found(p, RUN_WARN, "context",
                      "%s:%s may not fit the server's window: longest prompt about %lld tokens (an "
                      "estimate: %zu bytes / 3) + at most %d for the answer = %lld, the window has "
                      "%lld; give the server a larger one, or ask for less with --max-tokens",
                      t->suite.suite->name, t->suite.protocol->id, (long long)l.tokens, l.bytes,
                      t->max_tokens, (long long)sum, (long long)window);
    }
    as_arena_release(&scratch);
    return c;
}

static as_code check_identity(preflight *p)
{
    if (p->info->disagreement.n != 0)
        AS_TRY(found(p, RUN_WARN, "endpoints", "%.*s", AS_ARG(p->info->disagreement)));
    if (p->info->model_name.n == 0)
        return found(p, RUN_WARN, "model",
                     "the server does not say which model it serves; name it (-m scheme:NAME), or "
                     "the numbers belong to nobody");
    if (p->info->sha256.n == 0)
        return found(p, RUN_INFO, "model",
                     "the server tells no hash of the weights: this run knows its model by the "
                     "name \"%.*s\" alone; keep the file's hash with the report",
                     AS_ARG(p->info->model_name));
    return AS_OK;
}

/* Case-insensitive for letters of ASCII. */
static bool names_gemma(as_str s)
{
    static const char word[] = "gemma";
    for (size_t i = 0; i + 5 <= s.n; i++) {
        size_t k = 0;
        while (k < 5 && (s.p[i + k] | 0x20) == word[k])
            k++;
        if (k == 5)
            return true;
    }
    return false;
}

/* llama.cpp gives files without a template ChatML's. */
static as_code check_invented_template(preflight *p, const as_request *rq)
{
    static const as_str mark = AS_STR_INIT("<|im_start|>");
    if (!names_gemma(p->info->model_name) && !names_gemma(p->info->architecture))
        return AS_OK;
    bool is_chatml = as_str_find(p->info->json, mark) < p->info->json.n;
    as_str prompt = {0};
    if (!is_chatml && p->driver->render != NULL && (p->driver->caps(p->be) & BE_CAN_RENDER) != 0 &&
        p->driver->render(p->be, rq, &prompt, p->keep, NULL) == AS_OK)
        is_chatml = as_str_find(prompt, mark) < prompt.n;
    if (!is_chatml)
        return AS_OK;
    return found(
        p, RUN_WARN, "template",
        "the server puts \"<|im_start|>\" around the messages of \"%.*s\": that is ChatML, "
        "which it invents for files without a template, and not Gemma's; start it with the "
        "model's own (llama-server: --jinja --chat-template-file)",
        AS_ARG(p->info->model_name));
}

static as_code check_template(preflight *p, const as_request *rq)
{
    if (!rq->is_chat)
        return AS_OK;
    if (p->info->template_sha256.n == 0)
        AS_TRY(found(p, RUN_INFO, "template",
                     "the server does not show its chat template: this run cannot say which one "
                     "made its prompts; keep it with the report"));
    return check_invented_template(p, rq);
}

/* ---- with one request --------------------------------------------------------------------------
 */

static as_code check_answer(preflight *p, const reply *r)
{
    if (r->finish == AS_FINISH_ERROR)
        return found(
            p, RUN_WARN, "failed",
            "\"What is 2 + 2?\" failed with an error (%s): %.*s; expect the run's requests "
            "to fail the same way",
            as_error_kind_name(r->error), AS_ARG(as_str_sub(r->message, 0, 250)));
    if (has_words(r->text))
        return AS_OK;
    if (has_words(r->reasoning))
        return found(p, RUN_WARN, "empty",
                     "the answer to \"What is 2 + 2?\" is empty while %zu bytes lie in its "
                     "reasoning (finish %s); raise --max-tokens, or check the server's reasoning "
                     "parser",
                     r->reasoning.n, as_finish_name(r->finish));
    return found(p, RUN_WARN, "empty",
                 "the answer to \"What is 2 + 2?\" is empty (finish %s, %lld tokens); check the "
                 "server's chat template and stop words",
                 as_finish_name(r->finish), (long long)r->completion_tokens);
}

static as_code check_thinking(preflight *p, const reply *r)
{
    const as_think asked = p->plan->options->think;
    if (r->finish == AS_FINISH_ERROR || asked == AS_THINK_AUTO)
        return AS_OK;
    static const as_str marks[] = {AS_STR_INIT("<|channel>"), AS_STR_INIT("<think>")};
    bool leaks = false;
    for (size_t i = 0; i < 2; i++)
        leaks = leaks || as_str_find(r->text, marks[i]) < r->text.n;
    const bool thought = has_words(r->reasoning) || r->reasoning_tokens > 0 || leaks;
    if (asked == AS_THINK_ON && !thought)
        return found(p, RUN_WARN, "think",
                     "--think on, but the answer to \"What is 2 + 2?\" came without reasoning; the "
                     "server ignores the switch or drops the text: check its reasoning parser, or "
                     "whether the model can think");
    if (asked == AS_THINK_OFF && thought)
        return found(
            p, RUN_WARN, "think",
            "--think off, but the answer to \"What is 2 + 2?\" came with reasoning (%zu "
            "bytes); the server ignores the switch: turn thinking off there (llama-server: "
            "--reasoning-budget 0)",
            r->reasoning.n);
    if (asked == AS_THINK_ON && leaks)
        return found(p, RUN_WARN, "think",
                     "the answer holds the markup of thinking: the server does not tell reasoning "
                     "from answer; turn its reasoning parser on");
    return AS_OK;
}

static bool is_sampled(const run_task *t)
{
    return !(t->sampling.temperature <= 0);
}

/* Only what the run relies on. */
static as_code check_dropped(preflight *p, const as_request *rq, unsigned dropped)
{
    const struct {
        unsigned bit;
        bool matters;
        const char *effect;
    } rows[] = {
        {AS_DROPPED_SEED, is_sampled(p->task), "the same command will not give the same answers"},
        {AS_DROPPED_THINK, rq->think != AS_THINK_AUTO, "thinking is as the server likes"},
        {AS_DROPPED_THINK_BUDGET, rq->reasoning_tokens > 0, "thinking has no limit of its own"},
        {AS_DROPPED_TOP_K, rq->sampling.top_k >= 0, "sampling is not the protocol's"},
        {AS_DROPPED_TOP_P, rq->sampling.top_p >= 0, "sampling is not the protocol's"},
        {AS_DROPPED_MIN_P, rq->sampling.min_p >= 0, "sampling is not the protocol's"},
        {AS_DROPPED_STOP, rq->n_stop > 0, "answers may run on behind their end"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if ((dropped & rows[i].bit) == 0 || !rows[i].matters)
            continue;
        int bit = 0;
        while (rows[i].bit >> bit != 1)
            bit++;
        AS_TRY(found(p, RUN_WARN, "dropped",
                     "the server takes no \"%s\", so it was left out: %s; use a backend that takes "
                     "it, or say so with the result",
                     as_dropped_name(bit), rows[i].effect));
    }
    return AS_OK;
}

static as_code check_time(preflight *p, const reply *r)
{
    if (r->finish == AS_FINISH_ERROR || r->total_ns <= 0)
        return AS_OK;
    int64_t limit = 0;
    for (int i = 0; i < p->plan->n_tasks; i++)
        limit += (int64_t)p->plan->tasks[i].n_samples * p->plan->tasks[i].repeats *
                 p->plan->tasks[i].max_tokens;
    const double seconds = (double)r->total_ns / 1e9;
    const int at_once = p->plan->options->concurrency;
    const double least = seconds * (double)p->plan->n_attempts / at_once / 3600;
    if (r->completion_tokens < 2)
        return found(p, RUN_INFO, "time",
                     "one short request took %.2f s: %lld of them, %d at once, about %.2f hours",
                     seconds, (long long)p->plan->n_attempts, at_once, least);
    const double most = (double)limit * seconds / (double)r->completion_tokens / at_once / 3600;
    return found(p, RUN_INFO, "time",
                 "one request took %.2f s for %lld tokens: %lld like it, %d at once, %.2f hours; "
                 "%.1f hours if every answer used its limit",
                 seconds, (long long)r->completion_tokens, (long long)p->plan->n_attempts, at_once,
                 least, most);
}

static as_code check_one(preflight *p, as_err *err)
{
    as_message message;
    as_request rq;
    reply r;
    const as_str question = p->task->suite.protocol->is_chat
                                ? AS_STR("What is 2 + 2? Answer with the number.")
                                : AS_STR("Question: What is 2 + 2?\nAnswer:");
    AS_TRY(canary(p, "canary", question, &message, &rq, err));
    const int tokens = rq.think == AS_THINK_ON ? CANARY_THINK_TOKENS : CANARY_TOKENS;
    rq.max_tokens = tokens < rq.max_tokens ? tokens : rq.max_tokens;
    AS_TRY(check_template(p, &rq));
    AS_TRY(ask(p, &rq, &r, err));
    AS_TRY(check_answer(p, &r));
    AS_TRY(check_thinking(p, &r));
    AS_TRY(check_dropped(p, &rq, r.dropped));
    return check_time(p, &r);
}

/* ---- with more ---------------------------------------------------------------------------------
 */

/* The same twice, then with another seed, hot enough that chance shows. */
static as_code check_seeds(preflight *p, as_err *err)
{
    static const uint64_t seeds[] = {1234, 1234, 4321};
    reply r[3];
    if (!is_sampled(p->task))
        return AS_OK;
    for (int i = 0; i < 3; i++) {
        as_message message;
        as_request rq;
        AS_TRY(canary(p, "seed", AS_STR("Tell a story in which a number and a town appear."),
                      &message, &rq, err));
        rq.seed = seeds[i];
        rq.sampling = (as_sampling){1, 1, (double)NAN, -1};
        rq.think = rq.think == AS_THINK_ON ? AS_THINK_OFF : rq.think;
        rq.reasoning_tokens = 0;
        rq.max_tokens = SEED_TOKENS;
        AS_TRY(ask(p, &rq, &r[i], err));
        if (r[i].finish == AS_FINISH_ERROR || (r[i].dropped & AS_DROPPED_SEED) != 0)
            return AS_OK; /* said by the other checks */
    }
    if (!as_str_eq(r[0].text, r[1].text) || !as_str_eq(r[0].reasoning, r[1].reasoning))
        return found(
            p, RUN_WARN, "seed",
            "the same request with the same seed gave two answers (\"%.*s\" and \"%.*s\"): "
            "the server does not honour seeds, so the same command will not give the same "
            "answers; use more repeats (-k), or a backend that does",
            AS_ARG(as_str_sub(r[0].text, 0, 40)), AS_ARG(as_str_sub(r[1].text, 0, 40)));
    if (as_str_eq(r[0].text, r[2].text) && as_str_eq(r[0].reasoning, r[2].reasoning))
        return found(
            p, RUN_WARN, "seed",
            "two seeds at temperature 1 gave the same answer (\"%.*s\"): the server samples "
            "with a seed of its own or not at all, so repeats are copies; check its "
            "sampling settings",
            AS_ARG(as_str_sub(r[0].text, 0, 40)));
    return AS_OK;
}

/* Many different words, each at least one token whatever the tokenizer: what it must count. */
static as_code long_text(int words, as_str *out, as_arena *keep, as_err *err)
{
    static const char *const pool[] = {"river", "stone", "cloud", "paper", "green", "north",
                                       "seven", "music", "apple", "house", "light", "winter"};
    enum { POOL = sizeof pool / sizeof pool[0] };
    as_buf b;
    as_buf_init(&b, 1 << 20);
    for (int i = 0; i < words; i++)
        (void)as_buf_printf(&b, "%s%s", i == 0 ? "" : " ", pool[(i * 7 + i / POOL * 5) % POOL]);
    (void)as_buf_add_z(&b, "\n\nSay OK.");
    as_code c = as_buf_ok(&b, err);
    if (c == AS_OK) {
        *out = as_arena_str(keep, as_buf_str(&b));
        c = as_str_is_set(*out) ? AS_OK : as_nomem(err);
    }
    as_buf_release(&b);
    return c;
}

static int words_for(const preflight *p, int64_t longest_tokens)
{
    int64_t words = longest_tokens;
    const int64_t window = p->info->n_ctx;
    if (window > 0 && words > window * 3 / 5) /* a word may be two tokens here and there */
        words = window * 3 / 5;
    return words < MIN_WORDS ? MIN_WORDS : words > MAX_WORDS ? MAX_WORDS : (int)words;
}

static as_code check_truncation(preflight *p, int64_t longest_tokens, as_err *err)
{
    as_message message;
    as_request rq;
    reply r;
    as_str text;
    const int words = words_for(p, longest_tokens);
    if (p->info->n_ctx > 0 && p->info->n_ctx < 2 * MIN_WORDS)
        return AS_OK; /* check_context has done the arithmetic */
    AS_TRY(long_text(words, &text, p->keep, err));
    AS_TRY(canary(p, "long", text, &message, &rq, err));
    rq.max_tokens = LONG_TOKENS;
    rq.think = rq.think == AS_THINK_ON ? AS_THINK_OFF : rq.think;
    rq.reasoning_tokens = 0;
    AS_TRY(ask(p, &rq, &r, err));
    if (r.error == AS_ERROR_CONTEXT)
        return found(
            p, RUN_WARN, "truncation",
            "a prompt of %d words, as long as the plan's longest, does not fit the server's "
            "window (%.*s); give it a larger one",
            words, AS_ARG(as_str_sub(r.message, 0, 200)));
    if (r.finish == AS_FINISH_ERROR)
        return found(p, RUN_WARN, "failed", "a prompt of %d words failed with an error (%s): %.*s",
                     words, as_error_kind_name(r.error), AS_ARG(as_str_sub(r.message, 0, 250)));
    if (r.prompt_tokens < 0)
        return found(p, RUN_INFO, "counts",
                     "the server does not count the prompt's tokens: whether it reads prompts to "
                     "their end cannot be told; check its window yourself");
    if (r.prompt_tokens < (int64_t)words * 9 / 10)
        return found(p, RUN_WARN, "truncation",
                     "the server read %lld tokens of a prompt of %d words, so it cuts long prompts "
                     "without saying so; give it a larger window (Ollama: -M num_ctx=N; others: "
                     "context length per slot)",
                     (long long)r.prompt_tokens, words);
    return AS_OK;
}

/* ---- all ---------------------------------------------------------------------------------------
 */

bool run_preflight_is_due(const run_plan *plan)
{
    const be_driver *driver = plan->options->backend->driver;
    return !driver->is_in_process && plan->n_attempts > FEW_REQUESTS;
}

/* Templates and thinking matter for chats: one of those if there is any. */
static const run_task *task_to_try(const run_plan *plan)
{
    const run_task *first = NULL;
    for (int i = 0; i < plan->n_tasks; i++) {
        const run_task *t = &plan->tasks[i];
        if (t->n_samples != 0 &&
            (first == NULL || (t->suite.protocol->is_chat && !first->suite.protocol->is_chat)))
            first = t;
    }
    return first;
}

as_code run_preflight(const run_plan *plan, const volatile sig_atomic_t *cancel, run_findings *out,
                      as_arena *keep, as_err *err)
{
    be_backend *be = plan->options->backend;
    preflight p = {
        .plan = plan,
        .driver = be->driver,
        .be = be,
        .info = be->driver->info(be),
        .cancel = cancel,
        .err = err,
        .out = out,
        .keep = keep,
        .task = task_to_try(plan),
    };
    *out = (run_findings){0};
    if (p.task == NULL || (be->driver->caps(be) & BE_HAS_ANSWERS) != 0)
        return AS_OK; /* nobody is asked */
    longest l = {0};
    AS_TRY(check_context(&p, &l, err));
    AS_TRY(check_identity(&p));
    AS_TRY(check_one(&p, err));
    AS_TRY(check_seeds(&p, err));
    return check_truncation(&p, l.tokens, err);
}
