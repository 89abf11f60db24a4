#include "ctl/backend_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/slice.h"
#include "ctl/configured.h"
#include "io/child_contract.h"

enum {
    CONNECT_LIMIT_S = 5,
    ANSWER_LIMIT_S = 15, /* the server itself gives up after 10 */
    ANSWER_MAX = 64 << 20,
    TOKEN_MAX = 4096
};

static const char ASKED_FOR[] = "where the server's backend API is";

/* Where the server listens, and what it wants to be shown; all with their NUL. */
struct place {
    struct buffer bind;
    struct buffer token_file;
    struct buffer authorization; /* a header field; empty: none is needed */
};

static void place_free(struct place *place)
{
    buffer_free(&place->bind);
    buffer_free(&place->token_file);
    buffer_free(&place->authorization);
}

__attribute__((format(printf, 2, 3))) static int say(int status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("msgserverctl: ", stderr);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return status;
}

int backend_not_understood(void)
{
    return say(EXIT_PROTOCOL,
               "the answer is not understood: is the server as new as this program?");
}

/* --- where the server is ---------------------------------------------------------------------- */

static bool is_unix(const struct place *place)
{
    return strncmp(buffer_bytes(&place->bind), "unix:", 5) == 0;
}

static int read_token(struct place *place)
{
    char token[TOKEN_MAX + 1];
    const char *path = buffer_bytes(&place->token_file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, token, TOKEN_MAX) : -1;
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (len < 0)
        return say(EXIT_OS, "the token file %s cannot be read: %s", path, strerror(error));
    token[len] = '\0';
    token[strcspn(token, "\r\n")] = '\0';
    if (buffer_printf(&place->authorization, "Authorization: Bearer %s", token) != 0 ||
        buffer_append(&place->authorization, "", 1) != 0)
        return say(EXIT_OS, "out of memory");
    return EXIT_OK;
}

static int find_place(const struct ctl_options *options, struct place *place)
{
    int status = configured_value(options, ASKED_FOR, "server.backendHost.bind", &place->bind);
    if (status != EXIT_OK || is_unix(place))
        return status;
    status =
        configured_value(options, ASKED_FOR, "server.backendHost.tokenFile", &place->token_file);
    return status == EXIT_OK ? read_token(place) : status;
}

/* --- asking ----------------------------------------------------------------------------------- */

static size_t take_bytes(char *bytes, size_t size, size_t count, void *context)
{
    struct buffer *text = context;
    size_t len = size * count;
    if (buffer_len(text) + len > ANSWER_MAX || buffer_append(text, bytes, len) != 0)
        return 0;
    return len;
}

/* A server that listens on every address is asked on this host's own. */
static int append_server(struct buffer *url, const char *bind)
{
    static const char SCHEME[] = "http://", ANY[] = "http://0.0.0.0:", ANY_6[] = "http://[::]:";
    const char *port = strrchr(bind, ':');
    if (strncmp(bind, SCHEME, sizeof SCHEME - 1) != 0)
        return buffer_append_string(url, "http://backend");
    if (strncmp(bind, ANY, sizeof ANY - 1) == 0)
        return buffer_printf(url, "http://127.0.0.1%s", port);
    if (strncmp(bind, ANY_6, sizeof ANY_6 - 1) == 0)
        return buffer_printf(url, "http://[::1]%s", port);
    return buffer_append_string(url, bind);
}

static int make_url(CURL *curl, const struct place *place, const char *path, const char *rest,
                    struct buffer *url)
{
    char *encoded = curl_easy_escape(curl, rest ? rest : "", 0);
    int failed = !encoded || append_server(url, buffer_bytes(&place->bind)) != 0 ||
                 buffer_append_string(url, path) != 0 || buffer_append_string(url, encoded) != 0 ||
                 buffer_append(url, "", 1) != 0;
    curl_free(encoded);
    return failed ? -1 : 0;
}

