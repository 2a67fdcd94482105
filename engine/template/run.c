/*
 * run.c — one rendering from its request to its text: errors, limits, memory.
 */
#include "engine/template/impl.h"

#include "base/time.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>

static const tp_limits default_limits = {
    .max_steps = 50000000,
    .max_out_bytes = (size_t)16 << 20,
    .max_memory_bytes = (size_t)512 << 20,
    .max_depth = 1200,
};

bool(tp_raise)(tp_run *r, const char *kind, const char *fmt, ...)
{
    if (r->has_failed)
        return false;
    r->has_failed = true;
    r->code = AS_RANGE;
    char text[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    const as_str cut = as_utf8_cut(as_str_of(text), sizeof r->failure.message - 1);
    memcpy(r->failure.message, cut.p, cut.n);
    r->failure.message[cut.n] = '\0';
    (void)snprintf(r->failure.kind, sizeof r->failure.kind, "%s", kind);
    r->failure.line = r->line;
    return false;
}

bool tp_raise_nomem(tp_run *r)
{
    (void)tp_raise(r, "LimitError", "the rendering needs more memory than allowed (%zu MiB)",
                   r->limits.max_memory_bytes >> 20);
    r->code = AS_NOMEM;
    return false;
}

bool tp_step(tp_run *r, size_t n)
{
    r->steps += n;
    if (r->steps <= r->limits.max_steps)
        return true;
    return tp_raise(r, "LimitError", "the template takes more than %llu steps",
                    (unsigned long long)r->limits.max_steps);
}

void *tp_alloc(tp_run *r, size_t n, size_t size)
{
    void *p = as_arena_alloc_n(r->arena, n, size, 16);
    if (p == NULL)
        (void)tp_raise_nomem(r);
    return p;
}

bool tp_emit(tp_run *r, as_str text)
{
    if (!tp_step(r, text.n / 64))
        return false;
    if (text.n > 0 && as_buf_add(&r->out, text) != AS_OK)
        return tp_raise(r, "LimitError", "the text grows beyond %zu bytes",
                        r->limits.max_out_bytes);
    return true;
}

bool tp_enter(tp_run *r)
{
    if (++r->depth <= r->limits.max_depth)
        return true;
    return tp_raise(r, "RecursionError", "nested more than %d levels deep", r->limits.max_depth);
}

void tp_leave(tp_run *r)
{
    r->depth--;
}

static tp_limits with_defaults(const tp_options *options)
{
    tp_limits l = options != NULL ? options->limits : (tp_limits){0};
    if (l.max_steps == 0)
        l.max_steps = default_limits.max_steps;
    if (l.max_out_bytes == 0)
        l.max_out_bytes = default_limits.max_out_bytes;
    if (l.max_memory_bytes == 0)
        l.max_memory_bytes = default_limits.max_memory_bytes;
    if (l.max_depth <= 0 || l.max_depth > default_limits.max_depth)
        l.max_depth = default_limits.max_depth;
    return l;
}

typedef bool make_context_fn(tp_run *r, as_str json, const tp_dict **out);

static bool whole_context(tp_run *r, as_str json, const tp_dict **out)
{
    tp_value v;
    if (!tp_from_json(r, json, &v))
        return false;
    if (v.kind != TP_DICT)
        return tp_raise(r, "ValueError", "the variables must be a JSON object, found %s",
                        tp_type_name(v));
    *out = v.u.dict;
    return true;
}

static bool member(tp_run *r, const tp_dict *from, const char *name, bool is_list, tp_value *out)
{
    *out = tp_dict_find(from, as_str_of(name));
    if (out->kind == TP_MISSING || out->kind == TP_NONE) {
        *out = tp_none;
        return true;
    }
    if (is_list ? out->kind != TP_LIST : out->kind != TP_DICT)
        return tp_raise(r, "ValueError", "\"%s\": want %s, found %s", name,
                        is_list ? "a list" : "an object", tp_type_name(*out));
    return true;
}

static bool put(tp_run *r, tp_dict *d, const char *name, tp_value v)
{
    tp_value key;
    return tp_text_of(r, as_str_of(name), &key) && tp_dict_set(r, d, key, v);
}

/* A message that brings its reasoning under one of three names has it under the two that templates
 * read: "thinking" (in front) and "reasoning_content" (behind), unless they are there. */
static bool name_reasoning(tp_run *r, tp_value *message)
{
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    tp_value reasoning = tp_missing, v;
    tp_dict *d = NULL;
    if (message->kind != TP_DICT)
        return true;
    for (int i = 2; i >= 0; i--) {
        v = tp_dict_find(message->u.dict, as_str_of(names[i]));
        if (v.kind != TP_MISSING && v.kind != TP_NONE)
            reasoning = v;
    }
    if (reasoning.kind == TP_MISSING)
        return true;
    if (!tp_dict_new(r, &d, &v) || !put(r, d, "thinking", reasoning) ||
        !tp_dict_merge(r, d, *message) || !put(r, d, "reasoning_content", reasoning))
        return false;
    *message = v;
    return true;
}

static bool name_all_reasoning(tp_run *r, tp_value *messages)
{
    tp_list *l = NULL;
    const tp_list *from = messages->u.list;
    if (messages->kind != TP_LIST)
        return true;
    if (!tp_list_new(r, TP_LIST, from->n, &l, messages))
        return false;
    for (size_t i = 0; i < l->n; i++) {
        l->v[i] = from->v[i];
        if (!name_reasoning(r, &l->v[i]))
            return false;
    }
    return true;
}

/* As apply_chat_template calls: messages, tools, documents, add_generation_prompt, then the rest. */
static bool request_context(tp_run *r, as_str json, const tp_dict **out)
{
    const tp_dict *request = NULL;
    tp_dict *d = NULL;
    tp_value v, vars;
    if (!whole_context(r, json, &request) || !tp_dict_new(r, &d, &v) ||
        !member(r, request, "vars", false, &vars))
        return false;
    if ((as_str_is_set(r->bos_token) &&
         (!tp_text_of(r, r->bos_token, &v) || !put(r, d, "bos_token", v))) ||
        (as_str_is_set(r->eos_token) &&
         (!tp_text_of(r, r->eos_token, &v) || !put(r, d, "eos_token", v))))
        return false;
    if (vars.kind == TP_DICT && !tp_dict_merge(r, d, vars))
        return false;
    static const char *const names[] = {"messages", "tools", "documents"};
    for (int i = 0; i < 3; i++) {
        if (!member(r, request, names[i], true, &v) || (i == 0 && !name_all_reasoning(r, &v)))
            return false;
        const bool is_given = tp_dict_find(d, as_str_of(names[i])).kind != TP_MISSING;
        if ((v.kind != TP_NONE || !is_given) && !put(r, d, names[i], v))
            return false;
    }
    v = tp_dict_find(request, AS_STR("add_generation_prompt"));
    *out = d;
    return put(r, d, "add_generation_prompt", v.kind == TP_MISSING ? tp_bool(false) : v);
}

static bool run_template(tp_run *r, const tp_template *t, make_context_fn *make, as_str json)
{
    if (!make(r, json, &r->context))
        return false;
    r->root = tp_scope_new(r, NULL);
    return r->root != NULL && tp_exec(r, r->root, t->root) != TP_FLOW_FAIL;
}

static as_code report(tp_run *r, tp_failure *failure, as_err *err)
{
    if (failure != NULL)
        *failure = r->failure;
    if (r->failure.line == 0)
        return as_fail(err, r->code, "%s: %s", r->failure.kind, r->failure.message);
    return as_fail(err, r->code, "line %d: %s: %s", r->failure.line, r->failure.kind,
                   r->failure.message);
}

static as_code render(const tp_template *t, make_context_fn *make, as_str json,
                      const tp_options *options, as_buf *out, tp_failure *failure, as_err *err)
{
    as_arena arena;
    tp_run r = {.arena = &arena, .limits = with_defaults(options), .captured = tp_none};
    if (options != NULL) {
        r.now_ns = options->now_ns;
        r.bos_token = options->bos_token;
        r.eos_token = options->eos_token;
    }
    as_arena_init(&arena, r.limits.max_memory_bytes);
    as_buf_init(&r.out, r.limits.max_out_bytes);
    as_code c = AS_OK;
    if (!run_template(&r, t, make, json))
        c = report(&r, failure, err);
    else if (r.out.n > 0 && as_buf_add(out, as_buf_str(&r.out)) != AS_OK)
        c = as_buf_ok(out, err);
    as_buf_release(&r.out);
    as_arena_release(&arena);
    return c;
}

as_code tp_render(const tp_template *t, as_str context_json, const tp_options *options, as_buf *out,
                  tp_failure *failure, as_err *err)
{
    return render(t, whole_context, context_json, options, out, failure, err);
}

as_code tp_render_chat(const tp_template *t, as_str request_json, const tp_options *options,
                       as_buf *out, tp_failure *failure, as_err *err)
{
    return render(t, request_context, request_json, options, out, failure, err);
}

static void write_failure(as_jw *out, const tp_failure *f)
{
    as_buf sentence;
    as_buf_init(&sentence, 0);
    if (f->line > 0)
        (void)as_buf_printf(&sentence, "%s: %s (line %d of the template)", f->kind, f->message,
                            f->line);
    else
        (void)as_buf_printf(&sentence, "%s: %s", f->kind, f->message);
    as_jw_put_str(out, "error", as_buf_str(&sentence));
    as_jw_put_z(out, "kind", f->kind);
    as_jw_put_z(out, "message", f->message);
    as_jw_put_i64(out, "line", f->line);
    as_buf_release(&sentence);
}

as_code tp_render_request(const tp_template *t, as_str request_json, const tp_options *options,
                          as_jw *out, as_err *err)
{
    as_buf text;
    as_buf_init(&text, with_defaults(options).max_out_bytes);
    tp_failure failure = {.line = 0};
    const as_code c = render(t, request_context, request_json, options, &text, &failure, NULL);
    as_jw_begin_object(out);
    if (c == AS_OK)
        as_jw_put_str(out, "text", as_buf_str(&text));
    else
        write_failure(out, &failure);
    as_jw_end_object(out);
    as_buf_release(&text);
    return as_buf_ok(out->out, err);
}
