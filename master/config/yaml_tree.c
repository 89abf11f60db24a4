#include "master/config/yaml_tree.h"

#include <errno.h>
#include <stdio.h>
#include <yaml.h>

#include "base/table.h"

struct anchor {
    const char *name;
    const struct yaml_node *node;
    struct anchor *next;
};

struct parse {
    yaml_parser_t parser;
    struct slice text;
    const char *file;
    struct pool *pool;
    struct diagnostics *diagnostics;
    struct anchor *anchors;
    size_t nodes;
    bool failed; /* the rest of the file cannot be read */
};

static struct mark mark_of(const struct parse *parse, yaml_mark_t at)
{
    return (struct mark){parse->file, (unsigned)at.line + 1, (unsigned)at.column + 1};
}

static struct yaml_node *give_up(struct parse *parse, struct mark mark, const char *sentence)
{
    if (!parse->failed)
        diagnostics_add(parse->diagnostics, DIAGNOSTIC_ERROR, mark, "%s", sentence);
    parse->failed = true;
    return NULL;
}

/* The reader's errors (bad UTF-8, control characters) come with an offset only. */
static struct mark mark_of_offset(const struct parse *parse, size_t offset)
{
    struct mark mark = {parse->file, 1, 1};
    for (size_t i = 0; i < offset && i < parse->text.len; i++) {
        mark.column++;
        if (parse->text.data[i] == '\n') {
            mark.line++;
            mark.column = 1;
        }
    }
    return mark;
}

static void report_syntax(struct parse *parse)
{
    const yaml_parser_t *parser = &parse->parser;
    const char *problem = parser->problem ? parser->problem : "not readable";
    char sentence[256];
    if (parser->error == YAML_MEMORY_ERROR) {
        give_up(parse, (struct mark){parse->file, 0, 0}, "out of memory");
    } else if (parser->error == YAML_READER_ERROR) {
        snprintf(sentence, sizeof sentence, "not valid YAML: %s; accepted: UTF-8 text", problem);
        give_up(parse, mark_of_offset(parse, parser->problem_offset), sentence);
    } else {
        int len = snprintf(sentence, sizeof sentence, "not valid YAML: %s%s%s", problem,
                           parser->context ? " " : "", parser->context ? parser->context : "");
        if (parser->context && parser->context_mark.line != parser->problem_mark.line)
            snprintf(sentence + len, sizeof sentence - (size_t)len, " that starts at line %zu",
                     parser->context_mark.line + 1);
        give_up(parse, mark_of(parse, parser->problem_mark), sentence);
    }
}

/* On success the event is the caller's to delete. */
static bool next_event(struct parse *parse, yaml_event_t *event)
{
    if (parse->failed)
        return false;
    if (yaml_parser_parse(&parse->parser, event))
        return true;
    report_syntax(parse);
    return false;
}

static struct yaml_node *new_node(struct parse *parse, enum yaml_kind kind, struct mark mark)
{
    if (parse->nodes == YAML_NODES_MAX)
        return give_up(parse, mark, "too many values; accepted: at most 8192 in a file");
    struct yaml_node *node = pool_alloc(parse->pool, sizeof *node);
    if (!node)
        return give_up(parse, mark, "out of memory");
    parse->nodes++;
    node->kind = kind;
    node->mark = mark;
    node->key_mark = mark;
    return node;
}

static bool is_core_tag(const char *tag, const char *name)
{
    static const char PREFIX[] = "tag:yaml.org,2002:";
    return strncmp(tag, PREFIX, sizeof PREFIX - 1) == 0 &&
           strcmp(tag + sizeof PREFIX - 1, name) == 0;
}

/* Tags that only repeat what the text already says are let through. */
static bool tag_is_accepted(const char *tag)
{
    static const char *const NAMES[] = {"str", "int", "float", "bool", "null", "map", "seq"};
    if (!tag || strcmp(tag, "!") == 0)
        return true;
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (is_core_tag(tag, NAMES[i]))
            return true;
    return false;
}

static bool accept_tag(struct parse *parse, const yaml_char_t *tag, struct mark mark)
{
    if (tag_is_accepted((const char *)tag))
        return true;
    give_up(parse, mark, "an unknown tag; accepted: values without tags");
    return false;
}

static bool add_anchor(struct parse *parse, const yaml_char_t *name, const struct yaml_node *node)
{
    if (!name)
        return true;
    struct anchor *anchor = pool_alloc(parse->pool, sizeof *anchor);
    if (anchor)
        anchor->name = pool_text(parse->pool, slice_from_string((const char *)name));
    if (!anchor || !anchor->name) {
        give_up(parse, node->mark, "out of memory");
        return false;
    }
    anchor->node = node;
    LL_PREPEND(parse->anchors, anchor);
    return true;
}

