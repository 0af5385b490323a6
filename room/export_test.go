package room

// Waiting is how many messages wait in the mailbox.
func (r *Room) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mailbox == nil {
		return 0
	}
	return len(r.mailbox.list)
}
