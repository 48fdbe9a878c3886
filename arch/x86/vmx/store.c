// SPDX-License-Identifier: MIT
/*
 * See store.h. Source: SDM 2A "Instruction Format".
 */
#include <string.h>

#include <x86/vmx/store.h>

#define MOV_REGISTER 0x89
#define MOV_CONSTANT 0xc7
#define IS_REX(b)    (((b)&0xf0) == 0x40)
#define REX_R	     BIT64(2)
#define REX_W	     BIT64(3)

unsigned int store_decode(const uint8_t *code, const struct hv_gprs *regs, uint32_t *value)
{
	const uint8_t *at = code;
	uint8_t rex = IS_REX(*at) ? *at++ : 0, op = *at++, modrm = *at++;
	uint8_t mod = modrm >> 6, rm = modrm & 7, base = rm == 4 ? *at++ & 7 : rm;
	unsigned int reg = (modrm >> 3 & 7) | (rex & REX_R ? 8 : 0);

	if (mod == 3 || (rex & REX_W) || (op != MOV_REGISTER && op != MOV_CONSTANT))
		return 0;
	at += mod == 1 ? 1 : mod == 2 || base == 5 ? 4 : 0;
	*value = (uint32_t)((const uint64_t *)regs)[reg];
	if (op == MOV_CONSTANT) {
		memcpy(value, at, sizeof(*value));
		at += sizeof(*value);
	}
	return (unsigned int)(at - code);
}
