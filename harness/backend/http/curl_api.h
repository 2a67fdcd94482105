#ifndef BACKEND_HTTP_CURL_API_H
#define BACKEND_HTTP_CURL_API_H
/*
 * curl_api.h — libcurl's functions, loaded when the first server is opened.
 *
 * Why        linked plainly, libcurl and its thirty libraries cost every command 4 ms of CPU before
 *            main (1.3 ms against 5.4 ms for an empty program); most commands ask no server.
 * Errors     AS_UNSUPPORTED with the package to install, when it is absent or older than 7.88.
 * Threads    loading is thread-safe; the table is constant afterwards.
 */
#include <curl/curl.h>

#include "base/err.h"

typedef struct ht_curl {
    __typeof__(curl_global_init) *global_init;
    __typeof__(curl_version_info) *version_info;
    __typeof__(curl_easy_init) *easy_init;
    __typeof__(curl_easy_cleanup) *easy_cleanup;
    __typeof__(curl_easy_reset) *easy_reset;
    CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
    CURLcode (*easy_getinfo)(CURL *easy, CURLINFO info, ...);
    __typeof__(curl_easy_strerror) *easy_strerror;
    __typeof__(curl_slist_append) *slist_append;
    __typeof__(curl_slist_free_all) *slist_free_all;
    __typeof__(curl_multi_init) *multi_init;
    __typeof__(curl_multi_cleanup) *multi_cleanup;
    CURLMcode (*multi_setopt)(CURLM *multi, CURLMoption option, ...);
    __typeof__(curl_multi_add_handle) *multi_add_handle;
    __typeof__(curl_multi_remove_handle) *multi_remove_handle;
    __typeof__(curl_multi_socket_action) *multi_socket_action;
    __typeof__(curl_multi_assign) *multi_assign;
    __typeof__(curl_multi_info_read) *multi_info_read;
} ht_curl;

as_code ht_curl_load(const ht_curl **out, as_err *err);

#endif
