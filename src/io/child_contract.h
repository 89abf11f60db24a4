/* The contract between the master and its children.
 *
 * A child is a binary of its own, started by fork and exec with
 *   descriptors  0 /dev/null, 1 and 2 the master's stderr, 3 its control channel; nothing else
 *   environment  the master's (JOURNAL_STREAM for the log's form); no secrets
 *   arguments    none
 *
 * Order on the control channel:
 *   master → child   START, at once
 *   master → child   LISTENER (client workers, one per socket), LINK (relay: one per client worker)
 *   child → master   READY when it serves, within CHILD_READY_LIMIT_MS; or FAILED, and it exits
 *   then at any time LISTENER, LISTENER_REVOKE, LINK (the other end was replaced), PEERS (relay)
 *   master → child   STOP: the child tells its clients and exits within the limit it is given
 * A client worker needs no LINK to be ready: it holds attachments until a relay is there.
 *
 * EOF on descriptor 3 means that the master is gone: finish and exit as after STOP. Children ignore
 * SIGTERM, SIGINT and SIGHUP: Marathon signals the whole process tree, and the master decides. */
#ifndef MSGSERVER_IO_CHILD_CONTRACT_H
#define MSGSERVER_IO_CHILD_CONTRACT_H

enum {
    CHILD_CONTROL_FD = 3,

    CHILD_READY_LIMIT_MS = 10000,
    /* From STOP to exit; the master kills after it. All of a stop must stay under 3 s (Marathon).
     */
    CHILD_STOP_LIMIT_MS = 1500,

    /* A crash loop is throttled. The first restart of a slot, and one after a process that lived
     * RESTART_STABLE_MS or longer, waits RESTART_FIRST_MS; any other twice the last wait, from
     * RESTART_SLOW_MS up to the cap. */
    RESTART_FIRST_MS = 50,
    RESTART_SLOW_MS = 2000,
    RESTART_CAP_MS = 60000,
    RESTART_STABLE_MS = 10000
};

/* Exit statuses of all our programs, after sysexits.h. */
enum exit_status {
    EXIT_OK = 0,
    EXIT_DAMAGED = 1,      /* what msgserverctl was to check is not sound */
    EXIT_USAGE = 64,       /* bad command line */
    EXIT_NO_INPUT = 66,    /* what msgserverctl was to read is not there */
    EXIT_UNAVAILABLE = 69, /* a child does not get ready; the server or a home does not answer */
    EXIT_SOFTWARE = 70,    /* an invariant of ours is broken */
    EXIT_OS = 71,          /* the system refuses something needed: a socket, memory, a process */
    EXIT_IN_USE = 75,      /* a running server has what msgserverctl was to work on */
    EXIT_PROTOCOL = 76,    /* what answers is not what msgserverctl knows */
    EXIT_REFUSED = 77,     /* the server refuses msgserverctl's token */
    EXIT_CONFIGURATION = 78
};

#endif
