#ifndef SCORERS_SCORERS_H
#define SCORERS_SCORERS_H
/* scorers.h — all scorers; what each one reads stands in its own header. */
#include "scorers/choice/mmlu_pro.h"
#include "scorers/code/livecodebench.h"
#include "scorers/number/aime.h"
#include "scorers/number/first.h"

#endif
