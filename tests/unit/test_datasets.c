/* Datasets: forms of input, splits, failures that leave everything as it was, damage found. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/io.h"
#include "datasets/dataset.h"
#include "datasets/importers.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A toy importer: {"id","split","x"} → {"id","x"}. */
static as_code toy_row(const as_json *value, const char *path, as_str *split, as_jw *out,
                       as_arena *scratch, as_err *err)
{
    as_str id;
    int64_t x = 0;
    (void)path;
    (void)scratch;
    AS_TRY(as_json_need_str(value, "id", &id, err));
    AS_TRY(as_json_need_i64(value, "x", 0, 1000, &x, err));
    if (!as_json_str(as_json_get(value, "split"), split))
        *split = AS_STR("test");
    as_jw_begin_object(out);
    as_jw_put_str(out, "id", id);
    as_jw_put_i64(out, "x", x);
    as_jw_end_object(out);
    return AS_OK;
}

static const ds_importer toy = {.name = "toy", .licence = "MIT", .source = "here", .row = toy_row};

typedef struct place {
    char dir[64], root[80];
    as_arena arena;
} place;

static int setup(void **state)
{
    place *p = calloc(1, sizeof *p);
    if (p == NULL)
        return 1;
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/assay-data-XXXXXX");
    if (mkdtemp(p->dir) == NULL)
        return 1;
    (void)snprintf(p->root, sizeof p->root, "%s/data", p->dir);
    as_arena_init(&p->arena, 0);
    *state = p;
    return 0;
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        (void)unlink(path);
        return;
    }
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        char name[512];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        (void)snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        remove_tree(name);
    }
    closedir(dir);
    (void)rmdir(path);
}

static int teardown(void **state)
{
    place *p = *state;
    remove_tree(p->dir);
    as_arena_release(&p->arena);
    free(p);
    return 0;
}

static const char *file(place *p, const char *name, const char *text)
{
    const char *path = as_path_join(&p->arena, p->dir, name);
    assert_int_equal(as_write_file(path, as_str_of(text), NULL), AS_OK);
    return path;
}

static as_code bring(place *p, const ds_importer *importer, const char *path, ds_info *out,
                     as_err *err)
{
    return ds_import(importer, p->root, &path, 1, out, &p->arena, err);
}

static void must_bring(place *p, const ds_importer *importer, const char *path, ds_info *out)
{
    as_err err = {0};
    if (bring(p, importer, path, out, &err) != AS_OK)
        fail_msg("%s", err.text);
}

/* The split's rows as "a1 b2 …" (id and x). */
static as_str rows_of(place *p, const char *split)
{
    ds_rows rows;
    as_err err = {0};
    if (ds_load(p->root, "toy", split, &rows, &err) != AS_OK)
        fail_msg("%s", err.text);
    as_str all = AS_STR("");
    for (size_t i = 0; i < rows.n; i++) {
        as_str id;
        int64_t x = 0;
        assert_true(as_json_str(as_json_get(rows.row[i], "id"), &id));
        assert_true(as_json_i64(as_json_get(rows.row[i], "x"), &x));
        all = as_arena_printf(&p->arena, "%.*s%s%.*s%d", AS_ARG(all), i != 0 ? " " : "", AS_ARG(id),
                              (int)x);
    }
    ds_rows_free(&rows);
    return all;
}

static void check_rows(place *p, const char *why, const char *split, const char *want)
{
    const as_str got = rows_of(p, split);
    if (!as_str_eq_z(got, want))
        fail_msg("%s: got \"%.*s\", want \"%s\"", why, AS_ARG(got), want);
}

