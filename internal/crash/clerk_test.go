package crash_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parlor"
	"parlor/client"
	"parlor/internal/crash/program/game"
)

// certainty is what is known of something at the server.
type certainty int

const (
	there certainty = iota + 1 // it was answered that it is
	gone                       // it was answered that it is not, or not any more
	maybe                      // the answer has not come
)

// account is a user whom the clerk has registered.
type account struct {
	is       certainty
	password string
	perhaps  string // another password that it may have, as an answer has not come; empty if there is none
	looked   bool   // at, since it has changed
}

// invite is a code.
type invite struct {
	is   certainty // that it can be used
	user string    // for whom; empty for anybody
}

// clerk registers users, creates invites, changes settings, creates and destroys games, has games saved, and writes down what was answered.
type clerk struct {
	world *world
	acts  atomic.Int64 // things that it has done, or was refused

	mu      sync.Mutex // guards what follows, and is held while something is done
	rand    *rand.Rand
	begun   bool // it may take away the right to register: all who are needed have
	admin   *client.Client
	open    certainty // registration
	users   map[string]*account
	invites map[string]*invite
	games   map[string]*account
	number  int // of things made so far
	done    done
}

func newClerk(w *world) *clerk {
	return &clerk{
		world: w, rand: w.rand("clerk"), open: there,
		users: make(map[string]*account), invites: make(map[string]*invite), games: make(map[string]*account),
	}
}

// done counts what was answered.
type done struct {
	users, spent, passwords, deleted, invites, revoked, settings, created, destroyed, saves, checked int
	unsaved                                                                                          int // saves that were not confirmed
}

// everything tells whether each was done at least once.
func (d done) everything() bool {
	return !slices.Contains([]int{d.users, d.spent, d.passwords, d.deleted, d.invites, d.revoked, d.settings, d.created, d.destroyed, d.saves, d.checked}, 0)
}

