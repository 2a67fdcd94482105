#ifndef TESTS_UNIT_CM_H
#define TESTS_UNIT_CM_H
/* cm.h — cmocka with the headers it wants in front of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
