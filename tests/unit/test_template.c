/* test_template.c — chat templates against recordings of the original, limits, built-ins, the
 * thinking channel. The path of a cases file as argument compares that file instead. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/jsonl.h"
#include "engine/template/template.h"
#include "unit/cm.h"

static const char *cases_path; /* from the command line */

static const char *fixture(as_arena *a, const char *name)
{
    const char *root = getenv("AS_FIXTURES");
    const char *dir = as_path_join(a, root != NULL ? root : "tests/fixtures", "template");
    return as_path_join(a, dir, name);
}

static tp_template *parse(as_str source)
{
    tp_template *t = NULL;
    as_err err = {0};
    if (tp_parse(&t, source, &err) != AS_OK)
        fail_msg("%.*s: %s", AS_ARG(source), err.text);
    return t;
}

static as_str member(const as_json *line, const char *key)
{
    as_str s = {NULL, 0};
    (void)as_json_str(as_json_get(line, key), &s);
    return s;
}

/* What the answer to a request says, as a tree to be freed. */
static as_json *answer(const tp_template *t, as_str request)
{
    as_buf out;
    as_jw w;
    as_err err = {0};
    as_json *tree = NULL;
    as_buf_init(&out, 0);
    as_jw_init(&w, &out);
    assert_int_equal(tp_render_request(t, request, NULL, &w, &err), AS_OK);
    assert_int_equal(as_json_parse(&tree, as_buf_str(&out), &err), AS_OK);
    as_buf_release(&out);
    return tree;
}

/* ---- recordings ------------------------------------------------------------------------------ */

typedef struct tally {
    int n, n_errors, n_wrong;
} tally;

static void compare(tally *sum, const char *name, as_str want, as_str want_error, as_str text,
                    as_str error)
{
    sum->n++;
    sum->n_errors += want_error.p != NULL;
    const bool is_ok =
        want_error.p != NULL ? error.p != NULL : error.p == NULL && as_str_eq(text, want);
    if (is_ok)
        return;
    sum->n_wrong++;
    print_error("%s\n  got  %.*s%.*s\n  want %.*s%.*s\n", name, AS_ARG(text), AS_ARG(error),
                AS_ARG(want), AS_ARG(want_error));
}

static void check_request(tally *sum, const tp_template *t, const char *name, as_str line)
{
    as_json *tree = NULL;
    assert_int_equal(as_json_parse(&tree, line, NULL), AS_OK);
    as_json *got = answer(t, line); /* members it does not know are ignored */
    as_str want_error = member(tree, "error");
    compare(sum, name, member(tree, "text"), want_error, member(got, "text"), member(got, "error"));
    if (as_str_eq_z(want_error, "TemplateError")) {
        assert_true(as_str_eq(member(got, "kind"), want_error));
        assert_true(as_str_eq(member(got, "message"), member(tree, "message")));
    }
    as_json_free(got);
    as_json_free(tree);
}

static tp_template *load(as_arena *a, as_str name)
{
    as_buf source;
    as_err err = {0};
    as_buf_init(&source, 0);
    const as_str file = as_arena_printf(a, "templates/%.*s.jinja", AS_ARG(name));
    if (as_read_file(&source, fixture(a, file.p), &err) != AS_OK)
        fail_msg("%s", err.text);
    tp_template *t = parse(as_buf_str(&source));
    as_buf_release(&source);
    return t;
}

static void renderings_of_many_families_are_equal(void **state)
{
    (void)state;
    as_arena a;
    as_jsonl *in = NULL;
    as_err err = {0};
    tally sum = {0};
    as_arena_init(&a, 0);
    assert_int_equal(as_jsonl_open(&in, fixture(&a, "renderings.jsonl.gz"), 0, &err), AS_OK);
    for (;;) {
        as_str line;
        bool is_end = false;
        assert_int_equal(as_jsonl_next_text(in, &line, &is_end, &err), AS_OK);
        if (is_end)
            break;
        as_json *tree = NULL;
        assert_int_equal(as_json_parse(&tree, line, &err), AS_OK);
        tp_template *t = load(&a, member(tree, "template"));
        const as_str name = as_arena_printf(&a, "%.*s: %.*s", AS_ARG(member(tree, "template")),
                                            AS_ARG(member(tree, "case")));
        check_request(&sum, t, name.p, line);
        tp_free(t);
        as_json_free(tree);
    }
    as_jsonl_close(in);
    as_arena_release(&a);
    assert_int_equal(sum.n, 528);
    assert_int_equal(sum.n_wrong, 0);
}

