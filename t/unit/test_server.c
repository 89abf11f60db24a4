/* msgserverd itself, with pretended children. */
#include "fake_children.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "io/child_contract.h"

static char program[PATH_MAX + 32], config[128], output[128], notify_path[96];
static int notify_fd;
static pid_t server;

static void write_config(const char *text)
{
    char path[192];
    snprintf(path, sizeof path, "%s/default.yaml", config);
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fprintf(file, text, fake_directory, fake_directory);
    fclose(file);
}

static const char GOOD[] = "server:\n"
                           "    workers: 2\n"
                           "    clientHost: { bind: { file: \"%s/client.sock\" } }\n"
                           "    backendHost: { bind: { file: \"%s/backend.sock\" } }\n";

static void setup(void)
{
    char self[PATH_MAX] = "";
    fake_children_setup();
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    snprintf(program, sizeof program, "%s/../../msgserverd", dirname(self));
    snprintf(config, sizeof config, "%s/conf", fake_directory);
    snprintf(output, sizeof output, "%s/output", fake_directory);
    snprintf(notify_path, sizeof notify_path, "%s/notify", fake_directory);
    ck_assert_int_eq(mkdir(config, 0700), 0);
    write_config(GOOD);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", notify_path);
    notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(notify_fd, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", notify_path, 1);
    setenv("MSGSERVER_LIBEXECDIR", fake_directory, 1);
}

static void teardown(void)
{
    char path[192];
    if (server > 0) {
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
    }
    snprintf(path, sizeof path, "%s/default.yaml", config);
    unlink(path);
    rmdir(config);
    unlink(output);
    unlink(notify_path);
    close(notify_fd);
    fake_children_teardown();
}

/* In a process group of its own, as a shell would start it; its output goes to a file. */
static void start(const char *const *arguments)
{
    server = fork();
    ck_assert_int_ge(server, 0);
    if (server == 0) {
        const char *argv[8] = {program};
        for (size_t i = 0; arguments[i]; i++)
            argv[i + 1] = arguments[i];
        int fd = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);
        setpgid(0, 0);
        dup2(fd, 1);
        dup2(fd, 2);
        execv(program, (char *const *)argv);
        _exit(127);
    }
}

static void start_serving(void)
{
    start((const char *const[]){"-c", config, NULL});
}

static const char *text_of_output(void)
{
    static char text[32 << 10];
    int fd = open(output, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    text[got > 0 ? got : 0] = '\0';
    if (fd >= 0)
        close(fd);
    return text;
}

static const char *awaited_output;

static bool is_in_output(void)
{
    return strstr(text_of_output(), awaited_output) != NULL;
}

static void run_until_output(const char *text)
{
    awaited_output = text;
    run_until(is_in_output);
}

static const char *awaited_line;

static bool is_notified(void)
{
    static bool told; /* each datagram is read once */
    static const char *line;
    char text[512];
    if (line != awaited_line)
        told = false;
    line = awaited_line;
    for (ssize_t got; (got = recv(notify_fd, text, sizeof text - 1, 0)) >= 0;) {
        text[got] = '\0';
        told = told || strstr(text, awaited_line) != NULL;
    }
    return told;
}

static void run_until_notified(const char *line)
{
    awaited_line = line;
    run_until(is_notified);
}

static int finished_status;

static bool is_finished(void)
{
    if (server > 0 && waitpid(server, &finished_status, WNOHANG) == server)
        server = 0;
    return server == 0;
}

static int exit_status(void)
{
    run_until(is_finished);
    ck_assert_msg(WIFEXITED(finished_status), "ended by signal %d:\n%s", WTERMSIG(finished_status),
                  text_of_output());
    return WEXITSTATUS(finished_status);
}

static int status_with(const char *first, const char *second)
{
    start((const char *const[]){"-c", config, first, second, NULL});
    return exit_status();
}

START_TEST(the_command_line_is_answered)
{
    ck_assert_int_eq(status_with("--bogus", NULL), EXIT_USAGE);
    ck_assert_ptr_nonnull(strstr(text_of_output(), "--help"));
    ck_assert_int_eq(status_with("-t", "more"), EXIT_USAGE);
    ck_assert_int_eq(status_with("-h", NULL), EXIT_OK);
    ck_assert_ptr_nonnull(strstr(text_of_output(), "NODE_ENV"));
    ck_assert_int_eq(status_with("-V", NULL), EXIT_OK);
    ck_assert_ptr_nonnull(strstr(text_of_output(), "ZooKeeper client"));
    ck_assert_ptr_nonnull(strstr(text_of_output(), "fake-child 1.0"));
    ck_assert_int_eq(status_with("--public-config", NULL), EXIT_OK);
    ck_assert_ptr_nonnull(strstr(text_of_output(), "{\"transports\":{\"longpolling\":"));
    ck_assert_int_eq(status_with("-T", NULL), EXIT_OK);
    ck_assert_ptr_nonnull(strstr(text_of_output(), "client.sock"));
}
END_TEST

START_TEST(a_wrong_configuration_is_named_with_its_place)
{
    write_config("server:\n    workers: many\n");
    ck_assert_int_eq(status_with("-t", NULL), EXIT_CONFIGURATION);
    ck_assert_ptr_nonnull(strstr(text_of_output(), "default.yaml:2:14: error: "));
    start_serving();
    ck_assert_int_eq(exit_status(), EXIT_CONFIGURATION);
    ck_assert_ptr_nonnull(strstr(text_of_output(), "default.yaml:2:14 what="));
    start((const char *const[]){"-c", "/no/such/directory", NULL});
    ck_assert_int_eq(exit_status(), EXIT_CONFIGURATION);
}
END_TEST

START_TEST(it_tells_when_it_serves_and_stops_in_good_order)
{
    start_serving();
    run_until_notified("READY=1");
    run_until_output("event=serving clients=unix:/");
    ck_assert_ptr_nonnull(strstr(text_of_output(), "discovery=single"));
    kill(server, SIGTERM);
    kill(server, SIGTERM);
    run_until_notified("STOPPING=1");
    ck_assert_int_eq(exit_status(), EXIT_OK);
    char path[PATH_MAX];
    fake_path("client.sock", path);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_eq(fake_log_count(" stop", ""), 3);
}
END_TEST

START_TEST(an_abstract_notify_socket_is_told_too)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int len = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "test-msgserver-%d",
                       (int)getpid());
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t room = (socklen_t)(sizeof(sa_family_t) + 1 + (size_t)len);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, room), 0);
    address.sun_path[0] = '@';
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    close(notify_fd);
    notify_fd = fd;
    start_serving();
    run_until_notified("READY=1");
    kill(server, SIGINT);
    ck_assert_int_eq(exit_status(), EXIT_OK);
}
END_TEST

