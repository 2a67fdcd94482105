#include "suites/suite.h"

#include <assert.h>
#include <stdio.h>

static void list_suites(char *out, size_t size, const su_suite *const *suites)
{
    size_t n = 0;
    for (; *suites != NULL && n < size; suites++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", n != 0 ? ", " : "", (*suites)->name);
}

static void list_protocols(char *out, size_t size, const su_suite *suite)
{
    size_t n = 0;
    for (int i = 0; i < suite->n_protocols && n < size; i++)
        n +=
            (size_t)snprintf(out + n, size - n, "%s%s", n != 0 ? ", " : "", suite->protocols[i].id);
}

as_code su_find(const su_suite *const *suites, as_str name, const su_suite **suite,
                const su_protocol **protocol, as_arena *keep, as_err *err)
{
    as_str head;
    as_str id;
    char list[384] = "";
    const bool has_protocol = as_str_cut(name, ':', &head, &id);
    const su_suite *found = NULL;
    for (const su_suite *const *s = suites; *s != NULL && found == NULL; s++)
        found = as_str_eq_z(head, (*s)->name) ? *s : NULL;
    if (found == NULL) {
        list_suites(list, sizeof list, suites);
        return as_fail(err, AS_RANGE, "no suite \"%.*s\"; there are: %s", AS_ARG(head), list);
    }
    assert(found->protocols != NULL);
    const su_protocol *chosen = NULL; /* the first, unless one is named */
    for (int i = 0; chosen == NULL && i < found->n_protocols; i++)
        if (!has_protocol || as_str_eq_z(id, found->protocols[i].id))
            chosen = &found->protocols[i];
    if (chosen == NULL && found->derive != NULL)
        AS_TRY(found->derive(&chosen, found, id, keep, err));
    if (chosen == NULL) {
        list_protocols(list, sizeof list, found);
        return as_fail(err, AS_RANGE, "suite %s has no protocol \"%.*s\"; there are: %s",
                       found->name, AS_ARG(id), list);
    }
    *suite = found;
    *protocol = chosen;
    return AS_OK;
}
