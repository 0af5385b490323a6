// Package packetlink is the packet wire: the lobby's envelopes as registered packets of package packet, on TCP, TLS and unix
// sockets. It follows section 4 of docs/PROTOCOL.md.
//
// A [Server] brings clients to a lobby, and answers pings (packet/ping). A [Dialer] connects to one; what it dials is a
// link.StreamConn. There is no key on this wire: where it leaves the machine, TLS protects it, and a login without is refused.
//
// Everything may be called concurrently, but for what link.Conn says of its methods.
package packetlink
