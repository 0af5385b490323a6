package argon2_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	original "golang.org/x/crypto/argon2"

	"parlor/internal/argon2"
)

// TestIDKey derives keys of all kinds in the same memory, and compares them with those of x/crypto.
func TestIDKey(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	memory := argon2.NewMemory(256)
	for i := range 500 {
		password, salt := make([]byte, random.IntN(100)), make([]byte, random.IntN(40))
		for _, text := range [][]byte{password, salt} {
			for i := range text {
				text[i] = byte(random.Uint32())
			}
		}
		time, size, lanes, length := 1+random.Uint32N(4), 1+random.Uint32N(256), uint8(1+random.IntN(8)), 4+random.Uint32N(100)
		if i == 0 {
			time, size, lanes, length = 2, 256, 1, 32
		}
		got := memory.IDKey(password, salt, time, size, lanes, length)
		if want := original.IDKey(password, salt, time, size, lanes, length); !bytes.Equal(got, want) {
			t.Fatalf("IDKey(%x, %x, %d, %d, %d, %d) is %x, want %x", password, salt, time, size, lanes, length, got, want)
		}
		if !memory.Clean() {
			t.Fatal("something is left in the memory")
		}
	}
}

func TestFits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		has, needs uint32
		lanes      uint8
		fits       bool
	}{
		{64, 64, 1, true}, {64, 65, 1, true}, {64, 68, 1, false}, {64, 64, 4, true}, {64, 64, 8, true}, {64, 1, 9, false},
		{1, 8, 1, true}, {1, 9, 1, true}, {1, 12, 1, false}, {64, 1<<32 - 1, 1, false},
	} {
		memory := argon2.NewMemory(test.has)
		if got := memory.Fits(test.needs, test.lanes); got != test.fits {
			t.Errorf("%d KiB in %d lanes fit into %d: %t", test.needs, test.lanes, test.has, got)
		}
		if test.needs > 1000 {
			continue
		}
		if panics := panics(func() { memory.IDKey(nil, nil, 1, test.needs, test.lanes, 4) }); panics == test.fits {
			t.Errorf("IDKey of %d KiB in %d lanes in %d panics: %t", test.needs, test.lanes, test.has, panics)
		}
	}
	if m := argon2.NewMemory(64); !panics(func() { m.IDKey(nil, nil, 0, 64, 1, 4) }) || !panics(func() { m.IDKey(nil, nil, 1, 64, 0, 4) }) {
		t.Error("no passes, or no lanes, and no panic")
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// TestBlocks compares the assembler with what runs on other processors.
func TestBlocks(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		if !argon2.SameBlocks(random, i%2 == 0) {
			t.Fatalf("block %d is not the same", i)
		}
	}
}

// BenchmarkIDKey is a password's hash, with this and with the original.
func BenchmarkIDKey(b *testing.B) {
	memory := argon2.NewMemory(19456)
	for name, derive := range map[string]func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte{
		"again": memory.IDKey, "anew": original.IDKey,
	} {
		b.Run(fmt.Sprint(name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				derive([]byte("password"), make([]byte, 16), 2, 19456, 1, 32)
			}
		})
	}
}
