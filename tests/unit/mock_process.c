#include "unit/mock_process.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "unit/cm.h"

enum { READ_S = 10 };

void mock_start(mock_process *m, const char *script, const char *chunk)
{
    const char *program = getenv("AS_PROGRAM"), *fixtures = getenv("AS_FIXTURES");
    int out[2];
    char path[512];
    if (program == NULL || fixtures == NULL)
        fail_msg("AS_PROGRAM and AS_FIXTURES are not set: run this by ctest");
    (void)snprintf(path, sizeof path, "%s/mock/%s", fixtures, script);
    assert_int_equal(pipe(out), 0);
    m->pid = fork();
    assert_true(m->pid >= 0);
    if (m->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves none behind */
        (void)dup2(out[1], STDOUT_FILENO);
        (void)close(out[0]);
        (void)close(out[1]);
        (void)execl(program, program, "mock", path, chunk != NULL ? "--chunk" : NULL, chunk,
                    (char *)NULL);
        _exit(127);
    }
    (void)close(out[1]);
    FILE *said = fdopen(out[0], "r");
    assert_non_null(said);
    if (fgets(m->url, (int)sizeof m->url, said) == NULL)
        fail_msg("%s: the mock does not start", script);
    m->url[strcspn(m->url, "\n")] = '\0';
    (void)fclose(said);
}

void mock_get(const mock_process *m, const char *path, as_buf *body)
{
    const struct timeval patience = {.tv_sec = READ_S};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    at.sin_port = htons((uint16_t)atoi(strrchr(m->url, ':') + 1));
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    char head[256];
    const int n = snprintf(head, sizeof head,
                           "GET %s HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n", path);
    assert_int_equal(send(fd, head, (size_t)n, MSG_NOSIGNAL), n);
    as_buf_reset(body);
    ssize_t got = 0;
    for (char *room; (room = as_buf_reserve(body, 65536)) != NULL; body->n += (size_t)got)
        if ((got = recv(fd, room, 65536, 0)) <= 0)
            break;
    (void)close(fd);
    assert_int_equal(got, 0);
    assert_int_equal(as_buf_add_byte(body, '\0'), AS_OK);
    const size_t end = as_str_find(as_buf_str(body), AS_STR("\r\n\r\n"));
    if (end == SIZE_MAX || strncmp(body->p, "HTTP/1.1 200", 12) != 0)
        fail_msg("%s: %.80s", path, body->p);
    body->n -= end + 5;
    memmove(body->p, body->p + end + 4, body->n + 1);
}

double mock_stat(const mock_process *m, const char *key)
{
    as_buf b;
    as_buf_init(&b, (size_t)16 << 20);
    mock_get(m, "/_mock/stats", &b);
    as_json *tree = NULL;
    double v = 0;
    assert_int_equal(as_json_parse(&tree, as_buf_str(&b), NULL), AS_OK);
    assert_true(as_json_f64(as_json_get(tree, key), &v));
    as_json_free(tree);
    as_buf_release(&b);
    return v;
}

void mock_stop(mock_process *m)
{
    int status = 0;
    assert_int_equal(kill(m->pid, SIGTERM), 0);
    assert_int_equal(waitpid(m->pid, &status, 0), m->pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the mock ended with status %d", status);
}
