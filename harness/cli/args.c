#include "cli/args.h"

#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"

static bool same_name(as_str given, const char *name)
{
    if (name == NULL || given.n != strlen(name))
        return false;
    for (size_t i = 0; i < given.n; i++) {
        const char c = given.p[i] == '_' ? '-' : given.p[i];
        if (c != name[i])
            return false;
    }
    return true;
}

cli_flag cli_bool(const char *name, bool *value, const char *help)
{
    return (cli_flag){.name = name, .kind = CLI_BOOL, .value = value, .help = help};
}

cli_flag cli_text(const char *name, const char **value, const char *shown, const char *help)
{
    return (cli_flag){
        .name = name, .kind = CLI_TEXT, .value = (void *)value, .shown = shown, .help = help};
}

cli_flag cli_texts(const char *name, cli_list *value, const char *shown, const char *help)
{
    return (cli_flag){.name = name, .kind = CLI_LIST, .value = value, .shown = shown, .help = help};
}

cli_flag cli_int(const char *name, int64_t *value, const char *shown, int64_t min, int64_t max,
                 const char *help)
{
    return (cli_flag){.name = name,
                      .kind = CLI_INT,
                      .value = value,
                      .shown = shown,
                      .help = help,
                      .min = min,
                      .max = max};
}

cli_flag cli_real(const char *name, double *value, const char *shown, const char *help)
{
    return (cli_flag){.name = name, .kind = CLI_REAL, .value = value, .shown = shown, .help = help};
}

cli_flag cli_short(char letter, cli_flag f)
{
    f.letter = letter;
    return f;
}

cli_flag cli_alias(const char *name, cli_flag f)
{
    f.alias = name;
    return f;
}

static cli_flag *find_long(cli_args *a, as_str name)
{
    for (int i = 0; i < a->n_flags; i++)
        if (same_name(name, a->flags[i].name) || same_name(name, a->flags[i].alias))
            return &a->flags[i];
    return NULL;
}

static cli_flag *find_letter(cli_args *a, char letter)
{
    for (int i = 0; i < a->n_flags; i++)
        if (a->flags[i].letter == letter)
            return &a->flags[i];
    return NULL;
}

static as_code set_list(const cli_flag *f, as_str text, as_err *err)
{
    cli_list *list = f->value;
    while (text.n != 0) {
        as_str head;
        (void)as_str_cut(text, ',', &head, &text);
        head = as_str_trim(head);
        if (head.n == 0)
            continue;
        if (list->n == CLI_MAX_LIST)
            return as_fail(err, AS_RANGE, "--%s: more than %d values", f->name, CLI_MAX_LIST);
        list->item[list->n++] = head;
    }
    return AS_OK;
}

/* text is NUL-terminated behind its n bytes. */
static as_code set_value(cli_flag *f, as_str text, as_err *err)
{
    f->is_set = true;
    switch (f->kind) {
    case CLI_BOOL:
        *(bool *)f->value = true;
        return AS_OK;
    case CLI_TEXT:
        *(const char **)f->value = text.p;
        return AS_OK;
    case CLI_INT:
        if (!as_parse_i64(text, f->min, f->max, f->value))
            return as_fail(err, AS_RANGE, "--%s %.*s: want an integer from %lld to %lld", f->name,
                           AS_ARG(text), (long long)f->min, (long long)f->max);
        return AS_OK;
    case CLI_REAL:
        if (!as_parse_f64(text, f->value))
            return as_fail(err, AS_RANGE, "--%s %.*s: want a number", f->name, AS_ARG(text));
        return AS_OK;
    case CLI_LIST:
        return set_list(f, text, err);
    }
    return as_fail(err, AS_BUG, "--%s: unknown kind of flag", f->name);
}

static as_code unknown_flag(const cli_args *a, const char *arg, as_err *err)
{
    return as_fail(err, AS_RANGE, "unknown flag %s; usage: %s (--help lists the flags)", arg,
                   a->usage);
}

/* One flag with its value, which may stand in the next argument (*i moves on). */
static as_code take_flag(cli_flag *f, as_str value, int argc, char **argv, int *i, as_err *err)
{
    if (f->kind == CLI_BOOL) {
        if (as_str_is_set(value))
            return as_fail(err, AS_RANGE, "--%s takes no value", f->name);
        return set_value(f, value, err);
    }
    if (!as_str_is_set(value)) {
        if (*i + 1 >= argc)
            return as_fail(err, AS_RANGE, "--%s wants a value: %s", f->name, f->shown);
        value = as_str_of(argv[++*i]);
    }
    return set_value(f, value, err);
}

