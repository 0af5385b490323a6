package turnstile

// memory remembers keys, by their hashes: the last size of them at least, and twice as many at most. The young ones become old when
// there are enough of them, and the old ones go: that is all of an order that there has to be.
type memory struct {
	size       int
	young, old map[uint64]struct{}
}

func (m *memory) has(id uint64) bool {
	_, young := m.young[id]
	_, old := m.old[id]
	return young || old
}

func (m *memory) add(id uint64) {
	if _, there := m.young[id]; there {
		return
	}
	if len(m.young) >= m.size {
		m.old, m.young = m.young, nil
	}
	if m.young == nil {
		m.young = make(map[uint64]struct{})
	}
	m.young[id] = struct{}{}
}
