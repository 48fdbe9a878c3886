// SPDX-License-Identifier: MIT
// What Linux has to know of Bochs' i440FX board: the root bus with its windows, where the slots'
// interrupts arrive, the serial port, and how to switch off.

DefinitionBlock ("", "DSDT", 1, "HORNER", "BENCH", 1)
{
	Name (\_S5, Package () {Zero, Zero, Zero, Zero})

	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A03"))
			Name (_UID, Zero)
			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
					0, 0, 0xff, 0, 0x100)
				IO (Decode16, 0xcf8, 0xcf8, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0, 0xcf7, 0, 0xcf8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
					0, 0xd00, 0xffff, 0, 0xf300)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable,
					ReadWrite, 0, 0xa0000, 0xbffff, 0, 0x20000)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
					ReadWrite, 0, 0x80000000, 0xfebfffff, 0, 0x7ec00000)
			})
			// pin A of slot 1 is the I/O APIC's pin 16, and so on around
			Name (_PRT, Package ()
			{
				Package () {0x0001ffff, 0, 0, 16},
				Package () {0x0002ffff, 0, 0, 17},
				Package () {0x0003ffff, 0, 0, 18},
				Package () {0x0004ffff, 0, 0, 19},
				Package () {0x0005ffff, 0, 0, 16}
			})
			Device (ISA)
			{
				Name (_ADR, 0x00010000)
				Device (COM1)
				{
					Name (_HID, EisaId ("PNP0501"))
					Name (_CRS, ResourceTemplate ()
					{
						IO (Decode16, 0x3f8, 0x3f8, 1, 8)
						IRQNoFlags () {4}
					})
				}
			}
		}
	}
}
