// SPDX-License-Identifier: GPL-2.0-only
// sources: control-domain/driver/errors.c
/* The driver's translation of results, and the rule about versions. */
#include <errno.h>

#include "abi/err.h"
#include "../../control-domain/driver/errors.h"
#include "test.h"

TEST(success_is_kept)
{
	CHECK_EQ(hv_to_errno(0), 0);
	CHECK_EQ(hv_to_errno(4096), 4096);
}

TEST(every_code_has_an_errno_and_words)
{
#define X(name, number, text)                                                                      \
	CHECK(hv_to_errno(-(number)) < 0);                                                         \
	CHECK_STREQ(hv_error_text(-(number)), text);
	HV_ERR_LIST(X)
#undef X
	CHECK_EQ(hv_to_errno(-HV_ERR_NOMEM), -ENOMEM);
	CHECK_EQ(hv_to_errno(-HV_ERR_NOCALL), -ENOSYS);
}

TEST(unknown_codes_are_io_errors)
{
	CHECK_EQ(hv_to_errno(-1000), -EIO);
	CHECK_EQ(hv_to_errno(INT64_MIN), -EIO);
	CHECK_STREQ(hv_error_text(-1000), "unknown error");
}

TEST(versions)
{
	CHECK(hv_version_fits(0x00010002, 0x00010002));
	CHECK(hv_version_fits(0x00010003, 0x00010002));
	CHECK(!hv_version_fits(0x00010001, 0x00010002));
	CHECK(!hv_version_fits(0x00020002, 0x00010002));
	CHECK(!hv_version_fits(0x00000002, 0x00010002));
}
