#ifndef BASE_ERR_H
#define BASE_ERR_H
/*
 * err.h — errors are values: a code for the program, a sentence for a person.
 *
 * Use        A fallible function returns as_code and takes an as_err * last (NULL is allowed).
 *            It leaves its outputs untouched or empty when it fails.
 * Text       Names the thing, the place and the remedy: "gpqa.jsonl: line 12: 3 choices, want 4".
 *            as_wrap puts outer context in front. Texts too long for the field are cut at a
 *            character border and end in "...".
 * Threads    an as_err belongs to one thread; the functions hold no state.
 */
#include <stddef.h>

#if defined(__GNUC__)
#define AS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define AS_PRINTF(fmt, args)
#endif

typedef enum as_code {
    AS_OK = 0,
    AS_NOMEM,       /* allocation refused, or an arena or buffer limit was reached */
    AS_IO,          /* a system call failed; as_err.sys holds errno */
    AS_PARSE,       /* input from outside is malformed */
    AS_RANGE,       /* well-formed input, value not acceptable */
    AS_UNSUPPORTED, /* valid request that this build or backend cannot serve */
    AS_TIMEOUT,
    AS_CANCELLED,
    AS_INTEGRITY, /* data is not what its hash or count says */
    AS_BUG,       /* an internal check failed; always worth a report */
} as_code;

typedef struct as_err {
    as_code code;
    int sys;        /* errno at the origin, or 0 */
    char text[504]; /* NUL-terminated, outermost context first */
} as_err;

/* Fills *err and returns code, so that "return as_fail(err, AS_PARSE, …)" reads well. */
as_code as_fail(as_err *err, as_code code, const char *fmt, ...) AS_PRINTF(3, 4);

/* AS_IO with the current errno; ": " and its description are appended to the text. */
as_code as_fail_sys(as_err *err, const char *fmt, ...) AS_PRINTF(2, 3);

/* Puts "context: " in front of what is there; returns err->code (AS_BUG for a NULL err). */
as_code as_wrap(as_err *err, const char *fmt, ...) AS_PRINTF(2, 3);

#ifdef __clang_analyzer__
/* The analyzer sees one file at a time: here it learns that a failure is never AS_OK. */
#define as_fail(err, code, ...)                                                                    \
    __extension__({                                                                                \
        (void)(as_fail)((err), (code), __VA_ARGS__);                                               \
        (code);                                                                                    \
    })
#define as_fail_sys(err, ...)                                                                      \
    __extension__({                                                                                \
        (void)(as_fail_sys)((err), __VA_ARGS__);                                                   \
        AS_IO;                                                                                     \
    })
#endif

/* "nomem", "io", "parse", …; "unknown" outside the enum. */
const char *as_code_name(as_code code);

/* Returns early on failure. Only where there is nothing to clean up. */
#define AS_TRY(expr)                                                                               \
    do {                                                                                           \
        const as_code as_try_code_ = (expr);                                                       \
        if (as_try_code_ != AS_OK)                                                                 \
            return as_try_code_;                                                                   \
    } while (0)

#endif