// run does one thing after another.
func (k *clerk) run() {
	for !k.world.over() {
		k.mu.Lock()
		rest := time.Duration(k.rand.IntN(int(30 * time.Millisecond)))
		ctx, cancel := context.WithTimeout(k.world.ctx, patience)
		if err := k.act(ctx); err != nil {
			k.world.wrong(fmt.Errorf("the clerk: %w", err))
		}
		cancel()
		k.mu.Unlock()
		k.world.pause(rest)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hangUp()
}

func (k *clerk) hangUp() {
	if k.admin != nil {
		k.admin.Close()
		k.admin.Wait()
		k.admin = nil
	}
}

// call has the administrator logged in, on one of Parlor's own wires if she needs one.
func (k *clerk) call(ctx context.Context, own bool) error {
	if k.admin != nil && k.admin.Connected() && (!own || k.admin.Streams()) {
		return nil
	}
	k.hangUp()
	wire := k.rand.IntN(wires)
	if own {
		wire = k.rand.IntN(pgnet)
	}
	for {
		cfg, address := k.world.config(k.world.host, wire, parlor.AdminName)
		cfg.Password, cfg.Reconnect.For = adminPassword, -1
		c, err := k.world.dial(ctx, cfg, address)
		switch text := refusal(err); {
		case err == nil:
			k.admin = c
			if c.Game() != "" { // the one that was being created when the server was killed
				err = c.LeaveGame(ctx)
			}
			return err
		case text == "Username already connected." && wire == pgnet: // the seat in that game is kept, which pgnet's wire cannot take up
			wire = native
		case text == "":
			return fmt.Errorf("%w: %w", errDown, err)
		default:
			return fmt.Errorf("the administrator may not log in: %s", text)
		}
	}
}

// errDown means that there is no server for now.
var errDown = errors.New("no server")

// request is one of the administrator's. The answer is empty if none came, or the server could not do it; then uncertain tells
// whether it may have been done all the same.
func (k *clerk) request(ctx context.Context, message string, payload any) (answer string, uncertain bool, err error) {
	return k.requestOn(ctx, false, message, payload)
}

func (k *clerk) requestOn(ctx context.Context, own bool, message string, payload any) (answer string, uncertain bool, err error) {
	if err := k.call(ctx, own); err != nil {
		return "", false, err
	}
	resp, err := k.admin.Request(ctx, message, payload)
	switch {
	case err != nil, resp.Message == textUnknown:
		return "", true, nil
	case resp.Status != parlor.StatusOK && strings.Contains(resp.Message, "could not"):
		return "", strings.Contains(resp.Message, "but it could not"), nil
	case resp.Status != parlor.StatusOK:
		return "", false, fmt.Errorf("%s: %s", message, resp.Message)
	}
	return resp.Message, false, nil
}

// act does one thing.
func (k *clerk) act(ctx context.Context) error {
	err := k.call(ctx, false)
	if err == nil {
		defer k.acts.Add(1)
		switch n := k.rand.IntN(100); {
		case n < 25:
			_, _, err = k.register(ctx, k.name("user"), "")
		case n < 40:
			err = k.createInvite(ctx)
		case n < 50:
			err = k.useInvite(ctx)
		case n < 55:
			err = k.revokeInvite(ctx)
		case n < 65:
			err = k.changePassword(ctx)
		case n < 70:
			err = k.setRegistration(ctx, k.rand.IntN(2) == 0)
		case n < 75:
			err = k.deleteUser(ctx)
		case n < 85:
			err = k.createGame(ctx)
		case n < 92:
			err = k.destroyGame(ctx)
		default:
			err = k.save(ctx)
		}
	}
	if errors.Is(err, errDown) {
		return nil
	}
	return err
}

func (k *clerk) name(what string) string {
	k.number++
	return fmt.Sprint(what, k.number)
}

// login logs a user in and out. It returns what the server has said, or errDown.
func (k *clerk) login(ctx context.Context, name, password, code string) (refused string, err error) {
	cfg, address := k.world.config(k.world.host, k.rand.IntN(wires), name)
	cfg.Password, cfg.InviteCode, cfg.Reconnect.For = password, code, -1
	c, err := k.world.dial(ctx, cfg, address)
	if err != nil {
		if text := refusal(err); text != "" {
			return text, nil
		}
		return "", fmt.Errorf("%w: %w", errDown, err)
	}
	c.Close()
	c.Wait()
	return "", nil
}

// register registers a user, with a code or without, and tells what has become of it, and what the server has said to that.
func (k *clerk) register(ctx context.Context, name, code string) (is certainty, refused string, err error) {
	a := &account{}
	if k.rand.IntN(4) == 0 { // hashes cost time
		a.password = "secret of " + name
	}
	refused, err = k.login(ctx, name, a.password, code)
	switch {
	case err != nil:
		a.is = maybe
	case refused == "" && code == "" && k.open == gone:
		return 0, "", fmt.Errorf("user %q was registered while registration was off", name)
	case refused == "":
		a.is = there
		k.done.users++
	case refused == textBlocked && code == "" && k.open == there:
		return 0, "", fmt.Errorf("user %q was refused while registration was on", name)
	case refused == textBlocked, refused == textInvite, strings.Contains(refused, "could not"):
		a.is = gone
	default:
		return 0, "", fmt.Errorf("user %q may not register: %s", name, refused)
	}
	k.users[name] = a
	return a.is, refused, err
}

// What servers say.
const (
	textBlocked  = "Registration blocked."
	textInvite   = "Incorrect username or invite code."
	textPassword = "Incorrect password."
)

func (k *clerk) createInvite(ctx context.Context) error {
	user := ""
	if k.rand.IntN(2) == 0 {
		user = k.name("guest")
	}
	answer, _, err := k.request(ctx, parlor.RequestCreateInvite, parlor.Map{"username": user})
	if err != nil || answer == "" {
		return err
	}
	code, ok := strings.CutPrefix(answer, "Created invite code: ")
	if !ok || k.invites[code] != nil {
		return fmt.Errorf("a new invite is %q", answer)
	}
	k.invites[code] = &invite{there, user}
	k.done.invites++
	return nil
}

// pick picks one of a map, of which something is so; empty if there is none.
func pick[T any](r *rand.Rand, of map[string]T, so func(T) bool) string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(of)) {
		if so(of[key]) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return ""
	}
	return keys[r.IntN(len(keys))]
}

// useInvite registers a user with a code.
func (k *clerk) useInvite(ctx context.Context) error {
	code := pick(k.rand, k.invites, func(i *invite) bool { return i.is == there })
	if code == "" {
		return nil
	}
	i := k.invites[code]
	name := i.user
	if name == "" {
		name = k.name("invited")
	}
	is, refused, err := k.register(ctx, name, code)
	switch {
	case is == there:
		i.is = gone
		k.done.spent++
	case is == maybe:
		i.is = maybe
	case refused == textInvite:
		return fmt.Errorf("the invite %s for %q was created, and is refused", code, i.user)
	}
	return err
}

func (k *clerk) revokeInvite(ctx context.Context) error {
	code := pick(k.rand, k.invites, func(i *invite) bool { return i.is == there })
	if code == "" {
		return nil
	}
	answer, uncertain, err := k.requestOn(ctx, true, parlor.RequestRevokeInvite, parlor.Map{"code": code})
	switch i := k.invites[code]; {
	case uncertain:
		i.is = maybe
	case err == nil && answer != "":
		i.is = gone
		k.done.revoked++
	}
	return err
}