static as_code take_argument(cli_args *a, int argc, char **argv, int *i, as_err *err)
{
    const char *arg = argv[*i];
    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
        a->want_help = true;
        return AS_OK;
    }
    if (arg[0] != '-' || arg[1] == '\0') {
        a->rest[a->n_rest++] = arg;
        return AS_OK;
    }
    if (arg[1] == '-') {
        as_str name, value;
        const as_str text = as_str_of(arg + 2);
        const bool has_value = as_str_cut(text, '=', &name, &value);
        cli_flag *f = find_long(a, name);
        if (f == NULL)
            return unknown_flag(a, arg, err);
        return take_flag(f, has_value ? value : (as_str){0}, argc, argv, i, err);
    }
    cli_flag *f = find_letter(a, arg[1]);
    if (f == NULL)
        return unknown_flag(a, arg, err);
    const as_str value = arg[2] != '\0' ? as_str_of(arg + 2) : (as_str){0};
    return take_flag(f, value, argc, argv, i, err);
}

as_code cli_parse(cli_args *a, int argc, char **argv, as_arena *keep, as_err *err)
{
    a->rest = as_new(keep, const char *, argc + 1);
    if (a->rest == NULL)
        return as_nomem(err);
    int i = 1;
    for (; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        AS_TRY(take_argument(a, argc, argv, &i, err));
    }
    for (; i < argc; i++)
        a->rest[a->n_rest++] = argv[i];
    if (a->want_help)
        return AS_OK;
    if (a->n_rest < a->min_rest || a->n_rest > a->max_rest)
        return as_fail(err, AS_RANGE, "usage: %s", a->usage);
    return AS_OK;
}

static as_code set_from_json(cli_flag *f, const as_json *node, as_arena *keep, as_err *err)
{
    as_str s;
    bool b = false;
    double v = 0;
    if (as_json_type(node) == AS_JSON_ARRAY && f->kind == CLI_LIST) {
        for (const as_json *c = as_json_first(node); c != NULL; c = as_json_next(c))
            AS_TRY(set_from_json(f, c, keep, err));
        return AS_OK;
    }
    if (as_json_bool(node, &b)) {
        if (f->kind != CLI_BOOL)
            return as_fail(err, AS_RANGE, "\"%s\" wants %s", f->name, f->shown);
        *(bool *)f->value = b;
        return AS_OK;
    }
    if (as_json_f64(node, &v)) {
        char z[32];
        as_f64_text(z, v);
        s = as_arena_str(keep, as_str_of(z));
    } else if (as_json_str(node, &s)) {
        s = as_arena_str(keep, s);
    } else {
        return as_fail(err, AS_RANGE, "\"%s\" is %s, want %s", f->name,
                       as_json_kind_name(as_json_type(node)),
                       f->shown ? f->shown : "true or false");
    }
    return as_str_is_set(s) ? set_value(f, s, err) : as_nomem(err);
}

as_code cli_parse_config(cli_args *a, const char *path, as_arena *keep, as_err *err)
{
    as_buf text;
    as_buf_init(&text, 16 << 20);
    as_json *tree = NULL;
    as_code c = as_read_file(&text, path, err);
    if (c == AS_OK)
        c = as_json_parse(&tree, as_buf_str(&text), err);
    if (c != AS_OK && c != AS_IO)
        (void)as_wrap(err, "%s", path);
    if (c == AS_OK && as_json_type(tree) != AS_JSON_OBJECT)
        c = as_fail(err, AS_PARSE, "%s: want an object whose keys are the long flags", path);
    for (const as_json *m = as_json_first(tree); c == AS_OK && m != NULL; m = as_json_next(m)) {
        cli_flag *f = find_long(a, as_json_key(m));
        if (f == NULL) {
            c = as_fail(err, AS_RANGE, "%s: \"%.*s\" is not a flag of this command", path,
                        AS_ARG(as_json_key(m)));
        } else if (!f->is_set) { /* the command line wins */
            c = set_from_json(f, m, keep, err);
            if (c != AS_OK)
                (void)as_wrap(err, "%s", path);
        }
    }
    as_json_free(tree);
    as_buf_release(&text);
    return c;
}

void cli_help(const cli_args *a, as_buf *out)
{
    (void)as_buf_printf(out, "usage: %s\n\n%s\n", a->usage, a->about);
    if (a->n_flags != 0)
        (void)as_buf_add_z(out, "\n");
    for (int i = 0; i < a->n_flags; i++) {
        const cli_flag *f = &a->flags[i];
        char left[64];
        char letter[8] = "    ";
        if (f->letter != 0)
            (void)snprintf(letter, sizeof letter, "-%c, ", f->letter);
        (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, f->name,
                       f->shown != NULL ? " " : "", f->shown != NULL ? f->shown : "");
        (void)as_buf_printf(out, "  %-34s %s\n", left, f->help);
    }
}
