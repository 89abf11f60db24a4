#include "bench/load/message.h"

#include <err.h>
#include <stdlib.h>
#include <time.h>

/* A body is HEAD, the kind, BEFORE_NUMBER, lane and number, BEFORE_DUE, digits, TAIL. */
static const char HEAD[] = "[[\"bench.line\",{\"kind\":\"", BEFORE_NUMBER[] = "\",\"number\":\"",
                  BEFORE_DUE[] = "\",\"due\":\"", TAIL[] = "\",\"text\":\"A quick fox.\"}]]";
enum {
    LANE_DIGITS = 2,
    NUMBER_DIGITS = 10,
    DUE_DIGITS = 16,
    KIND_AT = sizeof HEAD - 1,
    BEFORE_NUMBER_AT = KIND_AT + 1,
    LANE_AT = BEFORE_NUMBER_AT + sizeof BEFORE_NUMBER - 1,
    NUMBER_AT = LANE_AT + LANE_DIGITS,
    BEFORE_DUE_AT = NUMBER_AT + NUMBER_DIGITS,
    DUE_AT = BEFORE_DUE_AT + sizeof BEFORE_DUE - 1,
    TAIL_AT = DUE_AT + DUE_DIGITS,
};
_Static_assert(TAIL_AT + sizeof TAIL - 1 == MESSAGE_BYTES, "a body is as long as it says");

uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void write_digits(char *to, int count, uint64_t number)
{
    for (int i = count; i-- > 0; number /= 10)
        to[i] = (char)('0' + number % 10);
}

void message_write(char text[MESSAGE_BYTES], const struct message *message)
{
    memcpy(text, HEAD, KIND_AT);
    text[KIND_AT] = (char)message->kind;
    memcpy(text + BEFORE_NUMBER_AT, BEFORE_NUMBER, sizeof BEFORE_NUMBER - 1);
    write_digits(text + LANE_AT, LANE_DIGITS, message->lane);
    write_digits(text + NUMBER_AT, NUMBER_DIGITS, message->number);
    memcpy(text + BEFORE_DUE_AT, BEFORE_DUE, sizeof BEFORE_DUE - 1);
    write_digits(text + DUE_AT, DUE_DIGITS, message->due_us);
    memcpy(text + TAIL_AT, TAIL, sizeof TAIL - 1);
}

void message_put_pack(struct buffer *out, const struct message *message)
{
    char *body;
    if (buffer_append(out, "{\"", 2) != 0 || buffer_append_u64(out, message->number) != 0 ||
        buffer_append(out, "\":", 2) != 0 || !(body = buffer_reserve(out, MESSAGE_BYTES + 1)))
        err(EXIT_FAILURE, "writing a pack");
    message_write(body, message);
    body[MESSAGE_BYTES] = '}';
    buffer_added(out, MESSAGE_BYTES + 1);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void refuse(struct slice text)
{
    errx(EXIT_FAILURE, "a pack goes on with: %.*s", (int)(text.len < 200 ? text.len : 200),
         text.data);
}

static uint64_t read_digits(const char *digits, size_t count, struct slice text)
{
    uint64_t number = 0;
    for (size_t i = 0; i < count; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            refuse(text);
        number = number * 10 + (uint64_t)(digits[i] - '0');
    }
    return number;
}

static void read_body(const char *body, struct message *message, struct slice text)
{
    if (memcmp(body, HEAD, KIND_AT) != 0 ||
        memcmp(body + BEFORE_NUMBER_AT, BEFORE_NUMBER, sizeof BEFORE_NUMBER - 1) != 0 ||
        memcmp(body + BEFORE_DUE_AT, BEFORE_DUE, sizeof BEFORE_DUE - 1) != 0 ||
        memcmp(body + TAIL_AT, TAIL, sizeof TAIL - 1) != 0 ||
        (body[KIND_AT] != MESSAGE_BROADCAST && body[KIND_AT] != MESSAGE_SINGLE))
        refuse(text);
    *message = (struct message){
        .kind = (enum message_kind)body[KIND_AT],
        .lane = (uint32_t)read_digits(body + LANE_AT, LANE_DIGITS, text),
        .number = read_digits(body + NUMBER_AT, NUMBER_DIGITS, text),
        .due_us = read_digits(body + DUE_AT, DUE_DIGITS, text),
    };
    if (message->lane >= MESSAGE_LANES)
        refuse(text);
}

bool message_read(struct slice *pack, uint64_t *id, struct message *message)
{
    enum { OPENING = 2, AFTER_ID = 2 };
    if (slice_equals_string(*pack, "}"))
        return false;
    if (pack->len < OPENING || (*pack->data != '{' && *pack->data != ',') || pack->data[1] != '"')
        refuse(*pack);
    size_t digits = 0;
    while (OPENING + digits < pack->len && pack->data[OPENING + digits] != '"')
        digits++;
    size_t body_at = OPENING + digits + AFTER_ID;
    if (body_at + MESSAGE_BYTES >= pack->len || pack->data[body_at - 1] != ':')
        refuse(*pack);
    *id = read_digits(pack->data + OPENING, digits, *pack);
    read_body(pack->data + body_at, message, *pack);
    *pack = slice_of(pack->data + body_at + MESSAGE_BYTES, pack->len - body_at - MESSAGE_BYTES);
    return true;
}