static bool text_is_null(struct slice text)
{
    return text.len == 0 || slice_equals_string(text, "~") || slice_equals_string(text, "null") ||
           slice_equals_string(text, "Null") || slice_equals_string(text, "NULL");
}

static struct yaml_node *scalar_node(struct parse *parse, const yaml_event_t *event)
{
    struct mark mark = mark_of(parse, event->start_mark);
    struct slice text = slice_of(event->data.scalar.value, event->data.scalar.length);
    const char *tag = (const char *)event->data.scalar.tag;
    if (!accept_tag(parse, event->data.scalar.tag, mark))
        return NULL;
    if (memchr(text.data, '\0', text.len))
        return give_up(parse, mark, "a NUL character; accepted: text without it");
    struct yaml_node *node = new_node(parse, YAML_SCALAR, mark);
    if (!node)
        return NULL;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
                   (tag && (strcmp(tag, "!") == 0 || is_core_tag(tag, "str")));
    if (!node->quoted && text_is_null(text))
        node->kind = YAML_NULL;
    node->text = pool_text(parse->pool, text);
    if (!node->text)
        return give_up(parse, mark, "out of memory");
    return add_anchor(parse, event->data.scalar.anchor, node) ? node : NULL;
}

/* An alias gets a copy of its own, so that layers can change one without the other; the bound on
 * nodes keeps nested aliases from multiplying. */
static struct yaml_node *copy_node(struct parse *parse, const struct yaml_node *from,
                                   unsigned depth)
{
    if (depth > YAML_DEPTH_MAX)
        return give_up(parse, from->mark, "nested too deeply; accepted: at most 32 levels");
    struct yaml_node *copy = new_node(parse, from->kind, from->mark);
    if (!copy)
        return NULL;
    copy->quoted = from->quoted;
    copy->text = from->text;
    for (const struct yaml_node *child = from->children; child; child = child->next) {
        struct yaml_node *child_copy = copy_node(parse, child, depth + 1);
        if (!child_copy)
            return NULL;
        child_copy->key = child->key;
        child_copy->key_mark = child->key_mark;
        DL_APPEND(copy->children, child_copy);
    }
    return copy;
}

static struct yaml_node *alias_node(struct parse *parse, const yaml_event_t *event, unsigned depth)
{
    struct mark mark = mark_of(parse, event->start_mark);
    const struct anchor *anchor;
    LL_FOREACH(parse->anchors, anchor)
        if (strcmp(anchor->name, (const char *)event->data.alias.anchor) == 0)
            return copy_node(parse, anchor->node, depth);
    return give_up(parse, mark, "an alias whose anchor (&name) is not finished above it");
}

static struct yaml_node *parse_value(struct parse *parse, yaml_event_t *event, unsigned depth);

static bool fill_list(struct parse *parse, struct yaml_node *list, unsigned depth)
{
    yaml_event_t event;
    while (next_event(parse, &event)) {
        if (event.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        struct yaml_node *item = parse_value(parse, &event, depth + 1);
        yaml_event_delete(&event);
        if (!item)
            return false;
        DL_APPEND(list->children, item);
    }
    return false;
}

/* Reads the key's text out of `event`; NULL when it cannot be one. */
static const char *parse_key(struct parse *parse, const yaml_event_t *event)
{
    struct mark mark = mark_of(parse, event->start_mark);
    if (event->type != YAML_SCALAR_EVENT) {
        give_up(parse, mark, "a key that is not a scalar; accepted: keys like port");
        return NULL;
    }
    struct slice text = slice_of(event->data.scalar.value, event->data.scalar.length);
    if (memchr(text.data, '\0', text.len)) {
        give_up(parse, mark, "a NUL character; accepted: text without it");
        return NULL;
    }
    if (slice_equals_string(text, "<<") && event->data.scalar.plain_implicit) {
        give_up(parse, mark, "merge keys (<<) are not supported; accepted: the keys themselves");
        return NULL;
    }
    const char *key = pool_text(parse->pool, text);
    if (!key)
        give_up(parse, mark, "out of memory");
    return key;
}

static void add_child(struct parse *parse, struct yaml_node *map, struct yaml_node *child)
{
    const struct yaml_node *same = yaml_child(map, slice_from_string(child->key));
    if (same)
        diagnostics_add(parse->diagnostics, DIAGNOSTIC_ERROR, child->key_mark,
                        "duplicate key \"%.64s\", first at line %u; accepted: each key once",
                        child->key, same->key_mark.line);
    else
        DL_APPEND(map->children, child);
}

static bool fill_map(struct parse *parse, struct yaml_node *map, unsigned depth)
{
    yaml_event_t event;
    while (next_event(parse, &event)) {
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        const char *key = parse_key(parse, &event);
        struct mark key_mark = mark_of(parse, event.start_mark);
        yaml_event_delete(&event);
        if (!key || !next_event(parse, &event))
            return false;
        struct yaml_node *child = parse_value(parse, &event, depth + 1);
        yaml_event_delete(&event);
        if (!child)
            return false;
        child->key = key;
        child->key_mark = key_mark;
        add_child(parse, map, child);
    }
    return false;
}

static struct yaml_node *parse_collection(struct parse *parse, const yaml_event_t *event,
                                          unsigned depth)
{
    struct mark mark = mark_of(parse, event->start_mark);
    bool is_map = event->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *tag =
        is_map ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    const yaml_char_t *anchor =
        is_map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    if (!accept_tag(parse, tag, mark))
        return NULL;
    if (depth >= YAML_DEPTH_MAX)
        return give_up(parse, mark, "nested too deeply; accepted: at most 32 levels");
    struct yaml_node *node = new_node(parse, is_map ? YAML_MAP : YAML_LIST, mark);
    if (!node || !(is_map ? fill_map(parse, node, depth) : fill_list(parse, node, depth)))
        return NULL;
    return add_anchor(parse, anchor, node) ? node : NULL;
}

/* The value that `event` starts. The event stays the caller's. */
static struct yaml_node *parse_value(struct parse *parse, yaml_event_t *event, unsigned depth)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return scalar_node(parse, event);
    case YAML_ALIAS_EVENT:
        return alias_node(parse, event, depth);
    default:
        return parse_collection(parse, event, depth);
    }
}

