package packetlink

// The packets of the wire.
const (
	IDRequest = idRequest
	IDAnswer  = idAnswer
	IDPush    = idPush
)