static const struct {
    const char *why, *text, *want;
} forms[] = {
    {"JSON Lines, blank lines, no newline at the end",
     "{\"id\":\"a\",\"x\":1}\n\n{\"id\":\"b\",\"x\":2}", "a1 b2"},
    {"one array", "[{\"id\":\"a\",\"x\":1},{\"id\":\"b\",\"x\":2}]", "a1 b2"},
    {"an array over several lines",
     "[\n {\"id\": \"a\",\n \"x\": 1},\n {\"id\": \"b\", \"x\": 2}\n]\n", "a1 b2"},
    {"byte order mark", "\xEF\xBB\xBF{\"id\":\"a\",\"x\":1}\n", "a1"},
    {"a page of rows",
     "{\"features\":[],\"rows\":[{\"row_idx\":0,\"row\":{\"id\":\"a\",\"x\":1},"
     "\"truncated_cells\":[]}],\"num_rows_total\":1,\"partial\":false}",
     "a1"},
    {"pages in any order, one a line",
     "{\"rows\":[{\"row_idx\":2,\"row\":{\"id\":\"c\",\"x\":3}}]}\n"
     "{\"rows\":[{\"row_idx\":0,\"row\":{\"id\":\"a\",\"x\":1}},"
     "{\"row_idx\":1,\"row\":{\"id\":\"b\",\"x\":2}}]}\n",
     "a1 b2 c3"},
    {"a page over several lines",
     "{\n\"rows\": [\n{\"row_idx\": 0, \"row\": {\"id\": \"a\", \"x\": 1}}\n]\n}\n", "a1"},
    {"a row with a field \"rows\" is a row", "{\"id\":\"a\",\"x\":1,\"rows\":[1,2]}", "a1"},
};

static void reads_all_forms(void **state)
{
    place *p = *state;
    for (size_t i = 0; i < COUNT(forms); i++) {
        ds_info info;
        must_bring(p, &toy, file(p, "in", forms[i].text), &info);
        check_rows(p, forms[i].why, "test", forms[i].want);
    }
    const char *gz = as_path_join(&p->arena, p->dir, "in.gz");
    gzFile out = gzopen(gz, "wb");
    assert_non_null(out);
    assert_true(gzputs(out, "{\"id\":\"z\",\"x\":9}\n") > 0);
    assert_int_equal(gzclose(out), Z_OK);
    ds_info info;
    must_bring(p, &toy, gz, &info);
    check_rows(p, "gzip", "test", "z9");
}

static const struct {
    const char *why, *text;
    as_code code;
    const char *says;
} bad[] = {
    {"bad JSON", "{\"id\":\"a\",\"x\":1}\n{\"id\":\"b\",\"x\":2}\n{\"id\":\"c\",}\n", AS_PARSE,
     "in: line 3: not JSON"},
    {"wrong field", "{\"id\":\"a\",\"x\":1}\n{\"id\":\"b\",\"x\":\"2\"}\n", AS_PARSE,
     "in: line 2: \"x\": want an integer, found a string"},
    {"field out of range", "{\"id\":\"a\",\"x\":1001}\n", AS_RANGE, "in: line 1: \"x\" is 1001"},
    {"no object", "7\n", AS_PARSE, "in: line 1: \"id\" is missing"},
    {"the same id twice",
     "{\"id\":\"a\",\"x\":1}\n{\"id\":\"b\",\"x\":1}\n{\"id\":\"a\",\"x\":2}\n", AS_RANGE,
     "in: line 3: id \"a\" is in split test already, from "},
    {"both places are named", "{\"id\":\"a\",\"x\":1}\n{\"id\":\"a\",\"x\":2}\n", AS_RANGE,
     "in: line 1: every id may occur once"},
    {"cut cells",
     "{\"rows\":[{\"row_idx\":0,\"row\":{\"id\":\"a\",\"x\":1},"
     "\"truncated_cells\":[\"question\"]}]}",
     AS_RANGE, "line 1, row 1: the server cut the cell \"question\" short"},
    {"page without row", "{\"rows\":[{\"row_idx\":0}],\"features\":[]}", AS_PARSE,
     "\"row\" is missing"},
    {"bad row in an array", "[\n{\"id\":\"a\",\"x\":1},\n{\"x\":1}\n]", AS_PARSE,
     "in: row 2: \"id\" is missing"},
    {"bad document", "{\"rows\":[\n{\"row_idx\":0,,\n]}", AS_PARSE, "in: read as one document"},
    {"empty file", "\n", AS_RANGE, "in: holds no rows"},
    {"split with a path in its name", "{\"id\":\"a\",\"x\":1,\"split\":\"../x\"}", AS_RANGE,
     "\"../x\" cannot be the name of a split"},
    {"Parquet", "PAR1\x15\x04", AS_UNSUPPORTED, "is a Parquet file"},
};

