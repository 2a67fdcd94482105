/* mock_answer.c — a rule's "reply" and the request's body become tokens, counts and numbers. */
#include <string.h>

#include "base/toymodel.h"
#include "serve/mock_impl.h"

enum { MAX_TOKENS = 1 << 20, MAX_PROMPT_IDS = 1 << 20, MAX_TOP = 1024 };

static int32_t word_id(as_str text)
{
    if (text.n == 1)
        return (int32_t)(unsigned char)text.p[0];
    uint32_t h = 2166136261U; /* FNV-1a */
    for (size_t i = 0; i < text.n; i++)
        h = (h ^ (unsigned char)text.p[i]) * 16777619U;
    return (int32_t)(1000 + h % 200000);
}

/* A word with the blanks in front of it. */
static as_str next_word(as_str *rest)
{
    size_t n = 0;
    while (n < rest->n && (rest->p[n] == ' ' || rest->p[n] == '\n'))
        n++;
    while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\n')
        n++;
    const as_str word = as_str_sub(*rest, 0, n);
    *rest = as_str_sub(*rest, n, rest->n);
    return word;
}

typedef struct list {
    mk_token *tokens;
    int n, cap;
    as_arena *scratch;
} list;

static void add(list *l, as_str text, int32_t id, bool is_reasoning)
{
    if (l->n == l->cap) {
        const int cap = l->cap != 0 ? l->cap * 2 : 32;
        mk_token *more = cap <= MAX_TOKENS ? as_new(l->scratch, mk_token, cap) : NULL;
        if (more == NULL)
            return;
        if (l->n != 0)
            memcpy(more, l->tokens, (size_t)l->n * sizeof *more);
        l->tokens = more;
        l->cap = cap;
    }
    l->tokens[l->n] = (mk_token){.text = text,
                                 .id = id,
                                 .prev = l->n != 0 ? l->tokens[l->n - 1].id : AS_TOY_BOS,
                                 .is_reasoning = is_reasoning};
    l->n++;
}

static void add_words(list *l, const as_json *node, bool is_reasoning)
{
    as_str text;
    if (as_json_type(node) == AS_JSON_ARRAY) {
        for (const as_json *t = as_json_first(node); t != NULL; t = as_json_next(t))
            if (as_json_str(t, &text))
                add(l, text, word_id(text), is_reasoning);
    } else if (as_json_str(node, &text)) {
        while (text.n != 0) {
            const as_str word = next_word(&text);
            add(l, word, word_id(word), is_reasoning);
        }
    }
}

/* "root ::= <[9079]> <[236761]>": the tokens that a llama.cpp grammar forces. */
static void add_forced(list *l, as_str grammar, int32_t prev)
{
    const size_t from = as_str_find(grammar, AS_STR("::="));
    as_str rest = from == SIZE_MAX ? grammar : as_str_sub(grammar, from, grammar.n);
    for (;;) {
        const size_t at = as_str_find(rest, AS_STR("<["));
        if (at == SIZE_MAX)
            return;
        rest = as_str_sub(rest, at + 2, rest.n);
        const size_t end = as_str_find(rest, AS_STR("]>"));
        int64_t id = 0;
        if (end == SIZE_MAX || !as_parse_i64(as_str_sub(rest, 0, end), 0, INT32_MAX, &id))
            return;
        char piece[16];
        const int n = as_toy_piece(piece, (int32_t)id);
        add(l, as_arena_str(l->scratch, (as_str){piece, (size_t)n}), (int32_t)id, false);
        if (l->n == 1)
            l->tokens[0].prev = prev;
    }
}

static int count_ids(const as_json *prompt)
{
    as_str text;
    if (as_json_str(prompt, &text))
        return (int)(text.n < MAX_PROMPT_IDS ? text.n + 1 : MAX_PROMPT_IDS);
    const size_t n = as_json_count(prompt);
    return (int)(n < MAX_PROMPT_IDS ? n : MAX_PROMPT_IDS);
}

int32_t *mk_prompt_ids(const mk_answer *a, const as_json *prompt, int *n)
{
    *n = prompt != NULL ? count_ids(prompt) : 0;
    int32_t *ids = *n != 0 ? as_new(a->scratch, int32_t, *n) : NULL;
    if (ids == NULL) {
        *n = 0;
        return NULL;
    }
    as_str text;
    int i = 0;
    if (as_json_str(prompt, &text)) {
        const bool has_bos = mk_flag(a->body, "add_special_tokens", true);
        if (has_bos)
            ids[i++] = AS_TOY_BOS;
        for (size_t k = 0; k < text.n && i < *n; k++)
            ids[i++] = (unsigned char)text.p[k];
    } else {
        for (const as_json *t = as_json_first(prompt); t != NULL && i < *n; t = as_json_next(t)) {
            int64_t id = 0;
            (void)as_json_i64(t, &id);
            ids[i++] = (int32_t)id;
        }
    }
    *n = i;
    return ids;
}

as_str mk_join(const mk_answer *a, bool reasoning)
{
    size_t n = 0;
    for (int i = 0; i < a->n_tokens; i++)
        n += a->tokens[i].is_reasoning == reasoning ? a->tokens[i].text.n : 0;
    char *all = as_new(a->scratch, char, n + 1);
    if (all == NULL)
        return AS_STR("");
    size_t at = 0;
    for (int i = 0; i < a->n_tokens; i++)
        if (a->tokens[i].is_reasoning == reasoning && a->tokens[i].text.n != 0) {
            memcpy(all + at, a->tokens[i].text.p, a->tokens[i].text.n);
            at += a->tokens[i].text.n;
        }
    return (as_str){all, n};
}

