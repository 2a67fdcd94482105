#ifndef BACKEND_DRIVERS_H
#define BACKEND_DRIVERS_H
/* drivers.h — the drivers this folder offers; each one's file opens with what it does. */
#include "backend/backend.h"

extern const be_driver be_engine;   /* engine/: the built-in engine */
extern const be_driver be_replay;   /* backend_replay.c: recorded answers */
extern const be_driver be_null;     /* backend_null.c: answers from a script */
extern const be_driver be_openai;   /* http/dialect_openai.c: any OpenAI-compatible server */
extern const be_driver be_llamacpp; /* http/dialect_llamacpp.c: llama.cpp's server */
extern const be_driver be_vllm;     /* http/dialect_vllm.c: vLLM */
extern const be_driver be_plugin;   /* plugin/: a shared library of somebody else */
extern const be_driver be_tjs;      /* bridge/: transformers.js in a Node child */
extern const be_driver be_ollama;   /* http/dialect_ollama.c: Ollama, by its own routes */
extern const be_driver be_lmstudio; /* http/dialect_lmstudio.c: LM Studio */
extern const be_driver be_gemini;   /* http/dialect_gemini.c: Google AI Studio */

#endif
