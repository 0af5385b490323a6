package room

import (
	"slices"

	"parlor"
)

func (v view) Send(user, message string, payload any) {
	r := v.r
	s := r.seatOf[user]
	if s == nil {
		r.stats.PushesAstray.Add(1)
		r.logger.Debug("push to a user who is not in the room", "user", user, "message", message)
		return
	}
	p := r.newPush(message, payload)
	if p == nil {
		return
	}
	if d := r.durable; d != nil {
		d.push(user, p, []Member{s.member})
		return
	}
	r.stats.Pushes.Add(1)
	s.member.Push(p)
}

func (v view) Broadcast(message string, payload any, except ...string) {
	r := v.r
	excepted := among(except)
	var p *parlor.Push // made for the first one who is to get it
	sent := int64(0)
	d := r.durable
	var later []Member
	for _, s := range r.seats {
		if excepted(s.user) {
			continue
		}
		if p == nil {
			if p = r.newPush(message, payload); p == nil {
				return
			}
		}
		sent++
		if d != nil {
			later = append(later, s.member)
			continue
		}
		s.member.Push(p)
	}
	switch {
	case d == nil:
		r.stats.Pushes.Add(sent)
	case sent > 0:
		d.push("", p, later)
	}
}

// among tells who is among the users: of many by a set.
func among(users []string) func(user string) bool {
	if len(users) <= 8 {
		return func(user string) bool { return slices.Contains(users, user) }
	}
	set := make(map[string]bool, len(users))
	for _, u := range users {
		set[u] = true
	}
	return func(user string) bool { return set[user] }
}

// newPush is nil for a payload that cannot be encoded.
func (r *Room) newPush(message string, payload any) *parlor.Push {
	p := &parlor.Push{Message: message, Game: r.cfg.Name}
	if payload == nil {
		return p
	}
	p.Payload = parlor.Encode(payload)
	if err := p.Payload.Err(); err != nil {
		if n := r.stats.PushesUnsent.Add(1); worthLogging(n) {
			r.logger.Error("a push of the game cannot be sent", "message", message, "err", err, "count", n)
		}
		return nil
	}
	return p
}
