package pgnetfile

import (
	"slices"

	"parlor/internal/snapshot"
)

// The steps before which tests look or fail.
const (
	StepRead         = stepRead
	StepLinkPrevious = stepLinkPrevious
	StepCopyPrevious = stepCopyPrevious
	StepLinkBack     = stepLinkBack
	StepSyncFolder   = stepSyncFolder
)

// Steps are those of a Save of an existing file, in order, where nothing fails.
var Steps = []string{
	stepCreate, stepWrite, stepSync, stepLinkPrevious, stepMovePrevious, stepLinkBack, stepMove, stepSyncFolder,
}

// Leftovers are the names under which a killed server leaves files.
var Leftovers = []string{tmpNew, tmpBack, tmpPrevious}

// Before sets what is called before each step.
func (f *File) Before(fn func(step string) error) { f.before = fn }

// Decode reads the bytes of a file.
func Decode(data []byte) (snapshot.Snapshot, *DamagedError) {
	d := decoder{data: data}
	err := d.decode()
	return d.snap, err
}

// Encode returns the bytes of a file.
func Encode(s snapshot.Snapshot) []byte { return slices.Concat(new(gamesText).snapshot(s)...) }

// MarkGames changes a blank in the kept text of the games to a tab, to show where that text is used.
func (f *File) MarkGames() { f.games.list[2] = '\t' }
