/* What happens when the system cannot give, or take, a page of the mapped store. */
#ifndef MSGSERVER_STORE_BUS_GUARD_H
#define MSGSERVER_STORE_BUS_GUARD_H

#include <stddef.h>

/* From now on, SIGBUS for an address in there ends the process with EXIT_OS and a line in the log;
 * elsewhere it is as deadly as ever. One range at a time; 0 bytes: none. */
void bus_guard_cover(const void *start, size_t len);
/* The same for the memory in which that file is mapped, as /proc tells; none if it does not.
 * Returns where that begins, or NULL. */
void *bus_guard_cover_file(const char *path);

/* What the line says, from "event=" on, for a program that is not the relay. */
void bus_guard_say(const char *text);

#endif
