package packet

// What a large body costs is many times its frame: a few hundred bytes inflate to megabytes, and maps of nothing take
// a hundred times their length once they are decoded. A crowd that sends such frames at once must wait for
// itself, and nobody else for the crowd: bodies up to largeBody never wait.
const (
	largeBody = 8 << 10   // bytes above which a body is inflated and decoded in turn (Config.MaxLarge)
	hugeBody  = 256 << 10 // bytes above which it is handled in turn too (Config.MaxHuge)
)

// turns bounds the bodies of each sort that are worked on at once.
type turns struct{ large, huge chan struct{} }

func newTurns(cfg *Config) turns {
	// A config that is wrong comes here too, before Serve or Connect refuses it.
	return turns{large: make(chan struct{}, max(cfg.MaxLarge, 0)), huge: make(chan struct{}, max(cfg.MaxHuge, 0))}
}

// takeTurn waits until a body of this size may be worked on; the connection keeps the turn until giveTurn. It is
// the reader's. The error is that the connection ends.
func (c *Conn) takeTurn(size int) error {
	var want chan struct{}
	switch t := &c.end.turns; {
	case size > hugeBody:
		want = t.huge
	case size > largeBody:
		want = t.large
	default:
		return nil
	}
	if c.turn == want || c.turn == c.end.turns.huge {
		return nil
	}
	select {
	case want <- struct{}{}:
	default:
		c.end.stats.Waited.Add(1)
		select {
		case want <- struct{}{}:
		case <-c.stopping:
			return errOver
		}
	}
	c.giveTurn()
	c.turn = want
	return nil
}

// giveTurn gives back the connection's turn, if it has one.
func (c *Conn) giveTurn() {
	if c.turn != nil {
		<-c.turn
		c.turn = nil
	}
}

// decoded gives back the turn of a large body before the program's own code begins, which may wait for something. A
// huge one keeps its memory until the handler has returned, and its turn as well. With Config.Manual the reader has
// given back the turn when it queued the packet.
func (c *Conn) decoded() {
	if !c.end.cfg.Manual && c.turn == c.end.turns.large {
		c.giveTurn()
	}
}
