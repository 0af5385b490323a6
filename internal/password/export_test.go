package password

// Parse reads a text and writes what it has read.
func Parse(text string) (again string, memory, passes uint32, err error) {
	h, err := parse(text)
	if err != nil {
		return "", 0, 0, err
	}
	return h.String(), h.memory, h.passes, nil
}