static int count_names(const char *path)
{
    int n = 0;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return 0;
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n - 2;
}

static void leaves_all_as_it_was(void **state)
{
    place *p = *state;
    ds_info before;
    ds_info after;
    must_bring(p, &toy, file(p, "good", "{\"id\":\"k\",\"x\":5}\n"), &before);
    for (size_t i = 0; i < COUNT(bad); i++) {
        as_err err = {0};
        ds_info none = {.n_splits = 77};
        const as_code c = bring(p, &toy, file(p, "in", bad[i].text), &none, &err);
        if (c != bad[i].code || strstr(err.text, bad[i].says) == NULL ||
            strstr(err.text, "; nothing was imported") == NULL)
            fail_msg("%s: %s: %s", bad[i].why, as_code_name(c), err.text);
        assert_int_equal(none.n_splits, 77);
        check_rows(p, bad[i].why, "test", "k5");
        assert_int_equal(count_names(p->root), 1); /* no folder left behind */
    }
    assert_int_equal(ds_find(p->root, "toy", &after, &p->arena, NULL), AS_OK);
    assert_memory_equal(&after.sha256, &before.sha256, sizeof before.sha256);
    as_err err = {0};
    assert_int_equal(bring(p, &toy, "/nowhere/x.jsonl", &after, &err), AS_IO);
    assert_non_null(strstr(err.text, "/nowhere/x.jsonl"));
}

