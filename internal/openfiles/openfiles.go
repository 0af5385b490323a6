// Package openfiles knows how many connections the system's limit of open files leaves room for. Over it a server can
// accept nobody, nor open a file of its own, so that its own limit must be the lower one.
package openfiles

// reserve is how many files are kept for all else that a program opens; half of the limit if that is less.
const reserve = 100

// AtMost is n, or what the limit of open files leaves room for, if that is less.
func AtMost(n int) int {
	files := limit()
	if files <= 0 {
		return n
	}
	return min(n, files-min(reserve, files/2))
}
