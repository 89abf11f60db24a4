/* For relay-worker -V. */
#ifndef MSGSERVER_RELAY_VERSIONS_H
#define MSGSERVER_RELAY_VERSIONS_H

/* Prints "name version", a line per library that only the relay worker links. */
void print_library_versions(void);

#endif
