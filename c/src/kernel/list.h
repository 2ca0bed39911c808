/* list.h - intrusive doubly linked lists
 *
 * A list is a node that points at itself; an unlinked node does too.
 */
#ifndef XL_LIST_H
#define XL_LIST_H

#include <stddef.h>

struct xl_list {
    struct xl_list *next, *prev;
};

#define xl_container(node, type, member) \
    ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void xl_list_init(struct xl_list *l)
{
    l->next = l->prev = l;
}

static inline int xl_list_empty(const struct xl_list *l)
{
    return l->next == l;
}

static inline void xl_list_append(struct xl_list *l, struct xl_list *node)
{
    node->prev = l->prev;
    node->next = l;
    l->prev->next = node;
    l->prev = node;
}

static inline void xl_list_prepend(struct xl_list *l, struct xl_list *node)
{
    xl_list_append(l->next, node);
}

static inline void xl_list_remove(struct xl_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    xl_list_init(node);
}

#endif
