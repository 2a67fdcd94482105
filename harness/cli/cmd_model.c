/*
 * cmd_model.c — assay model VERB: the engine by hand.
 *
 * These are what outside programs check the engine with, so they print JSON and write plain
 * little-endian float32, and do nothing that a run does not do.
 */
#include "cli/cmd_model.h"

#include <string.h>

typedef int (*model_fn)(cli_env *env, int argc, char **argv);

static const struct {
    const char *name;
    model_fn run;
    const char *about;
} verbs[] = {
    {"info", model_info, "header, hyper-parameters, sizes"},
    {"tokenize", model_tokenize, "JSON lines {\"text\"} to {\"ids\"}"},
    {"detokenize", model_detokenize, "JSON lines {\"ids\"} to {\"text\"}"},
    {"render", model_render, "conversations to text, by the model's own template"},
    {"generate", model_generate, "continue a prompt or a conversation"},
    {"chat", model_chat, "a conversation on the terminal"},
    {"logits", model_logits, "logits of every position of a list of ids"},
    {"perplexity", model_perplexity, "perplexity of a text"},
    {"convert", model_convert, "model folder to GGUF"},
    {"quantize", model_quantize, "smaller formats, by a recipe"},
};

static int usage(FILE *to)
{
    (void)fprintf(to, "usage: assay model VERB MODEL [flags]\n\n");
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        (void)fprintf(to, "  %-11s %s\n", verbs[i].name, verbs[i].about);
    (void)fprintf(to, "\n`assay model VERB --help` lists a verb's flags.\n");
    return to == stdout ? CLI_OK : CLI_USAGE;
}

int cmd_model(cli_env *env, int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return usage(stdout);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(env, argc - 1, argv + 1);
    (void)fprintf(stderr, "assay: no verb \"%s\"; `assay model --help` lists them\n", argv[1]);
    return CLI_USAGE;
}
