/* Heads of requests and chunked bodies: what is taken, what is refused and how; the toy model. */
#include "base/toymodel.h"
#include "serve/head.h"
#include "unit/cm.h"

#define OK "GET / HTTP/1.1\r\n"

static const struct {
    const char *why, *head;
    int status; /* 200: taken */
    const char *path;
    size_t body_bytes;
    bool keep_alive;
} heads[] = {
    {"plain", OK "Host: x\r\n\r\n", 200, "/", 0, true},
    {"bare line feeds", "GET /a HTTP/1.1\nHost: x\n\n", 200, "/a", 0, true},
    {"a query is not the path", "GET /a?b=1 HTTP/1.1\r\n\r\n", 200, "/a", 0, true},
    {"a whole address", "GET http://h:1/a?b HTTP/1.1\r\n\r\n", 200, "/a", 0, true},
    {"a length", "POST /a HTTP/1.1\r\ncontent-LENGTH: 12\r\n\r\n", 200, "/a", 12, true},
    {"close", OK "Connection: close\r\n\r\n", 200, "/", 0, false},
    {"close among others", OK "Connection: TE, Close\r\n\r\n", 200, "/", 0, false},
    {"1.0 closes", "GET / HTTP/1.0\r\n\r\n", 200, "/", 0, false},
    {"1.0 may stay", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, "/", 0, true},
    {"the same length twice", OK "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 200, "/", 3,
     true},
    {"two lengths", OK "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400, "", 0, false},
    {"a signed length", OK "Content-Length: +3\r\n\r\n", 400, "", 0, false},
    {"a negative length", OK "Content-Length: -3\r\n\r\n", 400, "", 0, false},
    {"an empty length", OK "Content-Length:\r\n\r\n", 400, "", 0, false},
    {"a list of lengths", OK "Content-Length: 3, 3\r\n\r\n", 400, "", 0, false},
    {"a length past all memory", OK "Content-Length: 99999999999999999999\r\n\r\n", 400, "", 0,
     false},
    {"length and chunks", OK "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "", 0,
     false},
    {"chunks twice", OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501, "",
     0, false},
    {"gzip", OK "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "", 0, false},
    {"chunks in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "", 0, false},
    {"blank before the colon", OK "Content-Length : 3\r\n\r\n", 400, "", 0, false},
    {"folded line", OK "A: b\r\n c\r\n\r\n", 400, "", 0, false},
    {"no colon", OK "nonsense\r\n\r\n", 400, "", 0, false},
    {"control byte", OK "A: b\x01\r\n\r\n", 400, "", 0, false},
    {"no version", "GET /\r\n\r\n", 400, "", 0, false},
    {"two blanks", "GET  / HTTP/1.1\r\n\r\n", 400, "", 0, false},
    {"a blank in the target", "GET /a b HTTP/1.1\r\n\r\n", 400, "", 0, false},
    {"HTTP/2", "GET / HTTP/2.0\r\n\r\n", 505, "", 0, false},
    {"TLS", "\x16\x03\x01\x02\n\n", 400, "", 0, false},
    {"unknown expectation", OK "Expect: tea\r\n\r\n", 417, "", 0, false},
};

static void takes_and_refuses_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        sv_head h;
        int status = 200;
        as_err err = {0};
        const as_str text = as_str_of(heads[i].head);
        assert_int_equal(sv_head_end(text, 0), text.n);
        const as_code c = sv_head_parse(&h, text, &status, &err);
        if (c == AS_OK)
            status = 200;
        if (status != heads[i].status)
            fail_msg("%s: status %d, want %d (%s)", heads[i].why, status, heads[i].status,
                     err.text);
        if (c != AS_OK) {
            assert_true(err.text[0] != '\0');
            continue;
        }
        if (!as_str_eq_z(h.path, heads[i].path) || h.body_bytes != heads[i].body_bytes ||
            h.keep_alive != heads[i].keep_alive)
            fail_msg("%s: path %.*s, %zu bytes, keep_alive %d", heads[i].why, AS_ARG(h.path),
                     h.body_bytes, (int)h.keep_alive);
    }
}

static void limits_the_number_of_headers(void **state)
{
    (void)state;
    as_buf text;
    as_buf_init(&text, 0);
    (void)as_buf_add_z(&text, OK);
    for (int i = 0; i < SV_MAX_HEADERS; i++)
        (void)as_buf_printf(&text, "H%d: v\r\n", i);
    const size_t n = text.n;
    for (int extra = 0; extra < 2; extra++) {
        text.n = n;
        (void)as_buf_add_z(&text, extra != 0 ? "X: y\r\n\r\n" : "\r\n");
        sv_head h;
        int status = 0;
        const as_code c = sv_head_parse(&h, as_buf_str(&text), &status, NULL);
        assert_int_equal(c == AS_OK, extra == 0);
        if (extra != 0)
            assert_int_equal(status, 431);
    }
    as_buf_release(&text);
}

/* The end is found however the bytes come, and never before it is there. */
static void finds_the_end_in_pieces(void **state)
{
    (void)state;
    const as_str text = AS_STR("GET / HTTP/1.1\r\nA: b\r\n\r\nBODY");
    const size_t end = text.n - 4;
    for (size_t step = 1; step < 8; step++) {
        size_t looked = 0, found = 0;
        for (size_t n = step; found == 0 && n <= text.n; n += step) {
            found = sv_head_end(as_str_sub(text, 0, n), looked);
            assert_true(found == 0 ? n < end : n >= end);
            looked = n;
        }
        assert_int_equal(found, end);
    }
}

static const struct {
    const char *why, *bytes;
    int status; /* 200 */
    const char *body;
} chunked[] = {
    {"two chunks", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 200, "abcde"},
    {"none", "0\r\n\r\n", 200, ""},
    {"extensions and trailers", "3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n", 200, "abc"},
    {"capital digits", "A\r\n0123456789\r\n0\r\n\r\n", 200, "0123456789"},
    {"longer than it says", "3\r\nabcd\r\n0\r\n\r\n", 400, NULL},
    {"no size", "\r\nabc\r\n", 400, NULL},
    {"a signed size", "-3\r\nabc\r\n", 400, NULL},
    {"0x", "0x3\r\nabc\r\n", 400, NULL},
    {"larger than the limit", "11\r\n01234567890123456\r\n0\r\n\r\n", 413, NULL},
    {"larger in all", "f\r\n012345678901234\r\n2\r\n01\r\n0\r\n\r\n", 413, NULL},
    {"a size past all memory", "ffffffffffffffff\r\n", 400, NULL},
};

static void reads_chunks_in_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof chunked / sizeof chunked[0]; i++)
        for (size_t step = 1; step < 12; step++) {
            as_buf body, in;
            as_buf_init(&body, 16);
            as_buf_init(&in, 0);
            sv_chunked c = {0};
            as_code code = AS_OK;
            int status = 200;
            const as_str all = as_str_of(chunked[i].bytes);
            for (size_t n = 0; code == AS_OK && n < all.n; n += step) {
                (void)as_buf_add(&in, as_str_sub(all, n, n + step));
                size_t used = 0;
                code = sv_chunked_feed(&c, as_buf_str(&in), &body, &used, &status, NULL);
                as_buf_drop(&in, used);
            }
            if (code == AS_OK)
                status = 200;
            if (status != chunked[i].status)
                fail_msg("%s by %zu: %d, want %d", chunked[i].why, step, status, chunked[i].status);
            if (code == AS_OK) {
                assert_int_equal(c.state, SV_CHUNK_DONE);
                assert_true(as_str_eq_z(as_buf_str(&body), chunked[i].body));
            }
            as_buf_release(&body);
            as_buf_release(&in);
        }
}

