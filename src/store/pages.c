#include "store/pages.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    DATA_VERSION = 1,
    FREE_TREE_FLAGS = 0x4008, /* integer keys, and that the path is of a file */
    PAGE_HEADER = 16,
    NODE_HEADER = 8,
    DEPTH_MAX = 32,
    FREE_TREE = 0,
    MAIN_TREE = 1,
    TREES = 2,
};
enum { PAGE_BRANCH = 0x01, PAGE_LEAF = 0x02, PAGE_OVERFLOW = 0x04, PAGE_META = 0x08 };
enum { NODE_OVERFLOW = 0x01 };
static const uint32_t META_MAGIC = 0xbeefc0de;
static const uint64_t NO_PAGE = UINT64_MAX;

const char STORE_NO_MEMORY[] = "there is no memory to read it";

struct page_header {
    uint64_t number;
    uint16_t pad;
    uint16_t flags;
    union {
        struct {
            uint16_t lower, upper;
        };
        uint32_t pages; /* of an overflow run */
    };
};

struct tree {
    uint32_t pad; /* of the free tree: the page size */
    uint16_t flags;
    uint16_t depth;
    uint64_t branches, leaves, overflows, entries;
    uint64_t root;
};

struct meta {
    uint32_t magic;
    uint32_t version;
    uint64_t address;
    uint64_t map_size;
    struct tree trees[TREES];
    uint64_t last_page;
    uint64_t transaction;
};

struct node {
    uint16_t low, high;
    uint16_t flags;
    uint16_t key_len;
};

_Static_assert(sizeof(struct page_header) == PAGE_HEADER, "LMDB's page header has 16 bytes");
_Static_assert(sizeof(struct meta) == 136 && sizeof(struct tree) == 48, "as in LMDB's file");
_Static_assert(sizeof(struct node) == NODE_HEADER, "LMDB's node header has 8 bytes");

struct walk {
    const char *file;
    uint64_t page_size;
    uint64_t pages; /* valid numbers are below */
    unsigned char *seen;
    int which;         /* FREE_TREE or MAIN_TREE */
    struct tree found; /* counts */
    struct slice last_key;
    bool last_is_bound;
    const char *why;
};

static bool fail(struct walk *walk, const char *why)
{
    walk->why = why;
    return false;
}

static bool take_pages(struct walk *walk, uint64_t first, uint64_t count)
{
    if (count == 0 || first >= walk->pages || count > walk->pages - first)
        return fail(walk, "a page lies outside the file");
    for (uint64_t page = first; page < first + count; page++) {
        unsigned char bit = (unsigned char)(1 << page % 8);
        if (walk->seen[page / 8] & bit)
            return fail(walk, "a page is used twice");
        walk->seen[page / 8] |= bit;
    }
    return true;
}

