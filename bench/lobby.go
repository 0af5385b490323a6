package main

import (
	"context"
	"flag"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/pprof"

	"parlor"
	"parlor/host"
)

// adminPassword is for the loopback only.
const adminPassword = "bench, on the loopback only"

// message is the request that is measured on pgnet's wire, and answer what the game says to it.
const (
	message = "move"
	answer  = "Moved."
)

// board is a game that returns a payload of three values, as the one did that pgnet's figures are of.
type board struct{}

func (board) HandleGamePacket(parlor.Packet) parlor.Response {
	return parlor.OK(answer, parlor.Map{"x": 17, "y": 4, "next": "the other player"})
}

// echoGame sends back what it gets.
type echoGame struct{}

func (echoGame) HandleGamePacket(p parlor.Packet) parlor.Response {
	return parlor.OK(answer, p.Payload)
}

// relayGame pushes what it gets to all users in the room.
type relayGame struct{ room parlor.Room }

func (g relayGame) HandleGamePacket(p parlor.Packet) parlor.Response {
	g.room.Broadcast(message, p.Payload)
	return parlor.OK(answer)
}

// games are what "bench server" hosts, one of them at a time.
var games = map[string]parlor.NewGame{
	"board": func(parlor.Room, string) (parlor.Game, error) { return board{}, nil },
	"echo":  func(parlor.Room, string) (parlor.Game, error) { return echoGame{}, nil },
	"relay": func(room parlor.Room, _ string) (parlor.Game, error) { return relayGame{room}, nil },

	"isolation": newIsolated,
	"storm":     func(parlor.Room, string) (parlor.Game, error) { return echoGame{}, nil },
	"seats":     newSeats,
	"durable":   newDurable,
}

// serveLobby is "bench server": a server as host.Main runs it, with its limits, on a free port.
func serveLobby(args []string, stdin io.Reader, stdout io.Writer) error {
	f := flag.NewFlagSet("server", flag.ContinueOnError)
	cpu := f.String("cpuprofile", "", "file for the CPU profile")
	mem := f.String("memprofile", "", "file for the profile of allocations")
	packets := f.Bool("packets", false, "open to the packet wire too, and say where")
	game := f.String("game", "board", "board, echo, relay, isolation, seats, storm or durable")
	hashes := f.Bool("hashes", false, "hash passwords as a server does, in place of with little: elsewhere users are there only to make moves")
	early := f.Bool("early", false, "profile the start too")
	place := f.String("store", host.MemoryStore, "where the server keeps everything, as --store of parlor serve")
	if err := f.Parse(args); err != nil {
		return err
	}
	p := newProfile(*cpu, *mem)
	defer p.stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg := host.Config{
		Games:         map[string]parlor.NewGame{*game: games[*game]},
		Listen:        "127.0.0.1:0",
		Store:         *place,
		AdminPassword: adminPassword,
		Logger:        slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if *game == "isolation" || *game == "storm" { // whose games, or clients, do wrong on purpose
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if !*hashes {
		cfg.Limits.HashMemory, cfg.Limits.HashPasses, cfg.Limits.GamesPerUser = 64, 1, 1<<20
	}
	if *early {
		if err := p.start(); err != nil {
			return err
		}
	}
	if *packets {
		cfg.PacketListen = cfg.Listen
	}
	s, err := host.Start(ctx, cfg)
	if err != nil {
		return err
	}
	addr := s.Addrs()[0]
	if *packets {
		addr = s.PacketAddrs()[0]
	}
	go func() { // ends with the parent's end of the pipe
		defer cancel()
		if err := obey(addr.String(), stdin, stdout, told{begin: p.start, profiled: p.stop}); err != nil {
			slog.Error("control pipe", "err", err)
		}
	}()
	_, err = s.Run(ctx)
	return err
}

// profile writes profiles to files; an empty name is none.
type profile struct {
	cpu, mem string
	file     *os.File
}

func newProfile(cpu, mem string) *profile {
	if mem != "" {
		runtime.MemProfileRate = 16 << 10 // which is to be set before anything is counted
	}
	return &profile{cpu: cpu, mem: mem}
}

// start begins the one of CPU time.
func (p *profile) start() (err error) {
	if p.cpu == "" || p.file != nil {
		return nil
	}
	if p.file, err = os.Create(p.cpu); err != nil {
		return err
	}
	return pprof.StartCPUProfile(p.file)
}

// stop writes what there is.
func (p *profile) stop() {
	if p.file != nil {
		pprof.StopCPUProfile()
		p.file.Close()
		p.file = nil
	}
	if p.mem == "" {
		return
	}
	if f, err := os.Create(p.mem); err == nil {
		pprof.Lookup("allocs").WriteTo(f, 0)
		f.Close()
	}
}
