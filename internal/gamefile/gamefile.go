// Package gamefile reads and writes the file that `parlor game export` makes of one game: its newest save, and, of a durable game, the entries of
// its journal. It is one JSON object; bytes are in base64. What is in the entries is told by room.Stored.Entries, and room.Replay does them again. The
// game's password is not in it.
package gamefile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"parlor/room"
)

// File is what is in the file.
type File struct {
	Name    string // of the game
	Kind    string // empty for the default
	Durable bool
	room.Stored
}

// What the file says that it is. The version is raised when older programs cannot read what newer ones write.
const format, version = "parlor game", 1

// layout is how a File is written.
type layout struct {
	Format  string  `json:"format"`
	Version int     `json:"version"`
	Name    string  `json:"name"`
	Kind    string  `json:"kind,omitempty"`
	Durable bool    `json:"durable"`
	Save    save    `json:"save"`
	Journal []piece `json:"journal,omitempty"`
}

type save struct {
	Entry   uint64 `json:"entry"`
	Version int    `json:"version"`
	Data    []byte `json:"data"`
	Room    []byte `json:"room,omitempty"`
}

type piece struct {
	First   uint64 `json:"first"`
	Entries []byte `json:"entries"`
}

// Write writes a file.
func Write(w io.Writer, f File) error {
	l := layout{
		Format: format, Version: version, Name: f.Name, Kind: f.Kind, Durable: f.Durable,
		Save: save{f.Save.Entry, f.Save.Version, []byte(f.Save.Data), f.Save.Room},
	}
	for _, p := range f.Pieces {
		l.Journal = append(l.Journal, piece(p))
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "\t")
	return e.Encode(l)
}

// Errors of Read.
var (
	ErrFormat = errors.New("this is no game that was exported by `parlor game export`")
	ErrNewer  = errors.New("this game was exported by a newer program")
)

// Read reads a file. What the entries say is not looked at.
func Read(r io.Reader) (File, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return File{}, err
	}
	var head struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil || head.Format != format {
		return File{}, errors.Join(ErrFormat, err)
	}
	if head.Version > version {
		return File{}, fmt.Errorf("%w: its version is %d, and this one knows %d", ErrNewer, head.Version, version)
	}
	var l layout
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return File{}, fmt.Errorf("%w: %s", ErrFormat, strings.TrimPrefix(err.Error(), "json: "))
	}
	f := File{
		Name: l.Name, Kind: l.Kind, Durable: l.Durable,
		Stored: room.Stored{Save: room.Save{Entry: l.Save.Entry, Version: l.Save.Version, Data: string(l.Save.Data), Room: l.Save.Room}},
	}
	for _, p := range l.Journal {
		f.Pieces = append(f.Pieces, room.Piece(p))
	}
	return f, nil
}
