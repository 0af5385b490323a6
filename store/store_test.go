package store_test

import (
	"testing"

	"go.uber.org/goleak"

	"parlor/store"
	"parlor/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) storetest.Place {
		m := new(store.Memory)
		return storetest.Place{Open: func() (store.Store, error) { return m, nil }}
	})
}
