package link_test

import (
	"testing"

	"parlor/link"
)

func TestEndsSession(t *testing.T) {
	for code, want := range map[link.Code]bool{
		0: false, link.CloseNormal: true, link.CloseGoingAway: false, link.CloseProtocol: false, link.CloseInvalidText: false,
		link.ClosePolicy: true, link.CloseTooLarge: false, link.CloseInternal: false, link.CloseTryAgain: false, 4001: false,
	} {
		if got := code.EndsSession(); got != want {
			t.Errorf("%d: %t", code, got)
		}
	}
}
