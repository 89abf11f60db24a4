/* Good configurations: from the files to the effective settings. */
#include "config_files.h"

#include <limits.h>
#include <sys/stat.h>

#include "base/log.h"
#include "master/config/known_keys.h"
#include "master/mesh_exposure.h"

static const char PUBLIC_DEFAULT[] =
    "{\"transports\":{\"longpolling\":{\"url\":\"/msgstream\",\"heartbeat\":60},"
    "\"shortpolling\":{\"url\":\"/msgstream\"},\"websocket\":{\"url\":\"/msgstream\"}},"
    "\"detect\":[\"websocket\",\"longpolling\",\"shortpolling\"]}";

static void load_text(struct config_files *files, const char *yaml)
{
    config_files_open(files);
    config_files_write(files, "default.yaml", yaml);
    config_files_expect_good(files, NULL);
}

/* Asserts one value, as setting_print() writes it. */
static void assert_value(const char *yaml, const char *key, const char *expected)
{
    struct config_files files;
    struct buffer text = {0};
    load_text(&files, yaml);
    const struct setting_row *row = setting_row_find(key);
    ck_assert_msg(row != NULL, "no key %s", key);
    ck_assert_int_eq(setting_print(&files.settings, row, &text), 0);
    ck_assert_slice_eq(buffer_slice(&text), expected);
    buffer_free(&text);
    config_files_close(&files);
}

