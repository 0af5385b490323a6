package game

import (
	"errors"
	"fmt"

	"parlor"
)

// View is the field as a client knows it: from heartbeats, or from pushes, which tell what has changed. The zero View knows
// nothing; the first push, "state", changes that.
type View struct {
	Step    int              `json:"step"`
	Players map[string]Place `json:"players"`
}

// Place is where a player is.
type Place struct {
	X    int  `json:"x"`
	Y    int  `json:"y"`
	Away bool `json:"away"` // her connection is lost, but she may be back soon
}

// State takes over the answer to a heartbeat or to "look". An error means that it is none.
func (v *View) State(p parlor.Payload) error {
	*v = View{}
	if err := p.Bind(v); err != nil {
		return err
	}
	if v.Players == nil {
		return errors.New("a state has players")
	}
	return nil
}

// Push takes over what was pushed. An error means that the push does not fit to what is known, as others before it were lost, and
// changes nothing: then the server pushes a state, as soon as it hears of that.
func (v *View) Push(p *parlor.Push) error {
	switch {
	case p.Message == "state":
		return v.State(p.Payload)
	case v.Players == nil:
		return fmt.Errorf("%s comes before the state", p.Message)
	case p.Message == "moved":
		return v.moved(p.Payload)
	}
	var who struct {
		User string `json:"user"`
		X    int    `json:"x"`
		Y    int    `json:"y"`
	}
	if err := p.Payload.Bind(&who); err != nil {
		return err
	}
	at, known := v.Players[who.User]
	if known == (p.Message == "joined") {
		return fmt.Errorf("%s of %q, who is among the players: %t", p.Message, who.User, known)
	}
	switch p.Message {
	case "joined":
		v.Players[who.User] = Place{X: who.X, Y: who.Y}
	case "left":
		delete(v.Players, who.User)
	case "away", "back":
		at.Away = p.Message == "away"
		v.Players[who.User] = at
	default:
		return fmt.Errorf("unknown push %s", p.Message)
	}
	return nil
}

func (v *View) moved(p parlor.Payload) error {
	var moved struct {
		Step    int               `json:"step"`
		Players map[string][2]int `json:"players"`
	}
	if err := p.Bind(&moved); err != nil {
		return err
	}
	if moved.Step != v.Step+1 {
		return fmt.Errorf("step %d comes after step %d", moved.Step, v.Step)
	}
	for name := range moved.Players {
		if _, known := v.Players[name]; !known {
			return fmt.Errorf("step %d is of %q, who has not joined", moved.Step, name)
		}
	}
	v.Step = moved.Step
	for name, to := range moved.Players {
		v.Players[name] = Place{to[0], to[1], v.Players[name].Away}
	}
	return nil
}
