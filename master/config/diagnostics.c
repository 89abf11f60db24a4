#include "master/config/diagnostics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const SEVERITY_NAMES[] = {
    [DIAGNOSTIC_ERROR] = "error",
    [DIAGNOSTIC_WARNING] = "warning",
};

/* Sentences quote what files contain: a control character must not reach a terminal. */
static int append_printable(struct buffer *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        int result = byte < 0x20 || byte == 0x7f ? buffer_printf(out, "\\x%02x", byte)
                                                 : buffer_append(out, &text.data[i], 1);
        if (result != 0)
            return -1;
    }
    return 0;
}

static char *printable_copy(const char *text)
{
    struct buffer copy = {0};
    char *result = NULL;
    if (append_printable(&copy, slice_from_string(text)) == 0 && buffer_append(&copy, "", 1) == 0)
        result = strdup(buffer_bytes(&copy));
    buffer_free(&copy);
    return result;
}

static struct diagnostic *new_item(struct diagnostics *diagnostics)
{
    if (diagnostics->count == DIAGNOSTICS_KEPT)
        return NULL;
    if (diagnostics->count == diagnostics->capacity) {
        size_t capacity = diagnostics->capacity ? diagnostics->capacity * 2 : 8;
        struct diagnostic *items = reallocarray(diagnostics->items, capacity, sizeof *items);
        if (!items)
            return NULL;
        diagnostics->items = items;
        diagnostics->capacity = capacity;
    }
    return &diagnostics->items[diagnostics->count];
}

void diagnostics_add(struct diagnostics *diagnostics, enum diagnostic_severity severity,
                     struct mark mark, const char *format, ...)
{
    char sentence[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    if (severity == DIAGNOSTIC_ERROR)
        diagnostics->errors++;
    else
        diagnostics->warnings++;
    struct diagnostic *item = new_item(diagnostics);
    if (!item)
        return;
    *item = (struct diagnostic){
        .severity = severity,
        .file = mark.file ? printable_copy(mark.file) : NULL,
        .line = mark.line,
        .column = mark.column,
        .sentence = printable_copy(sentence),
    };
    if ((mark.file && !item->file) || !item->sentence) {
        free(item->file);
        free(item->sentence);
        return;
    }
    diagnostics->count++;
}

static int print_item(const struct diagnostic *item, struct buffer *out)
{
    if (item->file && buffer_printf(out, "%s:", item->file) != 0)
        return -1;
    if (item->line > 0 && buffer_printf(out, "%u:%u:", item->line, item->column) != 0)
        return -1;
    return buffer_printf(out, "%s%s: %s\n", item->file ? " " : "", SEVERITY_NAMES[item->severity],
                         item->sentence);
}

int diagnostics_print(const struct diagnostics *diagnostics, struct buffer *out)
{
    for (size_t i = 0; i < diagnostics->count; i++)
        if (print_item(&diagnostics->items[i], out) != 0)
            return -1;
    size_t left_out = diagnostics->errors + diagnostics->warnings - diagnostics->count;
    return left_out > 0 ? buffer_printf(out, "%zu more errors and warnings\n", left_out) : 0;
}

void diagnostics_free(struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < diagnostics->count; i++) {
        free(diagnostics->items[i].file);
        free(diagnostics->items[i].sentence);
    }
    free(diagnostics->items);
    *diagnostics = (struct diagnostics){0};
}
