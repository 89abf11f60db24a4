#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "master/listeners.h"

static char why[LISTENERS_WHY_ROOM];
static char directory[64];
static char path[128];
static char endpoint[160];

static void make_directory(void)
{
    snprintf(directory, sizeof directory, "/tmp/test-listeners.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/run/a.sock", directory);
    snprintf(endpoint, sizeof endpoint, "unix:%s", path);
}

static void remove_directory(void)
{
    char inner[80];
    snprintf(inner, sizeof inner, "%s/run", directory);
    unlink(path);
    rmdir(inner);
    rmdir(directory);
}

static int connect_v4(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

START_TEST(each_slot_has_a_socket_of_its_own_on_one_port)
{
    struct listeners listeners;
    ck_assert_int_eq(listeners_open(&listeners, LISTENER_CLIENT, "http://127.0.0.1:0", 3, why), 0);
    char name[64];
    snprintf(name, sizeof name, "http://127.0.0.1:%u", listeners.port);
    ck_assert_str_eq(listeners.name, name);
    ck_assert_uint_ne(listeners.port, 0);
    ck_assert_int_ne(listeners_fd(&listeners, 1), listeners_fd(&listeners, 3));

    enum { CONNECTIONS = 60 };
    int clients[CONNECTIONS];
    for (int i = 0; i < CONNECTIONS; i++) {
        clients[i] = connect_v4(listeners.port);
        ck_assert_int_ge(clients[i], 0);
    }
    int total = 0;
    for (size_t slot = 1; slot <= 3; slot++) {
        int count = 0;
        for (int fd; (fd = accept(listeners_fd(&listeners, slot), NULL, NULL)) >= 0; count++)
            close(fd);
        ck_assert_int_gt(count, 0);
        total += count;
    }
    ck_assert_int_eq(total, CONNECTIONS);
    for (int i = 0; i < CONNECTIONS; i++)
        close(clients[i]);
    listeners_close(&listeners);
}
END_TEST

START_TEST(two_servers_never_share_a_port)
{
    struct listeners first, second;
    ck_assert_int_eq(listeners_open(&first, LISTENER_CLIENT, "http://127.0.0.1:0", 2, why), 0);
    ck_assert_int_eq(listeners_open(&second, LISTENER_CLIENT, first.name, 2, why), -1);
    ck_assert_int_eq(errno, EADDRINUSE);
    ck_assert_ptr_nonnull(strstr(why, first.name));
    ck_assert_ptr_nonnull(strstr(why, "server.clientHost.bind"));
    ck_assert_ptr_nonnull(strstr(why, "Address already in use"));
    char everywhere[32];
    snprintf(everywhere, sizeof everywhere, "http://0.0.0.0:%u", first.port);
    ck_assert_int_eq(listeners_open(&second, LISTENER_CLIENT, everywhere, 1, why), -1);
    listeners_close(&first);
    ck_assert_int_eq(listeners_open(&second, LISTENER_CLIENT, everywhere, 1, why), 0);
    listeners_close(&second);
}
END_TEST

START_TEST(ipv6_is_bound_and_any_serves_ipv4_too)
{
    struct listeners listeners;
    if (listeners_open(&listeners, LISTENER_CLIENT, "http://[::1]:0", 2, why) != 0) {
        ck_assert_ptr_nonnull(strstr(why, "[::1]")); /* a host without IPv6 */
        return;
    }
    ck_assert_int_eq(strncmp(listeners.name, "http://[::1]:", 13), 0);
    ck_assert_int_eq(connect_v4(listeners.port), -1);
    listeners_close(&listeners);

    ck_assert_int_eq(listeners_open(&listeners, LISTENER_CLIENT, "http://[::]:0", 2, why), 0);
    int client = connect_v4(listeners.port);
    ck_assert_int_ge(client, 0);
    close(client);
    listeners_close(&listeners);
}
END_TEST

START_TEST(addresses_of_others_and_unknown_names_are_explained)
{
    struct listeners listeners;
    ck_assert_int_eq(listeners_open(&listeners, LISTENER_CLIENT, "http://192.0.2.1:0", 1, why), -1);
    ck_assert_ptr_nonnull(strstr(why, "no interface of this host"));
    ck_assert_int_eq(listeners_open(&listeners, LISTENER_BACKEND, "http://no..name:0", 1, why), -1);
    ck_assert_ptr_nonnull(strstr(why, "server.backendHost.bind"));
}
END_TEST

START_TEST(a_unix_socket_is_shared_and_private_to_the_group)
{
    make_directory();
    struct listeners listeners;
    ck_assert_int_eq(listeners_open(&listeners, LISTENER_BACKEND, endpoint, 4, why), 0);
    ck_assert_int_eq(listeners_fd(&listeners, 1), listeners_fd(&listeners, 4));
    ck_assert_uint_eq(listeners.port, 0);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0660);
    listeners_close(&listeners);
    ck_assert_int_ne(stat(path, &st), 0);
    remove_directory();
}
END_TEST