/* Bytes of all strings below: how long the prompt of a chat is, near enough for a count. */
static int64_t text_bytes(const as_json *node)
{
    as_str text;
    if (as_json_str(node, &text))
        return (int64_t)text.n;
    int64_t n = 0;
    for (const as_json *m = as_json_first(node); m != NULL; m = as_json_next(m))
        n += text_bytes(m);
    return n;
}

static void read_request(mk_answer *a)
{
    const as_str path = a->head->path;
    const bool is_ollama =
        as_str_starts(path, AS_STR("/api/chat")) || as_str_starts(path, AS_STR("/api/generate"));
    a->is_stream = mk_flag(a->body, "stream", is_ollama);
    a->wants_stream_usage = mk_flag(as_json_get(a->body, "stream_options"), "include_usage", false);
    const as_json *logprobs = as_json_get(a->body, "logprobs");
    bool on = false;
    double n = 0;
    if (as_json_bool(logprobs, &on))
        n = on ? mk_number(a->body, "top_logprobs", 0) : 0;
    else if (as_json_f64(logprobs, &n))
        on = true;
    if (as_json_get(a->body, "n_probs") != NULL) {
        n = mk_number(a->body, "n_probs", 0);
        on = n > 0;
    }
    a->wants_logprobs = on || mk_flag(a->reply, "logprobs", false);
    a->top = n < 0 ? 0 : n > MAX_TOP ? MAX_TOP : (int)n;
}

static void count(mk_answer *a)
{
    static const char *const prompts[] = {"messages", "prompt", "contents", "input", "content"};
    const as_json *usage = as_json_get(a->reply, "usage");
    bool on = true;
    a->has_usage = !(as_json_bool(usage, &on) && !on);
    int64_t bytes = 0;
    for (size_t i = 0; i < sizeof prompts / sizeof prompts[0] && bytes == 0; i++) {
        const as_json *prompt = as_json_get(a->body, prompts[i]);
        as_str text;
        int n = 0;
        if (as_json_str(prompt, &text) || as_json_type(as_json_first(prompt)) == AS_JSON_NUMBER) {
            (void)mk_prompt_ids(a, prompt, &n);
            bytes = n;
        } else {
            bytes = text_bytes(prompt);
        }
    }
    int64_t reasoning = 0;
    for (int i = 0; i < a->n_tokens; i++)
        reasoning += a->tokens[i].is_reasoning ? 1 : 0;
    a->prompt_tokens = (int64_t)mk_number(usage, "prompt", (double)bytes);
    a->completion_tokens = (int64_t)mk_number(usage, "completion", a->n_tokens);
    a->reasoning_tokens = (int64_t)mk_number(usage, "reasoning", (double)reasoning);
    a->cached_tokens = (int64_t)mk_number(usage, "cached", 0);
}

static void limit(mk_answer *a)
{
    static const char *const names[] = {"max_tokens", "max_completion_tokens", "n_predict"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const double max = mk_number(a->body, names[i], -1);
        if (max >= 0 && max < a->n_tokens) {
            a->n_tokens = (int)max;
            a->finish = "length";
        }
    }
    const double ollama = mk_number(as_json_get(a->body, "options"), "num_predict", -1);
    if (ollama >= 0 && ollama < a->n_tokens) {
        a->n_tokens = (int)ollama;
        a->finish = "length";
    }
}

void mk_answer_make(mk_answer *a, mk_rule *rule, const mk_fault *fault)
{
    a->reply = rule->reply;
    a->times = rule->times;
    a->model = mk_text(a->body, "model", a->script->model.p);
    a->model = mk_text(a->reply, "model", a->model.p);
    a->reasoning_field = mk_text(a->reply, "reasoning_field", "reasoning_content");
    a->finish = mk_text(a->reply, "finish", "stop").p;
    list l = {.scratch = a->scratch};
    const as_str grammar = mk_text(a->body, "grammar", "");
    if (as_str_find(grammar, AS_STR("<[")) != SIZE_MAX) {
        int n = 0;
        const int32_t *ids = mk_prompt_ids(a, as_json_get(a->body, "prompt"), &n);
        add_forced(&l, grammar, n != 0 ? ids[n - 1] : AS_TOY_BOS);
        a->finish = "length";
    } else {
        add_words(&l, as_json_get(a->reply, "reasoning"), true);
        if (fault->bad_utf8)
            add(&l, AS_STR("\x01\x01"), 1, false);
        const int times = (int)mk_number(a->reply, "repeat", 1);
        const as_json *tokens = as_json_get(a->reply, "tokens");
        const as_json *text = tokens != NULL ? tokens : as_json_get(a->reply, "text");
        for (int i = 0; i < times && l.n < MAX_TOKENS; i++)
            add_words(&l, text, false);
        if (a->reply == NULL)
            add(&l, AS_STR("ok"), word_id(AS_STR("ok")), false);
    }
    a->tokens = l.tokens;
    a->n_tokens = l.n;
    limit(a);
    read_request(a);
    count(a);
}