static void reads_queries(void **state)
{
    (void)state;
    const as_str q = AS_STR("alt=sse&key=&x");
    assert_true(as_str_eq_z(sv_query_get(q, "alt"), "sse"));
    assert_true(as_str_is_set(sv_query_get(q, "key")) && sv_query_get(q, "key").n == 0);
    assert_true(as_str_is_set(sv_query_get(q, "x")));
    assert_false(as_str_is_set(sv_query_get(q, "al")));
}

static void toy_model_is_as_documented(void **state)
{
    (void)state;
    assert_int_equal(as_toy_greedy('a'), 'b');
    assert_int_equal(as_toy_greedy(255), 0);
    for (int32_t prev = 0; prev < 300; prev++)
        for (int32_t id = 0; id < 300; id++) {
            const bool best = id == (prev + 1) % 256;
            const double want = best ? -1.0 / 32 : -(1 + (31 * prev + 17 * id) % 97) / 16.0;
            assert_true(as_toy_logprob(prev, id) >= want && as_toy_logprob(prev, id) <= want);
            assert_int_equal(as_toy_rank(prev, id) == 1, best);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_and_refuses_heads), cmocka_unit_test(limits_the_number_of_headers),
        cmocka_unit_test(finds_the_end_in_pieces), cmocka_unit_test(reads_chunks_in_pieces),
        cmocka_unit_test(reads_queries),           cmocka_unit_test(toy_model_is_as_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
