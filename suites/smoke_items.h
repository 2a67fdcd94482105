#ifndef SUITES_SMOKE_ITEMS_H
#define SUITES_SMOKE_ITEMS_H
/*
 * smoke_items.h — the built-in questions: written for this program, so that a suite can run before
 * any data set was imported. Simple on purpose: a good model gets all of them right, and a score
 * below that points at the set-up (template, stop texts, truncation), not at the model.
 */

enum { SMOKE_MAX_CHOICES = 10 };

typedef struct smoke_choice {
    const char *id; /* stable: never given to another question */
    const char *group;
    const char *question;
    const char *choices[SMOKE_MAX_CHOICES]; /* NULL behind the last */
    const char *answer;                     /* letter */
    const char *worked;                     /* of examples: the solution; else NULL */
} smoke_choice;

typedef struct smoke_number {
    const char *id;
    const char *problem;
    int answer;
    const char *worked;
} smoke_number;

enum { SMOKE_N_CHOICE = 24, SMOKE_N_CHOICE_SHOT = 5, SMOKE_N_NUMBER = 10, SMOKE_N_NUMBER_SHOT = 4 };

extern const smoke_choice smoke_choices[SMOKE_N_CHOICE];
extern const smoke_choice smoke_choice_shots[SMOKE_N_CHOICE_SHOT];
extern const smoke_number smoke_numbers[SMOKE_N_NUMBER];
extern const smoke_number smoke_number_shots[SMOKE_N_NUMBER_SHOT];

#endif
