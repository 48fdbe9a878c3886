// SPDX-License-Identifier: GPL-2.0-only
/* The 8259A pair, see pic.h. Single mode and the 8085's call sequence do not exist in a PC. */
#include "pic.h"

#define CASCADE	  2
#define SPURIOUS  7
#define NONE	  (-1)
#define BIT_OF(n) (uint8_t)(1u << (n))

#define ICW1	     0x10
#define ICW1_ICW4    0x01
#define OCW3	     0x08
#define OCW3_POLL    0x04
#define OCW3_READ    0x02
#define OCW3_MASK_ON 0x40
#define ICW4_AUTO    0x02
#define ICW4_NESTED  0x10
#define POLL_PENDING 0x80

enum ocw2 {
	AUTO_ROTATE_OFF = 0,
	END = 1,
	END_ONE = 3,
	AUTO_ROTATE_ON = 4,
	END_ROTATE = 5,
	SET_PRIORITY = 6,
	END_ONE_ROTATE = 7,
};

void pics_reset(struct pics *pics)
{
	memset(pics, 0, sizeof(*pics));
	pics->chip[0].elcr_mask = 0xf8;
	pics->chip[1].elcr_mask = 0xde;
}

/* How far the best of `lines` is from the top priority; 8 when there is none. */
static unsigned int priority(const struct kvm_pic_state *chip, uint8_t lines)
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		if (lines & BIT_OF((i + chip->priority_add) & 7))
			break;
	return i;
}

/* The line to be served now, or NONE. */
static int pending(const struct kvm_pic_state *chip, bool master)
{
	uint8_t serving = chip->isr;
	unsigned int best = priority(chip, chip->irr & ~chip->imr);

	if (chip->special_mask)
		serving &= ~chip->imr;
	/* The slave may interrupt its own service: it orders its lines itself. */
	if (chip->special_fully_nested_mode && master)
		serving &= ~BIT_OF(CASCADE);
	if (best == 8 || best >= priority(chip, serving))
		return NONE;
	return (int)((best + chip->priority_add) & 7);
}

static bool set_line(struct kvm_pic_state *chip, unsigned int line, bool level)
{
	uint8_t bit = BIT_OF(line);
	bool fresh = !(chip->irr & bit);

	if (chip->elcr & bit) {
		chip->irr = level ? chip->irr | bit : chip->irr & ~bit;
	} else if (level && !(chip->last_irr & bit)) {
		chip->irr |= bit; /* latched until it is acknowledged */
	}
	chip->last_irr = level ? chip->last_irr | bit : chip->last_irr & ~bit;
	return !level || fresh;
}

void pics_update(struct pics *pics)
{
	set_line(&pics->chip[0], CASCADE, false);
	pics->chip[0].irr &= ~BIT_OF(CASCADE);
	if (pending(&pics->chip[1], false) != NONE)
		set_line(&pics->chip[0], CASCADE, true);
}

bool pics_set(struct pics *pics, unsigned int line, bool level)
{
	bool taken = set_line(&pics->chip[line / 8], line % 8, level);

	pics_update(pics);
	return taken;
}

bool pics_output(const struct pics *pics)
{
	return pending(&pics->chip[0], true) != NONE;
}

static void acknowledge(struct kvm_pic_state *chip, unsigned int line)
{
	if (!(chip->elcr & BIT_OF(line)))
		chip->irr &= ~BIT_OF(line);
	if (!chip->auto_eoi)
		chip->isr |= BIT_OF(line);
	else if (chip->rotate_on_auto_eoi)
		chip->priority_add = (line + 1) & 7;
}

uint8_t pics_acknowledge(struct pics *pics)
{
	struct kvm_pic_state *chip = &pics->chip[0];
	int line = pending(chip, true);

	if (line != NONE)
		acknowledge(chip, (unsigned int)line);
	if (line == CASCADE) {
		chip = &pics->chip[1];
		line = pending(chip, false);
		if (line != NONE)
			acknowledge(chip, (unsigned int)line);
	}
	pics_update(pics);
	return (uint8_t)(chip->irq_base + (line == NONE ? SPURIOUS : line));
}

