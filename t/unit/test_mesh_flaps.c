/* Peers that come, go, move and take each other's place in random order, while envelopes flow: none
 * may reach a node that it was not for, and nothing may be left behind. SEED=N repeats a run,
 * FULL=1 runs the long form. */
#include <dirent.h>
#include <stdio.h>

#include "mesh_fixture.h"

enum {
    ADDRESS_MAX = 64,
    PLACES = 4, /* of nodes of ours, each with two cluster IDs to live under */
    OWN_IDS = 2 * PLACES,
    MAGES = 2,
    IDS = OWN_IDS + MAGES,
    SENT_PER_STEP = 3,
    FLAPS = 1000,
    FLAPS_FULL = 10000,
};

static const char *const ID[IDS] = {"A:1", "B:1", "C:1", "D:1", "a:1",
                                    "b:1", "c:1", "d:1", "M:1", "N:1"};

struct place {
    struct node node;
    bool runs;
    size_t id; /* which one it lives under */
    /* Its discovery: the address of each ID, empty while that is not announced. */
    char view[IDS][ADDRESS_MAX];
    char uri[ADDRESS_MAX]; /* the last one it had */
};

static struct place places[PLACES];
static struct mage mages[MAGES];
static bool mage_runs[MAGES];
static char mage_uri[MAGES][ADDRESS_MAX];
static uint64_t seed, random_state;
static unsigned long sent, received, to_mages, returned;

#define require(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            char why_[NODE_TEXT_MAX + 128];                                                        \
            snprintf(why_, sizeof why_, __VA_ARGS__);                                              \
            ck_abort_msg("SEED=%llu: %s", (unsigned long long)seed, why_);                         \
        }                                                                                          \
    } while (0)

static unsigned below(unsigned limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 32) % limit;
}

/* Both may be addresses. */
static void set_address(char address[ADDRESS_MAX], const char *text)
{
    memmove(address, text, strnlen(text, ADDRESS_MAX - 1) + 1);
}

static struct place *some_place(void)
{
    return &places[below(PLACES)];
}

/* --- envelopes ------------------------------------------------------------------------- */

static void send_some(struct place *from)
{
    for (int i = 0; i < SENT_PER_STEP; i++) {
        char body[64];
        const char *to = ID[below(IDS)];
        snprintf(body, sizeof body, "to=%s from=%s", to, from->node.id);
        if (send_text(&from->node, to, body, "", ENVELOPE_SEND, (uint8_t)below(2)) == 0)
            sent++;
    }
}

/* What came was for the one who lives here; what came back was sent by it. */
static void look_at_what_came(struct place *place)
{
    struct node *node = &place->node;
    require(node->envelope_count <= NODE_ENVELOPES_MAX, "too many envelopes in one step");
    for (size_t i = 0; i < node->envelope_count; i++) {
        char wanted[64];
        bool is_error = strstr(node->envelopes[i], "mmrp.sendError") != NULL;
        snprintf(wanted, sizeof wanted, is_error ? "from=%s|" : "|to=%s ", node->id);
        require(strncmp(node->envelopes[i], "<>|", 3) == 0 && strstr(node->envelopes[i], wanted),
                "%s got what was not for it: %s", node->id, node->envelopes[i]);
        if (is_error)
            returned++;
        else
            received++;
    }
    node->envelope_count = 0;
}

/* "SENDER|RECEIVER|<>|…": a MAGE host would pass on what is not for it. */
static void look_at_what_came_to_mage(size_t i)
{
    char text[NODE_TEXT_MAX];
    const char *id = ID[OWN_IDS + i];
    while (mage_runs[i] && raw_receive_now(mages[i].router, text)) {
        const char *second = strchr(text, '|');
        require(second && strncmp(second + 1, id, strlen(id)) == 0 &&
                    (strstr(text, "mmrp.handshake") || strstr(text, id)),
                "%s got what was not for it: %s", id, text);
        to_mages += strstr(text, "msgServer.send") != NULL;
    }
}

