//go:build unix

package box

// looseModes is true where file modes say nothing about who may read a file.
const looseModes = false
