// SPDX-License-Identifier: GPL-2.0-only
/*
 * Translation of enum hv_err. One table row per code; the list in abi/err.h makes the compiler tell
 * when a new code has no row here. AGAIN becomes EAGAIN: those who can do something about it (pay
 * the TLB debts, run again) look at the hypervisor's result before it comes through here.
 */
#include "errors.h"

#include "abi/err.h"

static const short errno_of[] = {
	[HV_ERR_PERM] = EPERM,	   [HV_ERR_NOCALL] = ENOSYS,
	[HV_ERR_INVAL] = EINVAL,   [HV_ERR_NOMEM] = ENOMEM,
	[HV_ERR_NOENT] = ENOENT,   [HV_ERR_EXIST] = EEXIST,
	[HV_ERR_BUSY] = EBUSY,	   [HV_ERR_STATE] = EINVAL,
	[HV_ERR_OWNER] = EPERM,	   [HV_ERR_UNSUPPORTED] = EOPNOTSUPP,
	[HV_ERR_VERSION] = EPROTO, [HV_ERR_AGAIN] = EAGAIN,
	[HV_ERR_FAULT] = EFAULT,   [HV_ERR_HARDWARE] = EIO,
};

#define X(name, number, text)                                                                      \
	_Static_assert(HV_ERR_##name < sizeof(errno_of) / sizeof(errno_of[0]), "row for " #name);
HV_ERR_LIST(X)
#undef X

static const char *const text_of[] = {
#define X(name, number, text) [number] = text,
	HV_ERR_LIST(X)
#undef X
};

static size_t error_index(long result)
{
	size_t code = -(size_t)result;

	if (result >= 0 || code >= sizeof(errno_of) / sizeof(errno_of[0]))
		return 0;
	return code;
}

long hv_to_errno(long result)
{
	if (result >= 0)
		return result;
	return errno_of[error_index(result)] ? -errno_of[error_index(result)] : -EIO;
}

const char *hv_error_text(long result)
{
	const char *text = text_of[error_index(result)];

	return text ? text : "unknown error";
}

bool hv_version_fits(uint32_t hypervisor, uint32_t driver)
{
	return hypervisor >> 16 == driver >> 16 && (hypervisor & 0xffff) >= (driver & 0xffff);
}