static void let_them_flow(void)
{
    for (size_t i = 0; i < PLACES; i++)
        if (places[i].runs)
            send_some(&places[i]);
    run_once(UINT64_MAX);
    for (size_t i = 0; i < PLACES; i++)
        if (places[i].runs)
            look_at_what_came(&places[i]);
    for (size_t i = 0; i < MAGES; i++)
        look_at_what_came_to_mage(i);
}

/* --- flaps ------------------------------------------------------------------------------- */

static void tell(struct place *place)
{
    const char *list[2 * IDS + 1];
    size_t count = 0;
    for (size_t i = 0; i < IDS; i++)
        if (place->view[i][0]) {
            list[count++] = ID[i];
            list[count++] = place->view[i];
        }
    list[count] = NULL;
    if (place->runs)
        node_announce_list(&place->node, list);
}

static const char *address_of(size_t id)
{
    return id < OWN_IDS ? places[id % PLACES].uri : mage_uri[id - OWN_IDS];
}

static void start_place(struct place *place, uint16_t port)
{
    node_start(&place->node, ID[place->id], port);
    place->runs = true;
    set_address(place->uri, place->node.uri);
    tell(place);
}

static uint16_t stop_place(struct place *place)
{
    if (!place->runs)
        return (uint16_t)strtoul(strrchr(place->uri, ':') + 1, NULL, 10);
    uint16_t port = mesh_port(place->node.mesh);
    place->runs = false;
    node_stop(&place->node);
    return port;
}

static void announce(void)
{
    struct place *viewer = some_place();
    size_t id = below(IDS);
    set_address(viewer->view[id], address_of(id));
    tell(viewer);
}

static void withdraw(void)
{
    struct place *viewer = some_place();
    viewer->view[below(IDS)][0] = '\0';
    tell(viewer);
}

/* Another relay of ours is there, or nobody. (A MAGE host would pass on what comes.) */
static void announce_at_a_wrong_address(void)
{
    struct place *viewer = some_place();
    size_t id = below(IDS);
    set_address(viewer->view[id], some_place()->uri);
    tell(viewer);
}

static void announce_all_to_one(void)
{
    struct place *viewer = some_place();
    for (size_t id = 0; id < IDS; id++) {
        bool lives = id >= OWN_IDS ? mage_runs[id - OWN_IDS]
                                   : places[id % PLACES].runs && places[id % PLACES].id == id;
        set_address(viewer->view[id], lives ? address_of(id) : "");
    }
    tell(viewer);
}

static void stop_or_start(void)
{
    struct place *place = some_place();
    if (place->runs)
        stop_place(place);
    else
        start_place(place, stop_place(place));
}

static void restart(void)
{
    struct place *place = some_place();
    start_place(place, stop_place(place));
}

static void restart_under_another_id(void)
{
    struct place *place = some_place();
    uint16_t port = stop_place(place);
    place->id = (place->id + PLACES) % OWN_IDS;
    start_place(place, port);
}

static void move(void)
{
    struct place *place = some_place();
    stop_place(place);
    start_place(place, 0);
}

static void stop_mage(size_t i)
{
    mage_runs[i] = false;
    mage_stop(&mages[i]);
}

static void mage_comes_or_goes(void)
{
    size_t i = below(MAGES);
    struct place *viewer = some_place();
    const char *id = ID[OWN_IDS + i];
    if (mage_runs[i]) {
        stop_mage(i);
        return;
    }
    mage_start(&mages[i], id, 0);
    mage_runs[i] = true;
    set_address(mage_uri[i], mages[i].uri);
    set_address(viewer->view[OWN_IDS + i], mage_uri[i]);
    tell(viewer);
    if (!viewer->runs)
        return;
    char text[NODE_TEXT_MAX];
    mage_connect(&mages[i], &viewer->node);
    snprintf(text, sizeof text,
             "%s|<>|{\"clusterId\":\"%s\",\"identity\":\"%s\",\"isRelay\":true,\"isClient\":false}"
             "|<>|%s|1mmrp.handshake",
             viewer->node.id, id, id, id);
    raw_send(mages[i].dealer, text);
    snprintf(text, sizeof text, "%s|<>|to=%s from=%s|<>|0msgServer.send", viewer->node.id,
             viewer->node.id, id);
    raw_send(mages[i].dealer, text);
}

