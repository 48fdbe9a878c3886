// SPDX-License-Identifier: MIT
/*
 * What newlib's linked parts ask of their system: a place for errno, and an allocator that they
 * never use (only asprintf() and streams would).
 */
#include <reent.h>
#include <panic.h>

static struct _reent reent;
struct _reent *_impure_ptr = &reent;

void *_malloc_r(struct _reent *r, size_t n);
void *_realloc_r(struct _reent *r, void *p, size_t n);
void _free_r(struct _reent *r, void *p);

void *_malloc_r(struct _reent *r, size_t n)
{
	panic("newlib asked for %zu bytes (%p)", n, (void *)r);
}

void *_realloc_r(struct _reent *r, void *p, size_t n)
{
	panic("newlib asked for %zu bytes at %p (%p)", n, p, (void *)r);
}

void _free_r(struct _reent *r, void *p)
{
	panic("newlib freed %p (%p)", p, (void *)r);
}
