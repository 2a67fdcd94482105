/* registry.c — the lists of what this program can do. */
#include "backend/drivers.h"
#include "cli/cli.h"
#include "datasets/importers.h"
#include "scorers/scorers.h"
#include "suites/suites.h"

/* clang-format off */
const be_driver *const cli_backends[] = {
    &be_engine,
    &be_openai,
    &be_llamacpp,
    &be_vllm,
    &be_ollama,
    &be_lmstudio,
    &be_gemini,
    &be_gemini,
    &be_tjs,
    &be_plugin,
    &be_replay,
    &be_null,
    NULL,
};

const su_suite *const cli_suites[] = {
    &su_mmlu_pro,
    &su_aime,
    &su_livecodebench,
    &su_codeforces,
    &su_needle,
    &su_smoke_choice,
    &su_smoke_number,
    NULL,
};

const sc_scorer *const cli_scorers[] = {
    &sc_choice_mmlu_pro,
    &sc_choice_mmlu_pro_api,
    &sc_number_aime,
    &sc_number_first,
    &sc_code_lcb,
    &sc_code_lcb_script,
    &sc_code_codeforces,
    NULL,
};

const ds_importer *const cli_importers[] = {
    &ds_mmlu_pro,
    &ds_aime,
    &ds_livecodebench,
    &ds_codeforces,
    NULL,
};
/* clang-format on */

const cli_command cli_commands[] = {
    {"run", "ask a model the questions of suites, score and store every answer", cmd_run},
    {"loglikelihood", "how likely a model finds given continuations", cmd_loglikelihood},
    {"score", "score a run's stored answers again", cmd_score},
    {"rate", "Codeforces and Arena ratings", cmd_rate},
    {"report", "write tables and plots of runs into a folder", cmd_report},
    {"ls", "list runs, suites, scorers or backends", cmd_ls},
    {"show", "look at one run or its samples", cmd_show},
    {"db", "check or export the database", cmd_db},
    {"data", "list, import or verify datasets", cmd_data},
    {"model", "tokenize, generate, logits, perplexity, info", cmd_model},
    {"serve", "a model behind an HTTP interface as OpenAI has it", cmd_serve},
    {"mock", "a scripted server that answers and fails as real ones do", cmd_mock},
    {"grade", "judge LiveCodeBench cases given in a file", cmd_grade},
    {"exec", "run programs in a sandbox and judge what they print", cmd_exec},
    {"doctor", "what this machine and build can do", cmd_doctor},
    {NULL, NULL, NULL},
};
