package box

// WriteExclusive is writeExclusive, which makes key files where there are no hard links.
func WriteExclusive(path, text string) error { return writeExclusive(path, text) }