static void check_case(tally *sum, const as_json *line)
{
    tp_template *t = NULL;
    as_buf out;
    as_err err = {0};
    const as_str source = member(line, "source");
    as_buf_init(&out, 0);
    as_code c = tp_parse(&t, source, &err);
    if (c == AS_OK)
        c = tp_render(t, member(line, "context"), NULL, &out, NULL, &err);
    if (c != AS_OK)
        assert_true(strncmp(err.text, "line ", 5) == 0);
    char name[200];
    (void)snprintf(name, sizeof name, "%.*s", AS_ARG(source));
    compare(sum, name, member(line, "text"), member(line, "error"), as_buf_str(&out),
            c == AS_OK ? (as_str){NULL, 0} : as_str_of(err.text));
    as_buf_release(&out);
    tp_free(t);
}

static void small_templates_do_what_python_does(void **state)
{
    (void)state;
    as_arena a;
    as_jsonl *in = NULL;
    as_err err = {0};
    tally sum = {0};
    as_arena_init(&a, 0);
    const char *path = cases_path != NULL ? cases_path : fixture(&a, "cases.jsonl.gz");
    assert_int_equal(as_jsonl_open(&in, path, 0, &err), AS_OK);
    for (;;) {
        as_json *line = NULL;
        assert_int_equal(as_jsonl_next(in, &line, &err), AS_OK);
        if (line == NULL)
            break;
        check_case(&sum, line);
        as_json_free(line);
    }
    as_jsonl_close(in);
    as_arena_release(&a);
    print_message("%d cases, %d of them refused by Python, %d differ\n", sum.n, sum.n_errors,
                  sum.n_wrong);
    assert_true(sum.n > 1000 || cases_path != NULL);
    assert_int_equal(sum.n_wrong, 0);
}

/* ---- errors and limits ----------------------------------------------------------------------- */

