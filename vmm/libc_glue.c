// SPDX-License-Identifier: MIT
/*
 * What newlib's linked parts ask of their system, and what they would bring too much of.
 *
 * Its vfprintf writes into a stream; the only kind here is a bounded string, so nothing grows and
 * the allocator that asprintf() would want is never asked.
 */
#include <reent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <types.h>
#include <panic.h>

#define STRING_STREAM 0x208 /* newlib's __SWR | __SSTR */

static struct _reent reent;
struct _reent *_impure_ptr = &reent;

void *_malloc_r(struct _reent *r, size_t n);
void _free_r(struct _reent *r, void *p);
int __ssputs_r(struct _reent *r, FILE *f, const char *s, size_t n);
int _svfprintf_r(struct _reent *r, FILE *f, const char *fmt, va_list ap);

void *_malloc_r(struct _reent *r, size_t n)
{
	panic("newlib asked for %lu bytes (%p)", n, (void *)r);
}

void _free_r(struct _reent *r, void *p)
{
	panic("newlib freed %p (%p)", p, (void *)r);
}

/* Append to the string what fits. */
int __ssputs_r(struct _reent *r, FILE *f, const char *s, size_t n)
{
	(void)r;
	n = min_u64(n, (uint64_t)f->_w);
	memcpy(f->_p, s, n);
	f->_p += n;
	f->_w -= (int)n;
	return 0;
}

int vsnprintf(char *to, size_t n, const char *fmt, va_list ap)
{
	FILE f = {._p = (unsigned char *)to, ._w = n ? (int)n - 1 : 0, ._flags = STRING_STREAM};
	int length = _svfprintf_r(&reent, &f, fmt, ap);

	if (n)
		*f._p = 0;
	return length;
}

int snprintf(char *to, size_t n, const char *fmt, ...)
{
	va_list ap;
	int length;

	va_start(ap, fmt);
	length = vsnprintf(to, n, fmt, ap);
	va_end(ap);
	return length;
}
