package box

import "crypto/ecdh"

// WriteExclusive is writeExclusive, which makes key files where there are no hard links.
func WriteExclusive(path, text string) error { return writeExclusive(path, text) }

// InitiateWith is Initiate with an ephemeral key that is not random.
func (k *Key) InitiateWith(peer string, ephemeral *ecdh.PrivateKey) (*Initiation, []byte, error) {
	return k.initiate(peer, ephemeral)
}

// RespondWith is Respond with an ephemeral key that is not random.
func (k *Key) RespondWith(peer string, message []byte, ephemeral *ecdh.PrivateKey) (*Channel, []byte, error) {
	return k.respond(peer, message, ephemeral)
}
