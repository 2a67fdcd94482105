#include "backend/http/curl_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

enum { FLOOR_VERSION = 0x075800 }; /* 7.88, Debian 12's */

static ht_curl api;
static as_err load_error;
static pthread_once_t load_once = PTHREAD_ONCE_INIT;

/* dlsym's result as a function pointer; ISO C has no cast for it. */
static void find(void *library, const char *name, void *function, size_t n)
{
    void *p = dlsym(library, name);
    if (p == NULL && load_error.code == AS_OK)
        (void)as_fail(&load_error, AS_UNSUPPORTED, "libcurl has no function %s", name);
    memcpy(function, &p, n);
}

#define FIND(field) find(library, "curl_" #field, &api.field, sizeof api.field)

static void load(void)
{
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        (void)as_fail(&load_error, AS_UNSUPPORTED,
                      "servers are asked through libcurl, which is not here: apt-get install "
                      "libcurl4");
        return;
    }
    FIND(global_init);
    FIND(version_info);
    FIND(easy_init);
    FIND(easy_cleanup);
    FIND(easy_reset);
    FIND(easy_setopt);
    FIND(easy_getinfo);
    FIND(easy_strerror);
    FIND(slist_append);
    FIND(slist_free_all);
    FIND(multi_init);
    FIND(multi_cleanup);
    FIND(multi_setopt);
    FIND(multi_add_handle);
    FIND(multi_remove_handle);
    FIND(multi_socket_action);
    FIND(multi_assign);
    FIND(multi_info_read);
    if (load_error.code != AS_OK)
        return;
    const curl_version_info_data *v = api.version_info(CURLVERSION_NOW);
    if (v->version_num < FLOOR_VERSION)
        (void)as_fail(&load_error, AS_UNSUPPORTED,
                      "libcurl %s is too old, 7.88 or newer is needed: apt-get install libcurl4",
                      v->version);
    else if (api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        (void)as_fail(&load_error, AS_UNSUPPORTED, "libcurl %s cannot be initialised", v->version);
}

as_code ht_curl_load(const ht_curl **out, as_err *err)
{
    *out = NULL;
    (void)pthread_once(&load_once, load);
    if (load_error.code != AS_OK) {
        if (err != NULL)
            *err = load_error;
        return load_error.code;
    }
    *out = &api;
    return AS_OK;
}
