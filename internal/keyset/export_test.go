package keyset

// Steps is how many slots are looked at to find all keys that are in a table.
func (s *Set) Steps() (steps int) {
	if s.many == nil {
		return 0
	}
	mask := len(s.many.slots) - 1
	for i, slot := range s.many.slots {
		if slot.number > 0 {
			steps += (i-int(slot.hash))&mask + 1
		}
	}
	return steps
}
