package packetlink

import "parlor/link"

// The packets of the wire.
const (
	IDRequest = idRequest
	IDAnswer  = idAnswer
	IDPush    = idPush
)

// CloseErrorOf is closeError.
func CloseErrorOf(reason any) *link.CloseError { return closeError(reason) }
