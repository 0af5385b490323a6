package parlor

import "fmt"

// Upgrades bring saves of older versions of a game up to date: the function at n makes of a save of version n (see [Versioner]) one of
// version n+1. What it returns must depend on the save alone.
//
//	host.Main(parlor.Upgrades{0: addClock, 1: nameSides}.For(NewGame)) // whose saves are of version 2
//
// The journal of a durable game that is behind the save is played again with the new code, which may answer otherwise than the old one
// did: that is found out, and the game then is not played (see [Durable]). So stop the server in good order before its games are
// upgraded: games are saved then, and nothing is behind their saves.
type Upgrades map[int]func(save string) (string, error)

// For makes of a NewGame one that also takes saves of all versions that there are upgrades from. It refuses those of older ones, and of
// newer ones, before the game is made, and a game whose SaveVersion is not the one that the upgrades lead to: its saves would be upgraded
// again at each start, or not be known.
func (u Upgrades) For(newGame NewGame) NewGame {
	version := 0
	for from := range u {
		version = max(version, from+1)
	}
	return func(room Room, save string) (Game, error) {
		from := 0
		if r, ok := room.(interface{ SavedVersion() int }); ok {
			from = r.SavedVersion()
		}
		if save == "" {
			from = version
		}
		if from > version {
			return nil, fmt.Errorf("its save is of version %d, and this program knows those up to %d: start the newer one that has made it", from, version)
		}
		for ; from < version; from++ {
			upgrade := u[from]
			if upgrade == nil {
				return nil, fmt.Errorf("its save is of version %d, and there is no upgrade from that one", from)
			}
			var err error
			if save, err = upgrade(save); err != nil {
				return nil, fmt.Errorf("upgrade its save from version %d: %w", from, err)
			}
		}
		game, err := newGame(room, save)
		if err != nil || game == nil {
			return game, err
		}
		made := 0
		if v, ok := game.(Versioner); ok {
			made = v.SaveVersion()
		}
		if made != version {
			return nil, fmt.Errorf("the game makes saves of version %d, and its upgrades lead to %d: its SaveVersion should say %[2]d", made, version)
		}
		return game, nil
	}
}