// changePassword has a user change her own password.
func (k *clerk) changePassword(ctx context.Context) error {
	name := pick(k.rand, k.users, func(a *account) bool { return a.is == there && a.perhaps == "" })
	if name == "" {
		return nil
	}
	a := k.users[name]
	cfg, address := k.world.config(k.world.host, k.rand.IntN(pgnet), name)
	cfg.Password, cfg.Reconnect.For = a.password, -1
	c, err := k.world.dial(ctx, cfg, address)
	if err != nil {
		if text := refusal(err); text != "" {
			return fmt.Errorf("user %q may not log in: %s", name, text)
		}
		return nil
	}
	defer func() { c.Close(); c.Wait() }()
	k.number++
	password := fmt.Sprint("secret ", k.number)
	a.looked = false
	resp, err := c.Request(ctx, parlor.RequestChangePassword, parlor.Map{"old_password": a.password, "new_password": password})
	switch {
	case err != nil, resp.Message == textUnknown:
		a.perhaps = password
	case resp.Status == parlor.StatusOK:
		a.password = password
		k.done.passwords++
	case !strings.Contains(resp.Message, "could not"):
		return fmt.Errorf("user %q may not change her password: %s", name, resp.Message)
	}
	return nil
}

func (k *clerk) setRegistration(ctx context.Context, on bool) error {
	if !k.begun && !on {
		return nil
	}
	answer, uncertain, err := k.request(ctx, parlor.RequestSetRegistration, parlor.Map{"set_as": on})
	switch {
	case uncertain:
		k.open = maybe
	case err != nil || answer == "":
	case on:
		k.open = there
		k.done.settings++
	default:
		k.open = gone
		k.done.settings++
	}
	return err
}

func (k *clerk) deleteUser(ctx context.Context) error {
	name := pick(k.rand, k.users, func(a *account) bool { return a.is == there })
	if name == "" {
		return nil
	}
	answer, uncertain, err := k.request(ctx, parlor.RequestDeleteUser, parlor.Map{"username": name})
	switch a := k.users[name]; {
	case uncertain:
		a.is, a.looked = maybe, false
	case err != nil || answer == "":
	case !strings.HasPrefix(answer, "Requested delete user"):
		return fmt.Errorf("user %q was registered, but: %s", name, answer)
	default:
		a.is, a.looked = gone, false
		k.done.deleted++
	}
	return err
}

// createGame creates a durable game that nobody else goes to.
func (k *clerk) createGame(ctx context.Context) error {
	name := k.name("game")
	a := &account{password: "password of " + name}
	if k.rand.IntN(2) == 0 {
		a.password = ""
	}
	answer, uncertain, err := k.request(ctx, parlor.RequestCreateGame, parlor.Map{"name": name, "kind": game.Tally, "password": a.password})
	switch {
	case uncertain:
		a.is = maybe
	case err != nil:
		return err
	case answer == "":
		a.is = gone
	default:
		a.is = there
		k.done.created++
		_, _, err = k.request(ctx, parlor.RequestLeaveGame, nil)
	}
	k.games[name] = a
	return err
}

func (k *clerk) destroyGame(ctx context.Context) error {
	name := pick(k.rand, k.games, func(a *account) bool { return a.is == there })
	if name == "" {
		return nil
	}
	answer, uncertain, err := k.request(ctx, parlor.RequestDestroyGame, parlor.Map{"name": name})
	switch a := k.games[name]; {
	case uncertain:
		a.is = maybe
	case err != nil || answer == "":
	default:
		a.is = gone
		k.done.destroyed++
	}
	return err
}

// save has all games saved.
func (k *clerk) save(ctx context.Context) error {
	if err := k.call(ctx, false); err != nil {
		return err
	}
	saved := k.world.ledger.Confirm()
	resp, err := k.admin.Request(ctx, parlor.RequestSave, nil)
	if err != nil {
		return nil
	}
	if strings.HasPrefix(resp.Message, "Saved success=True") {
		saved()
		k.done.saves++
		return nil
	}
	var why struct {
		Unsaved map[string]string `json:"unsaved"`
	}
	if err := resp.Payload.Bind(&why); err != nil {
		return err
	}
	k.done.unsaved++
	for name, reason := range why.Unsaved {
		if reason != "it did not answer in time" && !strings.Contains(reason, "could not") {
			return fmt.Errorf("game %q is not saved: %s", name, reason)
		}
	}
	return nil
}

