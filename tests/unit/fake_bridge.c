/*
 * fake_bridge.c — stands in for Node in tests: speaks the bridge's line protocol, well or badly.
 *
 * Called as Node would be, with the path of bridge.mjs; that file's first word is the mode. Each
 * start adds a byte to bridge.mjs.starts beside it, so that a mode can behave better the second time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char mode[64];
static long n_starts;

static int is(const char *name)
{
    return strcmp(mode, name) == 0;
}

static void pause_ms(long ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

/* In mode "drip" a line comes in three pieces. */
static void say(const char *text)
{
    const size_t n = strlen(text);
    for (size_t at = 0; at < n;) {
        const size_t piece = is("drip") && n - at > n / 3 + 1 ? n / 3 + 1 : n - at;
        (void)fwrite(text + at, 1, piece, stdout);
        (void)fflush(stdout);
        at += piece;
        if (is("drip"))
            pause_ms(3);
    }
}

static long number_after(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    return at != NULL ? strtol(at + strlen(key), NULL, 10) : -1;
}

static void reply(long id, const char *rest)
{
    char line[4096];
    (void)snprintf(line, sizeof line, "{\"id\":%ld,%s}\n", id, rest);
    say(line);
}

#define TOKEN(id, lp, text)                                                                        \
    "\"ev\":\"token\",\"t_ms\":1,\"token_id\":" id ",\"piece\":\"" text "\",\"text\":\"" text      \
    "\",\"reasoning\":\"\",\"logprob\":" lp ",\"greedy\":true,\"top\":[[" id "," lp ",\"" text     \
    "\"]]"
#define DONE                                                                                       \
    "\"ev\":\"done\",\"text\":\"hello\",\"reasoning\":\"hm\",\"rest\":\"!\",\"finish\":\"stop\","  \
    "\"usage\":{\"prompt\":3,\"completion\":2},\"timings\":{\"prompt_ms\":1.5,\"gen_ms\":2}"

static void flood(void)
{
    char piece[1 << 16];
    memset(piece, 'x', sizeof piece);
    for (int i = 0; i < 1100; i++)
        if (fwrite(piece, 1, sizeof piece, stdout) != sizeof piece)
            exit(0);
    (void)fflush(stdout);
    pause_ms(60000);
}

static void generate(long id)
{
    static const struct {
        const char *mode, *line;
    } odd[] = {
        {"garbage", "this is no JSON\n"},
        {"array", "[1]\n"},
        {"no-id", "{\"ev\":\"done\"}\n"},
    };
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        if (is(odd[i].mode)) {
            say(odd[i].line);
            return;
        }
    if (is("die") || (is("die-once") && n_starts == 1)) {
        (void)fputs("the heap is full\n", stderr);
        exit(3);
    }
    if (is("half")) {
        say("{\"id\":2,\"ev\":\"do");
        exit(0);
    }
    if (is("flood"))
        flood();
    if (is("hang"))
        pause_ms(60000);
    if (is("error"))
        reply(id, "\"error\":{\"class\":\"context\",\"message\":\"too long a prompt\"}");
    if (is("odd-event"))
        reply(id, "\"ev\":\"dance\"");
    if (is("no-text"))
        reply(id, "\"ev\":\"done\",\"finish\":\"stop\"");
    if (is("odd-finish"))
        reply(id, "\"ev\":\"done\",\"text\":\"\",\"finish\":\"tired\"");
    if (is("above-zero"))
        reply(id, TOKEN("5", "0.7", "x"));
    if (is("null-id"))
        reply(id, TOKEN("null", "-1", "x"));
    if (is("stranger"))
        reply(id + 1000, DONE);
    reply(id, TOKEN("5", "-0.5", "he"));
    reply(id, TOKEN("6", "null", "llo"));
    reply(id, DONE);
}

static void score(long id)
{
    reply(id, is("score-short") ? "\"ok\":true,\"ids\":[7],\"texts\":[\"a\"],\"logprobs\":[-1],"
                                  "\"greedy\":[true],\"top\":[[[7,-1,\"a\"]]]"
              : is("score-odd") ? "\"ok\":true,\"ids\":[7],\"logprobs\":[-1,-2],\"greedy\":[true]"
                                : "\"ok\":true,\"ids\":[7,8],\"texts\":[\"a\",\"b\"],\"logprobs\":"
                                  "[-1,-2.5],\"greedy\":[true,false],\"top\":[[[7,-1,\"a\"]],"
                                  "[[9,-0.1,\"c\"]]],\"prompt\":1");
}

static void take(const char *line, size_t n)
{
    const long id = number_after(line, "\"id\":");
    if (strstr(line, "\"op\":\"open\"") != NULL) {
        if (is("open-error"))
            reply(id, "\"error\":{\"class\":\"setup\",\"message\":\"the graph is damaged\"}");
        else
            reply(id, "\"ok\":true,\"info\":{\"arch\":\"fake\",\"ctx\":64,\"template\":\"t\","
                      "\"caps\":[\"chat\",\"raw\",\"ids\",\"tokenize\",\"score\",\"logprobs\","
                      "\"render\"]}");
    } else if (strstr(line, "\"op\":\"generate\"") != NULL) {
        if (is("cancel") || (is("long-prompt") && n < 1000000))
            return;
        generate(id);
    } else if (strstr(line, "\"op\":\"cancel\"") != NULL) {
        reply(id, "\"ev\":\"done\",\"text\":\"\",\"finish\":\"cancelled\"");
        (void)snprintf(mode, sizeof mode, "good");
    } else if (strstr(line, "\"op\":\"score\"") != NULL) {
        score(id);
    } else if (strstr(line, "\"op\":\"tokenize\"") != NULL) {
        reply(id, is("bad-tokens") ? "\"ok\":true,\"tokens\":[1,\"x\"]"
                                   : "\"ok\":true,\"tokens\":[2,10,11]");
    } else if (strstr(line, "\"op\":\"render\"") != NULL) {
        reply(id, is("no-render")
                      ? "\"error\":{\"class\":\"unsupported\",\"message\":\"no template\"}"
                      : "\"ok\":true,\"prompt\":\"<u>hi\",\"tokens\":[1,2]");
    }
}

int main(int argc, char **argv)
{
    char starts[4096];
    FILE *f = argc > 1 ? fopen(argv[1], "r") : NULL;
    if (f == NULL || fscanf(f, "%63s", mode) != 1)
        return 9;
    (void)fclose(f);
    (void)snprintf(starts, sizeof starts, "%s.starts", argv[1]);
    f = fopen(starts, "a");
    if (f == NULL)
        return 9;
    (void)fputc('.', f);
    n_starts = ftell(f);
    (void)fclose(f);
    if (is("die-early")) {
        (void)fputs("cannot find a module\n", stderr);
        return 1;
    }
    say(is("not-ready")      ? "hello\n"
        : is("protocol-two") ? "{\"ready\":true,\"protocol\":2}\n"
                             : "{\"ready\":true,\"protocol\":1}\n");
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n = getline(&line, &cap, stdin); n > 0; n = getline(&line, &cap, stdin))
        take(line, (size_t)n);
    free(line);
    return 0;
}