/* A limit on the size of files stands in for a full disk. */
static void full_disk_leaves_all_as_it_was(void **state)
{
    place *p = *state;
    as_buf b;
    ds_info info;
    as_err err = {0};
    must_bring(p, &toy, file(p, "good", "{\"id\":\"k\",\"x\":5}\n"), &info);
    as_buf_init(&b, 0);
    for (int i = 0; i < 20000; i++)
        (void)as_buf_printf(&b, "{\"id\":\"%d\",\"x\":1}\n", i);
    const char *path = file(p, "big", b.p);
    as_buf_release(&b);
    struct rlimit was;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    const struct rlimit small = {65536, was.rlim_max};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    assert_int_equal(sigaction(SIGXFSZ, &ignore, NULL), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const as_code c = bring(p, &toy, path, &info, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(c, AS_IO);
    check_rows(p, "full disk", "test", "k5");
    assert_int_equal(count_names(p->root), 1);
}

static void adds_and_replaces_splits(void **state)
{
    place *p = *state;
    ds_info a;
    ds_info b;
    must_bring(p, &toy, file(p, "t", "{\"id\":\"a\",\"x\":1}\n"), &a);
    assert_int_equal(a.n_splits, 1);
    assert_int_equal(a.notes.n, 0);
    must_bring(p, &toy, file(p, "v", "{\"id\":\"a\",\"x\":2,\"split\":\"dev\"}\n"), &b);
    assert_int_equal(b.n_splits, 2);
    check_rows(p, "kept", "test", "a1");
    check_rows(p, "added", "dev", "a2");
    assert_memory_not_equal(&a.sha256, &b.sha256, sizeof a.sha256);
    must_bring(p, &toy, file(p, "t", "{\"id\":\"a\",\"x\":1}\n{\"id\":\"b\",\"x\":3}\n"), &b);
    assert_true(as_str_eq_z(b.notes, "split test: 2 rows replace the 1 of before\n"));
    check_rows(p, "replaced", "test", "a1 b3");
    check_rows(p, "kept", "dev", "a2");
    check_rows(p, "no such split", "train", "");
    const char *two[] = {file(p, "p1",
                              "{\"rows\":[{\"row_idx\":1,\"row\":{\"id\":\"n\",\"x\":8}}],"
                              "\"num_rows_total\":3,\"partial\":true}"),
                         file(p, "p0",
                              "{\"rows\":[{\"row_idx\":0,\"row\":{\"id\":\"m\",\"x\":7}}],"
                              "\"num_rows_total\":3,\"partial\":false}")};
    as_err err = {0};
    assert_int_equal(ds_import(&toy, p->root, two, 2, &b, &p->arena, &err), AS_OK);
    check_rows(p, "two files", "test", "m7 n8");
    assert_non_null(strstr(b.notes.p, "p1: the server had indexed only a part"));
    assert_non_null(strstr(b.notes.p, "split test: 2 of 3 rows"));
    assert_int_equal(ds_verify(p->root, "toy", &err), AS_OK);
}

static void overwrite(place *p, const char *name, const char *text)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/toy/%s", p->root, name);
    assert_int_equal(as_write_file(path, as_str_of(text), NULL), AS_OK);
}

static void finds_damage(void **state)
{
    place *p = *state;
    ds_info info;
    ds_rows rows;
    as_err err = {0};
    must_bring(p, &toy, file(p, "t", "{\"id\":\"a\",\"x\":1}\n"), &info);
    overwrite(p, "test.jsonl", "{\"id\":\"a\",\"x\":2}\n");
    assert_int_equal(ds_verify(p->root, "toy", &err), AS_INTEGRITY);
    assert_non_null(strstr(err.text, "toy/test.jsonl: SHA-256 differs"));
    assert_int_equal(ds_load(p->root, "toy", "test", &rows, &err), AS_INTEGRITY);
    assert_int_equal(rows.n, 0);
    overwrite(p, "test.jsonl", "{\"id\"");
    assert_int_equal(ds_verify(p->root, "toy", &err), AS_INTEGRITY);
    assert_non_null(strstr(err.text, "has 5 bytes, the manifest says 17"));
    /* A split that cannot be kept stops an import of another one … */
    const char *dev = file(p, "v", "{\"id\":\"a\",\"x\":2,\"split\":\"dev\"}\n");
    assert_int_equal(bring(p, &toy, dev, &info, &err), AS_INTEGRITY);
    assert_non_null(strstr(err.text, "split test of the dataset cannot be kept"));
    /* … and is repaired by its own import. */
    must_bring(p, &toy, file(p, "t", "{\"id\":\"a\",\"x\":1}\n"), &info);
    check_rows(p, "repaired", "test", "a1");
    overwrite(p, "manifest.json", "{\"name\":\"toy\"}");
    ds_info *all = NULL;
    int n = 0;
    assert_int_equal(ds_list(p->root, &all, &n, &p->arena, &err), AS_PARSE);
    assert_non_null(strstr(err.text, "toy/manifest.json: damaged manifest"));
    must_bring(p, &toy, file(p, "t", "{\"id\":\"a\",\"x\":4}\n"), &info);
    assert_non_null(strstr(info.notes.p, "damaged manifest"));
    check_rows(p, "repaired", "test", "a4");
}

static void lists_by_name(void **state)
{
    place *p = *state;
    ds_info *all = NULL;
    ds_info info;
    int n = 7;
    as_err err = {0};
    assert_int_equal(ds_list(p->root, &all, &n, &p->arena, &err), AS_OK);
    assert_int_equal(n, 0);
    assert_int_equal(ds_find(p->root, "toy", &info, &p->arena, &err), AS_RANGE);
    assert_non_null(strstr(err.text, "`assay data import toy FILE"));
    assert_int_equal(ds_find(p->root, "../toy", &info, &p->arena, &err), AS_RANGE);
    ds_importer other = toy;
    other.name = "another";
    must_bring(p, &toy, file(p, "t", "{\"id\":\"a\",\"x\":1}\n"), &info);
    must_bring(p, &other, file(p, "t", "{\"id\":\"a\",\"x\":1}\n"), &info);
    char strange[128];
    (void)snprintf(strange, sizeof strange, "%s/not-ours", p->root);
    assert_int_equal(mkdir(strange, 0755), 0);
    assert_int_equal(ds_list(p->root, &all, &n, &p->arena, &err), AS_OK);
    assert_int_equal(n, 2);
    assert_true(as_str_eq_z(all[0].name, "another"));
    assert_true(as_str_eq_z(all[1].name, "toy"));
    assert_true(as_str_eq_z(all[1].licence, "MIT"));
    assert_memory_equal(&all[0].sha256, &all[1].sha256, sizeof all[0].sha256);
}

/* Every allocation from an arena fails in turn; what was there stays until one import succeeds. */
static void survives_lack_of_memory(void **state)
{
    place *p = *state;
    ds_info info;
    must_bring(p, &toy, file(p, "t", "{\"id\":\"a\",\"x\":1}\n"), &info);
    const char *path = file(p, "u", "{\"id\":\"b\",\"x\":2}\n{\"id\":\"c\",\"x\":3}\n");
    size_t n = 1;
    for (;; n++) {
        as_err err = {0};
        as_arena_fail_after(n);
        const as_code c = bring(p, &toy, path, &info, &err);
        as_arena_fail_after(0);
        if (c == AS_OK)
            break;
        assert_true(err.text[0] != '\0');
        check_rows(p, "no memory", "test", "a1");
        assert_int_equal(count_names(p->root), 1);
        assert_true(n < 500);
    }
    assert_true(n > 5);
    check_rows(p, "at last", "test", "b2 c3");
}

/* --------------------------------------------------------------- importers of the program */

static const struct {
    const char *why;
    const ds_importer *importer;
    const char *path, *value;
    const char *split; /* NULL: an error, and `want` is part of its text */
    const char *want;
} values[] = {
    {"test row, padding dropped", &ds_mmlu_pro, "x.jsonl",
     "{\"question_id\":70,\"question\":\" q \",\"options\":[\"a\",\" b\",\"N/A\"],\"answer\":\"B\","
     "\"answer_index\":1,\"cot_content\":\"\",\"category\":\"law\",\"src\":\"s\"}",
     "test",
     "{\"id\":\"70\",\"category\":\"law\",\"src\":\"s\",\"question\":\" q \",\"options\":[\"a\","
     "\" b\"],\"answer\":\"B\",\"answer_index\":1,\"cot_content\":\"\"}"},
    {"worked answers make a validation row", &ds_mmlu_pro, "x.jsonl",
     "{\"question_id\":1,\"question\":\"q\",\"options\":[\"a\",\"b\"],\"answer\":\"A\","
     "\"answer_index\":0,\"cot_content\":\"A: x\",\"category\":\"law\"}",
     "validation", "\"cot_content\":\"A: x\""},
    {"our own rows again", &ds_mmlu_pro, "x.jsonl",
     "{\"id\":\"70\",\"question\":\"q\",\"options\":[\"a\",\"b\"],\"answer\":\"A\","
     "\"category\":\"law\"}",
     "test", "{\"id\":\"70\""},
    {"letter and index disagree, as in question 3983: both stay", &ds_mmlu_pro, "x.jsonl",
     "{\"question_id\":1,\"question\":\"q\",\"options\":[\"a\",\"b\"],\"answer\":\"A\","
     "\"answer_index\":1,\"category\":\"law\"}",
     "test", "\"answer\":\"A\",\"answer_index\":1"},
    {"index beyond the options", &ds_mmlu_pro, "x.jsonl",
     "{\"question_id\":1,\"question\":\"q\",\"options\":[\"a\",\"b\"],\"answer\":\"A\","
     "\"answer_index\":2,\"category\":\"law\"}",
     NULL, "\"answer_index\" is 2, want 0 to 1"},
    {"answer beyond the options", &ds_mmlu_pro, "x.jsonl",
     "{\"question_id\":1,\"question\":\"q\",\"options\":[\"a\",\"N/A\",\"N/A\"],\"answer\":\"B\","
     "\"answer_index\":1,\"category\":\"law\"}",
     NULL, "\"options\" has 1 entries, want 2 to 10"},
    {"padding inside", &ds_mmlu_pro, "x.jsonl",
     "{\"question_id\":1,\"question\":\"q\",\"options\":[\"a\",\"N/A\",\"b\"],\"answer\":\"B\","
     "\"answer_index\":2,\"category\":\"law\"}",
     NULL, "stands before entry 3"},
    {"validation file without worked answers", &ds_mmlu_pro, "/d/validation-00.jsonl",
     "{\"question_id\":1,\"question\":\"q\",\"options\":[\"a\",\"b\"],\"answer\":\"B\","
     "\"answer_index\":1,\"category\":\"law\",\"cot_content\":\"\"}",
     NULL, "\"cot_content\" is empty"},
    {"our own form", &ds_aime, "x.jsonl",
     "{\"id\":\"2024-II-4\",\"year\":2024,\"part\":\"II\",\"number\":4,\"problem\":\"p\","
     "\"answer\":33}",
     "2024",
     "{\"id\":\"2024-II-4\",\"year\":2024,\"part\":\"II\",\"number\":4,\"problem\":\"p\","
     "\"answer\":33}"},
    {"address and leading zeros", &ds_aime, "train.jsonl",
     "{\"id\":60,\"problem\":\"p\",\"solution\":\"s\",\"answer\":\"025\",\"year\":\"2024\","
     "\"url\":\"https://x.org/wiki/index.php/2024_AIME_I_Problems/Problem_7\"}",
     "2024",
     "{\"id\":\"2024-I-7\",\"year\":2024,\"part\":\"I\",\"number\":7,\"problem\":\"p\","
     "\"answer\":25}"},
    {"capital names", &ds_aime, "t.jsonl",
     "{\"ID\":\"2024-I-15\",\"Problem\":\"p\",\"Solution\":\"s\",\"Answer\":204}", "2024",
     "{\"id\":\"2024-I-15\""},
    {"year from the file, number from problem_idx", &ds_aime, "/d/aime_2026.json",
     "{\"problem_idx\":17,\"problem\":\"p\",\"answer\":116,\"problem_type\":[\"x\"]}", "2026",
     "{\"id\":\"2026-II-2\""},
    {"part from the file", &ds_aime, "/d/aime_2024_II.jsonl",
     "{\"problem_idx\":3,\"problem\":\"p\",\"answer\":116}", "2024", "{\"id\":\"2024-II-3\""},
    {"short year", &ds_aime, "/d/aime25.jsonl",
     "{\"id\":\"3\",\"problem\":\"p\",\"answer\":\"70\"}", "2025", "{\"id\":\"2025-3\""},
    {"question and answer alone", &ds_aime, "AIME2025-I.jsonl",
     "{\"question\":\"p\",\"answer\":\"70\"}", "2025", "{\"id\":\"2025-I-148de9c5\""},
    {"a request for a box is no part of the problem", &ds_aime, "aime_2026.jsonl",
     "{\"problem_idx\":1,\"problem\":\"p.\\nPlease reason step by step, and put your final answer "
     "within \\\\boxed{}.\",\"answer\":1}",
     "2026", "\"problem\":\"p.\""},
    {"no year anywhere", &ds_aime, "train.jsonl", "{\"problem\":\"p\",\"answer\":1}", NULL,
     "rename the file to aime_YEAR.jsonl"},
    {"answer too large", &ds_aime, "aime_2026.jsonl", "{\"problem\":\"p\",\"answer\":1000}", NULL,
     "\"answer\" is 1000, want 0 to 999"},
    {"answer no number", &ds_aime, "aime_2026.jsonl", "{\"problem\":\"p\",\"answer\":\"x\"}", NULL,
     "\"answer\": want an integer"},
};

static void importers_read_what_people_have(void **state)
{
    place *p = *state;
    for (size_t i = 0; i < COUNT(values); i++) {
        as_json *tree = NULL;
        as_buf b;
        as_jw w;
        as_str split = {0};
        as_err err = {0};
        assert_int_equal(as_json_parse(&tree, as_str_of(values[i].value), &err), AS_OK);
        as_buf_init(&b, 0);
        as_jw_init(&w, &b);
        const as_code c =
            values[i].importer->row(tree, values[i].path, &split, &w, &p->arena, &err);
        const char *got = c == AS_OK ? b.p : err.text;
        if ((c == AS_OK) != (values[i].split != NULL) || strstr(got, values[i].want) == NULL ||
            (c == AS_OK && !as_str_eq_z(split, values[i].split)))
            fail_msg("%s: split %.*s: %s", values[i].why, AS_ARG(split), got);
        as_json_free(tree);
        as_buf_release(&b);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(reads_all_forms),
        TEST(leaves_all_as_it_was),
        TEST(full_disk_leaves_all_as_it_was),
        TEST(adds_and_replaces_splits),
        TEST(finds_damage),
        TEST(lists_by_name),
        TEST(survives_lack_of_memory),
        TEST(importers_read_what_people_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
