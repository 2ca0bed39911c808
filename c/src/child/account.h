/* account.h - what is noted of a child whose account was asked for
 *
 *      xl_account_new     with the child; xl_account_drop if it has no report
 *      xl_account_base    before its start, without the lock: what the cgroup
 *        |                counted before
 *      xl_account_exec, _sent   while it lives
 *      xl_account_ended   its end is known; from now on the ctx has it
 *      xl_accounts_due    without the lock: what the cgroup has counted
 *      xl_account_take    the host has it
 *
 * All but _base under the ctx's lock. A NULL account is one that was not asked
 * for: nothing happens.
 */
#ifndef XL_ACCOUNT_H
#define XL_ACCOUNT_H

#include "ctx/ctx_impl.h"
#include "xlchild/account.h"

struct xl_cgroup;
struct xl_account;

/* Held by the child. cgroup: its own, or NULL. NULL: no memory. */
struct xl_account *xl_account_new(struct xl_cgroup *cgroup);
void xl_account_drop(struct xl_account *account);
/* The child goes on without one. */
void xl_account_unwanted(struct xl_account **account);
void xl_account_base(struct xl_account *account);
void xl_account_exec(struct xl_account *account);
/* Signals that are sent from now on are sent for this reason. Returns what was
 * said before. */
libxl_ended_by xl_account_reason(struct xl_account *account,
                                 libxl_ended_by why);
/* The kernel took a signal for it. sure: it was alive then. */
void xl_account_sent(struct xl_account *account, int signo, int sure);
/* … which it did not, after all. */
void xl_account_not_sent(struct xl_account *account, int signo);
/* A whole group or cgroup is about to be signalled, in which others' children
 * may be: what ends one now is perhaps not others'. Needs no lock. */
void xl_account_wide(void);
/* The account is the ctx's from now on. */
void xl_account_ended(libxl_ctx *ctx, struct xl_account *account,
                      const libxl_childproc_result *result);
/* Cgroups of those that have ended are read, the lock being given up. */
void xl_accounts_due(libxl_ctx *ctx);
/* 0, or ERROR_NOTFOUND. May give up the lock. */
int xl_account_take(libxl_ctx *ctx, libxl_childproc_id id,
                    libxl_childproc_account *ret_account);
/* One that was never taken, and never will be. */
void xl_account_forget(libxl_ctx *ctx, libxl_childproc_id id);
void xl_account_forget_all(libxl_ctx *ctx);

#endif
