/* left_starts.c - starts that are left to the host
 *
 * Called by child.c, and by whoever frees a ctx, for a child that is not its
 * program yet and whose ctx goes: it reads what it was given for as long as it
 * takes, so that is freed some time later, by the next one that is left.
 */
#include "child/left_starts.h"

#include <stdatomic.h>

static _Atomic(struct xl_setting_up *) all_left;

static void push_left(struct xl_setting_up *setting_up)
{
    setting_up->left = atomic_load(&all_left);
    while (
        !atomic_compare_exchange_weak(&all_left, &setting_up->left, setting_up))
        ;
}

/* No lock: a fork of the host's may come at any moment. */
void xl_child_leave_start(struct xl_setting_up *setting_up)
{
    struct xl_setting_up *next = atomic_exchange(&all_left, NULL);

    xl_list_remove(&setting_up->link);
    setting_up->left = next;
    for (; setting_up != NULL; setting_up = next) {
        next = setting_up->left;
        if (setting_up->apart(setting_up))
            setting_up->free(setting_up, NULL);
        else
            push_left(setting_up);
    }
}
