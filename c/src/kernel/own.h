/* own.h - which fds are the library's own
 *
 * A number that was remembered may be another file's by now: a child that
 * forked has closed all and opened its own, or the host has. So ours are
 * marked from birth to close; a forked child closes what is marked at once,
 * before anybody else's code runs there, and afterwards nothing by a number
 * that was remembered (C14, C26).
 */
#ifndef XL_OWN_H
#define XL_OWN_H

/* Marks fd, if it is one, which has just been made, and returns it; errno
 * stays. It is moved to another number where its own is marked: the host has
 * closed what had that, and whoever had it may not have noticed. Nor is it 0, 1
 * or 2: in a host without these, what should be closed would be open. */
int xl_own(int fd);
/* The same for one whose number is known to others already: it stays. */
void xl_own_mark(int fd);
/* The same for one that will not be marked: only moved. */
int xl_own_avoid(int fd);
/* It is marked: so says a new number that the host has closed it before. */
int xl_own_is(int fd);
/* Closes fd if it is marked; -1, or one that is not ours any more: nothing. */
void xl_own_close(int fd);
/* The host closes numbers that are not its own: said by whoever finds out. From
 * then on a pidfd is looked at before it is reaped by. */
void xl_own_disturbed(void);
int xl_own_is_disturbed(void);
/* How often it was said: who finds more than it knew of looks at its own. */
unsigned xl_own_disturbances(void);
/* Children are made that have copies of ours until they execute their programs,
 * while their parents go on: closing ours alone may leave an epoll watching
 * it. */
void xl_own_copied(void);
int xl_own_may_be_copied(void);
/* It is not ours any more: it has been closed, or is about to be. */
void xl_own_forget(int fd);
/* In a forked child, by the fork handler: closes all that are marked, or, not
 * sure that they are ours still, only forgets them. */
void xl_own_postfork(int sure);

#endif
