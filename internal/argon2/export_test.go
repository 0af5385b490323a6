package argon2

import "math/rand/v2"

// Clean tells whether there is nothing in the memory.
func (m *Memory) Clean() bool {
	for _, b := range m.blocks {
		if b != (block{}) {
			return false
		}
	}
	return true
}

// SameBlocks compares what the assembler makes of blocks with what Go does.
func SameBlocks(random *rand.Rand, xor bool) bool {
	var in1, in2, out block
	for i := range out {
		in1[i], in2[i], out[i] = random.Uint64(), random.Uint64(), random.Uint64()
	}
	generic := out
	processBlockGeneric(&generic, &in1, &in2, xor)
	if xor {
		processBlockXOR(&out, &in1, &in2)
	} else {
		processBlock(&out, &in1, &in2)
	}
	return out == generic
}