static int no_connection(CURL *curl, const struct place *place)
{
    const char *bind = buffer_bytes(&place->bind);
    long error = 0;
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &error);
    if (is_unix(place) && access(bind + 5, F_OK) != 0)
        error = errno;
    if (error == EACCES || error == EPERM)
        return say(EXIT_OS,
                   "%s cannot be connected to: %s; be the server's user, of its group, or root",
                   bind, strerror((int)error));
    return say(EXIT_UNAVAILABLE,
               "no server answers at %s: %s; is it running, with this configuration?", bind,
               strerror(error != 0 ? (int)error : ECONNREFUSED));
}

static int no_answer(CURL *curl, CURLcode code, const struct place *place)
{
    const char *bind = buffer_bytes(&place->bind);
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        return no_connection(curl, place);
    case CURLE_OPERATION_TIMEDOUT:
        return say(EXIT_UNAVAILABLE, "the server at %s does not answer in time", bind);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
        return say(EXIT_PROTOCOL, "what answers at %s is no msgserver", bind);
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
        return say(EXIT_OS, "out of memory");
    default:
        return say(EXIT_UNAVAILABLE, "the server at %s gave no whole answer: %s", bind,
                   curl_easy_strerror(code));
    }
}

/* What is asked stays on this host's own way: no proxy, no redirection, no other protocol. */
static int ask(CURL *curl, const struct place *place, const char *url, struct buffer *text,
               long *status)
{
    struct curl_slist *headers = buffer_len(&place->authorization) > 0
                                     ? curl_slist_append(NULL, buffer_bytes(&place->authorization))
                                     : NULL;
    if (is_unix(place))
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, buffer_bytes(&place->bind) + 5);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_LIMIT_S);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)ANSWER_LIMIT_S);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, text);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    curl_slist_free_all(headers);
    return code == CURLE_OK ? EXIT_OK : no_answer(curl, code, place);
}

/* --- the answer ------------------------------------------------------------------------------- */

static int exit_status_of(long status, const char *code)
{
    switch (status) {
    case 400:
        return EXIT_USAGE;
    case 401:
        return EXIT_REFUSED;
    case 404:
        return strcmp(code, "noSession") == 0 ? EXIT_NO_INPUT : EXIT_PROTOCOL;
    case 502:
    case 503:
    case 504:
        return EXIT_UNAVAILABLE;
    default:
        return EXIT_PROTOCOL;
    }
}

static int tell_error(const struct place *place, long status, const json_t *object)
{
    const json_t *error = json_object_get(object, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *message = json_string_value(json_object_get(error, "message"));
    if (!code || !message)
        return say(EXIT_PROTOCOL, "what answers at %s is no msgserver: HTTP status %ld",
                   buffer_bytes(&place->bind), status);
    if (status == 401 && buffer_len(&place->authorization) > 0)
        return say(EXIT_REFUSED,
                   "the server refuses the token in %s: it was changed after the server started",
                   buffer_bytes(&place->token_file));
    return say(exit_status_of(status, code), "%s", message);
}

static int read_answer(const struct place *place, long status, struct backend_answer *answer)
{
    struct slice text = buffer_slice(&answer->text);
    answer->object = json_loadb(text.data ? text.data : "", text.len, 0, NULL);
    if (status != 200)
        return tell_error(place, status, answer->object);
    return json_is_object(answer->object) ? EXIT_OK : backend_not_understood();
}

int backend_ask(const struct ctl_options *options, const char *path, const char *rest,
                struct backend_answer *answer)
{
    struct place place = {0};
    struct buffer url = {0};
    long http_status = 0;
    *answer = (struct backend_answer){0};
    int status = find_place(options, &place);
    CURL *curl = NULL;
    if (status == EXIT_OK &&
        (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK || !(curl = curl_easy_init()) ||
         make_url(curl, &place, path, rest, &url) != 0))
        status = say(EXIT_OS, "out of memory");
    if (status == EXIT_OK)
        status = ask(curl, &place, buffer_bytes(&url), &answer->text, &http_status);
    if (status == EXIT_OK)
        status = read_answer(&place, http_status, answer);
    curl_easy_cleanup(curl);
    curl_global_cleanup();
    buffer_free(&url);
    place_free(&place);
    return status;
}

void backend_answer_free(struct backend_answer *answer)
{
    buffer_free(&answer->text);
    json_decref(answer->object);
}