/* ---- registers */

static struct kvm_pic_state *chip_of(struct pics *pics, uint16_t port)
{
	return &pics->chip[port >= 0x4d0 ? port & 1 : port >> 7 & 1];
}

bool pics_port(uint16_t port)
{
	return port == 0x20 || port == 0x21 || port == 0xa0 || port == 0xa1 || port == 0x4d0 ||
	       port == 0x4d1;
}

static void initialize(struct kvm_pic_state *chip, uint8_t icw1)
{
	chip->init_state = 1;
	chip->init4 = icw1 & ICW1_ICW4;
	chip->last_irr = 0;
	chip->irr &= chip->elcr;
	chip->isr = 0;
	chip->imr = 0;
	chip->priority_add = 0;
	chip->special_mask = 0;
	chip->read_reg_select = 0;
	chip->poll = 0;
	chip->auto_eoi = 0;
	chip->rotate_on_auto_eoi = 0;
	chip->special_fully_nested_mode = 0;
}

static void end(struct kvm_pic_state *chip, unsigned int line, bool rotate)
{
	chip->isr &= ~BIT_OF(line);
	if (rotate)
		chip->priority_add = (line + 1) & 7;
}

static void operate(struct kvm_pic_state *chip, uint8_t value)
{
	unsigned int line = value & 7, best;

	switch ((enum ocw2)(value >> 5)) {
	case AUTO_ROTATE_OFF:
	case AUTO_ROTATE_ON:
		chip->rotate_on_auto_eoi = value >> 7;
		break;
	case END:
	case END_ROTATE:
		best = priority(chip, chip->isr);
		if (best != 8)
			end(chip, (best + chip->priority_add) & 7, value >> 7);
		break;
	case END_ONE:
	case END_ONE_ROTATE:
		end(chip, line, value >> 7);
		break;
	case SET_PRIORITY:
		chip->priority_add = (line + 1) & 7;
		break;
	default:
		break;
	}
}

static void write_command(struct kvm_pic_state *chip, uint8_t value)
{
	if (value & ICW1) {
		initialize(chip, value);
	} else if (value & OCW3) {
		if (value & OCW3_POLL)
			chip->poll = 1;
		if (value & OCW3_READ)
			chip->read_reg_select = value & 1;
		if (value & OCW3_MASK_ON)
			chip->special_mask = value >> 5 & 1;
	} else {
		operate(chip, value);
	}
}

static void write_data(struct kvm_pic_state *chip, uint8_t value)
{
	switch (chip->init_state) {
	case 0:
		chip->imr = value;
		break;
	case 1:
		chip->irq_base = value & 0xf8;
		chip->init_state = 2;
		break;
	case 2: /* the wiring of the cascade is what it is */
		chip->init_state = chip->init4 ? 3 : 0;
		break;
	default:
		chip->special_fully_nested_mode = !!(value & ICW4_NESTED);
		chip->auto_eoi = !!(value & ICW4_AUTO);
		chip->init_state = 0;
	}
}

void pics_write(struct pics *pics, uint16_t port, uint8_t value)
{
	struct kvm_pic_state *chip = chip_of(pics, port);

	if (port >= 0x4d0)
		chip->elcr = value & chip->elcr_mask;
	else if (port & 1)
		write_data(chip, value);
	else
		write_command(chip, value);
	pics_update(pics);
}

/* The poll command makes the next read an acknowledge. */
static uint8_t poll(struct kvm_pic_state *chip, bool master)
{
	int line = pending(chip, master);

	chip->poll = 0;
	if (line == NONE)
		return 0;
	acknowledge(chip, (unsigned int)line);
	return (uint8_t)(POLL_PENDING | line);
}

uint8_t pics_read(struct pics *pics, uint16_t port)
{
	struct kvm_pic_state *chip = chip_of(pics, port);
	uint8_t value;

	if (port >= 0x4d0)
		return chip->elcr;
	if (chip->poll) {
		value = poll(chip, chip == &pics->chip[0]);
		pics_update(pics);
		return value;
	}
	if (port & 1)
		return chip->imr;
	return chip->read_reg_select ? chip->isr : chip->irr;
}
