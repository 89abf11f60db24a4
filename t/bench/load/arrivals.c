#include "bench/load/arrivals.h"

#include <err.h>
#include <stdlib.h>
#include <sys/mman.h>

static struct arrivals *arrived;
static uint32_t all_clients;

void *shared_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        err(EXIT_FAILURE, "taking shared memory");
    return memory;
}

void arrivals_start(uint32_t clients)
{
    arrived = shared_memory(sizeof *arrived);
    all_clients = clients;
}

const struct arrivals *arrivals(void)
{
    return arrived;
}

void arrivals_reset(void)
{
    memset(arrived, 0, sizeof *arrived);
}

static void add(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void arrivals_add(const struct message *message)
{
    uint64_t now = now_us();
    atomic_store_explicit(&arrived->last_us, now, memory_order_relaxed);
    if (message->kind == MESSAGE_BROADCAST) {
        _Atomic uint32_t *count =
            &arrived->of_broadcast[message->lane][message->number % ARRIVALS_REMEMBERED];
        if (atomic_fetch_add_explicit(count, 1, memory_order_relaxed) + 1 == all_clients) {
            atomic_store_explicit(count, 0, memory_order_relaxed);
            add(&arrived->broadcasts);
        }
    }
    histogram_add(&arrived->latencies, now - message->due_us);
}
