package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"parlor/msgpack"
	"parlor/packet"
)

// serve echoes until a client says stop, or ctx ends.
func serve(ctx context.Context, address string, out io.Writer) error {
	srv := packet.NewServer(serverPackets(), packet.Config{})
	ln, err := srv.Listen(address)
	if err != nil {
		return fmt.Errorf("%w%s", err, serverHint(address, err))
	}
	fmt.Fprintf(out, "listening on %s\n", packet.AddressOf(ln.Addr()))

	defer context.AfterFunc(ctx, func() { srv.Stop(nil) })()
	if err := srv.Serve(ln); !errors.Is(err, packet.ErrClosed) {
		return err
	}
	ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return srv.Shutdown(ending) // waits until all clients know
}

func serverPackets() *packet.Registry {
	reg := packet.NewRegistry()
	// The body is not decoded: whatever it is, the same bytes go back.
	packet.MustRegister(reg, "echo:echo", func(c *packet.Conn, body packet.Body) error {
		if isStop(body) {
			c.Close("command")
			c.Server().Stop(nil)
			return nil
		}
		return c.Send("echo:echo", body)
	}, packet.Smart())
	packet.MustRegister(reg, "echo:ping", func(c *packet.Conn, times map[string]any) error {
		if times == nil {
			return errors.New("echo:ping without a map")
		}
		times["server_timestamp"] = now()
		return c.Send("echo:ping", times)
	}, packet.Smart())
	return reg
}

// isStop tells whether a body is the text "stop", in any of its encodings.
func isStop(body packet.Body) bool {
	const longest = 5 + len("stop") // behind the head of a str32
	var text string
	return len(body) <= longest && msgpack.UnmarshalValid(body, &text) == nil && text == "stop"
}

// now is the time in seconds since 1970.
func now() float64 { return float64(time.Now().UnixMicro()) / 1e6 }
