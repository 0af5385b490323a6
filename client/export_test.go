package client

import "parlor"

// ParseGameDir is parseGameDir.
func ParseGameDir(p parlor.Payload) ([]GameInfo, error) { return parseGameDir(p) }