START_TEST(a_signal_to_the_whole_tree_stops_in_good_order)
{
    start_serving();
    run_until_output("event=serving ");
    kill(-server, SIGTERM);
    ck_assert_int_eq(exit_status(), EXIT_OK);
    ck_assert_int_eq(fake_log_count(" stop", ""), 3);
}
END_TEST

START_TEST(children_that_hang_do_not_delay_the_stop_beyond_3_s)
{
    setenv("FAKE_CHILD", "deaf", 1);
    start_serving();
    run_until_output("event=serving ");
    uint64_t begin = clock_monotonic_ms();
    kill(server, SIGTERM);
    ck_assert_int_eq(exit_status(), EXIT_OK);
    ck_assert_uint_lt(clock_monotonic_ms() - begin, 3000);
    ck_assert_ptr_nonnull(strstr(text_of_output(), "event=child-killed"));
}
END_TEST

START_TEST(a_second_sigint_exits_at_once)
{
    setenv("FAKE_CHILD", "deaf", 1);
    start_serving();
    run_until_output("event=serving ");
    kill(server, SIGINT);
    run_until_output("event=stopping ");
    kill(server, SIGINT);
    ck_assert_int_eq(exit_status(), 128 + SIGINT);
}
END_TEST

START_TEST(sighup_checks_and_changes_nothing)
{
    start_serving();
    run_until_output("event=serving ");
    write_config("server: [\n");
    kill(server, SIGHUP);
    run_until_output("result=wrong");
    write_config("server: { workers: 3 }\n");
    kill(server, SIGHUP);
    run_until_output("key=server.workers");
    kill(server, SIGTERM);
    ck_assert_int_eq(exit_status(), EXIT_OK);
}
END_TEST

START_TEST(an_address_in_use_is_explained)
{
    start_serving();
    run_until_output("event=serving ");
    pid_t first = server;
    start_serving();
    ck_assert_int_eq(exit_status(), EXIT_OS);
    ck_assert_ptr_nonnull(strstr(text_of_output(), "server.clientHost.bind"));
    server = first;
    kill(server, SIGTERM);
    ck_assert_int_eq(exit_status(), EXIT_OK);
}
END_TEST

START_TEST(a_relay_that_fails_at_start_ends_the_server)
{
    setenv("FAKE_RELAY", "fail", 1);
    start_serving();
    ck_assert_int_eq(exit_status(), EXIT_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(text_of_output(), "relay-worker: the fake was told to fail"));
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, the_command_line_is_answered);
    tcase_add_test(cases, a_wrong_configuration_is_named_with_its_place);
    tcase_add_test(cases, it_tells_when_it_serves_and_stops_in_good_order);
    tcase_add_test(cases, an_abstract_notify_socket_is_told_too);
    tcase_add_test(cases, a_signal_to_the_whole_tree_stops_in_good_order);
    tcase_add_test(cases, children_that_hang_do_not_delay_the_stop_beyond_3_s);
    tcase_add_test(cases, a_second_sigint_exits_at_once);
    tcase_add_test(cases, sighup_checks_and_changes_nothing);
    tcase_add_test(cases, an_address_in_use_is_explained);
    tcase_add_test(cases, a_relay_that_fails_at_start_ends_the_server);
}

UNIT_MAIN("server", add_tests)
