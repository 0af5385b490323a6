package parlor

// Status says how a request went (section 3.4). Games may use any integer of their own.
type Status int

// The statuses that the lobby itself uses.
const (
	StatusOK         Status = 0 // success
	StatusBad        Status = 1 // fatal: the login failed, or the handler did
	StatusUnexpected Status = 2 // refused, or not possible now
)

// String is the name of a known status, else its number.
func (s Status) String() string {
	switch s {
	case StatusOK:
		return "OK"
	case StatusBad:
		return "BAD"
	case StatusUnexpected:
		return "UNEXPECTED"
	}
	return "Status(" + itoa(int(s)) + ")"
}
