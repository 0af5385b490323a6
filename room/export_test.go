package room

// Waiting is how many messages wait in the mailbox.
func (r *Room) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.mailbox)
}
