package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/lxzan/gws"
)

// What a raw server does with a message, by the path that its WebSocket was opened with: to the echo's it sends it
// back, to any other one to all that were opened with the same.
const echoPath = "/echo"

// serveRaw is "bench raw": a WebSocket server without lobby, sealing and limits, which the native wire is held
// against. It has one goroutine for each connection, and writes a broadcast's frame once made (gws.Broadcaster).
func serveRaw(stdin io.Reader, stdout io.Writer) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r := &rawServer{rooms: map[string]*rawRoom{}}
	r.upgrader = gws.NewUpgrader(r, &gws.ServerOption{Authorize: r.enter})
	r.wg.Go(func() { r.accept(ln) }) // ends with ln
	err = obey(ln.Addr().String(), stdin, stdout, told{})
	ln.Close()
	r.wg.Wait() // the parent has closed its connections
	return err
}

type rawServer struct {
	gws.BuiltinEventHandler
	upgrader *gws.Upgrader
	wg       sync.WaitGroup

	mu    sync.Mutex // guards rooms
	rooms map[string]*rawRoom
}

// rawRoom is who gets what.
type rawRoom struct {
	mu      sync.RWMutex // guards sockets
	sockets map[*gws.Conn]struct{}
}

// roomKey is where a connection's session has its room.
const roomKey = "room"

func (r *rawServer) accept(ln net.Listener) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		r.wg.Go(func() { r.serve(nc) }) // ends with the connection
	}
}

func (r *rawServer) serve(nc net.Conn) {
	defer nc.Close()
	br := bufio.NewReaderSize(nc, 4096)
	req, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	if socket, err := r.upgrader.UpgradeFromConn(nc, br, req); err == nil {
		socket.ReadLoop()
	}
}

// enter finds the room of a connection to be.
func (r *rawServer) enter(req *http.Request, session gws.SessionStorage) bool {
	if req.URL.Path == echoPath {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	room := r.rooms[req.URL.Path]
	if room == nil {
		room = &rawRoom{sockets: map[*gws.Conn]struct{}{}}
		r.rooms[req.URL.Path] = room
	}
	session.Store(roomKey, room)
	return true
}

// roomOf is nil for the echo's connections.
func roomOf(socket *gws.Conn) *rawRoom {
	v, _ := socket.Session().Load(roomKey)
	room, _ := v.(*rawRoom)
	return room
}

func (r *rawServer) OnOpen(socket *gws.Conn) {
	if room := roomOf(socket); room != nil {
		room.mu.Lock()
		defer room.mu.Unlock()
		room.sockets[socket] = struct{}{}
	}
}

func (r *rawServer) OnClose(socket *gws.Conn, _ error) {
	if room := roomOf(socket); room != nil {
		room.mu.Lock()
		defer room.mu.Unlock()
		delete(room.sockets, socket)
	}
}

func (r *rawServer) OnMessage(socket *gws.Conn, m *gws.Message) {
	defer m.Close()
	room := roomOf(socket)
	if room == nil {
		socket.WriteMessage(m.Opcode, m.Bytes())
		return
	}
	b := gws.NewBroadcaster(m.Opcode, m.Bytes())
	defer b.Close()
	room.mu.RLock()
	defer room.mu.RUnlock()
	for s := range room.sockets {
		b.Broadcast(s)
	}
}