static void flap(void)
{
    static void (*const FLAP[])(void) = {
        announce,
        announce,
        announce_all_to_one,
        announce_all_to_one,
        withdraw,
        stop_or_start,
        restart,
        announce_at_a_wrong_address,
        move,
        withdraw,
        restart_under_another_id,
        announce_all_to_one,
        stop_or_start,
        announce,
        mage_comes_or_goes,
    };
    FLAP[below(sizeof FLAP / sizeof *FLAP)]();
}

/* --- in the end ---------------------------------------------------------------------------- */

static bool all_see_all(void)
{
    for (size_t i = 0; i < PLACES; i++)
        for (size_t k = 0; k < PLACES; k++)
            if (i != k && !node_sees(&places[i].node, places[k].node.id))
                return false;
    return true;
}

/* Whatever was, discovery's truth makes a whole mesh of it. */
static void come_to_rest(void)
{
    for (size_t i = 0; i < PLACES; i++)
        if (!places[i].runs)
            start_place(&places[i], 0);
    for (size_t i = 0; i < PLACES; i++) {
        for (size_t id = 0; id < IDS; id++) {
            bool lives = id < OWN_IDS && places[id % PLACES].id == id;
            set_address(places[i].view[id], lives ? address_of(id) : "");
        }
        tell(&places[i]);
    }
    WAIT_FOR(all_see_all());
}

static bool each_got(unsigned count)
{
    for (size_t i = 0; i < PLACES; i++)
        if (places[i].node.envelope_count < count)
            return false;
    return true;
}

static void each_tells_each(void)
{
    run_for(20);
    for (size_t i = 0; i < PLACES; i++)
        look_at_what_came(&places[i]);
    for (size_t i = 0; i < PLACES; i++)
        for (size_t k = 0; k < PLACES; k++) {
            char body[64];
            const char *to = places[k].node.id;
            snprintf(body, sizeof body, "to=%s from=%s", to, places[i].node.id);
            if (i != k)
                ck_assert_int_eq(send_text(&places[i].node, to, body, "", ENVELOPE_SEND, 0), 0);
        }
    WAIT_FOR(each_got(PLACES - 1));
    for (size_t i = 0; i < PLACES; i++)
        look_at_what_came(&places[i]);
}

static unsigned descriptors(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void stop_all(void)
{
    for (size_t i = 0; i < PLACES; i++)
        if (places[i].runs)
            stop_place(&places[i]);
    for (size_t i = 0; i < MAGES; i++)
        if (mage_runs[i])
            stop_mage(i);
    ck_assert_int_eq(ev_run(loop, EVRUN_NOWAIT), 0); /* no watcher is left */
}

START_TEST(peers_that_flap)
{
    const char *given = getenv("SEED");
    seed = given ? strtoull(given, NULL, 10) : 1;
    random_state = seed * 0x9e3779b97f4a7c15ull | 1;
    for (size_t i = 0; i < PLACES; i++) {
        places[i].id = i;
        start_place(&places[i], 0);
    }
    for (size_t i = 0; i < MAGES; i++)
        set_address(mage_uri[i], "tcp://127.0.0.1:1");
    come_to_rest(); /* once, so that what libraries keep is there */
    stop_all();
    unsigned before = descriptors();
    WAIT_FOR(descriptors() == before || (before = descriptors(), false));
    for (int i = 0; i < (getenv("FULL") ? FLAPS_FULL : FLAPS); i++) {
        flap();
        for (unsigned rounds = below(12) ? 1 : 1 + below(60); rounds > 0; rounds--)
            let_them_flow();
    }
    come_to_rest();
    each_tells_each();
    stop_all();
    WAIT_FOR(descriptors() <= before);
    printf("# sent %lu, received %lu, by MAGE hosts %lu, returned %lu\n", sent, received, to_mages,
           returned);
    require(received >= sent / 4 && to_mages > 0, "too little came");
}
END_TEST

static void add_tests(TCase *cases)
{
    tcase_add_test(cases, peers_that_flap);
}

UNIT_MAIN("mesh_flaps", add_tests)
