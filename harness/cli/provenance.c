#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "cli/cli.h"
#include "cli/version.h"

const char *cli_version(void)
{
    return AS_VERSION;
}

/* The value behind "KEY : " in a file of such lines, e.g. /proc/cpuinfo. */
static as_str line_value(as_str text, const char *key)
{
    while (text.n != 0) {
        as_str line, name, value;
        (void)as_str_cut(text, '\n', &line, &text);
        if (as_str_cut(line, ':', &name, &value) && as_str_eq_z(as_str_trim(name), key))
            return as_str_trim(value);
    }
    return (as_str){0};
}

static as_str finish(as_buf *b, as_arena *keep)
{
    const as_str out =
        as_buf_ok(b, NULL) == AS_OK ? as_arena_str(keep, as_buf_str(b)) : AS_STR("{}");
    as_buf_release(b);
    return out;
}

as_str cli_host_json(as_arena *keep)
{
    as_buf cpu, mem, b;
    as_buf_init(&cpu, 1 << 20);
    as_buf_init(&mem, 1 << 20);
    as_buf_init(&b, 1 << 16);
    (void)as_read_file(&cpu, "/proc/cpuinfo", NULL);
    (void)as_read_file(&mem, "/proc/meminfo", NULL);
    struct utsname os;
    const bool has_os = uname(&os) == 0;
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    as_jw_put_str(&w, "cpu", line_value(as_buf_str(&cpu), "model name"));
    as_jw_put_i64(&w, "cores", sysconf(_SC_NPROCESSORS_ONLN));
    as_jw_put_str(&w, "memory", line_value(as_buf_str(&mem), "MemTotal"));
    as_jw_put_z(&w, "os", has_os ? os.sysname : "");
    as_jw_put_z(&w, "kernel", has_os ? os.release : "");
    as_jw_put_z(&w, "machine", has_os ? os.machine : "");
    as_jw_end_object(&w);
    as_buf_release(&cpu);
    as_buf_release(&mem);
    return finish(&b, keep);
}

as_str cli_build_json(as_arena *keep)
{
    as_buf b;
    as_buf_init(&b, 1 << 16);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    as_jw_put_z(&w, "version", AS_VERSION);
    as_jw_put_z(&w, "git", AS_GIT);
    as_jw_put_z(&w, "compiler", __VERSION__);
    as_jw_put_z(&w, "flags", AS_BUILD_FLAGS);
    as_jw_end_object(&w);
    return finish(&b, keep);
}

/* Where the store lies is no circumstance of what is in it: --db and its value are left out. */
as_str cli_argv_text(const cli_env *env)
{
    as_buf b;
    as_buf_init(&b, 1 << 16);
    (void)as_buf_add_z(&b, as_path_base(env->argv[0]));
    for (int i = 1; i < env->argc; i++) {
        const as_str arg = as_str_of(env->argv[i]);
        if (as_str_eq(arg, AS_STR("--db")))
            i++;
        else if (!as_str_starts(arg, AS_STR("--db=")))
            (void)as_buf_printf(&b, " %s", env->argv[i]);
    }
    return finish(&b, env->keep);
}