// check looks whether a server that was just started has all that was answered.
func (k *clerk) check() (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("the clerk: %w", err)
		}
	}()
	k.mu.Lock()
	defer k.mu.Unlock()
	ctx, cancel := context.WithTimeout(k.world.ctx, patience)
	defer cancel()
	if _, _, err := k.register(ctx, k.name("probe"), ""); err != nil { // as it is if registration is not as it was set
		return err
	}
	if !k.begun {
		k.begun = k.world.absent.Load() == 0
		return nil
	}
	if err := k.setRegistration(ctx, false); err != nil {
		return err
	}
	for _, check := range []func(context.Context) error{k.checkUsers, k.checkInvites, k.checkGames} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return k.setRegistration(ctx, k.rand.IntN(3) > 0)
}

// checkUsers looks at some users who have changed, and at one who has not. Registration is off: nobody comes into being by it.
func (k *clerk) checkUsers(ctx context.Context) error {
	names := []string{}
	for i := range 5 { // the others have their turn later: a hash takes time
		name := pick(k.rand, k.users, func(a *account) bool { return a.looked == (i == 4) })
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	failures := 0
	for _, name := range names {
		a := k.users[name]
		if a.is == gone {
			if failures++; failures > 2 { // more of them would be slowed down
				continue
			}
		}
		refused, err := k.login(ctx, name, a.password, "")
		if refused == textPassword && a.perhaps != "" {
			a.password = a.perhaps
			refused, err = k.login(ctx, name, a.password, "")
		}
		switch {
		case err != nil:
			return err
		case refused == "" && a.is == gone:
			return fmt.Errorf("user %q was refused, or deleted, but is there", name)
		case refused != "" && a.is == there:
			return fmt.Errorf("user %q was registered, but: %s", name, refused)
		case refused != "" && refused != textBlocked:
			return fmt.Errorf("user %q, who may be there or not: %s", name, refused)
		case refused == "":
			a.is = there
		default:
			a.is = gone
		}
		if a.is == there && a.password != "" && k.rand.IntN(4) == 0 {
			if refused, err := k.login(ctx, name, "not "+a.password, ""); refused != textPassword {
				return fmt.Errorf("user %q with a wrong password: %q, error %v", name, refused, err)
			}
		}
		a.looked, a.perhaps = true, ""
		k.done.checked++
	}
	return nil
}

// checkInvites looks at the list of codes, and uses one that must be good, and one that must not.
func (k *clerk) checkInvites(ctx context.Context) error {
	listed := make(map[string]bool)
	for more, last := true, ""; more; {
		if err := k.call(ctx, true); err != nil {
			return err
		}
		resp, err := k.admin.Request(ctx, parlor.RequestListInvites, parlor.Map{"after": last})
		if err != nil {
			return err
		}
		var page struct {
			Invites []struct {
				Code string `json:"code"`
			} `json:"invites"`
			More bool `json:"more"`
		}
		if err := resp.Payload.Bind(&page); err != nil || resp.Status != parlor.StatusOK {
			return fmt.Errorf("the list of invites: %s: %w", resp.DebugText(), err)
		}
		for _, i := range page.Invites {
			listed[i.Code] = true
			last = i.Code
		}
		more = page.More
	}
	for code, i := range k.invites {
		if i.is != maybe && listed[code] != (i.is == there) {
			return fmt.Errorf("the invite %s for %q is listed: %t, as one of %d", code, i.user, listed[code], len(listed))
		}
		if i.is = gone; listed[code] {
			i.is = there
		}
	}
	if err := k.useInvite(ctx); err != nil {
		return err
	}
	code := pick(k.rand, k.invites, func(i *invite) bool { return i.is == gone })
	if code == "" {
		return nil
	}
	name := k.invites[code].user
	if name == "" || k.users[name] != nil {
		name = k.name("late")
	}
	if is, _, err := k.register(ctx, name, code); err != nil || is != gone {
		return fmt.Errorf("the invite %s was used before, but was taken again, or: %v", code, err)
	}
	return nil
}

// checkGames looks for games in the directory.
func (k *clerk) checkGames(ctx context.Context) error {
	if err := k.call(ctx, false); err != nil {
		return err
	}
	list, err := k.admin.GameDir(ctx)
	if err != nil {
		return err
	}
	found := make(map[string]bool)
	for _, g := range list {
		found[g.Name] = true
		if a := k.games[g.Name]; a != nil && a.is == there && g.PasswordProtected != (a.password != "") {
			return fmt.Errorf("game %q has a password: %t", g.Name, g.PasswordProtected)
		}
	}
	for name, a := range k.games {
		switch {
		case a.is == there && !found[name]:
			return fmt.Errorf("game %q was created, but is not in the directory", name)
		case a.is == gone && found[name]:
			return fmt.Errorf("game %q was destroyed, or not created, but is in the directory", name)
		case a.is == maybe && found[name]:
			a.is = there
		case a.is == maybe:
			a.is = gone
		}
	}
	return nil
}
