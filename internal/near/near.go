// Package near tells names apart that are nearly the same, so that a misspelt one can be named together with
// what was perhaps meant. It is for the few names of a program: its cost grows with the square of their length.
package near

// Distance is how many letters must be added, taken away or replaced to make b of a.
func Distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1) // row[j]: from what was seen of a to the first j letters of b
	for j := range row {
		row[j] = j
	}
	for i, r := range from {
		diagonal := row[0]
		row[0] = i + 1
		for j, q := range to {
			replaced := diagonal
			if r != q {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(to)]
}
