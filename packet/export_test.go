package packet

// FoundBefore finds a packet now. The function tells under which ID it is sent later, as by a sender who is overtaken by
// the handshake between the two.
func (c *Conn) FoundBefore(name string) func() (ID, error) {
	e := c.registry.view().byName[name]
	return func() (ID, error) {
		now, err := c.writable(e)
		if err != nil {
			return 0, err
		}
		return now.id, nil
	}
}
