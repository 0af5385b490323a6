package ping_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"parlor/msgpack"
	"parlor/packet"
	"parlor/packet/ping"
)

// TestLateAnswer: an answer to an earlier request does not push out that to the request under way, even when both
// are there before anybody waits.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- answerTwice(server) }() // ends with the client
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, first, err := ping.DialConn(ctx, client, nil, packet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		if first.Data["answer"] != "new" {
			t.Fatalf("ping %d: the late answer was taken", i)
		}
		if first, err = c.Ping(ctx, nil); err != nil {
			t.Fatalf("ping %d: %v", i, err)
		}
	}
	c.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// answerTwice is a server that sends another answer, to a request of the past, with each one.
func answerTwice(nc net.Conn) error {
	defer nc.Close()
	frame := func(id packet.ID, body any) []byte {
		b, _ := msgpack.Append(nil, body)
		return packet.AppendFrame(nil, id, 0, b)
	}
	nc.Write(frame(packet.IDHello, obj{"version": "0.2.0", "protoversion": 2}))
	for r := bufio.NewReader(nc); ; {
		head := make([]byte, 10)
		if _, err := io.ReadFull(r, head); err != nil {
			return err
		}
		b := make([]byte, binary.BigEndian.Uint32(head)-6)
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		switch packet.ID(binary.BigEndian.Uint32(head[4:])) {
		case packet.IDCloseConnection:
			return nil
		case ping.IDRequest:
			var request any
			if err := msgpack.Unmarshal(b, &request, msgpack.Limits{}); err != nil {
				return err
			}
			late := frame(ping.IDResponse, obj{"oldmsg": obj{"time": 1.5}, "answer": "late"})
			nc.Write(append(late, frame(ping.IDResponse, obj{"oldmsg": request, "answer": "new"})...))
		}
	}
}
