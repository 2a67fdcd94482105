/* Any bytes as a template, with a fixed conversation: ends within its limits, the output untouched
 * by a failure, every failure with a sentence; the same text when rendered again. The same bytes as
 * a request to a fixed template: one JSON object comes back. As a model's text: channels never give
 * more than went in. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/template/template.h"

static const char context[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":"
    "[{\"type\":\"text\",\"text\":\"Hi \\u00e9\\ud83d\\ude00\"},{\"type\":\"image\"}]},{\"role\":"
    "\"assistant\",\"content\":\"<think>x</think> Yo\",\"tool_calls\":[{\"id\":\"a\",\"function\":{"
    "\"name\":\"f\",\"arguments\":{\"x\":1,\"y\":[2.5,null,true]}}}]}],\"tools\":[{\"function\":{"
    "\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{}}}}],"
    "\"add_generation_prompt\":true,\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"n\":-7,"
    "\"x\":3.25,\"s\":\"a-b c\",\"l\":[3,1,2]}";

static void check(bool is_true)
{
    if (!is_true)
        abort();
}

static void as_request(as_str bytes)
{
    static const char source[] = "{{ messages | tojson }}{{ x }}{{ messages }}";
    tp_template *t = NULL;
    as_json *tree = NULL;
    as_buf out;
    as_jw w;
    check(tp_parse(&t, (as_str){source, sizeof source - 1}, NULL) == AS_OK);
    as_buf_init(&out, 0);
    as_jw_init(&w, &out);
    check(tp_render_request(t, bytes, NULL, &w, NULL) == AS_OK);
    check(as_json_parse(&tree, as_buf_str(&out), NULL) == AS_OK);
    check((as_json_get(tree, "text") != NULL) != (as_json_get(tree, "error") != NULL));
    as_json_free(tree);
    as_buf_release(&out);
    tp_free(t);
}

static void as_answer(as_str bytes)
{
    as_arena a;
    tp_reasoning got;
    as_str stripped;
    as_arena_init(&a, 0);
    check(tp_split_reasoning(bytes, &got, &a, NULL) == AS_OK);
    check(tp_strip_reasoning(bytes, &stripped, &a, NULL) == AS_OK);
    check(got.reasoning.n + got.answer.n <= bytes.n && stripped.n <= bytes.n);
    as_arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tp_options options = {
        .limits = {.max_steps = 100000, .max_out_bytes = 1 << 18, .max_memory_bytes = 1 << 25},
        .now_ns = 1};
    tp_template *t = NULL;
    as_err err = {0};
    as_buf once, twice;
    if (size > 0 && as_is_one_of((char)data[0], "{[\" "))
        as_request((as_str){(const char *)data, size});
    as_answer((as_str){(const char *)data, size});
    if (tp_parse(&t, (as_str){(const char *)data, size}, &err) != AS_OK) {
        check(t == NULL && err.text[0] != '\0');
        return 0;
    }
    as_buf_init(&once, 0);
    as_buf_init(&twice, 0);
    tp_failure f = {.line = 0};
    const as_code c =
        tp_render(t, (as_str){context, sizeof context - 1}, &options, &once, &f, &err);
    if (c != AS_OK)
        check(once.n == 0 && f.kind[0] != '\0');
    check(tp_render(t, (as_str){context, sizeof context - 1}, &options, &twice, NULL, NULL) == c);
    check(as_str_eq(as_buf_str(&once), as_buf_str(&twice)));
    as_buf_release(&once);
    as_buf_release(&twice);
    tp_free(t);
    return 0;
}
