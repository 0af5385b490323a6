package packet

import "strconv"

// What the handshake announces (section 5). Only ProtoVersion is compared.
const (
	Version      = "0.2.0"
	Release      = "0.2.0"
	ProtoVersion = 2
)

// ID is the number of a kind of packet on the wire, 0 to 2^32-1.
type ID uint32

// The packets of the protocol itself (section 3).
const (
	IDHello           ID = 1  // server to client: versions
	IDSetType         ID = 2  // client to server: the connection type
	IDHandshake       ID = 3  // server to client: versions and registry
	IDHandshakeAccept ID = 4  // client to server: success
	IDCloseConnection ID = 16 // both ways, at any time: reason

	// FirstAutoID is where automatic IDs start. Those below are given by hand, and pass by the connection type.
	FirstAutoID ID = 64
)

// ReservedPrefix begins the names of the protocol's own packets.
const ReservedPrefix = "peng3dnet:"

// Flags are the bits of a frame's header. Receivers ignore those that have no name.
type Flags uint16

const (
	FlagCompressed   Flags = 1 // the body is a zlib stream
	FlagEncryptedAES Flags = 2 // refused: TLS is the way
)

// State is how far a connection is. Programs may use values of their own above StateActive.
type State int32

const (
	StateInit           State = 0   // new
	StateHandshakeWait1 State = 1   // waiting for Handshake or HandshakeAccept
	StateHandshakeWait2 State = 2   // not used
	StateWaitType       State = 3   // the server waits for SetType; a custom type may stay here
	StateHelloWait      State = 4   // the client waits for Hello
	StateActive         State = 64  // the handshake is complete
	StateLoggedIn       State = 65  // for programs: authenticated
	StateClosed         State = 128 // closed
)

func (s State) String() string {
	name := map[State]string{
		StateInit: "new", StateHandshakeWait1: "in the handshake", StateWaitType: "waiting for the type",
		StateHelloWait: "waiting for Hello", StateActive: "active", StateLoggedIn: "logged in", StateClosed: "closed",
	}[s]
	return named(name, int(s))
}

// named is a number with its name, if it has one.
func named(name string, n int) string {
	if name == "" {
		return strconv.Itoa(n)
	}
	return strconv.Itoa(n) + " (" + name + ")"
}

// Mode is what a connection is doing, for programs. The library sets ModeClosed at the end, and ping ModePing.
type Mode int32

const (
	ModeNotSet Mode = 0
	ModeClosed Mode = 1
	ModePing   Mode = 2
	ModePlay   Mode = 3
	ModeChat   Mode = 4
)

func (m Mode) String() string {
	name := map[Mode]string{ModeNotSet: "not set", ModeClosed: "closed", ModePing: "ping", ModePlay: "play", ModeChat: "chat"}[m]
	return named(name, int(m))
}

// Side is one of the two ends of a connection.
type Side int8

const (
	SideClient Side = 0
	SideServer Side = 1
)

func (s Side) String() string {
	if s == SideServer {
		return "server"
	}
	return "client"
}

// Security is what TLS assures on a connection, as far as this side can know (Conn.Security).
type Security int8

const (
	SecurityNone       Security = 0 // no TLS
	SecurityWrapped    Security = 1 // TLS that assures nothing; Go's always encrypts, so this is never reported
	SecurityEncrypted  Security = 2 // encrypted, to whom is not known
	SecurityServerAuth Security = 3 // the server's certificate and host name were verified
	SecurityBothAuth   Security = 4 // and the client's certificate too: by the server, or as a client's TLS.ServerVerifies says
)

func (s Security) String() string {
	names := [...]string{"none", "wrapped", "encrypted", "server authenticated", "both authenticated"}
	if s < 0 || int(s) >= len(names) {
		return "security " + strconv.Itoa(int(s))
	}
	return names[s]
}

// Names of connection types (section 7).
const (
	ConnTypeNotSet  = "_notset" // before SetType; cannot be registered
	ConnTypeClassic = "classic"
	ConnTypePing    = "ping" // package packet/ping
)

// Reasons that connections are closed with. The first group is peng3dnet's, the second ours.
const (
	ReasonProtoVersion       = "protoversionmismatch"
	ReasonUnknownConnType    = "unknownconntype"
	ReasonRegistryMismatch   = "packetregmismatch"
	ReasonSmartPacketInvalid = "smartpacketinvalid"
	ReasonServerShutdown     = "servershutdown"
	ReasonSocketClose        = "socketclose" // local, on the client: the stream ended without a reason

	ReasonInvalidFrame     = "invalidframe"          // a frame or body that cannot be decoded
	ReasonFrameTooLarge    = "frametoolarge"         // over Config.MaxFrame
	ReasonBodyTooLarge     = "bodytoolarge"          // over Config.MaxBody, MaxDepth or MaxElements
	ReasonEncryption       = "encryptionunsupported" // a frame with FlagEncryptedAES
	ReasonWriteQueueFull   = "writequeuefull"        // the other side does not read: over Config.WriteQueue
	ReasonWriteTimeout     = "writetimeout"          // local: the other side took nothing for Config.WriteTimeout
	ReasonHandshakeTimeout = "handshaketimeout"      // over Config.HandshakeTimeout
	ReasonIdleTimeout      = "idletimeout"           // over ConnType.IdleTimeout or Config.IdleTimeout
	ReasonServerFull       = "serverfull"            // over Config.MaxConns, or Hooks.Accept said so
	ReasonInternalError    = "internalerror"         // a hook failed that the connection cannot do without
)