static void failures_are_told_with_class_line_and_words(void **state)
{
    (void)state;
    static const struct {
        const char *source, *kind, *message;
        int line;
    } rows[] = {
        {"a\n{{ raise_exception('no \"system\" here') }}", "TemplateError", "no \"system\" here",
         2},
        {"{{ x.y }}", "UndefinedError", "'x' is undefined", 1},
        {"\n\n{{ d.x.y }}", "UndefinedError", "'dict object' has no attribute 'x'", 3},
        {"{{ [].append(1) }}", "SecurityError",
         "access to attribute 'append' of 'list' object is unsafe.", 1},
        {"{{ 'a' + 1 }}", "TypeError", "can only concatenate str (not \"int\") to str", 1},
        {"{{ 9223372036854775807 + 1 }}", "OverflowError", "an integer has more than 64 bits", 1},
        {"{{ range(100001) }}", "OverflowError",
         "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        as_buf out;
        tp_failure f = {.line = 0};
        as_buf_init(&out, 0);
        assert_int_equal(as_buf_add_z(&out, "before"), AS_OK);
        tp_template *t = parse(as_str_of(rows[i].source));
        assert_int_not_equal(tp_render(t, AS_STR("{\"d\":{}}"), NULL, &out, &f, NULL), AS_OK);
        assert_string_equal(f.kind, rows[i].kind);
        assert_string_equal(f.message, rows[i].message);
        assert_int_equal(f.line, rows[i].line);
        assert_string_equal(out.p, "before");
        tp_free(t);
        as_buf_release(&out);
    }
}

static void hostile_templates_end(void **state)
{
    (void)state;
    static const struct {
        const char *why, *source;
    } rows[] = {
        {"loops in loops", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
                           "{% endfor %}"},
        {"a long string", "{{ 'x' * 99999999999 }}"},
        {"a growing string", "{% set n = namespace(s='x') %}{% for i in range(99999) %}"
                             "{% set n.s = n.s + n.s %}{% endfor %}"},
        {"much text", "{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}"},
        {"a long list", "{{ [1] * 9999999999 }}"},
        {"a growing list", "{% set n = namespace(l=[1]) %}{% for i in range(99) %}"
                           "{% set n.l = n.l + n.l %}{% endfor %}"},
        {"a macro that calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"},
        {"a namespace inside itself", "{% set n = namespace() %}{% set n.n = n %}{{ n }}"},
        {"itself as JSON", "{% set n = namespace() %}{% set n.n = n %}{{ n | tojson }}"},
        {"a wide format", "{{ '%999999999d' % 1 }}{{ '{:999999999}'.format(1) }}"},
        {"padding", "{{ 'x'.center(9999999999) }}"},
        {"tabs", "{{ '\\t'.expandtabs(9999999999) }}"},
        {"wide JSON", "{{ [[1]] | tojson(indent=999999999) }}"},
        {"replacing", "{{ ('a' * 9999999) | replace('a', 'b' * 9999) }}"},
        {"a batch", "{{ [1] | batch(99999999999, 1) | list }}"},
        {"slices", "{{ [1] | slice(99999999999) | list }}"},
        {"a generator of itself", "{% set n = namespace() %}{% set n.g = [1] | map('string') %}"
                                  "{% for i in range(2000) %}{% set n.g = n.g | map('string') %}"
                                  "{% endfor %}{{ n.g | list }}"},
    };
    const tp_options options = {.limits = {.max_steps = 3000000, .max_memory_bytes = 64 << 20}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        as_buf out;
        as_err err = {0};
        as_buf_init(&out, 0);
        tp_template *t = parse(as_str_of(rows[i].source));
        if (tp_render(t, AS_STR("{}"), &options, &out, NULL, &err) == AS_OK)
            fail_msg("%s: not refused", rows[i].why);
        assert_int_equal(out.n, 0);
        tp_free(t);
        as_buf_release(&out);
    }
}

static void repeat(as_buf *b, const char *z, int n)
{
    for (int i = 0; i < n; i++)
        assert_int_equal(as_buf_add_z(b, z), AS_OK);
}

static void deep_templates_are_refused_or_run(void **state)
{
    (void)state;
    static const char *const parts[][3] = {
        {"{{ ", "(", "1"},
        {"{{ 1", " + 1", " }}"},
        {"{{ ", "-", "1 }}"},
        {"{{ ", "not ", "1 }}"},
        {"{{ x", ".y", " }}"},
        {"{{ 1", "|abs", " }}"},
        {"", "{% if true %}", "x"},
        {"{{ ", "[", ""},
        {"{{ 1", " if 1 else 1", " }}"},
        {"{{ 1", " and 1", " }}"},
        {"", "{% for x in [1] %}", ""},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        as_buf b, out;
        tp_template *t = NULL;
        as_buf_init(&b, 0);
        as_buf_init(&out, 0);
        repeat(&b, parts[i][0], 1);
        repeat(&b, parts[i][1], 30000);
        repeat(&b, parts[i][2], 1);
        as_err err = {0};
        if (tp_parse(&t, as_buf_str(&b), &err) == AS_OK)
            (void)tp_render(t, AS_STR("{\"x\":1}"), NULL, &out, NULL, NULL);
        else
            assert_true(strncmp(err.text, "line ", 5) == 0);
        tp_free(t);
        as_buf_release(&b);
        as_buf_release(&out);
    }
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const as_str source =
        AS_STR("{% macro m(a, b=1) %}{{ a ~ b }}{% endmacro %}{% for x in l | sort %}{{ m(x) }}"
               "{% endfor %}{{ l | map('string') | join(',') }}{{ {'k': l} | tojson }}");
    for (size_t n = 1;; n++) {
        tp_template *t = NULL;
        as_buf out;
        as_err err = {0};
        as_buf_init(&out, 0);
        as_arena_fail_after(n);
        as_code c = tp_parse(&t, source, &err);
        if (c == AS_OK)
            c = tp_render(t, AS_STR("{\"l\":[2,1]}"), NULL, &out, NULL, &err);
        as_arena_fail_after(0);
        tp_free(t);
        const bool is_done = c == AS_OK;
        if (is_done)
            assert_string_equal(out.p, "11212,1{\"k\": [2, 1]}");
        else
            assert_true(out.n == 0 && err.text[0] != '\0');
        as_buf_release(&out);
        if (is_done)
            return;
        assert_true(n < 5000);
    }
}

static void dates_are_shown_for_the_given_time(void **state)
{
    (void)state;
    as_buf out;
    as_buf_init(&out, 0);
    const tp_options options = {.now_ns = INT64_C(1767225599123456000)};
    tp_template *t =
        parse(AS_STR("{{ strftime_now('%d %b %Y, %A %H:%M:%S.%f %-d %j %p %I %y %%') }}"));
    assert_int_equal(tp_render(t, AS_STR("{}"), &options, &out, NULL, NULL), AS_OK);
    assert_string_equal(out.p, "31 Dec 2025, Wednesday 23:59:59.123456 31 365 PM 11 25 %");
    tp_free(t);
    as_buf_release(&out);
}

static void numbers_and_order_come_as_they_were_written(void **state)
{
    (void)state;
    tp_template *t = parse(AS_STR("{{ messages[0].content | tojson }}{{ x }}"));
    as_json *got =
        answer(t, AS_STR("{\"messages\":[{\"role\":\"user\",\"content\":{\"z\":1.0,\"a\":1,"
                         "\"z\":2.50,\"big\":9007199254740993,\"e\":1e3}}],\"vars\":{\"x\":7}}"));
    assert_true(as_str_eq_z(member(got, "text"),
                            "{\"z\": 2.5, \"a\": 1, \"big\": 9007199254740993, \"e\": 1000.0}7"));
    as_json_free(got);
    got = answer(t, AS_STR("{\"messages\":5}"));
    assert_true(as_str_eq_z(member(got, "kind"), "ValueError"));
    as_json_free(got);
    got = answer(t, AS_STR("{\"messages\":"));
    assert_true(as_str_is_set(member(got, "error")));
    as_json_free(got);
    tp_free(t);
}

/* ---- built-in templates ---------------------------------------------------------------------- */

static tp_template *builtin(tp_builtin which)
{
    as_buf source;
    as_buf_init(&source, 0);
    assert_int_equal(tp_builtin_source(which, &source, NULL), AS_OK);
    tp_template *t = parse(as_buf_str(&source));
    as_buf_release(&source);
    return t;
}

static void gemma3_is_rendered_without_a_file_template(void **state)
{
    (void)state;
    as_arena a;
    as_jsonl *in = NULL;
    as_err err = {0};
    tally sum = {0};
    as_arena_init(&a, 0);
    tp_template *t = builtin(TP_GEMMA3);
    assert_int_equal(as_jsonl_open(&in, fixture(&a, "gemma3_chat.jsonl"), 0, &err), AS_OK);
    for (bool is_end = false;;) {
        as_str line;
        assert_int_equal(as_jsonl_next_text(in, &line, &is_end, &err), AS_OK);
        if (is_end)
            break;
        check_request(&sum, t, "gemma3", line);
    }
    as_jsonl_close(in);
    as_arena_release(&a);
    tp_free(t);
    assert_int_equal(sum.n, 15);
    assert_int_equal(sum.n_errors, 2);
    assert_int_equal(sum.n_wrong, 0);
}

#define SIMPLE "{\"role\":\"user\",\"content\":\"What is 2+2?\"}"
#define CALL(extra)                                                                                \
    "{\"role\":\"user\",\"content\":\"Weather in Paris?\"},{\"role\":\"assistant\"," extra         \
    "\"tool_calls\":[{\"id\":\"1\",\"function\":{\"name\":\"get_weather\",\"arguments\":{"
#define RESULT "}}}]},{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"18C\"}"
#define TOOL                                                                                       \
    "[{\"function\":{\"name\":\"get_weather\",\"description\":\"Get weather\",\"parameters\":{"    \
    "\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"description\":\"City\"}}" \
    ","                                                                                            \
    "\"required\":[\"city\"]}}}]"

/* The worked renderings of the specification's section 4.6. */
static const struct {
    const char *why, *messages, *tools, *vars, *text;
    bool is_closed; /* the large template adds its empty thinking block */
} gemma4_rows[] = {
    {"user only", SIMPLE, "null", "{}", "<bos><|turn>user\nWhat is 2+2?<turn|>\n<|turn>model\n",
     true},
    {"system and thinking",
     "{\"role\":\"system\",\"content\":\"You are a helpful assistant.\"}," SIMPLE, "null",
     "{\"enable_thinking\":true}",
     "<bos><|turn>system\n<|think|>\nYou are a helpful assistant.<turn|>\n<|turn>user\nWhat is "
     "2+2?<turn|>\n<|turn>model\n",
     false},
    {"thinking alone", SIMPLE, "null", "{\"enable_thinking\":true}",
     "<bos><|turn>system\n<|think|>\n<turn|>\n<|turn>user\nWhat is 2+2?<turn|>\n<|turn>model\n",
     false},
    {"earlier thoughts are dropped",
     "{\"role\":\"system\",\"content\":\"  Be brief.\\n\"},{\"role\":\"user\",\"content\":\"Hi\"},"
     "{\"role\":\"assistant\",\"content\":\"<|channel>thought\\nGreeting.\\n<channel|>Hello!\"},"
     "{\"role\":\"user\",\"content\":\" Bye \"}",
     "null", "{}",
     "<bos><|turn>system\nBe brief.<turn|>\n<|turn>user\nHi<turn|>\n<|turn>model\nHello!<turn|>\n"
     "<|turn>user\nBye<turn|>\n<|turn>model\n",
     true},
    {"a tool is asked",
     CALL("\"reasoning\":\"need tool\",") "\"city\":\"Paris\",\"n\":3,\"b\":true" RESULT, TOOL,
     "{}",
     "<bos><|turn>system\n<|tool>declaration:get_weather{description:<|\"|>Get "
     "weather<|\"|>,parameters:{properties:{city:{description:<|\"|>City<|\"|>,type:<|\"|>STRING<|"
     "\"|>}},required:[<|\"|>city<|\"|>],type:<|\"|>OBJECT<|\"|>}}<tool|><turn|>\n<|turn>user\n"
     "Weather in Paris?<turn|>\n<|turn>model\n<|channel>thought\nneed tool\n<channel|>"
     "<|tool_call>call:get_weather{b:true,city:<|\"|>Paris<|\"|>,n:3}<tool_call|>"
     "<|tool_response>response:get_weather{value:<|\"|>18C<|\"|>}<tool_response|>",
     false},
    {"a finished exchange",
     CALL("") "\"city\":\"Paris\"" RESULT ",{\"role\":\"assistant\",\"content\":\"It is 18C.\"},"
              "{\"role\":\"user\",\"content\":\"Thanks\"}",
     "null", "{}",
     "<bos><|turn>user\nWeather in Paris?<turn|>\n<|turn>model\n<|tool_call>call:get_weather{city:"
     "<|\"|>Paris<|\"|>}<tool_call|><|tool_response>response:get_weather{value:<|\"|>18C<|\"|>}"
     "<tool_response|>It is 18C.<turn|>\n<|turn>user\nThanks<turn|>\n<|turn>model\n",
     true},
    {"an image",
     "{\"role\":\"user\",\"content\":[{\"type\":\"image\"},{\"type\":\"text\",\"text\":"
     "\"Describe.\"}]}",
     "null", "{}", "<bos><|turn>user\n<|image|>Describe.<turn|>\n<|turn>model\n", true},
};

static void gemma4_is_rendered_without_a_file_template(void **state)
{
    (void)state;
    as_arena a;
    tally sum = {0};
    as_arena_init(&a, 0);
    for (int large = 0; large < 2; large++) {
        tp_template *t = builtin(large ? TP_GEMMA4_LARGE : TP_GEMMA4_SMALL);
        for (size_t i = 0; i < sizeof gemma4_rows / sizeof gemma4_rows[0]; i++) {
            const as_str request = as_arena_printf(
                &a, "{\"messages\":[%s],\"tools\":%s,\"vars\":%s,\"add_generation_prompt\":true}",
                gemma4_rows[i].messages, gemma4_rows[i].tools, gemma4_rows[i].vars);
            const as_str want = as_arena_printf(
                &a, "%s%s", gemma4_rows[i].text,
                large && gemma4_rows[i].is_closed ? "<|channel>thought\n<channel|>" : "");
            as_json *got = answer(t, request);
            compare(&sum, gemma4_rows[i].why, want, (as_str){NULL, 0}, member(got, "text"),
                    member(got, "error"));
            as_json_free(got);
        }
        tp_free(t);
    }
    as_arena_release(&a);
    assert_int_equal(sum.n_wrong, 0);
}

/* ---- the thinking channel -------------------------------------------------------------------- */

static const struct {
    const char *why, *text, *reasoning, *answer, *stripped;
    int n_channels;
    bool is_unfinished;
} channel_rows[] = {
    {"no markup", "  Hello. \n", "", "Hello.", "Hello.", 0, false},
    {"thought and answer", "<|channel>thought\nLet me see.\n<channel|>42.", "Let me see.", "42.",
     "42.", 1, false},
    {"an empty block", "<|channel>thought\n<channel|>42", "", "42", "42", 1, false},
    {"a block without newline", "<|channel>thought<channel|>42", "", "42", "42", 1, false},
    {"unfinished", "<|channel>thought\nI am still", "I am still", "", "", 1, true},
    {"unfinished at the label", "<|channel>tho", "", "", "", 1, true},
    {"two channels", "<|channel>thought\na\n<channel|>x <|channel>thought\nb<channel|>y", "a\n\nb",
     "x y", "x y", 2, false},
    {"no label", "<|channel>It is so.\nYes.<channel|>z", "It is so.\nYes.", "z", "z", 1, false},
    {"another label", "<|channel>analysis\na<channel|>z", "a", "z", "z", 1, false},
    {"opened by the prompt", "thinking on\n<channel|>z", "thinking on", "z", "thinking on\nz", 1,
     false},
    {"answer before the channel", "x<|channel>thought\na<channel|>", "a", "x", "x", 1, false},
    {"a call behind the channel", "<|channel>thought\na<channel|><|tool_call>call:f{}<tool_call|>",
     "a", "<|tool_call>call:f{}<tool_call|>", "<|tool_call>call:f{}<tool_call|>", 1, false},
    {"opened twice", "<|channel>thought\na<|channel>b<channel|>c", "a<|channel>b", "c", "c", 1,
     false},
    {"empty", "", "", "", "", 0, false},
};

static void channels_are_parted_from_answers(void **state)
{
    (void)state;
    as_arena a;
    as_arena_init(&a, 0);
    for (size_t i = 0; i < sizeof channel_rows / sizeof channel_rows[0]; i++) {
        tp_reasoning got;
        as_str stripped;
        const as_str text = as_str_of(channel_rows[i].text);
        assert_int_equal(tp_split_reasoning(text, &got, &a, NULL), AS_OK);
        assert_int_equal(tp_strip_reasoning(text, &stripped, &a, NULL), AS_OK);
        if (!as_str_eq_z(got.reasoning, channel_rows[i].reasoning) ||
            !as_str_eq_z(got.answer, channel_rows[i].answer) ||
            !as_str_eq_z(stripped, channel_rows[i].stripped) ||
            got.n_channels != channel_rows[i].n_channels ||
            got.is_unfinished != channel_rows[i].is_unfinished)
            fail_msg("%s: got \"%.*s\", \"%.*s\", \"%.*s\", %d", channel_rows[i].why,
                     AS_ARG(got.reasoning), AS_ARG(got.answer), AS_ARG(stripped), got.n_channels);
    }
    as_arena_release(&a);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_templates_do_what_python_does),
        cmocka_unit_test(renderings_of_many_families_are_equal),
        cmocka_unit_test(failures_are_told_with_class_line_and_words),
        cmocka_unit_test(hostile_templates_end),
        cmocka_unit_test(deep_templates_are_refused_or_run),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(dates_are_shown_for_the_given_time),
        cmocka_unit_test(numbers_and_order_come_as_they_were_written),
        cmocka_unit_test(gemma3_is_rendered_without_a_file_template),
        cmocka_unit_test(gemma4_is_rendered_without_a_file_template),
        cmocka_unit_test(channels_are_parted_from_answers),
    };
    if (argc > 1) {
        cases_path = argv[1];
        const struct CMUnitTest one[] = {cmocka_unit_test(small_templates_do_what_python_does)};
        return cmocka_run_group_tests(one, NULL, NULL);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
