// Package wslink carries sessions over WebSocket with pgnet's wire (sections 2, 4, 5 and 16 of its
// protocol): keys traded in clear text, then NaCl boxes in base64 text frames, one response for each packet. With a client that
// says in its login that it speaks it, it goes on with the native wire (docs/PROTOCOL.md, section 3): envelopes in binary
// frames, sealed by a Noise session.
//
// On the server, [New] makes a [Server] that brings the clients of its listeners to a lobby. A client uses a
// [Dialer]. Framing is that of github.com/gobwas/ws on the server, where a connection must hold little memory
// and an unknown peer none, and of github.com/coder/websocket in the client, which also runs in browsers.
//
// permessage-deflate is declined: sealed text hardly shrinks. Both types may be used concurrently.
package wslink
