//go:build !race

package parlortest_test

const race = false
