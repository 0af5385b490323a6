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

// message is the request that is measured, and answer what the game says to it.
const (
	message = "move"
	answer  = "Moved."
)

// board is a game that returns a payload of three values, as the one did that pgnet's figures are of.
type board struct{}

func (board) HandleGamePacket(parlor.Packet) parlor.Response {
	return parlor.OK(answer, parlor.Map{"x": 17, "y": 4, "next": "the other player"})
}

func newBoard(parlor.Room, string) (parlor.Game, error) { return board{}, nil }

// serveLobby is "bench server": a server as host.Main runs it, with its limits, on a free port.
func serveLobby(args []string, stdin io.Reader, stdout io.Writer) error {
	f := flag.NewFlagSet("server", flag.ContinueOnError)
	cpu := f.String("cpuprofile", "", "file for the CPU profile")
	mem := f.String("memprofile", "", "file for the profile of allocations")
	if err := f.Parse(args); err != nil {
		return err
	}
	stop, err := profile(*cpu, *mem)
	if err != nil {
		return err
	}
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := host.Start(ctx, host.Config{
		Games:         map[string]parlor.NewGame{"board": newBoard},
		Listen:        "127.0.0.1:0",
		AdminPassword: "bench, on the loopback only",
		Logger:        slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	go func() { // ends with the parent's end of the pipe
		defer cancel()
		if err := obey(s.Addrs()[0].String(), stdin, stdout, func() {}); err != nil {
			slog.Error("control pipe", "err", err)
		}
	}()
	_, err = s.Run(ctx)
	return err
}

// profile writes profiles until stop is called; an empty name is no profile.
func profile(cpu, mem string) (stop func(), err error) {
	stop = func() {}
	if cpu != "" {
		f, err := os.Create(cpu)
		if err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, err
		}
		stop = func() {
			pprof.StopCPUProfile()
			f.Close()
		}
	}
	if mem == "" {
		return stop, nil
	}
	runtime.MemProfileRate = 16 << 10
	stopCPU := stop
	return func() {
		stopCPU()
		if f, err := os.Create(mem); err == nil {
			pprof.Lookup("allocs").WriteTo(f, 0)
			f.Close()
		}
	}, nil
}