static int compare_keys(const struct walk *walk, struct slice a, struct slice b)
{
    if (walk->which == FREE_TREE) {
        uint64_t x, y;
        memcpy(&x, a.data, sizeof x);
        memcpy(&y, b.data, sizeof y);
        return x < y ? -1 : x > y;
    }
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

/* Keys come in the order of the whole tree. A branch's key is a lower bound of its subtree. */
static bool take_key(struct walk *walk, struct slice key, bool is_bound)
{
    static const size_t KEY_MAX = 511;
    if (walk->which == FREE_TREE ? key.len != sizeof(uint64_t) : key.len == 0 || key.len > KEY_MAX)
        return fail(walk, "a key has a wrong length");
    int order = walk->last_key.data ? compare_keys(walk, walk->last_key, key) : -1;
    if (order > 0 || (order == 0 && !walk->last_is_bound))
        return fail(walk, "keys are out of order");
    walk->last_key = key;
    walk->last_is_bound = is_bound;
    return true;
}

static bool take_free_list(struct walk *walk, struct slice data)
{
    uint64_t count, page;
    if (data.len < sizeof count || data.len % sizeof count != 0)
        return fail(walk, "a list of free pages is cut short");
    memcpy(&count, data.data, sizeof count);
    if (count > data.len / sizeof count - 1)
        return fail(walk, "a list of free pages is cut short");
    for (uint64_t i = 1; i <= count; i++) {
        memcpy(&page, data.data + i * sizeof page, sizeof page);
        if (!take_pages(walk, page, 1))
            return false;
    }
    return true;
}

/* The data of a leaf's node, wherever it is. */
static bool take_data(struct walk *walk, const struct node *node, struct slice rest,
                      uint64_t data_len)
{
    struct slice data = slice_of(rest.data, data_len);
    if (node->flags & ~NODE_OVERFLOW)
        return fail(walk, "a node has unknown flags");
    if (node->flags & NODE_OVERFLOW) {
        uint64_t first;
        struct page_header header;
        if (rest.len < sizeof first)
            return fail(walk, "a node is cut short");
        memcpy(&first, rest.data, sizeof first);
        if (first >= walk->pages)
            return fail(walk, "a page lies outside the file");
        memcpy(&header, walk->file + first * walk->page_size, sizeof header);
        if (header.flags != PAGE_OVERFLOW || header.number != first ||
            header.pages != (PAGE_HEADER - 1 + data_len) / walk->page_size + 1)
            return fail(walk, "an overflow page is not what it should be");
        if (!take_pages(walk, first, header.pages))
            return false;
        walk->found.overflows += header.pages;
        data.data = walk->file + first * walk->page_size + PAGE_HEADER;
    } else if (rest.len < data_len) {
        return fail(walk, "a node is cut short");
    }
    walk->found.entries++;
    return walk->which == MAIN_TREE || take_free_list(walk, data);
}

static bool walk_page(struct walk *walk, uint64_t number, unsigned depth);

static bool walk_node(struct walk *walk, struct slice page, size_t offset, bool leaf, bool first,
                      unsigned depth)
{
    struct node node;
    if (offset % 2 != 0 || offset + sizeof node > page.len)
        return fail(walk, "a node lies outside its page");
    memcpy(&node, page.data + offset, sizeof node);
    size_t key_at = offset + sizeof node;
    if (key_at + node.key_len > page.len)
        return fail(walk, "a node is cut short");
    struct slice key = slice_of(page.data + key_at, node.key_len);
    struct slice rest = slice_of(key.data + key.len, page.len - key_at - key.len);
    uint64_t number = node.low | (uint64_t)node.high << 16;
    if (leaf)
        return take_key(walk, key, false) && take_data(walk, &node, rest, number);
    /* The first key of a branch page means "below all others". */
    return (first || take_key(walk, key, true)) &&
           walk_page(walk, number | (uint64_t)node.flags << 32, depth + 1);
}

static bool walk_page(struct walk *walk, uint64_t number, unsigned depth)
{
    struct page_header header;
    if (depth > DEPTH_MAX)
        return fail(walk, "the tree is too deep");
    if (!take_pages(walk, number, 1))
        return false;
    struct slice page = slice_of(walk->file + number * walk->page_size, walk->page_size);
    memcpy(&header, page.data, sizeof header);
    bool leaf = header.flags == PAGE_LEAF;
    if (header.number != number || (!leaf && header.flags != PAGE_BRANCH) ||
        leaf != (depth == walk->found.depth) || header.lower < PAGE_HEADER ||
        header.lower % 2 != 0 || header.upper < header.lower || header.upper > page.len)
        return fail(walk, "a page is not what it should be");
    leaf ? walk->found.leaves++ : walk->found.branches++;
    size_t nodes = (header.lower - PAGE_HEADER) / 2U;
    for (size_t i = 0; i < nodes; i++) {
        uint16_t offset;
        memcpy(&offset, page.data + PAGE_HEADER + 2 * i, sizeof offset);
        if (offset < header.upper)
            return fail(walk, "a node lies outside its page");
        if (!walk_node(walk, page, offset, leaf, i == 0, depth))
            return false;
    }
    return nodes > 0 || fail(walk, "a page is empty");
}

static bool walk_tree(struct walk *walk, const struct tree *tree, int which)
{
    walk->which = which;
    walk->found = (struct tree){.depth = tree->depth};
    walk->last_key = SLICE_EMPTY;
    if (tree->flags != (which == FREE_TREE ? FREE_TREE_FLAGS : 0))
        return fail(walk, "a tree is of another kind");
    if (tree->root != NO_PAGE && !walk_page(walk, tree->root, 1))
        return false;
    return (walk->found.branches == tree->branches && walk->found.leaves == tree->leaves &&
            walk->found.overflows == tree->overflows && walk->found.entries == tree->entries) ||
           fail(walk, "a tree's counts are wrong");
}

static bool read_meta(struct slice file, uint64_t page_size, int which, struct meta *meta)
{
    struct page_header header;
    const char *page = file.data + which * page_size;
    memcpy(&header, page, sizeof header);
    memcpy(meta, page + PAGE_HEADER, sizeof *meta);
    return (header.flags & PAGE_META) && header.number == (uint64_t)which &&
           meta->magic == META_MAGIC && meta->version == DATA_VERSION &&
           meta->trees[FREE_TREE].pad == page_size;
}

static bool is_within(struct slice file, uint64_t page_size, const struct meta *meta)
{
    return meta->last_page >= 1 && meta->last_page < file.len / page_size;
}

/* Whether the trees that a meta page names are sound: NULL, or what is wrong. */
static const char *check_trees(struct slice file, uint64_t page_size, const struct meta *meta)
{
    struct walk walk = {.file = file.data, .page_size = page_size, .pages = meta->last_page + 1};
    walk.seen = calloc(walk.pages / 8 + 1, 1);
    if (!walk.seen)
        return STORE_NO_MEMORY;
    bool sound = take_pages(&walk, 0, 2) && walk_tree(&walk, &meta->trees[FREE_TREE], FREE_TREE) &&
                 walk_tree(&walk, &meta->trees[MAIN_TREE], MAIN_TREE);
    free(walk.seen);
    return sound ? NULL : walk.why;
}

static struct store_verdict verdict_of(const char *why)
{
    enum store_soundness is = !why                     ? STORE_SOUND
                              : why == STORE_NO_MEMORY ? STORE_UNKNOWN
                                                       : STORE_DAMAGED;
    return (struct store_verdict){.is = is, .why = why};
}

/* The meta page `which` gets the number that it had before the commit. */
static struct store_verdict cut_off(uint64_t page_size, unsigned which, uint64_t transaction,
                                    const char *why)
{
    return (struct store_verdict){.is = STORE_CUT_OFF,
                                  .why = why,
                                  .transaction = transaction,
                                  .undo_at = which * page_size + PAGE_HEADER +
                                             offsetof(struct meta, transaction),
                                  .undo_value = transaction - 2};
}

struct store_verdict store_pages_check(struct slice file)
{
    uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    struct meta metas[2];
    if (file.len < 2 * page_size || !read_meta(file, page_size, 0, &metas[0]) ||
        !read_meta(file, page_size, 1, &metas[1]))
        return verdict_of("it is no LMDB file of this machine's kind");
    /* Commits go to both pages in turn. In a new file both are of none. */
    unsigned which = metas[1].transaction > metas[0].transaction;
    const struct meta *newest = &metas[which], *older = &metas[!which];
    if (newest->transaction > 0 &&
        (newest->transaction != older->transaction + 1 || (newest->transaction & 1) != which))
        return verdict_of("its last two commits do not follow each other");
    if (!is_within(file, page_size, newest))
        return verdict_of("it is shorter than its contents");
    const char *why = check_trees(file, page_size, newest);
    /* Before the first commit there was nothing, and a compaction makes the whole file with one. */
    if (!why || why == STORE_NO_MEMORY || newest->transaction < 2 ||
        !is_within(file, page_size, older))
        return verdict_of(why);
    const char *why_older = check_trees(file, page_size, older);
    if (why_older)
        return verdict_of(why_older == STORE_NO_MEMORY ? why_older : why);
    return cut_off(page_size, which, newest->transaction, why);
}
