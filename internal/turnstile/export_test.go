package turnstile

// Set has a turnstile without work do so many pieces at once, and rest behind each by a part of its time.
func (t *Turnstile) Set(workers int, rest float64) *Turnstile {
	t.workers, t.rest = workers, rest
	return t
}

// Split is split.
var Split = split

// Remembered is how many keys are remembered.
func (t *Turnstile) Remembered() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.known.young) + len(t.known.old)
}

// Waiting is how many wait for their turn.
func (t *Turnstile) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lines[strangers].len() + t.lines[regulars].len()
}