START_TEST(values_in_their_spellings)
{
    static const struct {
        const char *yaml, *key, *expected;
    } CASES[] = {
        {"server: {serviceVersion: 1.10}", "server.serviceVersion", "1.10"},
        {"server: {serviceName: ~}", "server.serviceName", "msgserver"},
        {"server: {workers: 0}", "server.workers", "1"},
        {"server: {workers: false}", "server.workers", "1"},
        {"server: {workers: 7}", "server.workers", "7"},
        {"server: {workers: 7, cluster: 3}", "server.workers", "3"},
        {"server: {workers: 7, cluster: ~}", "server.workers", "7"},
        {"server: {workers: five, cluster: 3}", "server.workers", "3"},
        {"server: {clientHost: {cors: {credentials: True}}}", "server.clientHost.cors.credentials",
         "true"},
        {"server: {clientHost: {cors: {}}}", "server.clientHost.cors.origin", "*"},
        {"server: {clientHost: {cors: {maxAge: 20}}}", "server.clientHost.cors.origin", "*"},
        {"server: {clientHost: {cors: {origin: ~}}}", "server.clientHost.cors.origin", ""},
        {"server: {clientHost: {cors: ~}}", "server.clientHost.cors.origin", ""},
        {"server: {clientHost: {cors: {methods: 'GET, POST'}}}", "server.clientHost.cors.methods",
         "GET, POST"},
        {"server: {limits: {messageBytes: '1024'}}", "server.limits.messageBytes", "1KiB"},
        {"server: {limits: {sessions: '12'}}", "server.limits.sessions", "12"},
        {"server: {sessions: {ttl: 90}}", "server.sessions.ttl", "90s"},
        {"server: {sessions: {ttl: 1.5h}}", "server.sessions.ttl", "90m"},
        {"server: {mmrp: {network: [10, 192.168, 172.16.0.0/12]}}", "server.mmrp.network",
         "10,192.168,172.16.0.0/12"},
        {"server: {mmrp: {network: 10.10}}", "server.mmrp.network", "10.10"},
        {"server: {mmrp: {network: []}}", "server.mmrp.network", ""},
        {"server: {mmrp: {bind: {port: '015001'}}}", "server.mmrp.bind.port", "15001"},
        {"server: {mmrp: {bind: {host: '*', port: ~}}}", "server.mmrp.bind.port", ""},
        {"server: {mmrp: {clusterId: 'a-host:15001'}}", "server.mmrp.clusterId", "a-host:15001"},
        {"server: {serviceDiscovery: {options: {hosts: 'a, b:1 ,[::1]:2/mage'}}}",
         "server.serviceDiscovery.options.hosts", "a:2181,b:1,[::1]:2/mage"},
        {"server: {serviceDiscovery: {options: {options: {sessionTimeout: 4000}}}}",
         "server.serviceDiscovery.options.options.sessionTimeout", "4s"},
        {"logging: {level: '>warning'}", "logging.level", ">=error"},
        {"logging: {level: [info, '>=alert']}", "logging.level", "info,alert,emergency"},
        {"logging: {server: {terminal: {channels: ['>=warning']}}}", "logging.level", ">=warning"},
        {"logging: {server: {terminal: {channels: [debug, mine, 'info']}}}", "logging.level",
         "debug,info"},
        {"logging: {server: {terminal: {channels: [mine]}}}", "logging.level", ">=info"},
        {"logging: {server: {terminal: {channels: all}}, level: error}", "logging.level", "error"},
        {"logging: {server: ~}", "logging.level", ">=info"},
        {"logging: {server: {file: {path: x}}, browser: 5}", "logging.level", ">=info"},
        {"apps: [x]\nsession: {expirationTime: 600}\nserver:\n", "server.serviceName", "msgserver"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        assert_value(CASES[i].yaml, CASES[i].key, CASES[i].expected);
}
END_TEST

START_TEST(the_fragments_of_existing_deployments)
{
    char directory[PATH_MAX], path[PATH_MAX + 64];
    const char *top = getenv("srcdir");
    struct config_files files;
    snprintf(path, sizeof path, "%s/t/unit/config", top ? top : ".");
    ck_assert_ptr_nonnull(realpath(path, directory));
    setenv("PORT0", "31005", 1);
    setenv("PORT1", "31006", 1);
    setenv("RUNTIME_DIRECTORY", "/run/first:/run/second", 1);
    config_files_open(&files);
    snprintf(path, sizeof path, "%s/fragment-deployment.yaml", directory);
    config_files_link(&files, "marathon.yaml", path);
    config_files_expect_good(&files, "production,marathon");
    ck_assert_str_eq(files.settings.client_bind, "http://0.0.0.0:31005");
    ck_assert_ptr_null(files.settings.client_expose);
    ck_assert_str_eq(files.settings.mmrp_host, "*");
    ck_assert_str_eq(files.settings.mmrp_port, "31006");
    ck_assert_str_eq(files.settings.discovery_engine, "zookeeper");
    ck_assert_str_eq(files.settings.zookeeper_hosts, "192.168.2.21:2181");
    ck_assert_str_eq(files.settings.mmrp_network.items[0], "192.168.2");
    ck_assert_str_eq(files.settings.backend_bind, "unix:/run/first/backend-31005.sock");
    ck_assert_str_eq(files.settings.public_config, PUBLIC_DEFAULT);
    snprintf(path, sizeof path, "%s/fragment-any-port.yaml", directory);
    config_files_link(&files, "custom.yaml", path);
    config_files_expect_good(&files, "production, marathon");
    ck_assert_str_eq(files.settings.mmrp_port, "*");
    ck_assert_uint_eq(files.diagnostics.warnings, 0);
    config_files_close(&files);
}
END_TEST

static void assert_public(const char *yaml, const char *expected)
{
    struct config_files files;
    load_text(&files, yaml);
    ck_assert_str_eq(files.settings.public_config, expected);
    config_files_close(&files);
}

START_TEST(the_public_configuration)
{
    assert_public("{}", PUBLIC_DEFAULT);
    assert_public(
        "server:\n"
        "  clientHost: {expose: 'https://msg.example.com/'}\n"
        "  msgStream:\n"
        "    detect: [sse, longpolling]\n"
        "    transports:\n"
        "      longpolling: {heartbeat: 1500ms, afterRequestInterval: 0, afterErrorInterval: 5.5}\n"
        "      shortpolling: {route: /short, more: {a: [true, ~, 'x\"', \"7\"]}, url: no}\n"
        "      websocket: {pingInterval: 5}\n",
        "{\"transports\":{"
        "\"longpolling\":{\"url\":\"https://msg.example.com/msgstream\",\"heartbeat\":1.5,"
        "\"afterRequestInterval\":0,\"afterErrorInterval\":5.5},"
        "\"shortpolling\":{\"url\":\"https://msg.example.com/short\","
        "\"more\":{\"a\":[true,null,\"x\\\"\",\"7\"]}},"
        "\"websocket\":{\"url\":\"https://msg.example.com/msgstream\"},"
        "\"sse\":{\"url\":\"https://msg.example.com/msgstream\"}},"
        "\"detect\":[\"sse\",\"longpolling\"]}");
    assert_public(
        "server: {msgStream: {transports: {sse: {}, websocket: ~}}}",
        "{\"transports\":{\"longpolling\":{\"url\":\"/msgstream\",\"heartbeat\":60},"
        "\"shortpolling\":{\"url\":\"/msgstream\"},\"websocket\":{\"url\":\"/msgstream\"},"
        "\"sse\":{\"url\":\"/msgstream\"}},"
        "\"detect\":[\"websocket\",\"longpolling\",\"shortpolling\"]}");
}
END_TEST

static void assert_reads_back(const char *yaml)
{
    struct config_files files, again;
    struct buffer printed = {0}, first = {0}, second = {0};
    load_text(&files, yaml);
    ck_assert_int_eq(config_print_effective(&files.settings, &printed), 0);
    ck_assert_int_eq(buffer_append(&printed, "", 1), 0);
    load_text(&again, buffer_bytes(&printed));
    ck_assert_int_eq(settings_encode(&files.settings, &first), 0);
    ck_assert_int_eq(settings_encode(&again.settings, &second), 0);
    ck_assert_msg(slice_equal(buffer_slice(&first), buffer_slice(&second)), "%s",
                  buffer_bytes(&printed));
    ck_assert_uint_eq(again.diagnostics.warnings, 0);
    ck_assert_ptr_null(strstr(buffer_bytes(&printed), "secret"));
    buffer_free(&printed);
    buffer_free(&first);
    buffer_free(&second);
    config_files_close(&files);
    config_files_close(&again);
}

START_TEST(the_effective_configuration_reads_back)
{
    assert_reads_back("{}");
    assert_reads_back("server: {msgStream: {transports: {sse: {}}}}");
    assert_reads_back("server: {msgStream: {transports: {sse: {heartbeat: 5}, longpolling: "
                      "{x: 0.1, 'y: \"': [1, {a: ~}, \"\\x85\\ufeff\\U0001F600\xc3\xa9\"]}}}}");
    assert_reads_back("server: {serviceName: \"caf\xc3\xa9 'x' \\\\ #\", clientHost: {cors: {}, "
                      "bind: 'http://[::1]:80'}, mmrp: {network: [10, \"192.168\"]}}");
    assert_reads_back("server: {clientHost: {bind: 'unix:/run/a b\"c.sock'}}");
    assert_reads_back("logging: {level: [verbose, info, critical]}");
    assert_reads_back(
        "server: {mmrp: {bind: {host: 127.0.0.1, port: 5000}, advertise: [10.0.0.1]},"
        " serviceDiscovery: {engine: zookeeper, options: {hosts: a, interface: lo}}}");
}
END_TEST

static void assert_backend(const char *client_bind, const char *expected)
{
    char yaml[256];
    snprintf(yaml, sizeof yaml, "server: {clientHost: {bind: '%s'}}", client_bind);
    assert_value(yaml, "server.backendHost.bind", expected);
}

START_TEST(the_backend_socket_is_named_after_the_client_listener)
{
    char directory[RUNTIME_DIRECTORY_ROOM], expected[RUNTIME_DIRECTORY_ROOM + 64];
    setenv("RUNTIME_DIRECTORY", "/run/x", 1);
    assert_backend("http://127.0.0.1:81", "unix:/run/x/backend-81.sock");
    assert_backend("http://[::1]:81", "unix:/run/x/backend-81.sock");
    assert_backend("unix:/tmp/clients.sock", "unix:/run/x/backend-clients.sock");
    assert_backend("unix:/tmp/.sock", "unix:/run/x/backend-.sock.sock");
    unsetenv("RUNTIME_DIRECTORY");
    ck_assert_int_eq(config_runtime_directory(directory), 0);
    ck_assert_msg(directory[0] == '/' && strstr(directory, "msgserver"), "%s", directory);
    snprintf(expected, sizeof expected, "unix:%s/backend-81.sock", directory);
    assert_backend("http://0.0.0.0:81", expected);
}
END_TEST

START_TEST(a_runtime_directory_too_long_for_sockets)
{
    struct config_files files;
    char directory[200];
    memset(directory, 'x', sizeof directory - 1);
    directory[0] = '/';
    directory[sizeof directory - 1] = '\0';
    setenv("RUNTIME_DIRECTORY", directory, 1);
    config_files_open(&files);
    config_files_write(&files, "default.yaml", "{}");
    ck_assert_int_eq(config_files_load(&files, NULL), -1);
    ck_assert_str_eq(files.diagnostics.items[0].sentence,
                     "the path of the runtime directory is too long");
    config_files_close(&files);
}
END_TEST

/* What is said of a token file with that text and mode; the token, or NULL. */
static const char *token_of(struct config_files *files, const char *text, mode_t mode)
{
    char path[192];
    config_files_open(files);
    config_files_write(files, "default.yaml",
                       "server: {backendHost: {bind: {port: 9000}, tokenFile: token}}");
    config_files_write(files, "token", text);
    snprintf(path, sizeof path, "%s/token", files->directory);
    ck_assert_int_eq(chmod(path, mode), 0);
    config_files_load(files, NULL);
    return files->settings.backend_token;
}

START_TEST(the_token_comes_from_its_file)
{
    struct config_files files;
    ck_assert_str_eq(token_of(&files, "secret-1\r\n\n", 0600), "secret-1");
    ck_assert_uint_eq(files.diagnostics.count, 0);
    ck_assert_int_eq(files.settings.backend_token_file[0], '/');
    config_files_close(&files);
    ck_assert_str_eq(token_of(&files, "secret-1", 0644), "secret-1");
    ck_assert_uint_eq(files.diagnostics.errors, 0);
    ck_assert_uint_eq(files.diagnostics.warnings, 1);
    config_files_close(&files);
    ck_assert_ptr_null(token_of(&files, "\n", 0600));
    ck_assert_uint_eq(files.diagnostics.errors, 1);
    config_files_close(&files);
    ck_assert_ptr_null(token_of(&files, "secret one", 0600));
    ck_assert_uint_eq(files.diagnostics.errors, 1);
    config_files_close(&files);
}
END_TEST

#define SECRET_KEY "Tl@E7g*QcPgyF1KRg3+CR-AM9-vNNX8VNh:5=h#%"
#define OTHER_KEY  "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define PUBLIC_KEY "dZ.H>ZW*i&Z3P-/eJJNLJvJ$!:7:n7XJID{Rurqw"

/* What is said of these files of CURVE: "" when they are found good. */
static const char *curve_verdict(struct config_files *files, const char *key, mode_t mode,
                                 const char *peers)
{
    char path[192];
    config_files_open(files);
    config_files_write(files, "default.yaml",
                       "server: {mmrp: {curve: {keyFile: key, peersFile: peers}}}");
    config_files_write(files, "key", key);
    config_files_write(files, "peers", peers);
    snprintf(path, sizeof path, "%s/key", files->directory);
    ck_assert_int_eq(chmod(path, mode), 0);
    config_files_load(files, NULL);
    return files->diagnostics.count ? files->diagnostics.items[0].sentence : "";
}

static const struct {
    const char *key;
    mode_t mode;
    const char *peers, *said;
} CURVE_FILES[] = {
    {SECRET_KEY "\n", 0600, PUBLIC_KEY "\n", ""},
    {SECRET_KEY " \r\n\n", 0400, "# one\n" PUBLIC_KEY " a:1", ""},
    {SECRET_KEY "\n", 0640, PUBLIC_KEY,
     "open to others than its owner; accepted: one that is not: "
     "chmod 600 it"},
    {SECRET_KEY "\n", 0604, PUBLIC_KEY, "open to others than its owner"},
    {SECRET_KEY "\n", 0620, PUBLIC_KEY, "open to others than its owner"},
    {"", 0600, PUBLIC_KEY, "holds no secret key"},
    {SECRET_KEY "\n" SECRET_KEY, 0600, PUBLIC_KEY, "holds no secret key"},
    {SECRET_KEY "5", 0600, PUBLIC_KEY, "holds no secret key"},
    {SECRET_KEY, 0600, "", "it holds no key"},
    {SECRET_KEY, 0600, "nobody", "not a public key"},
    {SECRET_KEY, 0600, OTHER_KEY "\n", "own public key, " PUBLIC_KEY ", is not in it"},
    {SECRET_KEY, 0600, OTHER_KEY "\n" PUBLIC_KEY "\n", ""},
};

START_TEST(the_keys_of_curve_come_from_their_files)
{
    struct config_files files;
    struct buffer text = {0};
    const char *said =
        curve_verdict(&files, CURVE_FILES[_i].key, CURVE_FILES[_i].mode, CURVE_FILES[_i].peers);
    ck_assert_msg(*CURVE_FILES[_i].said ? strstr(said, CURVE_FILES[_i].said) != NULL : !*said, "%s",
                  said);
    /* The secret is told to nobody. */
    ck_assert_int_eq(config_print_effective(&files.settings, &text), 0);
    ck_assert_int_eq(diagnostics_print(&files.diagnostics, &text), 0);
    ck_assert_int_eq(buffer_append(&text, "", 1), 0);
    ck_assert_ptr_null(strstr(buffer_bytes(&text), "Tl@E7g"));
    buffer_free(&text);
    if (!*said) {
        ck_assert_str_eq(files.settings.mesh_secret_key, SECRET_KEY);
        ck_assert_str_eq(files.settings.mesh_public_key, PUBLIC_KEY);
        ck_assert_int_eq(files.settings.curve_key_file[0], '/');
        ck_assert_int_eq(files.settings.curve_peers_file[0], '/');
    }
    config_files_close(&files);
}
END_TEST

START_TEST(a_mistake_in_the_peers_file_has_its_place)
{
    struct config_files files;
    curve_verdict(&files, SECRET_KEY, 0600, PUBLIC_KEY "\n\n" PUBLIC_KEY " a:1\nx y z\n");
    ck_assert_uint_eq(files.diagnostics.errors, 2);
    ck_assert_str_eq(files.diagnostics.items[0].file, files.settings.curve_peers_file);
    ck_assert_uint_eq(files.diagnostics.items[0].line, 3);
    ck_assert_uint_eq(files.diagnostics.items[1].line, 4);
    config_files_close(&files);
}
END_TEST

START_TEST(private_addresses)
{
    static const struct {
        uint32_t first, last; /* of a private network */
    } PRIVATE[] = {{0x0a000000, 0x0affffff}, {0x7f000000, 0x7fffffff}, {0xac100000, 0xac1fffff},
                   {0xc0a80000, 0xc0a8ffff}, {0xa9fe0000, 0xa9feffff}, {0x64400000, 0x647fffff}};
    for (size_t i = 0; i < sizeof PRIVATE / sizeof *PRIVATE; i++) {
        ck_assert(address_is_private(PRIVATE[i].first));
        ck_assert(address_is_private(PRIVATE[i].last));
        ck_assert(!address_is_private(PRIVATE[i].first - 1));
        ck_assert(!address_is_private(PRIVATE[i].last + 1));
    }
    ck_assert(!address_is_private(0x08080808));
}
END_TEST

START_TEST(diagnostics_print_as_one_line_each)
{
    struct diagnostics diagnostics = {0};
    struct buffer text = {0};
    diagnostics_add(&diagnostics, DIAGNOSTIC_ERROR, (struct mark){"a.yaml", 3, 7}, "x\n%s", "\033");
    diagnostics_add(&diagnostics, DIAGNOSTIC_WARNING, (struct mark){"a.yaml", 0, 0}, "whole");
    diagnostics_add(&diagnostics, DIAGNOSTIC_ERROR, (struct mark){0}, "nowhere");
    ck_assert_int_eq(diagnostics_print(&diagnostics, &text), 0);
    ck_assert_slice_eq(buffer_slice(&text), "a.yaml:3:7: error: x\\x0a\\x1b\n"
                                            "a.yaml: warning: whole\n"
                                            "error: nowhere\n");
    buffer_free(&text);
    for (size_t i = 0; i < 300; i++)
        diagnostics_add(&diagnostics, DIAGNOSTIC_ERROR, (struct mark){0}, "more");
    ck_assert_uint_eq(diagnostics.count, DIAGNOSTICS_KEPT);
    ck_assert_int_eq(diagnostics_print(&diagnostics, &text), 0);
    ck_assert_int_eq(buffer_append(&text, "", 1), 0);
    ck_assert_ptr_nonnull(strstr(buffer_bytes(&text), "\n103 more errors and warnings\n"));
    buffer_free(&text);
    diagnostics_free(&diagnostics);
}
END_TEST

START_TEST(nearest_names)
{
    static const char *const NAMES[] = {"host", "port", "heartbeat"};
    unsigned edits;
    ck_assert_str_eq(nearest_name("prot", NAMES, 3, &edits), "port");
    ck_assert_uint_eq(edits, 1);
    ck_assert_str_eq(nearest_name("Heartbat", NAMES, 3, &edits), "heartbeat");
    ck_assert_uint_eq(edits, 2);
    ck_assert_str_eq(nearest_name("", NAMES, 3, &edits), "host");
    ck_assert_uint_eq(edits, 4);
    ck_assert_ptr_null(nearest_name("x", NAMES, 0, &edits));
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, values_in_their_spellings);
    tcase_add_test(cases, the_fragments_of_existing_deployments);
    tcase_add_test(cases, the_public_configuration);
    tcase_add_test(cases, the_effective_configuration_reads_back);
    tcase_add_test(cases, the_backend_socket_is_named_after_the_client_listener);
    tcase_add_test(cases, a_runtime_directory_too_long_for_sockets);
    tcase_add_test(cases, the_token_comes_from_its_file);
    tcase_add_loop_test(cases, the_keys_of_curve_come_from_their_files, 0,
                        sizeof CURVE_FILES / sizeof *CURVE_FILES);
    tcase_add_test(cases, a_mistake_in_the_peers_file_has_its_place);
    tcase_add_test(cases, private_addresses);
    tcase_add_test(cases, diagnostics_print_as_one_line_each);
    tcase_add_test(cases, nearest_names);
}

UNIT_MAIN("config", add_tests)