START_TEST(only_a_stale_socket_file_is_replaced)
{
    make_directory();
    struct listeners first, second;
    ck_assert_int_eq(listeners_open(&first, LISTENER_BACKEND, endpoint, 1, why), 0);
    ck_assert_int_eq(listeners_open(&second, LISTENER_BACKEND, endpoint, 1, why), -1);
    ck_assert_int_eq(errno, EADDRINUSE);
    ck_assert_ptr_nonnull(strstr(why, "stop it, or choose another path"));
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);

    close(listeners_fd(&first, 1)); /* as a killed server leaves it */
    first.fds[0] = -1;
    ck_assert_int_eq(listeners_open(&second, LISTENER_BACKEND, endpoint, 1, why), 0);
    unlink(path);
    listeners_close(&first);
    ck_assert_int_eq(listeners_open(&first, LISTENER_BACKEND, endpoint, 1, why), 0);
    listeners_close(&second); /* must not remove what is another's by now */
    ck_assert_int_eq(stat(path, &st), 0);
    listeners_close(&first);
    ck_assert_int_ne(stat(path, &st), 0);

    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ck_assert_int_eq(listeners_open(&first, LISTENER_BACKEND, endpoint, 1, why), -1);
    ck_assert_ptr_nonnull(strstr(why, "not a socket"));
    ck_assert_int_eq(stat(path, &st), 0);
    remove_directory();
}
END_TEST

START_TEST(a_directory_that_another_user_prepared_is_refused)
{
    make_directory();
    struct listeners listeners;
    char trap[sizeof directory + 8], inside[sizeof trap + 32];
    snprintf(trap, sizeof trap, "%s/trap", directory);
    snprintf(inside, sizeof inside, "unix:%s/backend.sock", trap);
    ck_assert_int_eq(chmod(directory, 01777), 0);
    ck_assert_int_eq(mkdir(trap, 0777), 0);
    ck_assert_int_eq(chmod(trap, 0777), 0); /* as good as another's */
    ck_assert_int_eq(listeners_open(&listeners, LISTENER_BACKEND, inside, 1, why), -1);
    ck_assert_ptr_nonnull(strstr(why, "not ours alone"));
    ck_assert_int_eq(rmdir(trap), 0);
    ck_assert_int_eq(symlink(directory, trap), 0);
    ck_assert_int_eq(listeners_open(&listeners, LISTENER_BACKEND, inside, 1, why), -1);
    ck_assert_ptr_nonnull(strstr(why, "not ours alone"));
    ck_assert_int_eq(unlink(trap), 0);
    ck_assert_int_eq(listeners_open(&listeners, LISTENER_BACKEND, inside, 1, why), 0);
    listeners_close(&listeners);
    ck_assert_int_eq(rmdir(trap), 0);
    remove_directory();
}
END_TEST

START_TEST(a_path_that_is_too_long_is_explained)
{
    struct listeners listeners;
    char text[256] = "unix:/tmp/";
    memset(text + strlen(text), 'x', 200);
    ck_assert_int_eq(listeners_open(&listeners, LISTENER_CLIENT, text, 1, why), -1);
    ck_assert_ptr_nonnull(strstr(why, "107 bytes"));
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, each_slot_has_a_socket_of_its_own_on_one_port);
    tcase_add_test(cases, two_servers_never_share_a_port);
    tcase_add_test(cases, ipv6_is_bound_and_any_serves_ipv4_too);
    tcase_add_test(cases, addresses_of_others_and_unknown_names_are_explained);
    tcase_add_test(cases, a_unix_socket_is_shared_and_private_to_the_group);
    tcase_add_test(cases, only_a_stale_socket_file_is_replaced);
    tcase_add_test(cases, a_directory_that_another_user_prepared_is_refused);
    tcase_add_test(cases, a_path_that_is_too_long_is_explained);
}

UNIT_MAIN("listeners", add_tests)