static void refuse_second_document(struct parse *parse)
{
    yaml_event_t event;
    if (!next_event(parse, &event))
        return;
    if (event.type == YAML_DOCUMENT_START_EVENT)
        give_up(parse, mark_of(parse, event.start_mark),
                "a second document; accepted: one document in a file");
    yaml_event_delete(&event);
}

static struct yaml_node *parse_stream(struct parse *parse)
{
    yaml_event_t event;
    struct yaml_node *top = NULL;
    bool more = true;
    while (more && next_event(parse, &event)) {
        switch (event.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_START_EVENT:
            break;
        case YAML_STREAM_END_EVENT:
            top = new_node(parse, YAML_NULL, mark_of(parse, event.start_mark));
            more = false;
            break;
        case YAML_DOCUMENT_END_EVENT:
            refuse_second_document(parse);
            more = false;
            break;
        default:
            top = parse_value(parse, &event, 0);
            more = top != NULL;
            break;
        }
        yaml_event_delete(&event);
    }
    return parse->failed ? NULL : top;
}

struct yaml_node *yaml_tree_parse(struct slice text, const char *file, struct pool *pool,
                                  struct diagnostics *diagnostics)
{
    struct parse parse = {.text = text, .file = file, .pool = pool, .diagnostics = diagnostics};
    struct mark whole = {file, 0, 0};
    if (text.len > YAML_FILE_MAX)
        return give_up(&parse, whole, "the file is too large; accepted: at most 1 MiB");
    if (!yaml_parser_initialize(&parse.parser))
        return give_up(&parse, whole, "out of memory");
    yaml_parser_set_input_string(&parse.parser, (const unsigned char *)text.data, text.len);
    struct yaml_node *top = parse_stream(&parse);
    yaml_parser_delete(&parse.parser);
    return top;
}

struct yaml_node *yaml_child(const struct yaml_node *map, struct slice key)
{
    if (!map || map->kind != YAML_MAP)
        return NULL;
    for (struct yaml_node *child = map->children; child; child = child->next)
        if (slice_equals_string(key, child->key))
            return child;
    return NULL;
}

struct yaml_node *yaml_at(const struct yaml_node *top, const char *path)
{
    struct yaml_node *node = NULL;
    while (*path) {
        size_t len = strcspn(path, ".");
        node = yaml_child(top, slice_of(path, len));
        if (!node)
            return NULL;
        top = node;
        path += len + (path[len] == '.');
    }
    return node;
}

size_t yaml_child_count(const struct yaml_node *node)
{
    const struct yaml_node *child;
    size_t count = 0;
    DL_COUNT(node->children, child, count);
    return count;
}

const char *yaml_describe(const struct yaml_node *node, char out[YAML_DESCRIPTION_ROOM])
{
    switch (node->kind) {
    case YAML_NULL:
        return "null";
    case YAML_LIST:
        return node->children ? "a list" : "an empty list";
    case YAML_MAP:
        return node->children ? "a mapping" : "an empty mapping";
    case YAML_SCALAR:
        break;
    }
    size_t len = strlen(node->text);
    const char *quote = node->quoted ? "\"" : "";
    snprintf(out, YAML_DESCRIPTION_ROOM, "%s%.64s%s%s", quote, node->text, len > 64 ? "..." : "",
             quote);
    return out;
}
