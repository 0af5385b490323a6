package host

var OtherPort = otherPort
